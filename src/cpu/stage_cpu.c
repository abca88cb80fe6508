/* stage_cpu.c - the CPU backend: opening, the step's frame, embedding, head, sampling. See cpu_state.h for
 * how it works.
 *
 * Weights are used where the mapped file has them. Activations for max_rows rows, and for GOSS_BESIDE_ROWS rows
 * beside a paused step, are one reservation, touched as far as a step is large; logits another. */
#include "cpu_state.h"
#include "levels.h"
#include "seen.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

static cpu *cpu_of(goss_backend *b) { return (cpu *)b; }

/* ---- the step's frame ---- */
static void make_chunks(cpu_desk *d, const goss_step *s)
{
    d->n_chunks = 0;
    for (int i = 0; i < s->n_rows;) {
        int n = 1;
        while (i + n < s->n_rows && n < GOSS_FEW && s->rows[i + n].seq == s->rows[i].seq) n++;
        d->chunks[d->n_chunks++] = (cpu_chunk){ i, n };
        i += n;
    }
}

static cpu_desk *desk_of(cpu *c, const goss_step *s) { return &c->desks[s->ticket - 1]; }

static void take_up(cpu *c, const goss_step *s)
{
    c->desk = desk_of(c, s);
    c->desk->until = s->until;
    c->desk->paused = 0;
    c->t_busy = goss_os_now_ms();
}

static int cpu_begin(goss_backend *b, goss_step *s, goss_error *err)
{
    cpu *c = cpu_of(b);
    const int beside = c->desks[0].paused;
    cpu_desk *d = &c->desks[beside];
    if (d->busy) return goss_fail(err, GOSS_ESTATE, -1, "the CPU backend runs one step at a time");
    if (s->n_rows < 1 || s->n_rows > d->max_rows)
        return goss_fail(err, GOSS_ELIMIT, -1, "a step of %d rows, should be 1 to %d", s->n_rows,
                         d->max_rows);
    for (int i = 0; i < s->n_rows; i++)
        if ((uint32_t)s->rows[i].token >= (uint32_t)b->model->hp.n_vocab)
            return goss_fail(err, GOSS_EINVAL, -1, "token %d is not in the vocabulary of %d",
                             s->rows[i].token, b->model->hp.n_vocab);
    d->busy = 1;
    d->many = goss_step_many(s);
    d->n_picks = d->run = d->seen = d->task = 0;
    make_chunks(d, s);
    s->ticket = 1 + beside;
    if (beside) s->until = 0;
    take_up(c, s);
    goss_cpu_profile_begin(c, s);
    return 0;
}

static void cpu_go_on(goss_backend *b, goss_step *s)
{
    take_up(cpu_of(b), s);
    goss_cpu_profile_go_on(cpu_of(b), s);
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
                  j->c->desk->x + (int64_t)row * n, n);
    goss_rope_table(&m->hp, r->pos, j->c->desk->turn + (int64_t)row * m->hp.rope_dim);
}
static int cpu_embed(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    step_job j = { c, s };
    const int rc = goss_cpu_run(c, embed_task, &j, s->n_rows);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_EMBED, -1, c->desk->x, s->n_rows, b->model->hp.n_embd);
}

/* RoPE's tables, and the residual. */
static int cpu_put(goss_backend *b, const goss_step *s, const float *x)
{
    cpu *c = cpu_of(b);
    const goss_hparams *hp = &b->model->hp;
    for (int i = 0; i < s->n_rows; i++)
        goss_rope_table(hp, s->rows[i].pos, c->desk->turn + (int64_t)i * hp->rope_dim);
    memcpy(c->desk->x, x, (size_t)s->n_rows * (size_t)hp->n_embd * sizeof *x);
    return 0;
}

static void head_task(void *ctx, int task, int thread)
{
    const step_job *j = ctx;
    cpu *c = j->c;
    const int n_vocab = c->base.model->hp.n_vocab, at = task * GOSS_HEAD_CHUNK,
              n = goss_cpu_min(n_vocab - at, GOSS_HEAD_CHUNK);
    goss_cpu_product(c, thread, &c->base.model->output, 0, at, n, &c->desk->norm, 0, c->desk->n_want, c->desk->logits + at,
                     n_vocab);
}
static int cpu_head(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    cpu_desk *d = c->desk;
    const int n_vocab = b->model->hp.n_vocab;
    step_job j = { c, s };
    d->n_want = 0;
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].want) d->want[d->n_want++] = i;
    if (!d->n_want) return 0;
    d->many = d->n_want > GOSS_FEW;
    int rc = goss_cpu_norm(c, &b->model->out_norm, d->want, d->n_want, 0);
    if (!rc) rc = goss_cpu_run(c, head_task, &j, (n_vocab + GOSS_HEAD_CHUNK - 1) / GOSS_HEAD_CHUNK);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_HEAD, -1, d->logits, d->n_want, n_vocab);
}

/* Rows are sampled GOSS_FEW at a time; a task is a part of one row's vocabulary, or the joining of a row's
 * parts. */
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
/* Not worth a pause: it runs to its end. */
static int cpu_sample(goss_backend *b, goss_step *s)
{
    cpu *c = cpu_of(b);
    cpu_desk *d = c->desk;
    const int n_vocab = b->model->hp.n_vocab;
    for (int i = 0; i < d->n_want;) {
        sample_job j = { .c = c, .picks = d->picks + d->n_picks };
        for (; i < d->n_want && j.n < GOSS_FEW; i++) {
            const goss_row *row = &s->rows[d->want[i]];
            const goss_seq *seq = &s->seqs[row->seq];
            if (!(row->want & GOSS_ROW_SAMPLE)) continue;
            goss_sampling_begin(&c->sampling[j.n], seq->sampler, d->logits + (int64_t)i * n_vocab, n_vocab,
                                seq->mask, seq->tokens, row->pos + 1,
                                c->scratch + (size_t)j.n * (size_t)n_vocab * 8);
            j.n++;
        }
        for (; j.n && j.phase < GOSS_SAMPLE_PHASES; j.phase++) {
            goss_pool_run(c->pool, part_task, &j, j.n * c->sampling[0].n_parts);
            goss_pool_run(c->pool, join_task, &j, j.n);
        }
        d->n_picks += j.n;
    }
    return 0;
}

static int cpu_submit(goss_backend *b, goss_step *s, goss_error *err)
{
    cpu *c = cpu_of(b);
    (void)err;
    c->busy_ms += goss_os_now_ms() - c->t_busy;
    goss_cpu_profile_end(c, s);
    return 0;
}
static void cpu_release(goss_backend *b, goss_step *s)
{
    cpu_desk *d = desk_of(cpu_of(b), s);
    d->busy = d->paused = 0;
}
static int cpu_poll(goss_backend *b, goss_step *s, int timeout_ms, goss_pick *picks, goss_error *err)
{
    const cpu_desk *d = desk_of(cpu_of(b), s);
    int keep = 0;
    (void)timeout_ms; (void)err;
    if (d->n_picks) memcpy(picks, d->picks, (size_t)d->n_picks * sizeof *picks);
    for (int i = 0; i < s->n_rows; i++) keep |= s->rows[i].want & GOSS_ROW_LOGITS;
    if (!keep) cpu_release(b, s);
    return 0;
}
static int cpu_logits(goss_backend *b, goss_step *s, int row, float *out)
{
    const cpu_desk *d = desk_of(cpu_of(b), s);
    const size_t n = (size_t)b->model->hp.n_vocab;
    for (int i = 0; i < d->n_want; i++)
        if (d->want[i] == row) { memcpy(out, d->logits + (size_t)i * n, n * sizeof *out); return 0; }
    return GOSS_EINVAL;
}

/* It stays where it is until another step begins. */
static int cpu_leave(goss_backend *b, goss_step *s)
{
    (void)b;
    (void)s;
    return 0;
}
static int cpu_left(goss_backend *b, goss_step *s, float *x)
{
    memcpy(x, desk_of(cpu_of(b), s)->x, (size_t)s->n_rows * (size_t)b->model->hp.n_embd * sizeof *x);
    return 0;
}

static float *cpu_residual(goss_backend *b, int many)
{
    cpu_of(b)->desk->many = many;
    return cpu_of(b)->desk->x;
}

static void cpu_kv_copy(goss_backend *b, int cls, int from, int to)
{
    cpu *c = cpu_of(b);
    const size_t n = c->page_bytes[cls];
    if (!n) return;
    memcpy(c->kv[cls] + (size_t)to * n, c->kv[cls] + (size_t)from * n, n);
}
static size_t cpu_kv_bytes(const goss_backend *b, int cls) { return ((const cpu *)b)->page_bytes[cls]; }
static int cpu_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    const cpu *c = cpu_of(b);
    (void)timeout_ms;
    if (dst && c->kv[cls])
        memcpy(dst, c->kv[cls] + (size_t)page * c->page_bytes[cls], c->page_bytes[cls]);
    return 0;
}
static int cpu_kv_write(goss_backend *b, int cls, int page, const void *src)
{
    cpu *c = cpu_of(b);
    if (c->kv[cls]) memcpy(c->kv[cls] + (size_t)page * c->page_bytes[cls], src, c->page_bytes[cls]);
    return 0;
}
static void cpu_read_done(goss_backend *b, uint64_t tag, int status)
{
    (void)b;
    (void)tag;
    (void)status;
} /* the file is mapped */
static void cpu_tap(goss_backend *b, goss_tap_fn fn, void *ctx)
{
    cpu_of(b)->tap = fn;
    cpu_of(b)->tap_ctx = ctx;
}
static int cpu_load(goss_backend *b, goss_error *err) { (void)b; (void)err; return 0; }
static const char *cpu_level(const goss_backend *b) { return goss_level_name(((const cpu *)b)->features); }
static void cpu_stats(const goss_backend *b, goss_backend_stats *out)
{
    const cpu *c = (const cpu *)b;
    const uint64_t kv_bytes = c->kv_bytes[GOSS_KV_FULL] + c->kv_bytes[GOSS_KV_WINDOW],
                   logits_bytes = c->desks[0].logits_bytes + c->desks[1].logits_bytes;
    *out = (goss_backend_stats){ .bytes_allocated = c->room_bytes + logits_bytes + kv_bytes,
                                 .kv_bytes = kv_bytes,
                                 .weight_bytes = b->model->weight_bytes,
                                 .progress = 1,
                                 .busy_ms = c->busy_ms };
}
static void cpu_close(goss_backend *b)
{
    cpu *c = cpu_of(b);
    goss_pool_close(&c->pool);
    goss_cpu_seen_close(c);
    goss_cpu_profile_close(c);
    if (c->room) goss_mem_release(c->room, c->room_bytes);
    for (int i = 0; i < 2; i++)
        if (c->desks[i].logits) goss_mem_release(c->desks[i].logits, c->desks[i].logits_bytes);
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
    .go_on = cpu_go_on,
    .release = cpu_release,
    .leave = cpu_leave,
    .left = cpu_left,
    .residual = cpu_residual,
    .put = cpu_put,
    .kv_copy = cpu_kv_copy,
    .kv_bytes = cpu_kv_bytes,
    .kv_read = cpu_kv_read,
    .kv_write = cpu_kv_write,
    .read_done = cpu_read_done,
    .tap = cpu_tap,
    .watch = goss_cpu_watch,
    .record = goss_cpu_record,
    .seen = goss_cpu_seen,
    .telemetry = goss_cpu_profile,
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
    if (__builtin_mul_overflow(count, size, &n) || n > SIZE_MAX / 4 - a->used) {
        a->overflow = 1;
        return NULL;
    }
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
    const size_t rows = larger((size_t)c->desks[0].max_rows, GOSS_FEW * used);
    t->tile.form = c->k.tile_form;
    t->tile.q = take(a, GOSS_TILE_Q(n), 1);
    t->tile.s = take(a, GOSS_TILE_S(n), sizeof(float));
    t->tile.m = take(a, GOSS_TILE_S(n), sizeof(float));
    t->out = take(a, rows * GOSS_HEAD_CHUNK, sizeof(float));
    t->out2 = take(a, rows * GOSS_HEAD_CHUNK, sizeof(float));
    t->k = take(a, hd * GOSS_KV_PAGE, sizeof(float));
    t->v = take(a, hd * GOSS_KV_PAGE, sizeof(float));
    const size_t queries = (size_t)(GOSS_FEW * hp->n_head / hp->n_head_kv);
    t->queries = take(a, 2 * queries, sizeof(goss_attn_q));
    t->later = take(a, queries * hd, sizeof(float));
    t->line = take(a, hd, sizeof(float));
}

static void take_desk(const cpu *c, layout *a, cpu_desk *d)
{
    const goss_hparams *hp = &c->base.model->hp;
    const size_t rows = (size_t)d->max_rows, n_embd = (size_t)hp->n_embd, hd = (size_t)hp->head_dim;
    const size_t used = hp->n_expert ? (size_t)hp->n_expert_used : 1,
                 n_expert = hp->n_expert ? (size_t)hp->n_expert : 1, pairs = rows * used;
    d->x = take(a, rows * n_embd, sizeof(float));
    take_acts(a, &d->norm, rows, n_embd);
    take_acts(a, &d->fine, hp->n_expert ? 2 * rows : 0, n_embd);
    d->wide.n = (int)n_embd;
    d->wide.q = take(a, hp->n_expert ? rows * n_embd : 0, sizeof(int16_t));
    d->wide.d = take(a, hp->n_expert ? rows * (n_embd / GOSS_BLOCK + 1) : 0, sizeof(float));
    take_acts(a, &d->picked, hp->n_expert ? pairs : 0, n_embd);
    d->qkv = take(a, rows * (size_t)(hp->n_head + 2 * hp->n_head_kv) * hd, sizeof(float));
    take_acts(a, &d->att, rows, (size_t)hp->n_head * hd);
    const int spans = c->n_threads > hp->n_head_kv ? c->max_kv / (SPAN_PAGES * GOSS_KV_PAGE) + 1 : 0;
    d->spans = take(a, (size_t)(spans * GOSS_FEW * hp->n_head) * hd, sizeof(float));
    d->span_sums = take(a, (size_t)(spans * GOSS_FEW * hp->n_head), sizeof(goss_attn_q));
    d->turn = take(a, rows * (size_t)hp->rope_dim, sizeof(float));
    d->router = take(a, rows * n_expert, sizeof(float));
    d->chosen = take(a, pairs, sizeof(int32_t));
    d->weight = take(a, pairs, sizeof(float));
    d->order = take(a, pairs, sizeof(int32_t));
    d->place = take(a, pairs, sizeof(int32_t));
    d->groups = take(a, n_expert, sizeof(cpu_group));
    d->group_first = take(a, n_expert + 1, sizeof(int));
    take_acts(a, &d->h, pairs, (size_t)hp->n_ff);
    d->pair_out = take(a, pairs * n_embd, sizeof(float));
    d->chunks = take(a, rows, sizeof(cpu_chunk));
    d->want = take(a, rows, sizeof(int));
    d->picks = take(a, rows, sizeof(goss_pick));
}

static void take_all(cpu *c, layout *a)
{
    const goss_hparams *hp = &c->base.model->hp;
    const size_t sampled = (size_t)goss_cpu_min(c->desks[0].max_rows, GOSS_FEW);
    take_desk(c, a, &c->desks[0]);
    take_desk(c, a, &c->desks[1]);
    c->sampling = take(a, sampled, sizeof(goss_sampling));
    c->scratch = take(a, sampled, (size_t)hp->n_vocab * 8);
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
    for (int i = 0; i < 2; i++) {
        cpu_desk *d = &c->desks[i];
        d->logits_bytes = (size_t)d->max_rows * (size_t)c->base.model->hp.n_vocab * sizeof(float);
        d->logits = goss_mem_reserve(d->logits_bytes);
        if (!d->logits) return GOSS_ENOMEM;
    }
    return 0;
}

static int make_kv(cpu *c, const goss_backend_config *config)
{
    const goss_hparams *hp = &c->base.model->hp;
    size_t n_layers[GOSS_KV_CLASSES] = { 0 };
    for (int l = 0; l < hp->n_layer; l++)
        c->layer_index[l] =
            (int)n_layers[c->base.model->layers[l].windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL]++;
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
    if (!config->model->out_norm.data)
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
    if (goss_level_mask(&c->features, mask))
        return goss_fail(err, GOSS_EINVAL, -1, "--cpu-mask %s: a name is no CPU level", mask);
    goss_level_kernels(&c->k, c->features);
    return 0;
}

int goss_backend_open_cpu(goss_backend **out, const goss_backend_config *config, goss_error *err)
{
    *out = NULL;
    cpu *c = goss_mem_alloc(sizeof *c);
    if (!c) return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the CPU backend");
    c->base = (goss_backend){ .vt = &cpu_vt,
                                .model = config->model,
                                .arriving = goss_arriving(config->sources, config->n_sources) };
    c->desk = &c->desks[0];
    c->desks[0].max_rows = config->max_rows;
    c->desks[1].max_rows = goss_cpu_min(config->max_rows, GOSS_BESIDE_ROWS);
    c->kv_type = config->kv_type;
    c->max_kv = config->max_kv;
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
    c->profile.report = config->report;
    c->profile.report_ctx = config->report_ctx;
    if (rc == 0 && config->engine) goss_cpu_profile(&c->base, config->engine->telemetry_mask);
    if (rc < 0) cpu_close(&c->base);
    else *out = &c->base;
    return rc;
}
