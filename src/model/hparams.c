/* hparams.c - hyperparameters from GGUF metadata (docs/reference.md 5 and 11.1), and RoPE frequencies from
 * them (3).
 *
 * Everything is read from the file: no size is assumed. A value that is absent takes the default of its
 * architecture; a value that can't be true, or is larger than any model that this engine could run, is
 * refused by name. Keys are prefixed with the architecture's name: "gpt-oss.", "gptoss." (Ollama's older
 * files) or "llama.". */
#include "hparams.h"
#include "base/error.h"
#include "base/fmt.h"
#include <math.h>
#include <string.h>

typedef struct reader { const goss_gguf *g; const char *prefix; goss_error *err; int status; } reader;

static void key_of(const reader *r, const char *name, char key[96])
{
    goss_fmt(key, 96, "%s.%s", r->prefix, name);
}

/* An integer in [lo, hi]. required: its absence is an error. After the first error later reads do nothing. */
static int64_t get_int(reader *r, const char *name, int required, int64_t absent, int64_t lo, int64_t hi)
{
    char key[96];
    uint64_t v = 0;
    if (r->status < 0) return absent;
    key_of(r, name, key);
    int found = goss_gguf_u64(r->g, key, &v, r->err);
    if (found < 0) { r->status = found; return absent; }
    if (!found) {
        if (required) r->status = goss_fail(r->err, GOSS_EFORMAT, -1, "the file lacks the key %s", key);
        return absent;
    }
    if (v > INT64_MAX || (int64_t)v < lo || (int64_t)v > hi) {
        r->status = goss_fail(r->err, GOSS_EFORMAT, -1, "%s is %llu, should be %lld to %lld", key,
                              (unsigned long long)v, (long long)lo, (long long)hi);
        return absent;
    }
    return (int64_t)v;
}

static double get_real(reader *r, const char *name, double absent, double lo, double hi)
{
    char key[96];
    double v = absent;
    if (r->status < 0) return absent;
    key_of(r, name, key);
    int found = goss_gguf_f64(r->g, key, &v, r->err);
    if (found < 0) { r->status = found; return absent; }
    if (!found) return absent;
    if (!(v >= lo && v <= hi)) {
        r->status = goss_fail(r->err, GOSS_EFORMAT, -1, "%s is %g, should be %g to %g", key, v, lo, hi);
        return absent;
    }
    return v;
}

static int str_is(goss_str s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.s, text, (size_t)s.n);
}

static int read_arch(goss_hparams *hp, reader *r)
{
    goss_str arch;
    int found = goss_gguf_str(r->g, "general.architecture", &arch, r->err);
    if (found < 0) return found;
    if (!found) return goss_fail(r->err, GOSS_EFORMAT, -1, "the file lacks the key general.architecture");
    if (str_is(arch, "gpt-oss") || str_is(arch, "gptoss")) {
        hp->arch = GOSS_ARCH_GPTOSS;
        r->prefix = arch.n == 6 ? "gptoss" : "gpt-oss";
        return 0;
    }
    if (str_is(arch, "llama")) {
        hp->arch = GOSS_ARCH_LLAMA;
        r->prefix = "llama";
        return 0;
    }
    return goss_fail(r->err, GOSS_EUNSUPPORTED, -1,
                     "architecture \"%.*s\" is not supported: gpt-oss and llama are",
                     (int)(arch.n < 40 ? arch.n : 40), arch.s);
}

/* A UTF-8 prefix of the file's name that fits. */
static void read_name(goss_hparams *hp, const goss_gguf *g)
{
    goss_str s;
    size_t n = 0;
    if (goss_gguf_str(g, "general.name", &s, NULL) == 1 && s.n) {
        n = s.n < sizeof hp->name - 1 ? (size_t)s.n : sizeof hp->name - 1;
        while (n && n < s.n && ((uint8_t)s.s[n] & 0xC0) == 0x80) n--;
        memcpy(hp->name, s.s, n);
    }
    hp->name[n] = 0;
}

static void read_sizes(goss_hparams *hp, reader *r)
{
    const int gptoss = hp->arch == GOSS_ARCH_GPTOSS;
    hp->n_layer_file = (int)get_int(r, "block_count", 1, 0, 1, GOSS_MAX_LAYERS);
    hp->n_ctx = (int)get_int(r, "context_length", 0, gptoss ? 131072 : 2048, 1, GOSS_MAX_CTX);
    hp->n_embd = (int)get_int(r, "embedding_length", 1, 0, 2, GOSS_MAX_EMBD);
    hp->n_head = (int)get_int(r, "attention.head_count", 1, 0, 1, GOSS_MAX_HEADS);
    hp->n_head_kv = (int)get_int(r, "attention.head_count_kv", 0, hp->n_head, 1, GOSS_MAX_HEADS);
    if (r->status < 0) return;
    if (hp->n_head % hp->n_head_kv) {
        r->status =
            goss_fail(r->err, GOSS_EFORMAT, -1, "%d query heads can't share %d key/value heads evenly",
                      hp->n_head, hp->n_head_kv);
        return;
    }
    hp->head_dim = (int)get_int(r, "attention.key_length", 0, gptoss ? 64 : hp->n_embd / hp->n_head, 2,
                                GOSS_MAX_HEAD_DIM);
    const int64_t v_dim = get_int(r, "attention.value_length", 0, hp->head_dim, 2, GOSS_MAX_HEAD_DIM);
    if (r->status >= 0 && (v_dim != hp->head_dim || hp->head_dim < 2 || hp->head_dim > GOSS_MAX_HEAD_DIM))
        r->status = goss_fail(r->err, GOSS_EUNSUPPORTED, -1,
                              "heads of %d for keys and %lld for values are not supported", hp->head_dim,
                              (long long)v_dim);
    hp->rope_dim = (int)get_int(r, "rope.dimension_count", 0, hp->head_dim, 2, hp->head_dim);
    if (r->status >= 0 && hp->rope_dim % 2)
        r->status = goss_fail(r->err, GOSS_EFORMAT, -1, "%s.rope.dimension_count is %d, should be even",
                              r->prefix, hp->rope_dim);
    hp->rms_eps = (float)get_real(r, "attention.layer_norm_rms_epsilon", 1e-5, 0, 1);
    hp->attn_scale = (float)get_real(r, "attention.scale", 0, 0, 1e6);
    if (hp->attn_scale == 0) hp->attn_scale = (float)(1.0 / sqrt(hp->head_dim));
}

static void read_ffn(goss_hparams *hp, reader *r)
{
    if (hp->arch == GOSS_ARCH_LLAMA) {
        hp->n_ff = (int)get_int(r, "feed_forward_length", 1, 0, 1, GOSS_MAX_FF);
        if (get_int(r, "expert_count", 0, 0, 0, GOSS_MAX_EXPERTS) > 0 && r->status >= 0)
            r->status =
                goss_fail(r->err, GOSS_EUNSUPPORTED, -1, "llama files with experts are not supported");
        return;
    }
    const int64_t dense = get_int(r, "feed_forward_length", 0, 0, 0, GOSS_MAX_FF);
    hp->n_ff = (int)get_int(r, "expert_feed_forward_length", dense == 0, dense, 1, GOSS_MAX_FF);
    hp->n_expert = (int)get_int(r, "expert_count", 1, 0, 1, GOSS_MAX_EXPERTS);
    hp->n_expert_used =
        (int)get_int(r, "expert_used_count", 1, 0, 1,
                     hp->n_expert < GOSS_MAX_EXPERTS_USED ? hp->n_expert : GOSS_MAX_EXPERTS_USED);
    hp->window = (int)get_int(r, "attention.sliding_window", 0, 128, 0, GOSS_MAX_CTX);
    hp->swiglu_alpha = 1.702f;
    hp->swiglu_limit = 7.0f;
}

/* gpt-oss is YaRN unless the file says else (Ollama's older files name no type); llama is plain unless it
 * does. */
static void read_rope(goss_rope_scaling *s, goss_hparams *hp, reader *r, const goss_model_options *opt)
{
    const int gptoss = hp->arch == GOSS_ARCH_GPTOSS;
    char key[96];
    goss_str type;
    hp->rope_half = gptoss;
    s->kind = gptoss ? GOSS_ROPE_YARN : GOSS_ROPE_PLAIN;
    key_of(r, "rope.scaling.type", key);
    const int found = r->status < 0 ? 0 : goss_gguf_str(r->g, key, &type, r->err);
    if (found < 0) { r->status = found; return; }
    if (found) {
        if (str_is(type, "yarn")) s->kind = GOSS_ROPE_YARN;
        else if (str_is(type, "linear")) s->kind = GOSS_ROPE_LINEAR;
        else if (str_is(type, "none") || str_is(type, "llama3"))
            s->kind = GOSS_ROPE_PLAIN; /* llama3's is in rope_freqs */
        else {
            r->status = goss_fail(r->err, GOSS_EUNSUPPORTED, -1,
                                  "RoPE scaling \"%.*s\" is not supported: none, linear, yarn and llama3 are",
                                  (int)(type.n < 40 ? type.n : 40), type.s);
            return;
        }
    }
    s->base = get_real(r, "rope.freq_base", gptoss ? 150000 : 10000, 1.0001, 1e12);
    const double base_swa = get_real(r, "rope.freq_base_swa", s->base, 1.0001, 1e12);
    if (r->status >= 0 && base_swa != s->base)
        r->status = goss_fail(r->err, GOSS_EUNSUPPORTED, -1,
                              "another RoPE base for windowed layers is not supported");
    s->factor = get_real(r, "rope.scaling.factor", gptoss ? 32 : 1, 1e-3, 1e6);
    s->orig_ctx = (double)get_int(r, "rope.scaling.original_context_length", 0, gptoss ? 4096 : hp->n_ctx, 1,
                                  GOSS_MAX_CTX);
    s->beta_fast = get_real(r, "rope.scaling.yarn_beta_fast", 32, 1e-3, 1e6);
    s->beta_slow = get_real(r, "rope.scaling.yarn_beta_slow", 1, 1e-3, 1e6);
    s->ext_factor = get_real(r, "rope.scaling.yarn_ext_factor", 1, -1, 1e3);
    if (s->ext_factor < 0) s->ext_factor = 1;
    s->attn_factor = get_real(r, "rope.scaling.yarn_attn_factor",
                              get_real(r, "rope.scaling.attn_factor", 1, 0, 1e3), 0, 1e3);
    /* OpenAI's YaRN keeps the ramp's ends as they are; others round them (docs/reference.md 3.2). */
    s->truncate = !gptoss || opt->yarn_llamacpp;
}

int goss_hparams_read(goss_hparams *hp, goss_rope_scaling *rope, const goss_gguf *g,
                      const goss_model_options *opt, goss_error *err)
{
    reader r = { .g = g, .prefix = "", .err = err };
    memset(hp, 0, sizeof *hp);
    memset(rope, 0, sizeof *rope);
    int rc = read_arch(hp, &r);
    if (rc < 0) return rc;
    read_name(hp, g);
    read_sizes(hp, &r);
    read_ffn(hp, &r);
    read_rope(rope, hp, &r, opt);
    if (r.status < 0) return r.status;
    hp->n_layer = hp->n_layer_file;
    if (opt->n_layers < 0) hp->n_layer = 0;
    else if (opt->n_layers > 0 && opt->n_layers < hp->n_layer_file) hp->n_layer = opt->n_layers;
    if (opt->attn_dense) hp->window = 0;
    return 0;
}

/* The pattern is a period p (all but every p-th layer are windowed, 0: all are) or a list with one flag a
 * layer. */
int goss_hparams_windowed(const goss_hparams *hp, const goss_gguf *g, int l)
{
    uint64_t period = 2;
    if (!hp->window) return 0;
    const goss_kvpair *kv = goss_gguf_find(g, "gpt-oss.attention.sliding_window_pattern");
    if (!kv) kv = goss_gguf_find(g, "gptoss.attention.sliding_window_pattern");
    if (kv && kv->type == GOSS_KV_ARRAY) return (uint64_t)l < kv->n && goss_gguf_elem(kv, (uint64_t)l) != 0;
    if (kv && kv->type != GOSS_KV_STRING && kv->type != GOSS_KV_F32 && kv->type != GOSS_KV_F64)
        period = kv->v.u;
    return period == 0 || (uint64_t)l % period < period - 1;
}

/* The dimension whose wavelength turns `beta` times within the original context. */
static double turn_dim(const goss_rope_scaling *s, int dim, double beta)
{
    return dim * log(s->orig_ctx / (beta * 2 * 3.14159265358979323846)) / (2 * log(s->base));
}

double goss_rope_frequencies(const goss_rope_scaling *s, int dim, const float *factors, double *freq)
{
    double low = turn_dim(s, dim, s->beta_fast), high = turn_dim(s, dim, s->beta_slow);
    if (s->truncate) { low = floor(low); high = ceil(high); }
    if (low < 0) low = 0;
    if (high > dim - 1) high = dim - 1;
    const double width = high - low > 0.001 ? high - low : 0.001;
    for (int i = 0; i < dim / 2; i++) {
        const double plain = pow(s->base, -2.0 * i / dim) / (factors ? (double)factors[i] : 1.0);
        double ramp = (i - low) / width;
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        const double keep = (1 - ramp) * s->ext_factor;
        switch (s->kind) {
        case GOSS_ROPE_LINEAR: freq[i] = plain / s->factor; break;
        case GOSS_ROPE_YARN: freq[i] = plain / s->factor * (1 - keep) + plain * keep; break;
        default: freq[i] = plain;
        }
    }
    if (s->kind != GOSS_ROPE_YARN) return 1;
    return s->attn_factor * (s->ext_factor != 0 && s->factor > 1 ? 0.1 * log(s->factor) + 1 : 1);
}

void goss_rope_table(const goss_hparams *hp, int64_t pos, float *out)
{
    const int n = hp->rope_dim / 2;
    for (int i = 0; i < n; i++) {
        const double angle = (double)pos * hp->rope_freq[i];
        out[i] = (float)(hp->rope_mag * cos(angle));
        out[n + i] = (float)(hp->rope_mag * sin(angle));
    }
}
