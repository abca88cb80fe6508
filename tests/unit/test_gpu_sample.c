/* test_gpu_sample.c - the GPU's sampler draws what goss_sample() draws from the same logits, whatever the
 * parameters, among few rows and in a crowd; and of few a row's logits are the same bits alone and among
 * others. Skipped where there is no adapter. */
#include "gpu_open.h"
#include "model_run.h"
#include <math.h>

enum { ROWS = 12, CROWD = 90 /* of which 64 and 26 go together where the device multiplies fragments */ };

static goss_params variant(int i)
{
    static const goss_logit_bias bias[] = { { 7, 3.0f }, { 300, -100.0f }, { 1500, 2.5f } };
    goss_params p = goss_params_default();
    p.seed = 1234 + (uint64_t)i;
    p.n_probs = i & 1 ? 5 : 0;
    switch (i) {
    case 0: p.temperature = 0; break;
    case 1: break;
    case 2: p.temperature = 3; break;
    case 3: p.top_k = 5; break;
    case 4: p.top_p = 0.5f; p.temperature = 2; break;
    case 5: p.min_p = 0.2f; p.temperature = 2; break;
    case 6: p.top_k = 40; p.top_p = 0.9f; p.min_p = 0.02f; p.temperature = 1.5f; break;
    case 7:
        p.repeat_penalty = 1.3f;
        p.presence_penalty = 0.5f;
        p.frequency_penalty = 0.2f;
        p.temperature = 2;
        break;
    case 8: p.bias = bias; p.n_bias = 3; p.temperature = 2; break;
    case 9: p.temperature = 0; p.repeat_penalty = 2; p.repeat_last_n = 4; break;
    default: p.top_k = 1; break;
    }
    return p;
}

/* The picks of a step of n rows against goss_sample() on its logits, whose bits are those of `alone`, if
 * any: every `by`th of 11 sets of parameters, then of the same with a mask. */
static void draws(run *r, const int32_t *ids, int n, int by, const float *alone)
{
    const int n_vocab = r->b->model->hp.n_vocab;
    const size_t row = (size_t)n_vocab * 4;
    goss_error err = { 0 };
    float *logits = malloc(row);
    void *scratch = malloc(2 * row);
    goss_pick *picks = malloc((size_t)n * sizeof *picks), want;
    uint32_t *mask = calloc((size_t)(n_vocab + 31) / 32, 4);
    for (int i = 0; i < n_vocab; i += 3) mask[i / 32] |= 1u << (i % 32);
    for (int v = 0; v < 22; v += by) {
        goss_sampler s;
        const goss_params p = variant(v % 11);
        const goss_seq q = { .kv = &r->kv, .tokens = ids, .sampler = &s, .mask = v >= 11 ? mask : NULL };
        goss_step step = { .rows = r->rows, .n_rows = n, .seqs = &q, .n_seqs = 1 };
        CHECK_INT(goss_sampler_init(&s, &p, &err), 0);
        goss_kv_clear(&r->kv);
        CHECK_INT(goss_kv_extend(&r->kv, n), 0);
        for (int i = 0; i < n; i++)
            r->rows[i] = (goss_row){ ids[i], i, 0, GOSS_ROW_SAMPLE | GOSS_ROW_LOGITS };
        CHECK_INT(goss_forward(r->b, &step, &err), 0);
        int rc;
        while ((rc = r->b->vt->poll(r->b, &step, 1000, picks, &err)) == GOSS_EAGAIN) { }
        CHECK_INT(rc, 0);
        for (int i = 0; i < n; i++) {
            CHECK_INT(r->b->vt->logits(r->b, &step, i, logits), 0);
            CHECK(!alone || !memcmp(logits, alone + (size_t)i * (size_t)n_vocab, row));
            goss_sample(&s, logits, n_vocab, q.mask, ids, i + 1, scratch, &want);
            if (picks[i].token != want.token) printf("%d rows, parameters %d, row %d\n", n, v, i);
            CHECK_INT(picks[i].token, want.token);
            CHECK(fabs((double)picks[i].logprob - (double)want.logprob) < 1e-4);
            CHECK(fabs((double)picks[i].entropy - (double)want.entropy) < 1e-3);
            CHECK_INT(picks[i].n_top, want.n_top);
            for (int k = 0; k < want.n_top; k++) CHECK_INT(picks[i].top[k].token, want.top[k].token);
        }
        r->b->vt->release(r->b, &step);
    }
    free(logits); free(scratch); free(picks); free(mask);
}

int main(void)
{
    run_model m;
    run r;
    if (run_open_file(&m, "models/demo-gptoss.gguf", NULL) < 0) return 1;
    if (run_start(&r, &m, open_gpu, 16, 128, GOSS_F32)) {
        printf("test_gpu_sample: skipped: no GPU\n");
        return unit_done("test_gpu_sample");
    }
    const size_t n_vocab = (size_t)m.model.hp.n_vocab;
    int32_t ids[CROWD + 1];
    for (int i = 0; i <= CROWD; i++) ids[i] = (int32_t)((i * 7919 + 13) % 1000);
    ids[5] = ids[6] = ids[3];
    float *alone = malloc(n_vocab * 4 * ROWS);
    for (int i = 0; i < ROWS; i++) CHECK_INT(run_step(&r, ids, i, i + 1, 0, alone + (size_t)i * n_vocab), 0);
    draws(&r, ids, ROWS, 1, alone);
    run_stop(&r);
    run_slots = GOSS_CROWD_ROWS + 1;
    CHECK_INT(run_start(&r, &m, open_gpu, CROWD, 128, GOSS_F32), 0);
    const goss_gpu_state *s = goss_gpu_state_of(r.b);
    CHECK_INT(s->calls.head.crowd, s->facts.fragments);
    draws(&r, ids, CROWD, 5, NULL);
    run_stop(&r);
    run_close(&m);
    free(alone);
    return unit_done("test_gpu_sample");
}
