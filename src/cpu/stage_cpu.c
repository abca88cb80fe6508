/* stage_cpu.c - the CPU backend: opening, the step's frame, embedding, head, sampling. See stage_cpu.h for
 * how it works.
 *
 * Weights are used where the mapped file has them. Activations for max_rows rows are one reservation,
 * touched as far as a
 * step is large; logits another. */
#include "stage_cpu.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <string.h>

static cpu *cpu_of(goss_backend *b) { return (cpu *)b; }

/* ---- the step's frame ---- */
static void make_chunks(cpu *c, const goss_step *s)
{
    c->n_chunks = 0;
    for (int i = 0; i < s->n_rows;) {
        int n = 1;
        while (i + n < s->n_rows && n < GOSS_FEW && s->rows[i + n].seq == s->rows[i].seq) n++;
        c->chunks[c->n_chunks++] = (cpu_chunk){ i, n };
        i += n;
    }
}

static int cpu_begin(goss_backend *b, goss_step *s, goss_error *err)
{
    cpu *c = cpu_of(b);
    if (c->busy) return goss_fail(err, GOSS_ESTATE, -1, "the CPU backend runs one step at a time");
    if (s->n_rows < 1 || s->n_rows > c->max_rows)
        return goss_fail(err, GOSS_ELIMIT, -1, "a step of %d rows, should be 1 to %d", s->n_rows, c->max_rows);
    for (int i = 0; i < s->n_rows; i++)
        if ((uint32_t)s->rows[i].token >= (uint32_t)b->model->hp.n_vocab)
            return goss_fail(err, GOSS_EINVAL, -1, "token %d is not in the vocabulary of %d",
                             s->rows[i].token, b->model->hp.n_vocab);
    c->busy = 1;
    c->many = s->n_rows > GOSS_FEW;
    c->n_want = c->n_picks = 0;
    c->busy_ms -= goss_os_now_ms();
    make_chunks(c, s);
    s->ticket = 1;
    return 0;
}

typedef struct step_job { cpu *c; const goss_step *s; } step_job;
static void embed_task(void *ctx, int row, int thread)
{
    const step_job *j = ctx;
    const goss_model *m = j->c->base.model;
    const goss_row *r = &j->s->rows[row];
    const int n = m->hp.n_embd;
    (void)thread;
    goss_to_float(m->tok_embd.type,
                  m->tok_embd.data + goss_type_row_bytes(m->tok_embd.type, n) * (uint64_t)r->token,
                  j->c->x + (int64_t)row * n, n);
    goss_rope_table(&m->hp, r->pos, j->c->turn + (int64_t)row * m->hp.rope_dim);
}
static int cpu_embed(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    step_job j = { c, s };
    goss_cpu_run(c, embed_task, &j, s->n_rows);
    if (c->tap) c->tap(c->tap_ctx, GOSS_STAGE_EMBED, -1, c->x, s->n_rows, b->model->hp.n_embd);
    return 0;
}

static void head_task(void *ctx, int task, int thread)
{
    const step_job *j = ctx;
    cpu *c = j->c;
    const int n_vocab = c->base.model->hp.n_vocab, at = task * GOSS_HEAD_CHUNK,
              n = goss_cpu_min(n_vocab - at, GOSS_HEAD_CHUNK);
    goss_cpu_product(c, thread, &c->base.model->output, 0, at, n, &c->norm, 0, c->n_want, c->logits + at, n_vocab);
}
static int cpu_head(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    const int n_vocab = b->model->hp.n_vocab;
    step_job j = { c, s };
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].want) c->want[c->n_want++] = i;
    if (!c->n_want) return 0;
    c->many = c->n_want > GOSS_FEW;
    goss_cpu_norm(c, &b->model->out_norm, c->want, c->n_want, 0);
    goss_cpu_run(c, head_task, &j, (n_vocab + GOSS_HEAD_CHUNK - 1) / GOSS_HEAD_CHUNK);
    if (c->tap) c->tap(c->tap_ctx, GOSS_STAGE_HEAD, -1, c->logits, c->n_want, n_vocab);
    return 0;
}

/* Rows are sampled GOSS_FEW at a time; a task is a part of one row's vocabulary, or the joining of a row's parts. */
typedef struct sample_job { cpu *c; int n, phase; goss_pick *picks; } sample_job;
static void part_task(void *ctx, int task, int thread)
{
    const sample_job *j = ctx;
    goss_sampling *g = &j->c->sampling[task % j->n];
    (void)thread;
    goss_sampling_part(g, j->phase, task / j->n);
}
static void join_task(void *ctx, int task, int thread)
{
    const sample_job *j = ctx;
    (void)thread;
    goss_sampling_join(&j->c->sampling[task], j->phase, &j->picks[task]);
}
static int cpu_sample(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    const int n_vocab = b->model->hp.n_vocab;
    for (int i = 0; i < c->n_want;) {
        sample_job j = { .c = c, .picks = c->picks + c->n_picks };
        for (; i < c->n_want && j.n < GOSS_FEW; i++) {
            const goss_row *row = &s->rows[c->want[i]];
            const goss_seq *seq = &s->seqs[row->seq];
            if (!(row->want & GOSS_ROW_SAMPLE)) continue;
            goss_sampling_begin(&c->sampling[j.n], seq->sampler, c->logits + (int64_t)i * n_vocab, n_vocab,
                                seq->mask, seq->tokens, row->pos + 1, c->scratch + (size_t)j.n * (size_t)n_vocab * 8);
            j.n++;
        }
        for (; j.n && j.phase < GOSS_SAMPLE_PHASES; j.phase++) {
            goss_cpu_run(c, part_task, &j, j.n * c->sampling[0].n_parts);
            goss_cpu_run(c, join_task, &j, j.n);
        }
        c->n_picks += j.n;
    }
    return 0;
}

static int cpu_submit(goss_backend *b, goss_step *s, goss_error *err)
{
    (void)s; (void)err;
    cpu_of(b)->busy_ms += goss_os_now_ms();
    return 0;
}
static void cpu_release(goss_backend *b, goss_step *s)
{
    (void)s;
    cpu_of(b)->busy = 0;
}
static int cpu_poll(goss_backend *b, goss_step *s, int timeout_ms, goss_pick *picks, goss_error *err)
{
    cpu *c = cpu_of(b);
    int keep = 0;
    (void)timeout_ms; (void)err;
    if (c->n_picks) memcpy(picks, c->picks, (size_t)c->n_picks * sizeof *picks);
    for (int i = 0; i < s->n_rows; i++) keep |= s->rows[i].want & GOSS_ROW_LOGITS;
    if (!keep) cpu_release(b, s);
    return 0;
}
static int cpu_logits(goss_backend *b, goss_step *s, int row, float *out)
{
    const cpu *c = cpu_of(b);
    const size_t n = (size_t)b->model->hp.n_vocab;
    (void)s;
    for (int i = 0; i < c->n_want; i++)
        if (c->want[i] == row) { memcpy(out, c->logits + (size_t)i * n, n * sizeof *out); return 0; }
    return GOSS_EINVAL;
}

static float *cpu_residual(goss_backend *b, int n_rows)
{
    cpu_of(b)->many = n_rows > GOSS_FEW;
    return cpu_of(b)->x;
}

static void cpu_kv_copy(goss_backend *b, int cls, int from, int to)
{
    cpu *c = cpu_of(b);
    const size_t n = c->page_bytes[cls];
    memcpy(c->kv[cls] + (size_t)to * n, c->kv[cls] + (size_t)from * n, n);
}
static size_t cpu_kv_bytes(const goss_backend *b, int cls) { return ((const cpu *)b)->page_bytes[cls]; }
static int cpu_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    const cpu *c = cpu_of(b);
    (void)timeout_ms;
    if (dst) memcpy(dst, c->kv[cls] + (size_t)page * c->page_bytes[cls], c->page_bytes[cls]);
    return 0;
}
static int cpu_kv_write(goss_backend *b, int cls, int page, const void *src)
{
    cpu *c = cpu_of(b);
    memcpy(c->kv[cls] + (size_t)page * c->page_bytes[cls], src, c->page_bytes[cls]);
    return 0;
}
static void cpu_read_done(goss_backend *b, uint64_t tag, int status)
{
    (void)b;
    (void)tag;
    (void)status;
} /* the file is mapped */
static void cpu_tap(goss_backend *b, goss_tap_fn fn, void *ctx) { cpu_of(b)->tap = fn; cpu_of(b)->tap_ctx = ctx; }
static int cpu_load(goss_backend *b, goss_error *err) { (void)b; (void)err; return 0; }
static const char *cpu_level(const goss_backend *b) { return goss_kern_level(((const cpu *)b)->features); }
static void cpu_stats(const goss_backend *b, goss_backend_stats *out)
{
    const cpu *c = (const cpu *)b;
    const uint64_t kv_bytes = c->kv_bytes[GOSS_KV_FULL] + c->kv_bytes[GOSS_KV_WINDOW];
    *out = (goss_backend_stats){ .bytes_allocated = c->room_bytes + c->logits_bytes + kv_bytes, .kv_bytes = kv_bytes,
                                 .weight_bytes = b->model->weight_bytes, .progress = 1, .busy_ms = c->busy_ms };
}
static void cpu_close(goss_backend *b)
{
    cpu *c = cpu_of(b);
    goss_pool_close(&c->pool);
    if (c->room) goss_mem_release(c->room, c->room_bytes);
    if (c->logits) goss_mem_release(c->logits, c->logits_bytes);
    for (int k = 0; k < GOSS_KV_CLASSES; k++)
        if (c->kv[k]) goss_mem_release(c->kv[k], c->kv_bytes[k]);
    goss_mem_free(c);
}

static const goss_backend_vt cpu_vt = {
    .name = "cpu",
    .in_flight = 1,
    .load = cpu_load,
    .begin = cpu_begin,
    .embed = cpu_embed,
    .attn_in = goss_cpu_attn_in,
    .attend = goss_cpu_attend,
    .attn_out = goss_cpu_attn_out,
    .route = goss_cpu_route,
    .experts = goss_cpu_experts,
    .ffn = goss_cpu_ffn,
    .head = cpu_head,
    .sample = cpu_sample,
    .submit = cpu_submit,
    .poll = cpu_poll,
    .logits = cpu_logits,
    .release = cpu_release,
    .residual = cpu_residual,
    .kv_copy = cpu_kv_copy,
    .kv_bytes = cpu_kv_bytes,
    .kv_read = cpu_kv_read,
    .kv_write = cpu_kv_write,
    .read_done = cpu_read_done,
    .tap = cpu_tap,
    .stats = cpu_stats,
    .level = cpu_level,
    .close = cpu_close,
};

/* ---- opening ---- */
/* Hands out the reservation; with room NULL it only counts. */
typedef struct layout { uint8_t *room; size_t used; int overflow; } layout;
static void *take(layout *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) || n > SIZE_MAX / 4 - a->used) { a->overflow = 1; return NULL; }
    void *p = a->room ? a->room + a->used : NULL;
    a->used += (n + 63) / 64 * 64;
    return p;
}
static void take_acts(layout *a, goss_acts *x, size_t rows, size_t n)
{
    x->n = (int)n;
    x->f = take(a, rows * n, sizeof(float));
    x->q = take(a, rows * n, 1);
    x->d = take(a, rows * (n / GOSS_BLOCK + 1), sizeof(float));
    x->s = take(a, rows * (n / 16 + 1), sizeof(int16_t));
}
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static void take_thread(cpu *c, layout *a, cpu_thread *t)
{
    const goss_hparams *hp = &c->base.model->hp;
    const size_t used = hp->n_expert ? (size_t)hp->n_expert_used : 1, hd = (size_t)hp->head_dim;
    const size_t n = larger(larger((size_t)hp->n_embd, (size_t)hp->n_ff), (size_t)hp->n_head * hd);
    const size_t rows = larger((size_t)c->max_rows, GOSS_FEW * used);
    t->tile.form = c->k.tile_form;
    t->tile.q = take(a, GOSS_TILE_Q(n), 1);
    t->tile.s = take(a, GOSS_TILE_S(n), sizeof(float));
    t->tile.m = take(a, GOSS_TILE_S(n), sizeof(float));
    t->out = take(a, rows * GOSS_HEAD_CHUNK, sizeof(float));
    t->out2 = take(a, rows * GOSS_HEAD_CHUNK, sizeof(float));
    t->k = take(a, hd * GOSS_KV_PAGE, sizeof(float));
    t->v = take(a, hd * GOSS_KV_PAGE, sizeof(float));
    t->queries = take(a, (size_t)(GOSS_FEW * hp->n_head / hp->n_head_kv), sizeof(goss_attn_q));
    t->line = take(a, hd, sizeof(float));
}

static void take_all(cpu *c, layout *a)
{
    const goss_hparams *hp = &c->base.model->hp;
    const size_t rows = (size_t)c->max_rows, n_embd = (size_t)hp->n_embd, hd = (size_t)hp->head_dim;
    const size_t used = hp->n_expert ? (size_t)hp->n_expert_used : 1,
                 n_expert = hp->n_expert ? (size_t)hp->n_expert : 1, pairs = rows * used;
    c->x = take(a, rows * n_embd, sizeof(float));
    take_acts(a, &c->norm, rows, n_embd);
    take_acts(a, &c->fine, hp->n_expert ? 2 * rows : 0, n_embd);
    c->wide.n = (int)n_embd;
    c->wide.q = take(a, hp->n_expert ? rows * n_embd : 0, sizeof(int16_t));
    c->wide.d = take(a, hp->n_expert ? rows * (n_embd / GOSS_BLOCK + 1) : 0, sizeof(float));
    take_acts(a, &c->picked, hp->n_expert ? pairs : 0, n_embd);
    c->qkv = take(a, rows * (size_t)(hp->n_head + 2 * hp->n_head_kv) * hd, sizeof(float));
    take_acts(a, &c->att, rows, (size_t)hp->n_head * hd);
    c->turn = take(a, rows * (size_t)hp->rope_dim, sizeof(float));
    c->router = take(a, rows * n_expert, sizeof(float));
    c->chosen = take(a, pairs, sizeof(int32_t));
    c->weight = take(a, pairs, sizeof(float));
    c->order = take(a, pairs, sizeof(int32_t));
    c->place = take(a, pairs, sizeof(int32_t));
    c->groups = take(a, n_expert, sizeof(cpu_group));
    c->group_first = take(a, n_expert + 1, sizeof(int));
    take_acts(a, &c->h, pairs, (size_t)hp->n_ff);
    c->pair_out = take(a, pairs * n_embd, sizeof(float));
    c->chunks = take(a, rows, sizeof(cpu_chunk));
    c->want = take(a, rows, sizeof(int));
    c->picks = take(a, rows, sizeof(goss_pick));
    c->sampling = take(a, rows < GOSS_FEW ? rows : GOSS_FEW, sizeof(goss_sampling));
    c->scratch = take(a, rows < GOSS_FEW ? rows : GOSS_FEW, (size_t)hp->n_vocab * 8);
    c->layer_index = take(a, (size_t)hp->n_layer + 1, sizeof(int));
    c->thread = take(a, (size_t)c->n_threads, sizeof(cpu_thread));
    for (int i = 0; i < c->n_threads; i++) {
        cpu_thread none;
        take_thread(c, a, a->room ? &c->thread[i] : &none);
    }
}

static int make_room(cpu *c)
{
    layout a = { 0 };
    take_all(c, &a);
    if (a.overflow) return GOSS_ENOMEM;
    c->room_bytes = a.used;
    a = (layout){ .room = c->room = goss_mem_reserve(c->room_bytes) };
    if (!c->room) return GOSS_ENOMEM;
    take_all(c, &a);
    c->logits_bytes = (size_t)c->max_rows * (size_t)c->base.model->hp.n_vocab * sizeof(float);
    c->logits = goss_mem_reserve(c->logits_bytes);
    return c->logits ? 0 : GOSS_ENOMEM;
}

static int make_kv(cpu *c, const goss_backend_config *config)
{
    const goss_hparams *hp = &c->base.model->hp;
    size_t n_layers[GOSS_KV_CLASSES] = { 0 };
    for (int l = 0; l < hp->n_layer; l++)
        c->layer_index[l] = (int)n_layers[c->base.model->layers[l].windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL]++;
    for (int k = 0; k < GOSS_KV_CLASSES; k++) {
        c->page_bytes[k] = n_layers[k] * 2 * (size_t)hp->n_head_kv * c->half_bytes;
        c->kv_bytes[k] = (size_t)config->n_pages[k] * c->page_bytes[k];
        if (c->kv_bytes[k] && !(c->kv[k] = goss_mem_reserve(c->kv_bytes[k]))) return GOSS_ENOMEM;
    }
    return 0;
}

static int check_config(cpu *c, const goss_backend_config *config, goss_error *err)
{
    const goss_hparams *hp = &config->model->hp;
    const char *mask = config->engine ? config->engine->cpu_mask : NULL;
    if (!config->model->tok_embd.data)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "the CPU backend needs the whole file in memory or mapped");
    if (hp->n_expert_used > GOSS_USED_MAX)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "%d experts a token, at most %d are supported",
                         hp->n_expert_used, GOSS_USED_MAX);
    c->half_bytes = goss_cpu_kv_half(c->kv_type, hp->head_dim);
    if (!c->half_bytes)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the KV type does not fit heads of %d values; use f16",
                         hp->head_dim);
    c->features = goss_os_cpu_features();
    if (goss_kern_mask(&c->features, mask))
        return goss_fail(err, GOSS_EINVAL, -1, "--cpu-mask %s: a name is no CPU level", mask);
    goss_kern_init(&c->k, c->features);
    return 0;
}

int goss_backend_open_cpu(goss_backend **out, const goss_backend_config *config, goss_error *err)
{
    *out = NULL;
    cpu *c = goss_mem_alloc(sizeof *c);
    if (!c) return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the CPU backend");
    c->base = (goss_backend){ &cpu_vt, config->model, goss_arriving(config->sources, config->n_sources) };
    c->max_rows = config->max_rows;
    c->kv_type = config->kv_type;
    int rc = check_config(c, config, err);
    if (rc == 0) {
        rc = goss_pool_open(&c->pool, config->engine ? config->engine->n_threads : 0);
        c->n_threads = rc == 0 ? goss_pool_threads(c->pool) : 0;
        if (rc == 0) rc = make_room(c);
        if (rc == 0) rc = make_kv(c, config);
        if (rc < 0)
            goss_fail(err, rc, -1, "out of memory for the CPU backend: %d rows a step, %d positions",
                      config->max_rows, config->max_kv);
    }
    if (rc < 0) cpu_close(&c->base);
    else *out = &c->base;
    return rc;
}
