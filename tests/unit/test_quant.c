/* test_quant.c - to_float against goldens of an independent implementation, bit for bit; from_float by what
 * it gives back. */
#include "format/quant.h"
#include "unit.h"
#include <gossamer.h>
#include <math.h>
#include <stdlib.h>

static size_t read_file(const char *type, const char *ext, void *dst, size_t cap)
{
    char path[200];
    snprintf(path, sizeof path, "tests/golden/quants/%s.%s", type, ext);
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(dst, 1, cap, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void test_goldens(void)
{
    static const char *const names[] = { "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",   "Q5_1",   "Q8_0", "Q2_K",
                                         "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4" };
    enum { N = 4096 };
    static uint8_t blocks[N * 4];
    static float want[N], got[N + 1];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const int type = goss_type_by_name(names[i]);
        CHECK_INT(read_file(names[i], "f32", want, sizeof want), sizeof want);
        CHECK_INT(read_file(names[i], "blocks", blocks, sizeof blocks), goss_type_row_bytes(type, N));
        got[N] = 1234;
        CHECK_INT(goss_to_float(type, blocks, got, N), 0);
        CHECK(got[N] == 1234);
        int wrong = 0;
        for (int j = 0; j < N; j++)
            wrong += memcmp(&got[j], &want[j], 4) != 0;
        if (wrong)
            printf("%s: ", names[i]);
        CHECK_INT(wrong, 0);
    }
}

/* Every half converts back to itself; every float between two halves rounds to the nearer, ties to even. */
static void test_halves(void)
{
    int wrong = 0;
    for (uint32_t h = 0; h < 0x7C00; h++) {
        const float a = goss_f16_to_f32((uint16_t)h),
                    b = h == 0x7BFF ? 65536.0f : goss_f16_to_f32((uint16_t)(h + 1));
        const float mid = (float)(((double)a + b) / 2);
        const uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        wrong += goss_f32_to_f16(a) != h || goss_f32_to_f16(-a) != (h | 0x8000);
        wrong += goss_f32_to_f16(mid) != even;
        wrong += goss_f32_to_f16(nextafterf(mid, 0)) != h || goss_f32_to_f16(nextafterf(mid, 1e9f)) != h + 1;
        wrong += goss_f16_to_f32((uint16_t)(h | 0x8000)) != -a;
    }
    CHECK_INT(wrong, 0);
    CHECK(isinf(goss_f16_to_f32(0x7C00)) && isnan(goss_f16_to_f32(0x7E01)) && goss_f16_to_f32(0xFC00) < 0);
    CHECK(goss_f16_to_f32(1) == 0x1p-24f && goss_f16_to_f32(0x3C00) == 1 && goss_f16_to_f32(0x7BFF) == 65504);
    CHECK(goss_f32_to_f16(INFINITY) == 0x7C00 && goss_f32_to_f16(1e30f) == 0x7C00 &&
          (goss_f32_to_f16(NAN) & 0x7FFF) > 0x7C00);
    CHECK(goss_f32_to_f16(0x1p-26f) == 0 && signbit(goss_f16_to_f32(goss_f32_to_f16(-0.0f))));
    CHECK(goss_f32_to_bf16(1.0f) == 0x3F80 && goss_f32_to_bf16(0x1.01p0f) == 0x3F80 &&
          goss_f32_to_bf16(0x1.03p0f) == 0x3F82);
    CHECK(goss_f32_to_bf16(0x1.010002p0f) == 0x3F81 && goss_f32_to_bf16(3.4e38f) == 0x7F80 &&
          isnan(goss_bf16_to_f32(goss_f32_to_bf16(NAN))));
}

static uint32_t state = 1;
static float next(void)
{
    state = state * 1664525 + 1013904223;
    return (float)(int32_t)state / 2147483648.0f;
}

static void test_round_trip(void)
{
    static const struct { int type; float step;
    } cases[] = { /* largest error in units of the block's largest value */
                  { GOSS_F32, 0 },        { GOSS_F16, 0x1p-11f }, { GOSS_BF16, 0x1p-8f },
                  { GOSS_Q4_0, 0.1255f }, { GOSS_Q4_1, 0.068f },  { GOSS_Q5_0, 0.0628f },
                  { GOSS_Q5_1, 0.034f },  { GOSS_Q8_0, 0.0045f }, { GOSS_IQ4_NL, 0.17f },
                  { GOSS_MXFP4, 0.26f }
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        float x[256], y[256], worst = 0;
        uint8_t b[1024];
        for (int round = 0; round < 200; round++) {
            for (int j = 0; j < 256; j++)
                x[j] = next() * ldexpf(1, round % 18 - 3);
            CHECK_INT(goss_from_float(cases[c].type, x, b, 256), 0);
            CHECK_INT(goss_to_float(cases[c].type, b, y, 256), 0);
            for (int k = 0; k < 256; k += 32) {
                float most = 0;
                for (int j = k; j < k + 32; j++)
                    most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
                for (int j = k; j < k + 32; j++)
                    worst = fabsf(x[j] - y[j]) / most > worst ? fabsf(x[j] - y[j]) / most : worst;
            }
            /* what a type can represent it keeps, or nearly: quantised twice is quantised once */
            uint8_t again[1024];
            if (cases[c].type == GOSS_MXFP4 || cases[c].type <= GOSS_F16 || cases[c].type == GOSS_BF16) {
                goss_from_float(cases[c].type, y, again, 256);
                goss_to_float(cases[c].type, again, x, 256);
                CHECK(!memcmp(x, y, sizeof x) || cases[c].type == GOSS_MXFP4);
            }
        }
        if (worst > cases[c].step)
            printf("%s: error %g\n", goss_type_get(cases[c].type)->name, (double)worst);
        CHECK(worst <= cases[c].step);
        memset(x, 0, sizeof x);
        goss_from_float(cases[c].type, x, b, 256);
        goss_to_float(cases[c].type, b, y, 256);
        for (int j = 0; j < 256; j++)
            CHECK(y[j] == 0);
        for (int j = 0; j < 256; j++) /* nothing undefined happens on these */
            x[j] = j % 5 == 0 ? NAN : j % 7 == 0 ? INFINITY : -1e38f;
        CHECK_INT(goss_from_float(cases[c].type, x, b, 256), 0);
    }
}

static void test_mxfp4_example(void) /* REFERENCE 7.1 */
{
    const uint8_t b[17] = { 0x7E, 0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE };
    const float low[8] = { 0, .5f, 1, 2, 0, -.5f, -1, -2 },
                high[8] = { .25f, .75f, 1.5f, 3, -.25f, -.75f, -1.5f, -3 };
    float y[32];
    goss_to_float(GOSS_MXFP4, b, y, 32);
    for (int j = 0; j < 8; j++)
        CHECK(y[j] == low[j] && y[j + 16] == high[j]);
    const uint8_t small[17] = { 0, 1 }, small1[17] = { 1, 1 }, big[17] = { 254, 1 };
    goss_to_float(GOSS_MXFP4, small, y, 32);
    CHECK(y[0] == 0x1p-128f);
    goss_to_float(GOSS_MXFP4, small1, y, 32);
    CHECK(y[0] == 0x1p-127f);
    goss_to_float(GOSS_MXFP4, big, y, 32);
    CHECK(y[0] == 0x1p126f);
}

static void test_geometry(void)
{
    CHECK(goss_type_get(4) == NULL && goss_type_get(31) == NULL && goss_type_get(36) == NULL &&
          goss_type_get(43) == NULL && goss_type_get(-1) == NULL);
    CHECK_INT(goss_type_by_name("MXFP4"), 39);
    CHECK_INT(goss_type_by_name("nope"), -1);
    CHECK_INT(goss_type_row_bytes(GOSS_MXFP4, 2880), 1530);
    CHECK_INT(goss_type_row_bytes(GOSS_Q8_0, 4096), 4352);
    CHECK_INT(goss_type_row_bytes(GOSS_Q4_K, 2880), 0);
    CHECK_INT(goss_type_row_bytes(GOSS_F32, 0), 0);
    CHECK_INT(goss_type_row_bytes(GOSS_F32, -4), 0);
    CHECK_INT(goss_type_row_bytes(GOSS_F64, INT64_MAX), 0);
    float x[256] = { 0 };
    CHECK_INT(goss_to_float(GOSS_IQ2_XXS, x, x, 256), GOSS_EUNSUPPORTED);
    CHECK_INT(goss_from_float(GOSS_Q6_K, x, x, 256), GOSS_EUNSUPPORTED);
}

int main(void)
{
    test_goldens();
    test_halves();
    test_round_trip();
    test_mxfp4_example();
    test_geometry();
    return unit_done("quant");
}
