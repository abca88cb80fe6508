/* arch.c - binds every tensor of a file to its place in the model and checks its shape (docs/reference.md
 * 6.1, 11.2).
 *
 * Each place has a list of names: the official one first, then Ollama's and others'. A fused attn_qkv becomes
 * three views by rows. All tensors that are missing, misshapen or of a type that can't be computed are
 * gathered and reported in one sentence: as many by name as fit, and how many there are.
 *
 * Small vectors (norms, biases, sinks) are F32 for every backend: when a mapped file has them as F16 or BF16,
 * or not aligned to 4 bytes, they are converted once into memory that the model owns. moe_fallback is a
 * matter of views too: with only the first expert and router row bound, n_expert is 1, and any backend's
 * router can but choose expert 0 with weight 1. */
#include "arch.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { OPTIONAL = 1, VECTOR = 2 };

typedef struct binder {
    goss_model *m;
    const goss_gguf *g;
    int n_bad;
    char list[176];              /* "name (what), name (what)" as far as it fits */
    size_t n_list;
    int n_listed, full;
} binder;

static void complain(binder *b, const char *name, const char *what)
{
    char item[160];
    b->n_bad++;
    if (b->full) return;
    const size_t n = goss_fmt(item, sizeof item, "%s%s (%s)", b->n_listed ? ", " : "", name, what);
    if (n >= sizeof item || b->n_list + n + 1 > sizeof b->list) {
        b->full = 1;
        return;
    }
    memcpy(b->list + b->n_list, item, n + 1);
    b->n_list += n;
    b->n_listed++;
}

static int report(const binder *b, goss_error *err)
{
    if (!b->n_bad) return 0;
    const int more = b->n_bad - b->n_listed;
    if (more)
        return goss_fail(err, GOSS_EFORMAT, -1, "%d tensors don't fit: %s and %d more", b->n_bad, b->list,
                         more);
    return goss_fail(err, GOSS_EFORMAT, -1, "%d tensor%s fit: %s", b->n_bad,
                     b->n_bad == 1 ? " doesn't" : "s don't", b->list);
}

static int64_t n_elements(const goss_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/* A copy in F32, owned by the model; 0 or an error. */
static int convert(binder *b, goss_tensor *t)
{
    const int64_t n = n_elements(t);
    void **memory = goss_mem_alloc(sizeof(void *) * 8 + (size_t)n * sizeof(float));
    if (!memory) return GOSS_ENOMEM;
    *memory = b->m->converted;   /* a list: each block starts with the pointer to the next */
    b->m->converted = memory;
    float *values = (float *)(void *)(memory + 8);
    if (t->type == GOSS_F32) memcpy(values, t->data, (size_t)n * sizeof *values);
    else if (goss_to_float(t->type, t->data, values, n) < 0) return GOSS_EUNSUPPORTED;
    t->type = GOSS_F32;
    t->data = (const uint8_t *)values;
    t->n_bytes = (uint64_t)n * sizeof *values;
    return 0;
}

/* Names are "a|b|c": the first that the file has wins. layer < 0: a global tensor. */
static const goss_tensor *find(const binder *b, int layer, const char *names, char found[64])
{
    char first[64] = "";
    for (const char *s = names; *s;) {
        const size_t n = strcspn(s, "|");
        if (layer < 0) goss_fmt(found, 64, "%.*s", (int)n, s);
        else goss_fmt(found, 64, "blk.%d.%.*s", layer, (int)n, s);
        const goss_tensor *t = goss_gguf_tensor(b->g, found);
        if (t) return t;
        if (!first[0]) memcpy(first, found, 64);
        s += n + (s[n] == '|');
    }
    memcpy(found, first, 64);
    return NULL;
}

/* Checks shape and type of *t against (ne0, ne1, ne2) and takes it into the model. */
static int take(binder *b, goss_tensor *t, unsigned flags, int64_t ne0, int64_t ne1, int64_t ne2)
{
    char what[96];
    const goss_type_info *type = goss_type_get(t->type);
    if (t->ne[0] != ne0 || t->ne[1] != ne1 || t->ne[2] != ne2 || t->ne[3] != 1) {
        goss_fmt(what, sizeof what, "is %lldx%lldx%lld, not %lldx%lldx%lld", (long long)t->ne[0],
                 (long long)t->ne[1], (long long)t->ne[2], (long long)ne0, (long long)ne1, (long long)ne2);
        complain(b, t->name, what);
        return 0;
    }
    const int small = t->type == GOSS_F32 || t->type == GOSS_F16 || t->type == GOSS_BF16;
    if (!type || !type->computed || ((flags & VECTOR) && !small)) {
        goss_fmt(what, sizeof what, "type %s is not supported here", type ? type->name : "?");
        complain(b, t->name, what);
        return 0;
    }
    b->m->weight_bytes += t->n_bytes;
    b->m->hp.n_params += n_elements(t);
    if (!t->data) return 0;
    const uintptr_t mask = t->type == GOSS_F32 ? 3 : small ? 1 : 0;
    const int misaligned = ((uintptr_t)t->data & mask) != 0;
    if ((flags & VECTOR) && (t->type != GOSS_F32 || misaligned)) return convert(b, t);
    if (misaligned) complain(b, t->name, "not aligned");
    return 0;
}

static int bind(binder *b, goss_tensor *out, int layer, const char *names, unsigned flags,
                int64_t ne0, int64_t ne1, int64_t ne2)
{
    char name[64];
    const goss_tensor *t = find(b, layer, names, name);
    memset(out, 0, sizeof *out);
    out->type = -1;
    if (!t) {
        if (!(flags & OPTIONAL)) complain(b, name, "missing");
        return 0;
    }
    *out = *t;
    return take(b, out, flags, ne0, ne1, ne2);
}

/* Rows [from, from + n) of a matrix, or elements of a vector, as a tensor of its own. */
static goss_tensor rows_of(const goss_tensor *t, int64_t from, int64_t n)
{
    goss_tensor v = *t;
    const int dim = t->ne[1] > 1;
    const uint64_t unit = goss_type_row_bytes(t->type, dim ? t->ne[0] : 1);
    v.ne[dim] = n;
    v.n_bytes = unit * (uint64_t)n;
    v.offset += unit * (uint64_t)from;
    if (v.data) v.data += unit * (uint64_t)from;
    return v;
}

static int bind_fused(binder *b, goss_layer *l, int layer, unsigned bias_flags, int64_t n_embd, int64_t nq,
                      int64_t nkv)
{
    goss_tensor w, bias;
    const int n_bad = b->n_bad;
    int rc = bind(b, &w, layer, "attn_qkv.weight", 0, n_embd, nq + 2 * nkv, 1);
    if (rc == 0) rc = bind(b, &bias, layer, "attn_qkv.bias", bias_flags | VECTOR, nq + 2 * nkv, 1, 1);
    if (rc < 0 || b->n_bad > n_bad) return rc;
    l->wq = rows_of(&w, 0, nq);
    l->wk = rows_of(&w, nq, nkv);
    l->wv = rows_of(&w, nq + nkv, nkv);
    l->bq = l->bk = l->bv = bias;
    if (bias.type < 0) return 0;
    l->bq = rows_of(&bias, 0, nq);
    l->bk = rows_of(&bias, nq, nkv);
    l->bv = rows_of(&bias, nq + nkv, nkv);
    return 0;
}

#define BIND(...) do { const int rc_ = bind(__VA_ARGS__); if (rc_ < 0) return rc_; } while (0)

static int bind_attention(binder *b, goss_layer *l, int layer)
{
    const goss_hparams *hp = &b->m->hp;
    const int64_t e = hp->n_embd;
    const int64_t nq = (int64_t)hp->n_head * hp->head_dim, nkv = (int64_t)hp->n_head_kv * hp->head_dim;
    const unsigned bias = VECTOR | (hp->arch == GOSS_ARCH_LLAMA ? OPTIONAL : 0);
    char name[64];
    BIND(b, &l->attn_norm, layer, "attn_norm.weight", VECTOR, e, 1, 1);
    if (find(b, layer, "attn_qkv.weight", name)) {
        const int rc = bind_fused(b, l, layer, bias, e, nq, nkv);
        if (rc < 0) return rc;
    } else {
        BIND(b, &l->wq, layer, "attn_q.weight", 0, e, nq, 1);
        BIND(b, &l->wk, layer, "attn_k.weight", 0, e, nkv, 1);
        BIND(b, &l->wv, layer, "attn_v.weight", 0, e, nkv, 1);
        BIND(b, &l->bq, layer, "attn_q.bias", bias, nq, 1, 1);
        BIND(b, &l->bk, layer, "attn_k.bias", bias, nkv, 1, 1);
        BIND(b, &l->bv, layer, "attn_v.bias", bias, nkv, 1, 1);
    }
    BIND(b, &l->wo, layer, "attn_output.weight|attn_out.weight", 0, nq, e, 1);
    BIND(b, &l->bo, layer, "attn_output.bias|attn_out.bias", bias, e, 1, 1);
    if (hp->arch == GOSS_ARCH_GPTOSS)
        BIND(b, &l->sinks, layer, "attn_sinks.weight|attn_sinks", VECTOR, hp->n_head, 1, 1);
    else l->sinks.type = -1;
    return 0;
}

static int bind_experts(binder *b, goss_layer *l, int layer)
{
    const goss_hparams *hp = &b->m->hp;
    const int64_t e = hp->n_embd, ff = hp->n_ff, n = hp->n_expert;
    BIND(b, &l->ffn_norm, layer, "post_attention_norm.weight|ffn_norm.weight", VECTOR, e, 1, 1);
    BIND(b, &l->router, layer, "ffn_gate_inp.weight", 0, e, n, 1);
    BIND(b, &l->router_b, layer, "ffn_gate_inp.bias", VECTOR, n, 1, 1);
    BIND(b, &l->gate, layer, "ffn_gate_exps.weight", 0, e, ff, n);
    BIND(b, &l->up, layer, "ffn_up_exps.weight", 0, e, ff, n);
    BIND(b, &l->down, layer, "ffn_down_exps.weight", 0, ff, e, n);
    BIND(b, &l->gate_b, layer, "ffn_gate_exps.bias", VECTOR, ff, n, 1);
    BIND(b, &l->up_b, layer, "ffn_up_exps.bias", VECTOR, ff, n, 1);
    BIND(b, &l->down_b, layer, "ffn_down_exps.bias", VECTOR, e, n, 1);
    return 0;
}

static int bind_ffn(binder *b, goss_layer *l, int layer)
{
    const int64_t e = b->m->hp.n_embd, ff = b->m->hp.n_ff;
    BIND(b, &l->ffn_norm, layer, "ffn_norm.weight|post_attention_norm.weight", VECTOR, e, 1, 1);
    BIND(b, &l->gate, layer, "ffn_gate.weight", 0, e, ff, 1);
    BIND(b, &l->up, layer, "ffn_up.weight", 0, e, ff, 1);
    BIND(b, &l->down, layer, "ffn_down.weight", 0, ff, e, 1);
    BIND(b, &l->gate_b, layer, "ffn_gate.bias", VECTOR | OPTIONAL, ff, 1, 1);
    BIND(b, &l->up_b, layer, "ffn_up.bias", VECTOR | OPTIONAL, ff, 1, 1);
    BIND(b, &l->down_b, layer, "ffn_down.bias", VECTOR | OPTIONAL, e, 1, 1);
    l->router.type = l->router_b.type = -1;
    return 0;
}

/* Only the first expert, everywhere. */
static void keep_first_expert(goss_layer *l)
{
    const struct {
        goss_tensor *t;
        int dim;
    } parts[] = { { &l->router, 1 }, { &l->router_b, 0 }, { &l->gate, 2 }, { &l->up, 2 },
                  { &l->down, 2 },   { &l->gate_b, 1 },   { &l->up_b, 1 }, { &l->down_b, 1 } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i].t->n_bytes /= (uint64_t)parts[i].t->ne[parts[i].dim];
        parts[i].t->ne[parts[i].dim] = 1;
    }
}

/* The vocabulary's size is the embedding's; the tokenizer may be shorter (padding), never longer. */
static int bind_globals(binder *b, goss_error *err)
{
    goss_model *m = b->m;
    const goss_tensor *embd = goss_gguf_tensor(b->g, "token_embd.weight");
    const goss_kvpair *tokens = goss_gguf_find(b->g, "tokenizer.ggml.tokens");
    const int64_t e = m->hp.n_embd;
    char name[64];
    if (embd && (embd->ne[1] < 1 || embd->ne[1] > GOSS_MAX_VOCAB))
        return goss_fail(err, GOSS_EFORMAT, -1, "token_embd.weight has %lld rows, should be 1 to %d",
                         (long long)embd->ne[1], GOSS_MAX_VOCAB);
    m->hp.n_vocab = embd ? (int)embd->ne[1] : 1;
    if (embd && tokens && tokens->n > (uint64_t)m->hp.n_vocab)
        return goss_fail(err, GOSS_EFORMAT, -1,
                         "the tokenizer has %llu tokens but token_embd.weight only %d rows",
                         (unsigned long long)tokens->n, m->hp.n_vocab);
    BIND(b, &m->tok_embd, -1, "token_embd.weight", 0, e, m->hp.n_vocab, 1);
    BIND(b, &m->out_norm, -1, "output_norm.weight", VECTOR, e, 1, 1);
    if (find(b, -1, "output.weight", name)) BIND(b, &m->output, -1, "output.weight", 0, e, m->hp.n_vocab, 1);
    else m->output = m->tok_embd;
    BIND(b, &m->rope_freqs, -1, "rope_freqs.weight", VECTOR | OPTIONAL, m->hp.rope_dim / 2, 1, 1);
    return 0;
}

static int make_rope(goss_model *m, const goss_rope_scaling *rope, goss_error *err)
{
    const float *factors = m->rope_freqs.type < 0 ? NULL : (const float *)(const void *)m->rope_freqs.data;
    if (m->rope_freqs.type >= 0 && !factors)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "rope_freqs.weight must be in memory when the model is bound");
    for (int i = 0; factors && i < m->hp.rope_dim / 2; i++)
        if (!(factors[i] > 1e-6f && factors[i] < 1e6f))
            return goss_fail(err, GOSS_EFORMAT, -1, "rope_freqs.weight[%d] is %g, should be positive", i,
                             (double)factors[i]);
    m->hp.rope_freq = goss_mem_array((size_t)m->hp.rope_dim / 2, sizeof(double));
    if (!m->hp.rope_freq) return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the model's tables");
    m->hp.rope_mag = goss_rope_frequencies(rope, m->hp.rope_dim, factors, m->hp.rope_freq);
    return 0;
}

static int bind_layers(binder *b, const goss_model_options *opt)
{
    goss_model *m = b->m;
    for (int i = 0; i < m->hp.n_layer_file; i++) {
        goss_layer *l = &m->layers[i];
        l->windowed = goss_hparams_windowed(&m->hp, b->g, i);
        int rc = bind_attention(b, l, i);
        if (rc == 0) rc = m->hp.arch == GOSS_ARCH_GPTOSS ? bind_experts(b, l, i) : bind_ffn(b, l, i);
        if (rc < 0) return rc;
    }
    if (b->n_bad || !opt->moe_fallback || m->hp.arch != GOSS_ARCH_GPTOSS) return 0;
    for (int i = 0; i < m->hp.n_layer_file; i++) keep_first_expert(&m->layers[i]);
    m->hp.n_expert = m->hp.n_expert_used = 1;
    return 0;
}

int goss_model_bind(goss_model *m, goss_gguf *g, const goss_model_options *opt, goss_error *err)
{
    const goss_model_options none = { 0 };
    goss_rope_scaling rope;
    binder b = { .m = m, .g = g };
    if (!opt) opt = &none;
    memset(m, 0, sizeof *m);
    m->gguf = g;
    int rc = goss_hparams_read(&m->hp, &rope, g, opt, err);
    if (rc < 0) return rc;
    m->layers = goss_mem_array((size_t)m->hp.n_layer_file, sizeof *m->layers);
    rc = m->layers ? bind_globals(&b, err)
                   : goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the model's tables");
    if (rc == 0) rc = bind_layers(&b, opt);
    if (rc == 0) rc = report(&b, err);
    else if (rc == GOSS_ENOMEM) goss_fail(err, rc, -1, "out of memory for the model's tables");
    if (rc == 0) rc = make_rope(m, &rope, err);
    if (rc < 0) goss_model_free(m);
    return rc;
}

void goss_model_free(goss_model *m)
{
    for (void **p = m->converted; p;) {
        void **next = *p;
        goss_mem_free(p);
        p = next;
    }
    goss_mem_free(m->layers);
    goss_mem_free(m->hp.rope_freq);
    memset(m, 0, sizeof *m);
}

static uint64_t bytes_of(const goss_tensor *t)
{
    return t->type < 0 ? 0 : t->n_bytes;
}

/* One layer's feed-forward weights that a token reads. */
static uint64_t ffn_bytes(const goss_hparams *hp, const goss_layer *l)
{
    const goss_tensor *ffn[] = { &l->gate, &l->up, &l->down, &l->gate_b, &l->up_b, &l->down_b };
    uint64_t n = 0;
    for (size_t j = 0; j < sizeof ffn / sizeof *ffn; j++)
        n += hp->n_expert ? bytes_of(ffn[j]) / (uint64_t)hp->n_expert * (uint64_t)hp->n_expert_used
                          : bytes_of(ffn[j]);
    return n;
}

uint64_t goss_model_step_expert_bytes(const goss_model *m)
{
    uint64_t n = 0;
    for (int i = 0; m->hp.n_expert && i < m->hp.n_layer; i++) n += ffn_bytes(&m->hp, &m->layers[i]);
    return n;
}

uint64_t goss_model_step_bytes(const goss_model *m)
{
    const goss_hparams *hp = &m->hp;
    uint64_t n =
        bytes_of(&m->output) + bytes_of(&m->out_norm) + goss_type_row_bytes(m->tok_embd.type, hp->n_embd);
    for (int i = 0; i < hp->n_layer; i++) {
        const goss_layer *l = &m->layers[i];
        const goss_tensor *always[] = { &l->attn_norm, &l->wq,     &l->wk,      &l->wv, &l->bq,
                                        &l->bk,        &l->bv,     &l->wo,      &l->bo, &l->sinks,
                                        &l->ffn_norm,  &l->router, &l->router_b };
        for (size_t j = 0; j < sizeof always / sizeof *always; j++) n += bytes_of(always[j]);
        n += ffn_bytes(hp, l);
    }
    return n;
}

double goss_model_rows_bytes(const goss_model *m, int rows)
{
    const double all = (double)goss_model_step_bytes(m), experts = (double)goss_model_step_expert_bytes(m);
    if (!m->hp.n_expert) return all;
    const double share = (double)m->hp.n_expert_used / m->hp.n_expert;
    return all + experts * ((1 - pow(1 - share, rows)) / share - 1);
}
