/* test_gpu_rows.c - rows on the GPU: the same bits in any batch of 1 to 16; nearly the same logits in a crowd
 * of sequences; the same bits where the KV grows meanwhile; and far into a sequence, 1,000 decoded steps past
 * the window and past 4,096 positions, against the reference. Skipped where there is no adapter. usage:
 * test_gpu_rows MODEL [long] */
#include "gpu/device/gpu_faults.h"
#include "gpu_open.h"
#include "model_run.h"
#include <math.h>

enum { ROWS = 16, DECODED = 1130, LONG = 4130, ALL = LONG + 24 };

static void fill(int32_t *ids, int n, int n_vocab)
{
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 7919 + 13 + i / 97) % (n_vocab < 1000 ? n_vocab : 1000));
}

static void is_clean(goss_backend *b)
{
    goss_error e = { 0 };
    while (goss_gpu_error(((goss_gpu_state *)(void *)b)->gpu, &e)) {
        printf("%s\n", e.text);
        CHECK(0);
    }
}

static void any_batch(run *r)
{
    const size_t n_vocab = (size_t)r->b->model->hp.n_vocab;
    float *alone = malloc(n_vocab * 4 * ROWS), *batch = malloc(n_vocab * 4 * ROWS);
    int32_t ids[ROWS];
    fill(ids, ROWS, (int)n_vocab);
    CHECK_INT(run_all(r, ids, ROWS, 1, 1, alone), 0);
    for (int n = 2; n <= ROWS; n++) {
        memset(batch, 0, n_vocab * 4 * ROWS);
        CHECK_INT(run_all(r, ids, ROWS, n, 1, batch), 0);
        int differ = 0;
        for (int i = 0; i < ROWS; i++)
            differ += memcmp(alone + (size_t)i * n_vocab, batch + (size_t)i * n_vocab, n_vocab * 4) != 0;
        if (differ) printf("batches of %d: %d rows differ\n", n, differ);
        CHECK_INT(differ, 0);
    }
    is_clean(r->b);
    free(alone);
    free(batch);
}

/* A token each of more sequences than the kernels for few rows serve, against each alone. */
static void crowd(const run_model *m)
{
    enum { SEQS = 20, STEP = 5 };
    const size_t n_vocab = (size_t)m->model.hp.n_vocab;
    float *alone = malloc(n_vocab * 4 * SEQS), *among = malloc(n_vocab * 4);
    int32_t ids[(SEQS + 1) * STEP];
    goss_kv kv[SEQS];
    goss_seq seqs[SEQS];
    goss_error err = { 0 };
    run r;
    fill(ids, (SEQS + 1) * STEP, (int)n_vocab);
    CHECK_INT(run_start(&r, m, open_gpu, 128, 1280, GOSS_F16), 0);
    const goss_gpu_state *s = goss_gpu_state_of(r.b);
    goss_step step = { .rows = r.rows, .n_rows = SEQS, .seqs = seqs, .n_seqs = SEQS };
    CHECK(goss_gpu_crowd(s, &step) || s->facts.few_rows > SEQS);
    for (int i = 0; i < SEQS; i++) {
        const int n = (i + 1) * STEP;
        CHECK_INT(goss_kv_open(&r.kv, &r.pool, 128), 0);
        CHECK_INT(run_step(&r, ids, 0, n - 1, 0, among), 0);
        CHECK_INT(run_step(&r, ids, n - 1, n, 0, alone + (size_t)i * n_vocab), 0);
        CHECK_INT(goss_kv_truncate(&r.kv, n - 1), 0);
        kv[i] = r.kv;
        seqs[i] = (goss_seq){ .kv = &kv[i], .slot = i, .tokens = ids };
    }
    for (int i = 0; i < SEQS; i++) {
        CHECK_INT(goss_kv_extend(&kv[i], (i + 1) * STEP), 0);
        r.rows[i] = (goss_row){ ids[(i + 1) * STEP - 1], (i + 1) * STEP - 1, (int16_t)i, GOSS_ROW_LOGITS };
    }
    CHECK_INT(goss_forward(r.b, &step, &err), 0);
    int rc;
    while ((rc = r.b->vt->poll(r.b, &step, 1000, NULL, &err)) == GOSS_EAGAIN) { }
    CHECK_INT(rc, 0);
    for (int i = 0; i < SEQS; i++) {
        double worst = 0;
        CHECK_INT(r.b->vt->logits(r.b, &step, i, among), 0);
        for (size_t v = 0; v < n_vocab; v++)
            worst = fmax(worst, fabs((double)among[v] - (double)alone[(size_t)i * n_vocab + v]));
        if (worst > 0.1) printf("sequence %d: off by %.3f\n", i, worst);
        CHECK(worst <= 0.1);
    }
    r.b->vt->release(r.b, &step);
    is_clean(r.b);
    for (int i = 0; i < SEQS; i++) goss_kv_close(&kv[i]);
    r.kv.pool = NULL;
    run_stop(&r);
    free(alone);
    free(among);
}

/* A prompt that its first pages don't hold, with what it would be where they did; then there is no memory. */
static void growing(const run_model *m)
{
    enum { MANY = 300, MORE = 400, CHUNK = 40, FIRST = 2, MEMORY = 384 << 20 };
    const size_t n_vocab = (size_t)m->model.hp.n_vocab, n = n_vocab * 4 * MANY;
    float *want = malloc(n), *got = malloc(n);
    int32_t ids[MANY + MORE];
    run r;
    fill(ids, MANY + MORE, (int)n_vocab);
    CHECK_INT(run_start(&r, m, open_gpu, CHUNK, 1024, GOSS_F16), 0);
    CHECK_INT(run_all(&r, ids, MANY, CHUNK, 1, want), 0);
    run_stop(&r);
    run_pages = FIRST;
    goss_gpu_memory_limit(MEMORY);
    CHECK_INT(run_start(&r, m, open_gpu, CHUNK, 1024, GOSS_F16), 0);
    const goss_gpu_state *s = goss_gpu_state_of(r.b);
    const uint64_t first = s->weights.kv_bytes;
    CHECK_INT(s->kv.n_pages[0], FIRST);
    CHECK_INT(r.b->grows.n_pages[0], r.pool.n_pages[0]);
    CHECK_INT(run_all(&r, ids, MANY, CHUNK, 1, got), 0);
    CHECK(!memcmp(want, got, n));
    CHECK(s->kv.n_pages[0] >= MANY / GOSS_KV_PAGE && s->weights.kv_bytes > first);
    is_clean(r.b);
    const uint64_t most = goss_gpu_get_limits(s->gpu)->max_buffer;
    for (uint64_t left; (left = MEMORY - goss_gpu_allocated(s->gpu)) >= 4096;)
        if (goss_gpu_buffer(s->gpu, left < most ? left & ~4095ull : most, GOSS_GPU_COPY_DST, "full") < 0)
            break;
    int rc = 0;
    for (int at = MANY; at < MANY + MORE && !rc; at += CHUNK) rc = run_step(&r, ids, at, at + CHUNK, 0, got);
    CHECK_INT(rc, GOSS_ENOMEM);
    run_stop(&r);
    goss_gpu_memory_limit(0);
    run_pages = 0;
    free(want);
    free(got);
}

/* How far apart, of its router's largest logit, a row's last chosen expert and the first other one were, in
 * the layer where they were nearest. */
typedef struct edges { int first, n, k; double near[ALL]; } edges;

static void note_edges(void *ctx, goss_stage stage, int layer, const float *v, int n_rows, int width)
{
    edges *e = ctx;
    if (stage != GOSS_STAGE_ROUTE) return;
    if (!layer) { e->first += e->n; e->n = n_rows; }
    for (int r = 0; r < n_rows; r++, v += width) {
        double in = 1e9, out = -1e9, top = 1e-9;
        for (int i = 0; i < width; i++) {
            int before = 0;
            for (int j = 0; j < width; j++) before += v[j] > v[i] || (v[j] == v[i] && j < i);
            if (before < e->k) in = fmin(in, (double)v[i]);
            else out = fmax(out, (double)v[i]);
            top = fmax(top, fabs((double)v[i]));
        }
        double *near = &e->near[e->first + r];
        *near = fmin(layer ? *near : 1, (in - out) / top);
    }
}

/* GPU: single steps from 100 to DECODED and from LONG on, else 16 rows at a time: the kernels of steps with
 * few rows. */
static void far(const run_model *m, run *b)
{
    run a;
    const size_t n_vocab = (size_t)m->model.hp.n_vocab;
    int32_t *ids = malloc(ALL * sizeof *ids);
    float *want = malloc(n_vocab * 4 * ALL), *got = malloc(n_vocab * 4 * ALL);
    fill(ids, ALL, (int)n_vocab);
    const int halves = ((goss_gpu_state *)(void *)b->b)->facts.kv_half;
    CHECK_INT(run_start(&a, m, goss_backend_open_ref, 512, ALL + 64, halves ? GOSS_F16 : GOSS_F32), 0);
    static edges e;
    e = (edges){ .k = m->model.hp.n_expert_used };
    a.b->vt->tap(a.b, note_edges, &e);
    CHECK_INT(run_all(&a, ids, ALL, 512, 1, want), 0);
    CHECK_INT(e.first + e.n, ALL);
    goss_kv_clear(&b->kv);
    for (int i = 0, n; i < ALL; i += n) {
        n = (i >= 96 && i < DECODED) || i >= LONG ? 1 : LONG - i < ROWS ? LONG - i : ROWS;
        CHECK_INT(run_step(b, ids, i, i + n, 1, got + (size_t)i * n_vocab), 0);
    }
    const int packed = ((goss_gpu_state *)(void *)b->b)->facts.packed;
    double worst = 0;
    int wrong = 0, gaps = 0, off = 0, alike = 0;
    for (int i = 0; i < ALL; i++) {
        const float *x = want + (size_t)i * n_vocab, *y = got + (size_t)i * n_vocab;
        double here = 0;
        /* 16-bit activations may turn a router that had two experts as good as equal */
        if (packed && e.near[i] < 1e-3) { alike++; continue; }
        for (size_t v = 0; v < n_vocab; v++) here = fmax(here, fabs((double)x[v] - (double)y[v]));
        worst = fmax(worst, here);
        off += here > 0.05;
        gaps += run_gap(x, (int)n_vocab) > 0.25;
        wrong +=
            run_gap(x, (int)n_vocab) > 0.25 && run_argmax(x, (int)n_vocab) != run_argmax(y, (int)n_vocab);
    }
    printf(
        "# %d positions, %d steps of one row, %d with two experts alike, largest difference of a logit %.4f, "
        "%d over 0.05, %d positions with a gap\n",
        ALL, DECODED - 96 + ALL - LONG, alike, worst, off, gaps);
    CHECK_INT(wrong, 0);
    CHECK(gaps > 1000);
    CHECK(alike < ALL / 20);
    CHECK(off <= (packed ? ALL / 200 : 0));            /* packed: what looked at a row that turned */
    is_clean(b->b);
    run_stop(&a);
    free(ids);
    free(want);
    free(got);
}

int main(int argc, char **argv)
{
    run_model m;
    run gpu;
    if (run_open_file(&m, argc > 1 ? argv[1] : "models/demo-gptoss-draft.gguf", NULL) < 0) return 1;
    if (run_start(&gpu, &m, open_gpu, ROWS, argc > 2 ? ALL + 64 : 128, GOSS_F16)) {
        printf("SKIP test_gpu_rows: no GPU\ntest_gpu_rows: 0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    any_batch(&gpu);
    if (argc > 2) far(&m, &gpu);
    run_stop(&gpu);
    crowd(&m);
    growing(&m);
    run_close(&m);
    return unit_done("test_gpu_rows");
}
