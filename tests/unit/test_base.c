/* test_base.c - errors, memory, buffers, arena, owned memory, order, UTF-8, SHA-256, the system layer. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/os.h"
#include "base/owned.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "base/utf8_stream.h"
#include "unit.h"
#include <stdlib.h>
#include <unistd.h>

static void test_error(void)
{
    goss_error e;
    CHECK_STR(goss_error_name(GOSS_EFORMAT), "EFORMAT");
    CHECK_STR(goss_error_name(0), "OK");
    CHECK_STR(goss_error_name(-99), "");
    CHECK_INT(goss_fail(NULL, GOSS_EIO, 3, "x"), GOSS_EIO);
    CHECK_INT(goss_fail(&e, GOSS_ELIMIT, 77, "a %d b %s", 5, "c"), GOSS_ELIMIT);
    CHECK_STR(e.text, "a 5 b c");
    CHECK_INT(e.position, 77);
    CHECK_INT(e.code, GOSS_ELIMIT);
    char wide[400];
    for (int shift = 0; shift < 4; shift++) { /* cut at a whole character wherever the cut falls */
        memset(wide, 'x', sizeof wide);
        for (int i = shift; i + 3 < 399; i += 3)
            memcpy(wide + i, "\xE2\x82\xAC", 3);
        wide[399] = 0;
        goss_fail(&e, GOSS_EIO, -1, "%s", wide);
        CHECK(strlen(e.text) <= 231 && strlen(e.text) >= 228);
        CHECK(goss_utf8_valid((const uint8_t *)e.text, strlen(e.text)));
    }
    goss_fail(&e, GOSS_EIO, -1, "\"%.4s\" and %s.", "\xE2\x82\xAC\xE2\x82\xAC", "\xFFz\x80\xC3");
    CHECK_STR(e.text, "\"\xE2\x82\xAC\" and z."); /* what is quoted is cut, or no text at all */
}

static void test_mem(void)
{
    const goss_mem_stats before = goss_mem_get_stats();
    uint8_t *p[50];
    for (int i = 0; i < 50; i++) {
        p[i] = goss_mem_alloc((size_t)i * 37 + 1);
        CHECK(p[i] && (uintptr_t)p[i] % 64 == 0 && p[i][0] == 0 && p[i][i * 37] == 0);
        memset(p[i], 0xAA, (size_t)i * 37 + 1);
    }
    CHECK_INT(goss_mem_get_stats().n_live - before.n_live, 50);
    p[3] = goss_mem_grow(p[3], 3 * 37 + 1, 5000);
    CHECK(p[3][3 * 37] == 0xAA && p[3][3 * 37 + 1] == 0 && p[3][4999] == 0);
    goss_mem_fail_at(1);
    CHECK(goss_mem_grow(p[3], 5000, 9000) == NULL);
    CHECK(p[3][0] == 0xAA);
    for (int i = 0; i < 50; i++)
        goss_mem_free(p[i]);
    goss_mem_free(NULL);
    CHECK(goss_mem_alloc(0) == NULL);
    CHECK(goss_mem_alloc(SIZE_MAX - 10) == NULL);
    CHECK(goss_mem_array(SIZE_MAX / 2, 3) == NULL);
    goss_mem_fail_at(2);
    void *a = goss_mem_alloc(1), *b = goss_mem_alloc(1), *c = goss_mem_alloc(1);
    CHECK(a && !b && c);
    goss_mem_free(a);
    goss_mem_free(c);
    uint8_t *big = goss_mem_reserve((size_t)1 << 34);
    CHECK(big && big[123456789] == 0);
    goss_mem_release(big, (size_t)1 << 34);
    const goss_mem_stats after = goss_mem_get_stats();
    CHECK_INT(after.n_live, before.n_live);
    CHECK_INT(after.bytes_live, before.bytes_live);
    CHECK(after.bytes_peak >= (uint64_t)1 << 34);
    goss_mem_reset_peak();
    CHECK_INT(goss_mem_get_stats().bytes_peak, after.bytes_live);
}

static void test_buf(void)
{
    goss_buf b = GOSS_BUF(1000);
    CHECK_STR(goss_buf_cstr(&b), "");
    for (int i = 0; i < 100; i++)
        CHECK_INT(goss_buf_append(&b, "0123456789", 10), 0);
    CHECK_INT(goss_buf_append(&b, "", 0), 0);
    CHECK_INT(strlen(goss_buf_cstr(&b)), 1000);
    CHECK_INT(goss_buf_append(&b, "x", 1), GOSS_ELIMIT);
    CHECK(b.failed);
    CHECK_STR(goss_buf_cstr(&b), "");
    goss_buf_clear(&b);
    CHECK_INT(goss_buf_printf(&b, "%d-%s", 12, "ab"), 0);
    CHECK_STR(goss_buf_cstr(&b), "12-ab");
    goss_buf_clear(&b);
    CHECK_INT(goss_buf_printf(&b, "%0500d", 7), 0);
    CHECK_INT(b.len, 500);
    goss_buf_clear(&b);
    goss_buf_json_string(&b, "a\"\\\n\x01\xC3\xA9\xFF\xE2\x82\0/", 12);
    CHECK_STR(goss_buf_cstr(&b), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\\u0000/\"");
    goss_buf_free(&b);
    goss_mem_fail_at(1);
    CHECK_INT(goss_buf_str(&b, "abc"), GOSS_ENOMEM);
    goss_buf_free(&b);
    uint64_t r;
    CHECK(goss_mul_u64(UINT64_MAX, 2, &r) && !goss_mul_u64(1ull << 32, 1ull << 31, &r) && r == 1ull << 63);
    CHECK(goss_add_u64(UINT64_MAX, 1, &r) && !goss_add_u64(UINT64_MAX, 0, &r));
}

static void test_owned(void)
{
    const uint64_t live = goss_mem_get_stats().n_live;
    goss_owned *owned = NULL;
    char *first = goss_owned_take(&owned, 0), *pieces[200];
    CHECK(first && !*first);
    for (int i = 0; i < 200; i++) {
        const size_t n = i % 17 == 3 ? 5000 : (size_t)i; /* some get a block of their own */
        pieces[i] = goss_owned_take(&owned, n);
        CHECK(pieces[i] && (uintptr_t)pieces[i] % 16 == 0 && !pieces[i][0] && !pieces[i][n]);
        memset(pieces[i], i, n);
    }
    for (int i = 1; i < 200; i++) CHECK(pieces[i][0] == (char)i && pieces[i][i - 1] == (char)i);
    CHECK_STR(goss_owned_text(&owned, "abc", 2), "ab");
    CHECK(goss_owned_bytes(owned) >= 200 * 199 / 2 + 12 * 5000);
    CHECK(goss_mem_get_stats().n_live < live + 40); /* small ones share blocks */
    CHECK(!goss_owned_take(&owned, SIZE_MAX) && !goss_owned_array(&owned, SIZE_MAX / 2, 3));
    goss_mem_fail_at(1);
    CHECK(!goss_owned_take(&owned, 1 << 20));
    goss_owned_free(&owned);
    CHECK(!owned && goss_mem_get_stats().n_live == live);
}

static int order_ints(const void *records, uint32_t a, uint32_t b)
{
    const int *v = records;
    return (v[a] > v[b]) - (v[a] < v[b]);
}

static void test_order(void)
{
    static int values[1000];
    static uint32_t index[1000];
    for (int n = 0; n <= 1000; n += n < 20 ? 1 : 245) {
        for (int i = 0; i < n; i++) values[i] = i * 7919 % 101, index[i] = (uint32_t)i;
        goss_order(index, (uint32_t)n, order_ints, values);
        for (int i = 1; i < n; i++) CHECK(values[index[i - 1]] <= values[index[i]]);
    }
}

static void test_arena(void)
{
    goss_arena a;
    CHECK_INT(goss_arena_open(&a, 1000), 0);
    uint8_t *x = goss_arena_take(&a, 10), *y = goss_arena_take(&a, 64), *z = goss_arena_take(&a, 1000 - 128);
    CHECK(x && y == x + 64 && z == x + 128 && (uintptr_t)x % 64 == 0);
    CHECK(goss_arena_take(&a, 1) == NULL && goss_arena_take(&a, SIZE_MAX) == NULL);
    memset(x, 7, 10);
    goss_arena_reset(&a);
    CHECK(goss_arena_take(&a, 10) == x && x[0] == 0);
    goss_arena_close(&a);
    goss_mem_fail_at(1);
    CHECK_INT(goss_arena_open(&a, 1000), GOSS_ENOMEM);
    goss_arena_close(&a);
}

static void test_utf8_all_code_points(void)
{
    int wrong = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp < 0xE000)
            continue;
        uint8_t s[4];
        uint32_t back = 0;
        const int n = goss_utf8_encode(cp, s);
        wrong += goss_utf8_decode(s, (size_t)n, &back) != n || back != cp;
        for (int k = 1; k < n; k++)
            wrong += goss_utf8_decode(s, (size_t)k, &back) != 0;
    }
    CHECK_INT(wrong, 0);
}

static void test_utf8_bad(void)
{
    static const struct { const char *s; int n, want;
    } cases[] = {
        { "\x80", 1, -1 },
        { "\xC0\xAF", 2, -1 },
        { "\xC1\xBF", 2, -1 },
        { "\xE0\x9F\xBF", 3, -1 },
        { "\xED\xA0\x80", 3, -1 },
        { "\xF0\x8F\xBF\xBF", 4, -1 },
        { "\xF4\x90\x80\x80", 4, -1 },
        { "\xF5\x80\x80\x80", 4, -1 },
        { "\xFF", 1, -1 },
        { "\xE2\x82"
          "A",
          3, -2 },
        { "\xF0\x9F\x98"
          "A",
          4, -3 },
        { "\xF0\x9F"
          "A",
          3, -2 },
        { "\xC3"
          "A",
          2, -1 },
        { "\xE2", 1, 0 },
        { "\xE2\x82", 2, 0 },
        { "\xF0\x9F\x98", 3, 0 },
        { "", 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t cp;
        CHECK_INT(goss_utf8_decode((const uint8_t *)cases[i].s, (size_t)cases[i].n, &cp), cases[i].want);
    }
    CHECK(goss_utf8_valid((const uint8_t *)"a\xC3\xA9", 3) && !goss_utf8_valid((const uint8_t *)"a\xC3", 2));
}

/* Whatever the pieces are, the stream gives what the whole gives. */
static void test_utf8_stream(void)
{
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xFF\xE2\x82"
                               "b\xF0\x9F\x98"
                               "c\xED\xA0\x80\xE2\x82";
    const size_t n = sizeof text - 1;
    goss_buf whole = GOSS_BUF(1000), parts = GOSS_BUF(1000);
    goss_utf8_stream u = { { 0 }, 0 };
    goss_utf8_push(&u, (const uint8_t *)text, n, 1, &whole);
    CHECK(goss_utf8_valid(whole.data, whole.len));
    CHECK_STR(goss_buf_cstr(&whole), "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD"
                                     "b\xEF\xBF\xBD"
                                     "c"
                                     "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            goss_buf_clear(&parts);
            u.n_tail = 0;
            goss_utf8_push(&u, (const uint8_t *)text, i, 0, &parts);
            CHECK(goss_utf8_valid(parts.data, parts.len));
            goss_utf8_push(&u, (const uint8_t *)text + i, j - i, 0, &parts);
            goss_utf8_push(&u, (const uint8_t *)text + j, n - j, 0, &parts);
            goss_utf8_push(&u, NULL, 0, 1, &parts);
            CHECK(parts.len == whole.len && !memcmp(parts.data, whole.data, whole.len));
        }
    goss_buf_free(&whole);
    goss_buf_free(&parts);
}

static void sha(const char *s, size_t n, size_t piece, char hex[65])
{
    goss_sha256 h;
    uint8_t digest[32];
    goss_sha256_init(&h);
    for (size_t i = 0; i < n; i += piece)
        goss_sha256_update(&h, s + i, n - i < piece ? n - i : piece);
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, hex);
}

static void test_sha256(void) /* vectors of FIPS 180-4 and NIST */
{
    char hex[65], whole[65];
    sha("", 0, 1, hex);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha("abc", 3, 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 7, hex);
    CHECK_STR(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    sha(million, 1000000, 1000, hex);
    CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    for (size_t n = 0; n < 200; n++) { /* every length around the padding, in one piece and in pieces of 13 */
        sha(million, n, n ? n : 1, whole);
        sha(million, n, 13, hex);
        CHECK_STR(hex, whole);
    }
    free(million);
}

static void test_os(void)
{
    goss_error e;
    goss_mapping m;
    CHECK_INT(goss_os_map(&m, "/nonexistent/file", &e), GOSS_ENOENT);
    CHECK_STR(e.text, "Cannot open /nonexistent/file: No such file or directory.");
    CHECK_INT(goss_os_map(&m, "/tmp", &e), GOSS_EIO);
    char path[] = "/tmp/goss-test-XXXXXX";
    const int fd = mkstemp(path);
    CHECK_INT(goss_os_map(&m, path, &e), GOSS_EFORMAT);
    CHECK(write(fd, "hello", 5) == 5);
    CHECK_INT(goss_os_map(&m, path, &e), 0);
    unlink(path);
    CHECK(m.size == 5 && !memcmp(m.data, "hello", 5));
    goss_os_unmap(&m);
    goss_os_unmap(&m);
    close(fd);
    const double t = goss_os_now_ms();
    CHECK(goss_os_now_ms() >= t);
    CHECK(goss_os_unix_time() > 1700000000);
    CHECK(goss_os_cores() >= 1);
    uint64_t available = 0;
    const uint64_t total = goss_os_memory(&available);
    CHECK(total > 1 << 20 && available > 0 && available <= total);
    CHECK_INT(goss_os_cpu_features(), goss_os_cpu_features());
    printf("  %d cores, %llu of %llu MB free, CPU features 0x%x\n", goss_os_cores(),
           (unsigned long long)available >> 20, (unsigned long long)total >> 20, goss_os_cpu_features());
}

int main(void)
{
    test_error();
    test_mem();
    test_buf();
    test_arena();
    test_owned();
    test_order();
    test_utf8_all_code_points();
    test_utf8_bad();
    test_utf8_stream();
    test_sha256();
    test_os();
    return unit_done("base");
}
