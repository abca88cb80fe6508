/* stage_linear.c - products of weight rows with activation rows, few or many, and the norms before them. */
#include "cpu_state.h"
#include "base/os.h"
#include <string.h>

static int put_aside(cpu *c)
{
    c->desk->paused = 1;
    c->desk->seen = 0;
    c->busy_ms += goss_os_now_ms() - c->t_busy;
    return GOSS_EAGAIN;
}

int goss_cpu_run(cpu *c, goss_task_fn fn, void *ctx, int n_tasks)
{
    cpu_desk *d = c->desk;
    if (d->seen++ < d->run) return 0;
    if (n_tasks == 1 && d->until <= 0) fn(ctx, 0, 0);
    else d->task = goss_pool_run_until(c->pool, fn, ctx, d->task, n_tasks, d->until);
    if (d->until > 0 && d->task < n_tasks) return put_aside(c);
    d->run++;
    d->task = 0;
    return 0;
}

int goss_cpu_done(cpu *c, goss_stage stage, int layer, const float *values, int n_rows, int width)
{
    c->desk->run = c->desk->seen = 0;
    if (c->tap) c->tap(c->tap_ctx, stage, layer, values, n_rows, width);
    return 0;
}

goss_acts goss_cpu_columns(const goss_acts *x, int64_t row, int at)
{
    const int64_t e = row * x->n + at;
    return (
        goss_acts){ .n = x->n, .f = x->f + e, .q = x->q + e, .d = x->d + e / GOSS_BLOCK, .s = x->s + e / 16 };
}

/* A tile pays from two rows on: unpacking 16 rows costs as much as one product with them. One row of many takes
 * it too, since a row's bits must not depend on who else is in its chunk. */
void goss_cpu_product(cpu *c, int thread, const goss_tensor *w, int expert, int from, int n,
                      const goss_acts *x, int first, int m, float *y, int64_t stride)
{
    const int64_t row_bytes = (int64_t)goss_type_row_bytes(w->type, w->ne[0]);
    const uint8_t *rows = w->data + row_bytes * (w->ne[1] * expert + from);
    const goss_pack_fn pack = goss_kern_pack(&c->k, w->type);
    if (!c->desk->many || !pack) {
        const goss_matvec_fn matvec = goss_kern_matvec(&c->k, w->type);
        for (int j = 0; j < m; j += GOSS_FEW)
            matvec(y + j * stride, stride, rows, row_bytes, n, x, first + j, goss_cpu_min(m - j, GOSS_FEW));
        return;
    }
    goss_tile *t = &c->thread[thread].tile;
    for (int i = 0; i < n; i += GOSS_TILE_ROWS) {
        pack(t, rows + i * row_bytes, row_bytes, goss_cpu_min(n - i, GOSS_TILE_ROWS), x->n);
        c->k.gemm(y + i, stride, t, x, first, m);
    }
}

void goss_cpu_norm_row(cpu *c, const goss_tensor *gain, int from, int to)
{
    const goss_hparams *hp = &c->base.model->hp;
    const int n = hp->n_embd;
    float *f = c->desk->norm.f + (int64_t)to * n;
    c->k.rmsnorm(f, c->desk->x + (int64_t)from * n, goss_cpu_floats(gain), n, hp->rms_eps);
    if (n % GOSS_BLOCK == 0) c->k.quantize(&c->desk->norm, to, f, n);
}

/* What one plane of int8 leaves over is a row like any other, some 254 times smaller. */
static void fine_row(cpu *c, int row)
{
    const int n = c->desk->norm.n;
    const goss_acts from = goss_cpu_columns(&c->desk->norm, row, 0), to = goss_cpu_columns(&c->desk->fine, 2 * row, 0);
    memcpy(to.q, from.q, (size_t)n);
    memcpy(to.d, from.d, (size_t)n / GOSS_BLOCK * sizeof *to.d);
    memcpy(to.s, from.s, (size_t)n / 16 * sizeof *to.s);
    for (int i = 0; i < n; i++) to.f[i] = from.f[i] - (float)from.q[i] * from.d[i / GOSS_BLOCK];
    c->k.quantize(&c->desk->fine, 2 * row + 1, to.f, n);
}

typedef struct norm_job { cpu *c; const goss_tensor *gain; const int *list; int form; } norm_job;
static void norm_task(void *ctx, int task, int thread)
{
    const norm_job *j = ctx;
    (void)thread;
    goss_cpu_norm_row(j->c, j->gain, j->list ? j->list[task] : task, task);
    if (j->form == GOSS_NORM_FINE) fine_row(j->c, task);
    if (j->form == GOSS_NORM_WIDE)
        j->c->k.widen(&j->c->desk->wide, task, j->c->desk->norm.f + (int64_t)task * j->c->desk->norm.n);
}
int goss_cpu_norm(cpu *c, const goss_tensor *gain, const int *list, int n, int form)
{
    norm_job j = { c, gain, list, form };
    return goss_cpu_run(c, norm_task, &j, n);
}
