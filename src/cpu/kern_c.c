/* kern_c.c - the portable level: every kernel of body.h in plain C, and topk, which all levels share. */
#include "simd_c.h"
#define K(name) name##_c
#include "body.h"

static void topk_c(int32_t *ids, float *weights, const float *logits, int n, int k)
{
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            int taken = 0;
            for (int t = 0; t < j; t++) taken |= ids[t] == i;
            if (!taken && (best < 0 || logits[i] > logits[best])) best = i;
        }
        ids[j] = best;
        weights[j] = logits[best];
    }
    float sum = 0.0f;
    const float top = weights[0];
    for (int j = 0; j < k; j++) { weights[j] = expf(weights[j] - top); sum += weights[j]; }
    for (int j = 0; j < k; j++) weights[j] /= sum;
}

void goss_kern_init_c(goss_kern *k)
{
    body_init(k);
    k->topk = topk_c;
}
