/* test_arch.c - RoPE frequencies against docs/reference.md 3.3, binding and its refusals on files made
 * here. */
#include "format/gguf_write.h"
#include "model/hparams.h"
#include "model_run.h"
#include <math.h>

/* ---- RoPE ---- */
static const goss_rope_scaling gptoss = { GOSS_ROPE_YARN, 150000, 32, 4096, 32, 1, 1, 1, 0 };
static const double plain[32] = { 1.000000000e+00, 6.890443059e-01, 4.747820555e-01, 3.271458719e-01,
                                  2.254180002e-01, 1.553229895e-01, 1.070244215e-01, 7.374456821e-02,
                                  5.081327482e-02, 3.501259768e-02, 2.412523106e-02, 1.662335309e-02,
                                  1.145422679e-02, 7.892469750e-03, 5.438261341e-03, 3.747203011e-03,
                                  2.581988897e-03, 1.779104748e-03, 1.225881996e-03, 8.446870090e-04,
                                  5.820267738e-04, 4.010422344e-04, 2.763358680e-04, 1.904076564e-04,
                                  1.311993114e-04, 9.040213847e-05, 6.229107875e-05, 4.292131312e-05,
                                  2.957468641e-05, 2.037826927e-05, 1.404153040e-05, 9.675236570e-06 };
static const double openai[9] = { 3.170569618e-02, 1.933500113e-02, 1.159204926e-02,
                                  6.794959490e-03, 3.860359317e-03, 2.093792379e-03,
                                  1.052602101e-03, 4.564839192e-04, 1.293187012e-04 };
static const double llamacpp[9] = { 3.162075228e-02, 1.945096754e-02, 1.179219110e-02,
                                    7.015713911e-03, 4.069554715e-03, 2.277271936e-03,
                                    1.206130969e-03, 5.809475019e-04, 2.279477958e-04 };

static int close_to(double got, double want, double relative)
{
    const int ok = fabs(got - want) <= relative * fabs(want);
    if (!ok) printf("%.12g, should be %.12g\n", got, want);
    return ok;
}

static void test_rope(void)
{
    double freq[32];
    float table[64];
    goss_rope_scaling s = gptoss;
    goss_hparams hp = { .rope_dim = 64, .rope_freq = freq };
    hp.rope_mag = goss_rope_frequencies(&s, 64, NULL, freq);
    CHECK(close_to(hp.rope_mag, 1.3465735902799727, 1e-14));
    for (int i = 0; i < 32; i++)
        CHECK(close_to(freq[i], i <= 8 ? plain[i] : i <= 17 ? openai[i - 9] : plain[i] / 32, 1e-9));
    const struct { int p, i; double c, s;
    } checks[] = { { 1, 0, 0.72755682, 1.13310261 },    { 127, 8, 1.32713949, 0.22794999 },
                   { 127, 12, 0.87553072, 1.0230867 },  { 4096, 12, -1.21706155, 0.57621317 },
                   { 4096, 17, 1.1620446, 0.68037695 }, { 100000, 31, 1.34595814, 0.0407076 } };
    for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) {
        goss_rope_table(&hp, checks[k].p, table);
        CHECK(fabs((double)table[checks[k].i] - checks[k].c) < 2e-7);
        CHECK(fabs((double)table[32 + checks[k].i] - checks[k].s) < 2e-7);
    }
    s.truncate = 1;
    CHECK(close_to(goss_rope_frequencies(&s, 64, NULL, freq), 1.3465735902799727, 1e-14));
    for (int i = 0; i < 32; i++)
        CHECK(close_to(freq[i], i <= 8 ? plain[i] : i <= 17 ? llamacpp[i - 9] : plain[i] / 32, 1e-9));
    s.kind = GOSS_ROPE_LINEAR;
    CHECK(goss_rope_frequencies(&s, 64, NULL, freq) == 1);
    CHECK(close_to(freq[5], plain[5] / 32, 1e-9));
    s.kind = GOSS_ROPE_PLAIN;
    float factors[32];
    for (int i = 0; i < 32; i++) factors[i] = 1 + (float)i;
    CHECK(goss_rope_frequencies(&s, 64, factors, freq) == 1);
    CHECK(close_to(freq[5], plain[5] / 6, 1e-9));
}

/* ---- small files ---- */
typedef struct file { goss_buf bytes; uint64_t n_data; run_model m; } file;
typedef struct spec {        /* what to write; 0 and NULL mean as gpt-oss has it */
    const char *prefix, *skip, *misshape;
    int layers, heads, kv_heads, used, no_expert_ff, llama, tied, period, tokens, freqs;
    float eps;
} spec;
enum { E = 64, FF = 32, EXPERTS = 4, HD = 32, VOCAB = 96 };

static void key_u32(goss_gguf_writer *w, const spec *s, const char *name, uint32_t v)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", s->prefix, name);
    goss_gguf_put_u32(w, key, v);
}

static void put(goss_gguf_writer *w, const spec *s, int layer, const char *name, int type, int64_t ne0,
                int64_t ne1, int64_t ne2)
{
    char full[64];
    const int64_t ne[3] = { ne0, s->misshape && strstr(name, s->misshape) ? ne1 + 32 : ne1, ne2 };
    if (layer < 0) snprintf(full, sizeof full, "%s", name);
    else snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    if (s->skip && strstr(full, s->skip)) return;
    goss_gguf_put_tensor(w, full, type, ne2 > 1 ? 3 : ne1 > 1 || ne[1] > 1 ? 2 : 1, ne);
}

static void put_layer(goss_gguf_writer *w, const spec *s, int l, int h, int hkv)
{
    put(w, s, l, "attn_norm.weight", GOSS_F32, E, 1, 1);
    put(w, s, l, "attn_q.weight", GOSS_Q8_0, E, h * HD, 1);
    put(w, s, l, "attn_k.weight", GOSS_Q8_0, E, hkv * HD, 1);
    put(w, s, l, "attn_v.weight", GOSS_Q8_0, E, hkv * HD, 1);
    put(w, s, l, "attn_output.weight", GOSS_Q8_0, h * HD, E, 1);
    if (s->llama) {
        put(w, s, l, "ffn_norm.weight", GOSS_F32, E, 1, 1);
        put(w, s, l, "ffn_gate.weight", GOSS_F16, E, FF, 1);
        put(w, s, l, "ffn_up.weight", GOSS_F16, E, FF, 1);
        put(w, s, l, "ffn_down.weight", GOSS_F16, FF, E, 1);
        return;
    }
    put(w, s, l, "attn_q.bias", GOSS_F32, h * HD, 1, 1);
    put(w, s, l, "attn_k.bias", GOSS_F32, hkv * HD, 1, 1);
    put(w, s, l, "attn_v.bias", GOSS_F32, hkv * HD, 1, 1);
    put(w, s, l, "attn_output.bias", GOSS_F32, E, 1, 1);
    put(w, s, l, "attn_sinks.weight", GOSS_F32, h, 1, 1);
    put(w, s, l, "post_attention_norm.weight", GOSS_F32, E, 1, 1);
    put(w, s, l, "ffn_gate_inp.weight", GOSS_F32, E, EXPERTS, 1);
    put(w, s, l, "ffn_gate_inp.bias", GOSS_F32, EXPERTS, 1, 1);
    put(w, s, l, "ffn_gate_exps.weight", GOSS_MXFP4, E, FF, EXPERTS);
    put(w, s, l, "ffn_up_exps.weight", GOSS_MXFP4, E, FF, EXPERTS);
    put(w, s, l, "ffn_down_exps.weight", GOSS_MXFP4, FF, E, EXPERTS);
    put(w, s, l, "ffn_gate_exps.bias", GOSS_F32, FF, EXPERTS, 1);
    put(w, s, l, "ffn_up_exps.bias", GOSS_F32, FF, EXPERTS, 1);
    put(w, s, l, "ffn_down_exps.bias", GOSS_F32, E, EXPERTS, 1);
}

/* Writes the file into memory (all weights zero) and binds it. */
static int make(file *f, const spec *given, const goss_model_options *opt, goss_error *err)
{
    spec s = *given;
    goss_gguf_writer w;
    if (!s.prefix) s.prefix = s.llama ? "llama" : "gpt-oss";
    const int layers = s.layers ? s.layers : 2, h = s.heads ? s.heads : 4, hkv = s.kv_heads ? s.kv_heads : 2;
    memset(f, 0, sizeof *f);
    goss_gguf_writer_init(&w);
    goss_gguf_put_str(&w, "general.architecture", s.prefix, strlen(s.prefix));
    goss_gguf_put_str(&w, "general.name", "made here", 9);
    key_u32(&w, &s, "block_count", (uint32_t)layers);
    key_u32(&w, &s, "embedding_length", E);
    key_u32(&w, &s, "attention.head_count", (uint32_t)h);
    key_u32(&w, &s, "attention.head_count_kv", (uint32_t)hkv);
    key_u32(&w, &s, "attention.key_length", HD);
    key_u32(&w, &s, "feed_forward_length", FF);
    if (!s.llama) {
        if (!s.no_expert_ff) key_u32(&w, &s, "expert_feed_forward_length", FF);
        key_u32(&w, &s, "expert_count", EXPERTS);
        key_u32(&w, &s, "expert_used_count", s.used ? (uint32_t)s.used : 2);
        key_u32(&w, &s, "attention.sliding_window", 16);
    }
    if (s.period) key_u32(&w, &s, "attention.sliding_window_pattern", (uint32_t)s.period);
    if (s.tokens) {
        static goss_str many[1000];
        for (int i = 0; i < 1000; i++) many[i] = (goss_str){ &"abcdefghij"[i % 10], 1 };
        goss_gguf_put_strs(&w, "tokenizer.ggml.tokens", many, (uint64_t)s.tokens);
    }
    put(&w, &s, -1, "token_embd.weight", GOSS_Q8_0, E, VOCAB, 1);
    put(&w, &s, -1, "output_norm.weight", GOSS_F32, E, 1, 1);
    if (!s.tied) put(&w, &s, -1, "output.weight", GOSS_Q8_0, E, VOCAB, 1);
    if (s.freqs) put(&w, &s, -1, "rope_freqs.weight", GOSS_F32, HD / 2, 1, 1);
    for (int l = 0; l < layers && l < 40; l++) put_layer(&w, &s, l, h < 100 ? h : 4, hkv);
    const uint64_t data = w.data_bytes;
    f->bytes = GOSS_BUF(1u << 26);
    if (goss_gguf_writer_finish(&w, &f->bytes) < 0) return GOSS_ENOMEM;
    const size_t start = f->bytes.len;
    f->n_data = data;
    if (goss_buf_reserve(&f->bytes, data + 64) < 0) return GOSS_ENOMEM;
    memset(f->bytes.data + start, 0, data + 64);
    if (s.freqs)
        for (size_t i = start; i + 4 <= start + data; i += 4) memcpy(f->bytes.data + i, &(float){ 2 }, 4);
    return run_open_bytes(&f->m, f->bytes.data, start + data, opt, err);
}

static void drop(file *f)
{
    run_close(&f->m);
    goss_buf_free(&f->bytes);
}

static void refused(const spec *s, int code, const char *word)
{
    file f;
    goss_error err = { 0 };
    const uint64_t live = goss_mem_get_stats().n_live;
    CHECK_INT(make(&f, s, NULL, &err), code);
    if (!strstr(err.text, word)) { printf("\"%s\" lacks \"%s\"\n", err.text, word); CHECK(0); }
    drop(&f);
    CHECK_INT(goss_mem_get_stats().n_live, live);
}

static void test_accepted(void)
{
    file f;
    const goss_hparams *hp = &f.m.model.hp;
    CHECK_INT(make(&f, &(spec){ .layers = 3 }, NULL, NULL), 0);
    CHECK_INT(hp->n_layer, 3);
    CHECK_INT(hp->n_vocab, VOCAB);
    CHECK_INT(hp->n_expert_used, 2);
    CHECK_STR(hp->name, "made here");
    CHECK(f.m.model.layers[0].windowed && !f.m.model.layers[1].windowed && f.m.model.layers[2].windowed);
    CHECK(fabs((double)hp->attn_scale - 1 / sqrt(HD)) < 1e-7);
    CHECK(fabs(hp->rope_mag - 1.3465735902799727) < 1e-12);
    CHECK_INT(hp->rope_half, 1);
    const uint64_t all = f.m.model.weight_bytes,
                   experts = 3ull * 3 * EXPERTS * FF * E / 32 * 17 + 3ull * EXPERTS * 4 * (FF + FF + E);
    const uint64_t embd = (uint64_t)VOCAB * E / 32 * 34;
    CHECK_INT(goss_model_step_bytes(&f.m.model), all - experts / 2 - embd + E / 32 * 34);
    drop(&f);
    CHECK_INT(make(&f, &(spec){ .prefix = "gptoss", .no_expert_ff = 1 }, NULL, NULL), 0);
    CHECK_INT(hp->n_ff, FF);
    drop(&f);
    CHECK_INT(make(&f, &(spec){ .llama = 1, .tied = 1, .freqs = 1 }, NULL, NULL), 0);
    CHECK(f.m.model.output.data == f.m.model.tok_embd.data);
    CHECK_INT(hp->n_expert, 0);
    CHECK_INT(hp->rope_half, 0);
    CHECK(fabs(hp->rope_freq[0] - 0.5) < 1e-12); /* divided by rope_freqs, 2 here */
    drop(&f);
    CHECK_INT(make(&f, &(spec){ .period = 3, .layers = 4 }, NULL, NULL), 0);
    CHECK(f.m.model.layers[1].windowed && !f.m.model.layers[2].windowed && f.m.model.layers[3].windowed);
    drop(&f);
    CHECK_INT(make(&f, &(spec){ .tokens = VOCAB }, NULL, NULL), 0);
    drop(&f);
}

static void test_options(void)
{
    file f;
    const goss_hparams *hp = &f.m.model.hp;
    CHECK_INT(make(&f, &(spec){ .layers = 3 },
                   &(goss_model_options){ .n_layers = 2, .attn_dense = 1, .moe_fallback = 1 }, NULL),
              0);
    CHECK_INT(hp->n_layer, 2);
    CHECK_INT(hp->n_layer_file, 3);
    CHECK_INT(hp->window, 0);
    CHECK(!f.m.model.layers[0].windowed);
    CHECK_INT(hp->n_expert, 1);
    CHECK_INT(hp->n_expert_used, 1);
    CHECK_INT(f.m.model.layers[1].gate.ne[2], 1);
    CHECK_INT(f.m.model.layers[1].gate.n_bytes, FF * E / 32 * 17);
    CHECK_INT(f.m.model.layers[1].router.ne[1], 1);
    CHECK_INT(f.m.model.layers[1].down_b.n_bytes, E * 4);
    drop(&f);
    CHECK_INT(make(&f, &(spec){ 0 }, &(goss_model_options){ .n_layers = -1 }, NULL), 0);
    CHECK_INT(hp->n_layer, 0);
    drop(&f);
    CHECK_INT(make(&f, &(spec){ 0 }, &(goss_model_options){ .n_layers = 99, .yarn_llamacpp = 1 }, NULL), 0);
    CHECK_INT(hp->n_layer, 2);
    drop(&f);
}

static void test_refused(void)
{
    refused(&(spec){ .heads = 3, .kv_heads = 2 }, GOSS_EFORMAT, "3 query heads");
    refused(&(spec){ .heads = 1 << 30 }, GOSS_EFORMAT, "head_count");
    refused(&(spec){ .layers = 100000 }, GOSS_EFORMAT, "block_count");
    refused(&(spec){ .used = 5 }, GOSS_EFORMAT, "expert_used_count");
    refused(&(spec){ .prefix = "bert" }, GOSS_EUNSUPPORTED, "bert");
    refused(&(spec){ .skip = "blk.1.attn_q.weight" }, GOSS_EFORMAT,
            "1 tensor doesn't fit: blk.1.attn_q.weight (missing)");
    refused(&(spec){ .misshape = "attn_k.weight" }, GOSS_EFORMAT,
            "2 tensors don't fit: blk.0.attn_k.weight (is 64x96x1, not 64x64x1)");
    refused(&(spec){ .skip = "blk.0" }, GOSS_EFORMAT, "more");
    refused(&(spec){ .skip = "blk.0" }, GOSS_EFORMAT,
            "19 tensors don't fit: blk.0.attn_norm.weight (missing), blk.0.attn_q.weight");
    refused(&(spec){ .skip = "token_embd" }, GOSS_EFORMAT, "token_embd.weight (missing)");
    refused(&(spec){ .tokens = VOCAB + 1 }, GOSS_EFORMAT, "97 tokens");
}

/* Every allocation of opening fails once: a clean error, nothing leaks. */
static void test_allocations(void)
{
    file f;
    CHECK_INT(make(&f, &(spec){ 0 }, NULL, NULL), 0);
    run_close(&f.m);
    const uint64_t live = goss_mem_get_stats().n_live;
    int rc = GOSS_ENOMEM;
    uint64_t n = 0;
    while (rc < 0 && n++ < 200) {
        goss_error err = { 0 };
        memset(&f.m, 0, sizeof f.m);
        goss_mem_fail_at(n);
        rc = run_open_bytes(&f.m, f.bytes.data, f.bytes.len + f.n_data, NULL, &err);
        goss_mem_fail_at(0);
        run_close(&f.m);
        CHECK_INT(goss_mem_get_stats().n_live, live);
        CHECK(rc == 0 || (rc == GOSS_ENOMEM && err.text[0]));
    }
    CHECK(rc == 0 && n > 3);
    goss_buf_free(&f.bytes);
}

int main(void)
{
    test_rope();
    test_accepted();
    test_options();
    test_refused();
    test_allocations();
    return unit_done("arch");
}
