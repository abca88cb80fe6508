/* test_variants.c - the demo model rewritten as others publish such files must give the same logits, bit by
 * bit: Ollama's names and keys, fused attn_qkv, biases in BF16 and F16, and files split into three. */
#include "format/gguf_split.h"
#include "format/gguf_write.h"
#include "model_run.h"

enum { N = 40, SHARDS = 3 };
typedef struct file { goss_buf bytes; } file;

/* ---- a rewriter: keys copied (renamed by `prefix`), tensors under new names and types ---- */
typedef struct tensor {
    char name[64];
    int type, n_dims;
    int64_t ne[4];
    uint8_t *data;
    uint64_t n_bytes, offset;
} tensor;
typedef struct rewrite { goss_gguf_writer w; tensor list[400]; int n; } rewrite;

static void put_key(rewrite *r, const goss_kvpair *kv, const char *prefix)
{
    char key[128];
    const char *dot = memchr(kv->key.s, '.', kv->key.n);
    const int own = kv->key.n > 8 && !memcmp(kv->key.s, "gpt-oss.", 8);
    if (own && prefix)
        snprintf(key, sizeof key, "%s%.*s", prefix, (int)(kv->key.n - (uint64_t)(dot - kv->key.s)), dot);
    else snprintf(key, sizeof key, "%.*s", (int)kv->key.n, kv->key.s);
    if (prefix && strstr(key, "expert_feed_forward_length")) return; /* Ollama has none */
    if (prefix && !strcmp(key, "general.architecture")) {
        goss_gguf_put_str(&r->w, key, prefix, strlen(prefix));
        return;
    }
    if (kv->type == GOSS_KV_STRING) goss_gguf_put_str(&r->w, key, kv->v.str.s, kv->v.str.n);
    else if (kv->type == GOSS_KV_F32) goss_gguf_put_f32(&r->w, key, (float)kv->v.f);
    else if (kv->type == GOSS_KV_BOOL) goss_gguf_put_bool(&r->w, key, kv->v.u != 0);
    else if (kv->type != GOSS_KV_ARRAY) goss_gguf_put_u32(&r->w, key, (uint32_t)kv->v.u);
    else if (kv->elem_type == GOSS_KV_STRING) {
        goss_str *s = malloc((kv->n + 1) * sizeof *s);
        uint64_t cursor = 0;
        for (uint64_t i = 0; goss_gguf_next_str(kv, &cursor, &s[i]); i++) {}
        goss_gguf_put_strs(&r->w, key, s, kv->n);
        free(s);
    } else {
        int32_t *v = malloc((kv->n + 1) * sizeof *v);
        for (uint64_t i = 0; i < kv->n; i++) v[i] = (int32_t)goss_gguf_elem(kv, i);
        goss_gguf_put_i32s(&r->w, key, v, kv->n);
        free(v);
    }
}

static tensor *put_tensor(rewrite *r, const char *name, int type, int n_dims, const int64_t *ne,
                          const uint8_t *data, uint64_t n_bytes)
{
    tensor *t = &r->list[r->n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->type = type;
    t->n_dims = n_dims;
    memcpy(t->ne, ne, sizeof t->ne);
    t->n_bytes = n_bytes;
    t->data = malloc(n_bytes);
    if (data) memcpy(t->data, data, n_bytes);
    return t;
}

static void finish(rewrite *r, file *f)
{
    f->bytes = GOSS_BUF(1u << 28);
    for (int i = 0; i < r->n; i++)
        r->list[i].offset =
            goss_gguf_put_tensor(&r->w, r->list[i].name, r->list[i].type, r->list[i].n_dims, r->list[i].ne);
    const uint64_t n_data = r->w.data_bytes;
    CHECK_INT(goss_gguf_writer_finish(&r->w, &f->bytes), 0);
    const size_t start = f->bytes.len;
    CHECK_INT(goss_buf_reserve(&f->bytes, n_data), 0);
    memset(f->bytes.data + start, 0, n_data);
    for (int i = 0; i < r->n; i++) {
        memcpy(f->bytes.data + start + r->list[i].offset, r->list[i].data, r->list[i].n_bytes);
        free(r->list[i].data);
    }
    f->bytes.len = start + n_data;
}

/* ---- Ollama's form ---- */
/* Rounds a vector to a shorter type. The original gets the rounded values too, so that both files hold the
 * same numbers. */
static void shorten(rewrite *r, const goss_tensor *t, const char *name, int type)
{
    const int64_t n = t->ne[0] * t->ne[1];
    tensor *out = put_tensor(r, name, type, t->n_dims, t->ne, NULL, (uint64_t)n * 2);
    float *values = (float *)(void *)(uintptr_t)t->data;
    CHECK_INT(goss_from_float(type, values, out->data, n), 0);
    CHECK_INT(goss_to_float(type, out->data, values, n), 0);
}

static void put_fused(rewrite *r, const goss_gguf *g, int layer, const char *what)
{
    const goss_tensor *part[3];
    char name[64];
    int64_t ne[4] = { 1, 1, 1, 1 };
    const int dim = what[0] == 'w';
    uint64_t n_bytes = 0;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "blk.%d.attn_%c.%s", layer, "qkv"[i], what);
        part[i] = goss_gguf_tensor(g, name);
        n_bytes += part[i]->n_bytes;
        ne[dim] += part[i]->ne[dim] - (i == 0);
    }
    if (dim) ne[0] = part[0]->ne[0];
    snprintf(name, sizeof name, "blk.%d.attn_qkv.%s", layer, what);
    tensor *t = put_tensor(r, name, part[0]->type, dim + 1, ne, NULL, n_bytes);
    for (int i = 0, at = 0; i < 3; at += (int)part[i++]->n_bytes)
        memcpy(t->data + at, part[i]->data, part[i]->n_bytes);
}

static void rename_tensor(const char *from, char to[64])
{
    static const char *const pairs[][2] = { { "attn_output.", "attn_out." },
                                            { "attn_sinks.weight", "attn_sinks" },
                                            { "post_attention_norm.", "ffn_norm." } };
    snprintf(to, 64, "%s", from);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *at = strstr(from, pairs[i][0]);
        if (at) snprintf(to, 64, "%.*s%s%s", (int)(at - from), from, pairs[i][1], at + strlen(pairs[i][0]));
    }
}

static void make_ollama(const goss_gguf *g, int n_layers, file *f)
{
    static rewrite r;
    char name[64];
    memset(&r, 0, sizeof r);
    goss_gguf_writer_init(&r.w);
    for (uint64_t i = 0; i < g->n_kv; i++) put_key(&r, &g->kv[i], "gptoss");
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const goss_tensor *t = &g->tensors[i];
        if (strstr(t->name, "attn_q.") || strstr(t->name, "attn_k.") || strstr(t->name, "attn_v.")) continue;
        rename_tensor(t->name, name);
        if (strstr(name, "attn_out.bias")) shorten(&r, t, name, GOSS_BF16);
        else if (strstr(name, "ffn_up_exps.bias")) shorten(&r, t, name, GOSS_F16);
        else put_tensor(&r, name, t->type, t->n_dims, t->ne, t->data, t->n_bytes);
    }
    for (int l = 0; l < n_layers; l++) {
        put_fused(&r, g, l, "weight");
        put_fused(&r, g, l, "bias");
    }
    finish(&r, f);
}

/* ---- three files ---- */
static void make_shard(const goss_gguf *g, int shard, file *f)
{
    static rewrite r;
    memset(&r, 0, sizeof r);
    goss_gguf_writer_init(&r.w);
    goss_gguf_put_u32(&r.w, "split.no", (uint32_t)shard);
    goss_gguf_put_u32(&r.w, "split.count", SHARDS);
    goss_gguf_put_u32(&r.w, "split.tensors.count", (uint32_t)g->n_tensors);
    for (uint64_t i = 0; shard == 0 && i < g->n_kv; i++) put_key(&r, &g->kv[i], NULL);
    const uint64_t from = g->n_tensors * (uint64_t)shard / SHARDS,
                   to = g->n_tensors * (uint64_t)(shard + 1) / SHARDS;
    for (uint64_t i = from; i < to; i++) {
        const goss_tensor *t = &g->tensors[i];
        put_tensor(&r, t->name, t->type, t->n_dims, t->ne, t->data, t->n_bytes);
    }
    finish(&r, f);
}

static int open_split(run_model *m, file *shards)
{
    goss_error err = { 0 };
    uint64_t want = 0;
    int rc = 0;
    memset(m, 0, sizeof *m);
    for (int s = 0; s < SHARDS && rc == 0; s++) {
        goss_gguf part = { 0 };
        rc = goss_gguf_parse(s ? &part : &m->gguf, shards[s].bytes.data, shards[s].bytes.len,
                             shards[s].bytes.len, &want, &err);
        if (rc == 0 && s) rc = goss_gguf_join(&m->gguf, &part, s, &err);
        if (s) goss_gguf_free(&part);
    }
    if (rc == 0) rc = goss_gguf_complete(&m->gguf, &err);
    for (uint64_t i = 0; i < m->gguf.n_tensors; i++)
        m->gguf.tensors[i].data = shards[m->gguf.tensors[i].shard].bytes.data + m->gguf.tensors[i].offset;
    if (rc == 0) rc = goss_model_bind(&m->model, &m->gguf, NULL, &err);
    if (rc < 0) printf("%s\n", err.text);
    return rc;
}

static void logits_of(const run_model *m, float *logits)
{
    run r;
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (i * 977 + 13) % 4000;
    CHECK_INT(run_start(&r, m, goss_backend_open_ref, N, 64, GOSS_F32), 0);
    CHECK_INT(run_all(&r, ids, N, 0, 1, logits), 0);
    run_stop(&r);
}

int main(void)
{
    run_model demo, ollama = { 0 }, split;
    file changed, shards[SHARDS];
    goss_error err = { 0 };
    size_t n_bytes = 0;
    /* a copy that may be written to */
    char *copy = run_read_text("models/demo-gptoss.gguf", &n_bytes);
    CHECK(copy != NULL);
    memset(&demo, 0, sizeof demo);
    CHECK_INT(run_open_bytes(&demo, copy, n_bytes, NULL, &err), 0);
    if (unit_failed) return unit_done("variants");
    const int n_vocab = demo.model.hp.n_vocab;
    const size_t n = (size_t)N * (size_t)n_vocab * sizeof(float);
    float *a = malloc(n), *b = malloc(n);
    make_ollama(&demo.gguf, demo.model.hp.n_layer, &changed);
    logits_of(&demo, a); /* after make_ollama: it rounded some biases in both */
    CHECK_INT(run_open_bytes(&ollama, changed.bytes.data, changed.bytes.len, NULL, &err), 0);
    if (err.text[0]) printf("%s\n", err.text);
    logits_of(&ollama, b);
    CHECK(memcmp(a, b, n) == 0);
    CHECK_INT(ollama.model.layers[3].bo.type, GOSS_F32);
    CHECK_INT(ollama.gguf.n_tensors, demo.gguf.n_tensors - 4u * (unsigned)demo.model.hp.n_layer);
    for (int s = 0; s < SHARDS; s++) make_shard(&demo.gguf, s, &shards[s]);
    CHECK_INT(open_split(&split, shards), 0);
    memset(b, 0, n);
    logits_of(&split, b);
    CHECK(memcmp(a, b, n) == 0);
    run_close(&split);
    run_close(&ollama);
    run_close(&demo);
    for (int s = 0; s < SHARDS; s++) goss_buf_free(&shards[s].bytes);
    goss_buf_free(&changed.bytes);
    free(a);
    free(b);
    free(copy);
    return unit_done("variants");
}
