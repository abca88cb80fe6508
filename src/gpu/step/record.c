/* record.c - recording, and pace: where a submit ends.
 *
 * A device with nothing to do would wait for a whole step to be recorded (3 us a dispatch, half a millisecond
 * a token of gpt-oss-20b). So such a step is submitted in parts of 1, 2, 4, ... layers: the first is there at
 * once, and each is recorded while the one before runs.
 *
 * Whoever draws on the same GPU waits for a submit to end, and watchdogs reset a GPU that one keeps busy.
 * So where cut_ms says so a step is cut between layers, or where one takes longer within it; until a step
 * has been timed, between all layers. */
#include "record.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

static uint32_t *room(goss_rec *r, size_t n)
{
    if (r->n_words + n > r->cap_words) {
        const size_t cap = r->cap_words ? r->cap_words * 2 : 16384;
        void *p = goss_mem_grow(r->words, r->cap_words * 4, cap * 4);
        if (!p) return NULL;
        r->words = p;
        r->cap_words = cap;
    }
    uint32_t *w = r->words + r->n_words;
    r->n_words += n;
    return w;
}

void goss_rec_start(goss_rec *r)
{
    r->n_words = 0;
    r->in_pass = 0;
    r->ahead = r->ahead_left = 0;
}

void goss_rec_put(goss_rec *r, const uint32_t *w, size_t n)
{
    uint32_t *to = room(r, n);
    if (to) memcpy(to, w, n * 4);
}

void goss_rec_end_pass(goss_rec *r)
{
    const uint32_t end = GOSS_GPU_OP_END;
    if (r->in_pass) goss_rec_put(r, &end, 1);
    r->in_pass = 0;
}

void goss_rec_copy(goss_rec *r, int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n)
{
    goss_rec_end_pass(r);
    const uint32_t w[] = { GOSS_GPU_OP_COPY, (uint32_t)from, (uint32_t)(from_offset / 4), (uint32_t)to,
                           (uint32_t)(to_offset / 4), (uint32_t)(n / 4) };
    goss_rec_put(r, w, 6);
}

void goss_rec_clear(goss_rec *r, int buffer, uint64_t offset, uint64_t n)
{
    goss_rec_end_pass(r);
    const uint32_t w[] = { GOSS_GPU_OP_CLEAR, (uint32_t)buffer, (uint32_t)(offset / 4), (uint32_t)(n / 4) };
    goss_rec_put(r, w, 4);
}

void goss_rec_dispatch(goss_rec *r, const goss_call *c, int batch, uint32_t slot, uint32_t x, uint32_t y,
                       uint32_t z)
{
    goss_kernel *k = &r->kernels->list[c->kernel[batch]];
    const int profiled = r->profiling == GOSS_PROFILE_ON;
    const int timed = profiled && r->query < GOSS_GPU_MAX_QUERIES / 2 - 1;
    if (profiled) goss_rec_end_pass(r);
    if (!r->in_pass) {
        const uint32_t begin[] = { GOSS_GPU_OP_PASS, timed ? r->query : GOSS_GPU_NONE };
        goss_rec_put(r, begin, 2);
        r->in_pass = 1;
        if (timed) r->query_kernel[r->query++] = (uint32_t)c->kernel[batch];
    }
    const uint32_t w[] = { GOSS_GPU_OP_DISPATCH, (uint32_t)k->pipeline, (uint32_t)c->group,
                           c->params + slot * 256,
                           x, y, z };
    goss_rec_put(r, w, 7);
    if (timed) {
        k->calls++;
        k->bytes += c->bytes * (c->times ? (uint32_t)c->times : y);
        k->ops += c->ops * (c->times ? r->rows : y);
    }
}

int goss_rec_flush(goss_rec *r)
{
    r->since_cut = 0;
    goss_rec_end_pass(r);
    const int rc = r->n_words ? goss_gpu_submit(r->gpu, r->words, r->n_words) : 0;
    r->n_words = 0;
    return rc;
}

/* ---- pace ---------------------------------------------------------------------------------------------- */
static int is_many(const goss_rec *r, int n_rows) { return n_rows > r->kernels->facts->few_rows; }

static double layer_ms(const goss_rec *r, int n_rows)
{
    const int many = is_many(r, n_rows);
    return r->row_ms[many] * (many ? n_rows : 1);
}

void goss_rec_ahead(goss_rec *r) { r->ahead = r->ahead_left = 1; }

static void cut(goss_rec *r, int n_rows)
{
    const uint32_t op = GOSS_GPU_OP_CUT;
    const double ms = layer_ms(r, n_rows);
    if (r->cut_ms <= 0 || !r->n_words || (ms > 0 && (r->since_cut += ms) + ms <= r->cut_ms)) return;
    goss_rec_end_pass(r);
    goss_rec_put(r, &op, 1);
    r->since_cut = 0;
    r->cuts++;
}

int goss_rec_cut(goss_rec *r, int n_rows)
{
    if (!r->ahead || --r->ahead_left) {
        cut(r, n_rows);
        return 0;
    }
    r->ahead_left = r->ahead *= 2;
    return goss_rec_flush(r);
}

void goss_rec_cut_within(goss_rec *r, int n_rows)
{
    if (layer_ms(r, n_rows) > r->cut_ms) cut(r, n_rows);
}

void goss_rec_took(goss_rec *r, int n_layer, int n_rows, double t_launch)
{
    const double now = goss_os_now_ms(), ms = now - (t_launch > r->t_done ? t_launch : r->t_done);
    const int many = is_many(r, n_rows);
    const double each = ms / (n_layer + 1) / (many ? n_rows : 1);
    double *known = &r->row_ms[many];
    r->t_done = now;
    *known = *known <= 0 ? each : *known + (each - *known) / 4;
}
