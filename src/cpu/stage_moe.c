/* stage_moe.c - the feed-forward half of a layer: router and experts, or llama's dense layer, which is one
 * expert for all.
 *
 * A pair is one row with one of its experts. Pairs are put in the order of their experts; a group is an
 * expert with its rows.
 *   gate_up   a task is one group's 32 columns of the hidden layer: gate, up, bias, gate function, int8 blocks
 *   down      few: a task is 32 output columns for all groups, added to the residual in order of choice;
 *             many: a task is one group's 32 output columns, then rows add up their pairs */
#include "cpu_state.h"
#include <string.h>

typedef struct moe_job {
    cpu *c;
    const goss_step *s;
    const goss_layer *l;
    /* rows of the groups: by place in order[], or row 0 for all when there is one row */
    const goss_acts *x;
    int used, dense, blocks;     /* blocks: tasks a group */
} moe_job;

/* ---- route ---- */
static void route_task(void *ctx, int task, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int step = c->desk->many ? GOSS_FEW : 1, first = task * step,
              n = goss_cpu_min(j->s->n_rows - first, step), ne = hp->n_expert;
    const float *bias = goss_cpu_floats(&j->l->router_b);
    for (int i = first; i < first + n; i++) goss_cpu_norm_row(c, &j->l->ffn_norm, i, i);
    float *y = c->desk->router + (int64_t)first * ne;
    goss_cpu_product(c, thread, &j->l->router, 0, 0, ne, &c->desk->norm, first, n, y, ne);
    for (int i = 0; i < n; i++) {
        for (int e = 0; bias && e < ne; e++) y[i * ne + e] += bias[e];
        const int at = (first + i) * j->used;
        c->k.topk(c->desk->chosen + at, c->desk->weight + at, y + i * ne, ne, j->used);
    }
}

int goss_cpu_route(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    const goss_hparams *hp = &b->model->hp;
    const int step = c->desk->many ? GOSS_FEW : 1;
    moe_job j = { .c = c, .s = s, .l = &b->model->layers[layer], .used = hp->n_expert_used };
    const int rc = goss_cpu_run(c, route_task, &j, (s->n_rows + step - 1) / step);
    if (!rc && c->seen.expert) goss_cpu_see_route(c, layer, s->n_rows);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_ROUTE, layer, c->desk->router, s->n_rows, hp->n_expert);
}

/* Pairs sorted by expert (stable, so rows ascend within a group). */
static void make_groups(cpu *c, int n_rows, int used)
{
    const int n_expert = c->base.model->hp.n_expert, n = n_rows * used;
    cpu_desk *d = c->desk;
    int *first = d->group_first;
    memset(first, 0, (size_t)(n_expert + 1) * sizeof *first);
    for (int p = 0; p < n; p++) first[d->chosen[p] + 1]++;
    d->n_groups = 0;
    for (int e = 0; e < n_expert; e++) {
        if (first[e + 1]) d->groups[d->n_groups++] = (cpu_group){ e, first[e], first[e + 1] };
        first[e + 1] += first[e];
    }
    for (int p = 0; p < n; p++) {
        d->place[p] = first[d->chosen[p]]++;
        d->order[d->place[p]] = p;
    }
}
static void make_one_group(cpu *c, int n_rows)
{
    cpu_desk *d = c->desk;
    d->groups[0] = (cpu_group){ 0, 0, n_rows };
    d->n_groups = 1;
    for (int i = 0; i < n_rows; i++) { d->order[i] = d->place[i] = i; d->weight[i] = 1.0f; }
}

/* Rows of a group must stand together for the products. */
static void gather_task(void *ctx, int task, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const cpu_desk *d = c->desk;
    const int n = d->norm.n, row = d->order[task] / j->used;
    const goss_acts from = goss_cpu_columns(&d->norm, row, 0), to = goss_cpu_columns(&d->picked, task, 0);
    (void)thread;
    if (n % GOSS_BLOCK == 0) {
        memcpy(to.q, from.q, (size_t)n);
        memcpy(to.d, from.d, (size_t)n / GOSS_BLOCK * sizeof *to.d);
        memcpy(to.s, from.s, (size_t)n / 16 * sizeof *to.s);
    }
    if (!goss_kern_pack(&c->k, j->l->gate.type) || !goss_kern_pack(&c->k, j->l->up.type))
        memcpy(to.f, from.f, (size_t)n * sizeof *to.f);
}

static void add_bias(float *y, int64_t stride, const goss_tensor *bias, int expert, int width, int at, int n,
                     int m)
{
    const float *b = goss_cpu_floats(bias);
    if (!b) return;
    b += (int64_t)expert * width + at;
    for (int j = 0; j < m; j++)
        for (int i = 0; i < n; i++) y[j * stride + i] += b[i];
}

static void gate_up_task(void *ctx, int task, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const goss_hparams *hp = &c->base.model->hp;
    const cpu_group g = c->desk->groups[task / j->blocks];
    const int ff = hp->n_ff, at = task % j->blocks * GOSS_CHUNK, n = goss_cpu_min(ff - at, GOSS_CHUNK),
              first = j->x == &c->desk->norm && !j->dense ? 0 : g.first;
    float *gate = c->thread[thread].out, *up = c->thread[thread].out2;
    goss_cpu_product(c, thread, &j->l->gate, g.expert, at, n, j->x, first, g.n, gate, GOSS_CHUNK);
    goss_cpu_product(c, thread, &j->l->up, g.expert, at, n, j->x, first, g.n, up, GOSS_CHUNK);
    add_bias(gate, GOSS_CHUNK, &j->l->gate_b, g.expert, ff, at, n, g.n);
    add_bias(up, GOSS_CHUNK, &j->l->up_b, g.expert, ff, at, n, g.n);
    for (int i = 0; i < g.n; i++) {
        const goss_acts part = goss_cpu_columns(&c->desk->h, g.first + i, at);
        if (j->dense) c->k.silu_mul(part.f, gate + i * GOSS_CHUNK, up + i * GOSS_CHUNK, n);
        else
            c->k.swiglu(part.f, gate + i * GOSS_CHUNK, up + i * GOSS_CHUNK, n, hp->swiglu_alpha,
                        hp->swiglu_limit);
        if (ff % GOSS_BLOCK == 0) c->k.quantize(&part, 0, part.f, n);
    }
}

/* ---- down, few rows: products of all groups wait in the thread's memory, by place; then each row takes its
 * own in order of choice */
static void down_few_task(void *ctx, int task, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const cpu_desk *d = c->desk;
    const int n_embd = c->base.model->hp.n_embd, at = task * GOSS_CHUNK,
              n = goss_cpu_min(n_embd - at, GOSS_CHUNK);
    float *y = c->thread[thread].out;
    for (int g = 0; g < d->n_groups; g++) {
        const cpu_group *q = &d->groups[g];
        goss_cpu_product(c, thread, &j->l->down, q->expert, at, n, &d->h, q->first, q->n,
                         y + q->first * GOSS_CHUNK, GOSS_CHUNK);
        add_bias(y + q->first * GOSS_CHUNK, GOSS_CHUNK, &j->l->down_b, q->expert, n_embd, at, n, q->n);
    }
    for (int p = 0; p < j->s->n_rows * j->used; p++)
        c->k.axpy(d->x + (int64_t)(p / j->used) * n_embd + at, y + d->place[p] * GOSS_CHUNK, d->weight[p], n);
}

static void down_many_task(void *ctx, int task, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const cpu_desk *d = c->desk;
    const int n_embd = c->base.model->hp.n_embd, at = task % j->blocks * GOSS_CHUNK,
              n = goss_cpu_min(n_embd - at, GOSS_CHUNK);
    const cpu_group *g = &d->groups[task / j->blocks];
    float *y = d->pair_out + (int64_t)g->first * n_embd + at;
    goss_cpu_product(c, thread, &j->l->down, g->expert, at, n, &d->h, g->first, g->n, y, n_embd);
    add_bias(y, n_embd, &j->l->down_b, g->expert, n_embd, at, n, g->n);
}
static void combine_task(void *ctx, int row, int thread)
{
    const moe_job *j = ctx;
    cpu *c = j->c;
    const cpu_desk *d = c->desk;
    const int n_embd = c->base.model->hp.n_embd;
    (void)thread;
    for (int p = row * j->used; p < (row + 1) * j->used; p++)
        c->k.axpy(d->x + (int64_t)row * n_embd, d->pair_out + (int64_t)d->place[p] * n_embd, d->weight[p],
                  n_embd);
}

static int run_groups(moe_job *j)
{
    cpu *c = j->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int n_groups = c->desk->n_groups, ff_blocks = (hp->n_ff + GOSS_CHUNK - 1) / GOSS_CHUNK,
              out_blocks = (hp->n_embd + GOSS_CHUNK - 1) / GOSS_CHUNK;
    j->blocks = ff_blocks;
    int rc = goss_cpu_run(c, gate_up_task, j, n_groups * ff_blocks);
    j->blocks = out_blocks;
    if (!rc && !c->desk->many) return goss_cpu_run(c, down_few_task, j, out_blocks);
    if (!rc) rc = goss_cpu_run(c, down_many_task, j, n_groups * out_blocks);
    if (!rc) rc = goss_cpu_run(c, combine_task, j, j->s->n_rows);
    return rc;
}

int goss_cpu_experts(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    const int used = b->model->hp.n_expert_used;
    moe_job j = { .c = c,
                  .s = s,
                  .l = &b->model->layers[layer],
                  .x = s->n_rows == 1 ? &c->desk->norm : &c->desk->picked,
                  .used = used };
    const int begun = c->desk->run || c->desk->task;
    int rc = b->arriving && !begun ? goss_need_experts(b, layer, c->desk->chosen, s->n_rows * used) : 0;
    if (rc < 0) return rc;
    make_groups(c, s->n_rows, used);
    goss_cpu_profile_groups(c, layer);
    if (s->n_rows > 1) rc = goss_cpu_run(c, gather_task, &j, s->n_rows * used);
    if (!rc) rc = run_groups(&j);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_EXPERTS, layer, c->desk->x, s->n_rows, b->model->hp.n_embd);
}

int goss_cpu_ffn(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    moe_job j = { .c = c, .s = s, .l = &b->model->layers[layer], .x = &c->desk->norm, .used = 1, .dense = 1 };
    int rc = goss_cpu_norm(c, &j.l->ffn_norm, NULL, s->n_rows, 0);
    make_one_group(c, s->n_rows);
    if (!rc) rc = run_groups(&j);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_FFN, layer, c->desk->x, s->n_rows, b->model->hp.n_embd);
}
