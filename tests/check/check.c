/* check.c - the harness core: random inputs, comparisons, poisoned outputs. No I/O. */
#include "check.h"
#include <math.h>
#include <string.h>

void check_begin(check *c, const char *level, const check_test *t, const goss_kern *ref, const goss_kern *k)
{
    c->level = level; c->test = t->name; c->ref = ref; c->k = k;
    c->failed = 0; c->worst = 0;
    c->rng = c->seed * 0x9e3779b97f4a7c15ull +
             1; /* every test starts alike, so that one alone repeats what it did among all */
    for (const char *s = t->name; *s; s++) c->rng = (c->rng ^ (uint8_t)*s) * 0x100000001b3ull;
    if (!c->rng) c->rng = 1;
}

uint32_t check_rand(check *c)
{
    c->rng ^= c->rng << 13; c->rng ^= c->rng >> 7; c->rng ^= c->rng << 17;
    return (uint32_t)(c->rng >> 32);
}
int check_below(check *c, int n) { return (int)(check_rand(c) % (uint32_t)n); }

float check_randf(check *c)
{
    const uint32_t r = check_rand(c) & 63;
    const float u = (float)(int32_t)check_rand(c) * (1.0f / 2147483648.0f);
    return r == 0 ? 0.0f : r == 1 ? u * 1e-30f : r == 2 ? u * 1e-41f : r == 3 ? u * 64.0f : u;
}

void check_fail(check *c, const char *why, int64_t index, double got, double want)
{
    if (!c->failed++ && !c->quiet) check_say(c, why, index, got, want);
}

void check_value(check *c, int64_t index, double got, double want, double bound)
{
    const double e = fabs(got - want);
    c->n_checked++;
    if (e / bound > c->worst) c->worst = e / bound;
    if (!(e <= bound)) check_fail(c, "outside its bound", index, got, want);
}

void check_same(check *c, const char *why, const void *a, const void *b, size_t n, size_t size)
{
    c->n_checked++;
    for (size_t i = 0; i < n; i++)
        if (memcmp((const char *)a + i * size, (const char *)b + i * size, size)) {
            float x = 0, y = 0;
            if (size == 4) { memcpy(&x, (const char *)a + i * 4, 4); memcpy(&y, (const char *)b + i * 4, 4); }
            check_fail(c, why, (int64_t)i, x, y);
            return;
        }
}

float *check_out(int slot, size_t n)
{
    float *p = check_memory(slot, (n + 2 * CHECK_PAD) * sizeof(float));
    for (size_t i = 0; i < n + 2 * CHECK_PAD; i++) p[i] = NAN;
    return p + CHECK_PAD;
}
void check_canaries(check *c, const float *out, size_t n)
{
    for (int i = 0; i < CHECK_PAD; i++) {
        if (!isnan(out[-1 - i])) check_fail(c, "wrote before its output", -1 - i, out[-1 - i], 0);
        if (!isnan(out[n + (size_t)i]))
            check_fail(c, "wrote past its output", (int64_t)n + i, out[n + (size_t)i], 0);
    }
}

/* Where a block keeps its f16 scales; -1: none. */
static void scale_fields(int type, int at[2])
{
    at[0] = 0; at[1] = -1;
    switch (type) {
    case GOSS_Q4_1: case GOSS_Q5_1: case GOSS_Q4_K: case GOSS_Q5_K: at[1] = 2; break;
    case GOSS_Q2_K: at[0] = 80; at[1] = 82; break;
    case GOSS_Q3_K: at[0] = 108; break;
    case GOSS_Q6_K: at[0] = 208; break;
    case GOSS_MXFP4: at[0] = -1; break;
    default: break;
    }
}

static void float_weights(check *c, int type, uint8_t *w, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float f = check_randf(c);
        const uint16_t h = type == GOSS_F16 ? goss_f32_to_f16(f) : goss_f32_to_bf16(f);
        if (type == GOSS_F32) memcpy(w + 4 * i, &f, 4);
        else memcpy(w + 2 * i, &h, 2);
    }
}

void check_weights(check *c, int type, uint8_t *w, int64_t n_blocks, int mode)
{
    const int bytes = goss_type_get(type)->bytes;
    if (type == GOSS_F32 || type == GOSS_F16 || type == GOSS_BF16) {
        float_weights(c, type, w, n_blocks);
        return;
    }
    int at[2];
    scale_fields(type, at);
    for (int64_t b = 0; b < n_blocks; b++, w += bytes) {
        for (int i = 0; i < bytes; i++) w[i] = (uint8_t)check_rand(c);
        if (mode && check_below(c, 4) == 0) memset(w, check_below(c, 2) ? 0xff : 0x88, (size_t)bytes);
        for (int i = 0; i < 2; i++) {
            if (at[i] < 0) continue;
            const float s =
                mode ? (check_below(c, 3) ? 6e-8f : 1000.0f) : 0.05f * (float)(1 + check_below(c, 40));
            const uint16_t h = goss_f32_to_f16(check_below(c, 2) ? s : -s);
            memcpy(w + at[i], &h, 2);
        }
        if (type == GOSS_MXFP4) /* the nasty ones begin with exponent 0 */
            w[0] = (uint8_t)(mode ? (b ? check_below(c, 3) : 0) : 118 + check_below(c, 12));
    }
}

goss_acts check_acts(check *c, int m, int n, float scale)
{
    const size_t all = (size_t)m * (size_t)n;
    goss_acts x = { .n = n, .f = check_memory(1, all * sizeof(float)) };
    for (size_t i = 0; i < all; i++) x.f[i] = scale * check_randf(c);
    if (n % GOSS_BLOCK) return x;
    x.q = check_memory(2, all);
    x.d = check_memory(3, all / GOSS_BLOCK * sizeof(float));
    x.s = check_memory(4, all / 16 * sizeof(int16_t));
    c->ref->quantize(&x, 0, x.f, (int)all);
    return x;
}
