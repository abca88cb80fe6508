/* test_gpu_seen.c - what the GPU keeps of rows for a recording: the experts by the router's logits and the
 * most looked-at positions by queries and keys, as taps on the same device show them; in steps of 1 to 16
 * rows. Under a tap experts are chosen one layer after the other; a row alone goes through its step again
 * without it, which has the same to say. GOSSAMER_GPU_PACKED=1: by the kernels for packed activations.
 * Skipped where there is no adapter. */
#include "gpu/step/seen_gpu.h"
#include "gpu_open.h"
#include "model_run.h"
#include <math.h>

enum { TOKENS = 40, LAYERS = 8, USED = 4, WIDEST = 64 };
static int n_late;                               /* steps whose experts were told behind all layers */
typedef struct taps {
    const goss_hparams *h;
    int layer, head, first, n_rows;              /* watched; positions of the step's rows */
    float logits[LAYERS][16][WIDEST], q[16][256], keys[TOKENS][256];
} taps;

static int open_recorded(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    const int r = open_gpu(out, c, err);
    if (!r) goss_gpu_state_of(*out)->settings.record = 1;
    return r;
}

static void note(void *ctx, goss_stage stage, int layer, const float *v, int n_rows, int width)
{
    taps *t = ctx;
    const int hd = t->h->head_dim, kv_head = t->head / (t->h->n_head / t->h->n_head_kv);
    for (int i = 0; stage == GOSS_STAGE_ROUTE && i < n_rows; i++)
        memcpy(t->logits[layer][i], v + i * width, (size_t)width * sizeof *v);
    for (int i = 0; stage == GOSS_STAGE_ATTN_IN && layer == t->layer && i < n_rows; i++) {
        memcpy(t->q[i], v + i * width + t->head * hd, (size_t)hd * sizeof *v);
        memcpy(t->keys[t->first + i], v + i * width + (t->h->n_head + kv_head) * hd, (size_t)hd * sizeof *v);
    }
}

static void check_experts(const taps *t, int row, const goss_seen *s)
{
    for (int l = 0; l < t->h->n_layer; l++) {
        const float *v = t->logits[l][row];
        const uint16_t *chosen = s->expert + l * USED, *weight = s->weight + l * USED;
        double sum = 0;
        for (int k = 0; k < USED; k++) sum += exp((double)v[chosen[k]] - (double)v[chosen[0]]);
        for (int k = 0; k < USED; k++) {
            int before = 0;
            for (int e = 0; e < t->h->n_expert; e++)
                before += v[e] > v[chosen[k]] || (v[e] == v[chosen[k]] && e < chosen[k]);
            CHECK_INT(before, k);
            CHECK(fabs(exp((double)v[chosen[k]] - (double)v[chosen[0]]) / sum - weight[k] / 65535.0) < 1e-4);
        }
    }
}

/* Keys are kept as halves, so that weights are near and their order is nearly the same. */
static void check_looks(const taps *t, const goss_model *m, int row, const goss_seen *s)
{
    const goss_layer *l = &m->layers[t->layer];
    const float *sinks = (const float *)(const void *)l->sinks.data;
    const int pos = t->first + row, from = l->windowed && pos >= t->h->window ? pos - t->h->window + 1 : 0;
    double w[TOKENS] = { 0 }, most = sinks ? (double)sinks[t->head] : -1e30, sum = 0;
    for (int i = from; i <= pos; i++) {
        for (int d = 0; d < t->h->head_dim; d++) w[i] += (double)t->q[row][d] * (double)t->keys[i][d];
        w[i] *= (double)t->h->attn_scale;
        most = fmax(most, w[i]);
    }
    for (int i = from; i <= pos; i++) sum += w[i] = exp(w[i] - most);
    if (sinks) sum += exp((double)sinks[t->head] - most);
    CHECK_INT(s->watch[0], t->layer);
    CHECK_INT(s->watch[1], t->head);
    CHECK_INT(s->n_looks, pos + 1 - from < GOSS_LOOKS ? pos + 1 - from : GOSS_LOOKS);
    for (int k = 0; k < s->n_looks; k++) {
        int better = 0;
        CHECK((int)s->look[k] >= from && (int)s->look[k] <= pos);
        CHECK(fabs(w[s->look[k]] / sum - s->look_weight[k] / 65535.0) < 2e-3);
        for (int i = from; i <= pos; i++) better += w[i] / sum > s->look_weight[k] / 65535.0 + 2e-3;
        CHECK(better <= k);
        for (int j = 0; j < k; j++) CHECK(s->look[j] != s->look[k]);
    }
}

static void forward(run *r, goss_step *s)
{
    goss_error err = { 0 };
    int rc = goss_forward(r->b, s, &err);
    while (!rc && (rc = r->b->vt->poll(r->b, s, 1000, NULL, &err)) == GOSS_EAGAIN) rc = 0;
    CHECK_INT(rc, 0);
}

/* The step once more, without a tap. */
static void again(run *r, taps *t, const run_model *m, goss_step *s)
{
    uint16_t expert[LAYERS * USED], weight[LAYERS * USED];
    goss_seen seen = { .expert = expert, .weight = weight };
    goss_gpu_state *g = goss_gpu_state_of(r->b);
    memset(expert, 0xff, sizeof expert);
    r->b->vt->tap(r->b, NULL, NULL);
    forward(r, s);
    CHECK_INT(r->b->vt->seen(r->b, s, 0, &seen), GOSS_SEEN_EXPERTS | GOSS_SEEN_LOOKS);
    check_experts(t, 0, &seen);
    check_looks(t, &m->model, 0, &seen);
    n_late += g->calls.seen_late && goss_seen_late(g, 1, 0);
    r->b->vt->tap(r->b, note, t);
}

static void step(run *r, taps *t, const run_model *m, const int32_t *ids, int n)
{
    uint16_t expert[LAYERS * USED], weight[LAYERS * USED];
    const goss_seq seq = { .kv = &r->kv, .tokens = ids };
    goss_step s = { .rows = r->rows, .n_rows = n, .seqs = &seq, .n_seqs = 1 };
    CHECK_INT(goss_kv_extend(&r->kv, t->first + n), 0);
    for (int i = 0; i < n; i++) r->rows[i] = (goss_row){ ids[t->first + i], t->first + i, 0, 0 };
    forward(r, &s);
    for (int i = 0; i < n; i++) {
        goss_seen seen = { .expert = expert, .weight = weight };
        CHECK_INT(r->b->vt->seen(r->b, &s, i, &seen), GOSS_SEEN_EXPERTS | GOSS_SEEN_LOOKS);
        check_experts(t, i, &seen);
        check_looks(t, &m->model, i, &seen);
    }
    if (n == 1) again(r, t, m, &s);
    t->first += n;
}

int main(void)
{
    static const int sizes[] = { 1, 3, 16, 1 };
    static taps t;
    run_model m;
    run r;
    int32_t ids[TOKENS];
    if (run_open_file(&m, "models/demo-gptoss.gguf", NULL)) return 1;
    if (run_start(&r, &m, open_recorded, 16, 256, GOSS_F16)) {
        printf("SKIP no GPU adapter\n");
        return unit_done("gpu_seen");
    }
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * 37 + 11) % 4000;
    t = (taps){ .h = &m.model.hp, .layer = 1, .head = 3 };
    r.b->vt->tap(r.b, note, &t);
    r.b->vt->watch(r.b, t.layer, t.head);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) step(&r, &t, &m, ids, sizes[i]);
    CHECK(t.first <= TOKENS);
    goss_kv_clear(&r.kv);
    t.first = t.layer = 0;
    t.head = 9;
    r.b->vt->watch(r.b, t.layer, t.head);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) step(&r, &t, &m, ids, sizes[i]);
    printf("# %d steps told the experts behind all layers\n", n_late);
    CHECK(n_late == (goss_gpu_state_of(r.b)->calls.layers[0].spread ? 4 : 0));
    run_stop(&r);
    run_close(&m);
    return unit_done("gpu_seen");
}
