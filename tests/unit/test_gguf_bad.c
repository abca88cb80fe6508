/* test_gguf_bad.c - bad GGUF files: each field wrong, each length and count huge, each offset outside,
 * overlapping or misaligned, names and keys twice, and one sound file cut at every byte. Each must end in one
 * clean sentence with a position, without a crash, a read outside the bytes (they lie in a block of exact
 * size, which sanitizers guard) or memory beyond the file's size, and the same however the bytes arrive. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/gguf.h"
#include "unit.h"
#include <stdlib.h>

/* ---- building files field by field --------------------------------------------------------------- */
enum { DATA = 4096 };
struct file { goss_buf b; };

static void put(struct file *f, uint64_t v, int size)
{
    for (int i = 0; i < size; i++)
        goss_buf_append(&f->b, &(uint8_t){ (uint8_t)(v >> 8 * i) }, 1);
}
static void put_str(struct file *f, const char *s)
{
    put(f, strlen(s), 8);
    goss_buf_str(&f->b, s);
}
static void start(struct file *f, uint64_t n_tensors, uint64_t n_kv)
{
    f->b = GOSS_BUF(1 << 24);
    goss_buf_str(&f->b, "GGUF");
    put(f, 3, 4);
    put(f, n_tensors, 8);
    put(f, n_kv, 8);
}
static void kv_u32(struct file *f, const char *key, uint32_t v)
{
    put_str(f, key);
    put(f, GOSS_KV_U32, 4);
    put(f, v, 4);
}
static void kv_array(struct file *f, const char *key, uint32_t elem_type, uint64_t n)
{
    put_str(f, key);
    put(f, GOSS_KV_ARRAY, 4);
    put(f, elem_type, 4);
    put(f, n, 8);
}
static void tensor(struct file *f, const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint32_t type,
                   uint64_t offset)
{
    put_str(f, name);
    put(f, n_dims, 4);
    for (uint32_t i = 0; i < n_dims && i < 8; i++)
        put(f, i == 0 ? a : i == 1 ? b : 1, 8);
    put(f, type, 4);
    put(f, offset, 8);
}
static void data(struct file *f)
{
    while (f->b.len % 32)
        put(f, 0, 1);
    for (int i = 0; i < DATA; i++)
        put(f, (uint64_t)i, 1);
}

/* A sound file with every kind of value, three tensors. */
static void sound(struct file *f)
{
    static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    start(f, 3, 18);
    put_str(f, "general.architecture");
    put(f, GOSS_KV_STRING, 4);
    put_str(f, "test");
    kv_u32(f, "general.alignment", 32);
    for (uint32_t t = 0; t <= GOSS_KV_F64; t++) {
        if (!sizes[t])
            continue;
        put_str(f, (char[2]){ (char)('a' + t), 0 });
        put(f, t, 4);
        put(f, 1, sizes[t]);
    }
    kv_array(f, "array.str", GOSS_KV_STRING, 2);
    put_str(f, "one");
    put_str(f, "");
    kv_array(f, "array.i16", GOSS_KV_I16, 3);
    put(f, 0x000100020003, 6);
    kv_array(f, "array.bool", GOSS_KV_BOOL, 2);
    put(f, 1, 2);
    kv_array(f, "array.none", GOSS_KV_F64, 0);
    kv_u32(f, "last", 9);
    tensor(f, "t.one", 2, 32, 4, GOSS_F32, 0);
    tensor(f, "t.two", 1, 64, 1, GOSS_Q8_0, 512);
    tensor(f, "t.three", 4, 256, 2, GOSS_Q6_K, 608);
    data(f);
}

/* ---- the one check that every bad file goes through ---------------------------------------------- */
static int n_bad;

static void check_sentence(const char *label, const goss_error *e, uint64_t size)
{
    const size_t n = strlen(e->text);
    const int ok = n > 20 && n < sizeof e->text - 1 && e->text[n - 1] == '.' && e->position >= 0 &&
                   (uint64_t)e->position <= size && goss_utf8_valid((const uint8_t *)e->text, n) &&
                   !strchr(e->text, '\n');
    if (!ok)
        printf("%s: position %lld, \"%s\"\n", label, (long long)e->position, e->text);
    CHECK(ok);
}

static void check_bad(const char *label, const uint8_t *bytes, size_t n, uint64_t file_size, int code)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (n > 0)
        memcpy(exact, bytes, n);
    goss_error e = { 0 };
    goss_gguf g;
    uint64_t want = 0;
    const uint64_t live = goss_mem_get_stats().n_live, bytes_live = goss_mem_get_stats().bytes_live;
    goss_mem_reset_peak();
    const int rc = goss_gguf_parse(&g, exact, n, file_size, &want, &e);
    if (rc != code)
        printf("%s: %d, should be %d: %s\n", label, rc, code, rc ? e.text : "accepted");
    CHECK_INT(rc, code);
    if (rc < 0 && rc != GOSS_EAGAIN)
        check_sentence(label, &e, file_size);
    goss_gguf_free(&g);
    CHECK(goss_mem_get_stats().bytes_peak - bytes_live <= file_size);
    CHECK_INT(goss_mem_get_stats().n_live, live);
    /* byte by byte: it asks for more, never for more than the file has, and ends in the same answer */
    for (size_t have = 0, steps = 0; have < n && steps < 3000; steps++) {
        goss_error e2 = { 0 };
        uint8_t *piece = malloc(have ? have : 1);
        if (have > 0)
            memcpy(piece, bytes, have);
        const int rc2 = goss_gguf_parse(&g, piece, have, file_size, &want, &e2);
        CHECK(rc2 == GOSS_EAGAIN ? want > have && want <= file_size
                                 : rc2 == code && e2.position == e.position);
        goss_gguf_free(&g);
        free(piece);
        if (rc2 != GOSS_EAGAIN)
            break;
        have = want;
    }
    free(exact);
    n_bad++;
}

static void bad(const char *label, struct file *f, int code)
{
    check_bad(label, f->b.data, f->b.len, f->b.len, code);
    goss_buf_free(&f->b);
}
#define BAD(label, code, ...)                                \
    do {                                                     \
        struct file *f = &(struct file){ .b = GOSS_BUF(0) }; \
        __VA_ARGS__;                                         \
        bad(label, f, code);                                 \
    } while (0)

/* ---- the corpus ---------------------------------------------------------------------------------- */
static void test_start_fields(void)
{
    BAD("empty", GOSS_EFORMAT, f->b = GOSS_BUF(1));
    BAD("magic", GOSS_EFORMAT, sound(f); f->b.data[3] = 'E');
    BAD("lower-case magic", GOSS_EFORMAT, sound(f); memcpy(f->b.data, "gguf", 4));
    BAD("magic reversed", GOSS_EFORMAT, sound(f); memcpy(f->b.data, "FUGG", 4));
    BAD("version 0", GOSS_EUNSUPPORTED, sound(f); f->b.data[4] = 0);
    BAD("version 1", GOSS_EUNSUPPORTED, sound(f); f->b.data[4] = 1);
    BAD("version 4", GOSS_EUNSUPPORTED, sound(f); f->b.data[4] = 4);
    BAD("big-endian", GOSS_EUNSUPPORTED, sound(f); memcpy(f->b.data + 4, "\0\0\0\3", 4));
    BAD("huge tensor count", GOSS_EFORMAT, start(f, UINT64_MAX, 0); data(f));
    BAD("huge key count", GOSS_EFORMAT, start(f, 0, UINT64_MAX); data(f));
    BAD("counts whose sum overflows", GOSS_EFORMAT, start(f, 1ull << 63, 1ull << 63); data(f));
    BAD("tensor count of 2^59", GOSS_EFORMAT, start(f, 1ull << 59, 0); data(f));
    BAD("key count beyond the bytes", GOSS_EFORMAT, start(f, 0, DATA / 8); data(f));
    BAD("tensor count beyond the bytes", GOSS_EFORMAT, start(f, DATA / 16, 0); data(f));
    BAD("one tensor too many", GOSS_EFORMAT, sound(f); f->b.data[8]++);
    BAD("one key too many", GOSS_EFORMAT, sound(f); f->b.data[16]++);
    BAD("one key too few", GOSS_EFORMAT, sound(f); f->b.data[16]--);
}

static void test_keys(void)
{
    BAD("empty key", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "", 1); data(f));
    BAD("key not UTF-8", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "a\xFF", 1); data(f));
    BAD("key with a line feed", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "a\nb", 1); data(f));
    BAD("key with an escape", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "a\x1b[2J", 1); data(f));
    BAD("key twice", GOSS_EFORMAT, start(f, 0, 2); kv_u32(f, "a", 1); kv_u32(f, "a", 1); data(f));
    BAD("key twice, others between", GOSS_EFORMAT, start(f, 0, 4); kv_u32(f, "x", 1); kv_u32(f, "b", 1);
        kv_u32(f, "a", 2); kv_u32(f, "x", 3); data(f));
    BAD("key length huge", GOSS_EFORMAT, start(f, 0, 1); put(f, UINT64_MAX, 8); data(f));
    BAD("key length 2^63", GOSS_EFORMAT, start(f, 0, 1); put(f, 1ull << 63, 8); data(f));
    BAD("key length one beyond", GOSS_EFORMAT, start(f, 0, 1); put(f, DATA + 1, 8); data(f));
    BAD("key of 65,536 bytes", GOSS_EFORMAT, start(f, 0, 1); put(f, 65536, 8);
        for (int i = 0; i < 65536; i++) put(f, 'k', 1); put(f, GOSS_KV_U8, 4); put(f, 1, 1));
}

static void test_values(void)
{
    BAD("type 13", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, 13, 4); data(f));
    BAD("type 2^31", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, 1u << 31, 4); data(f));
    BAD("type -1", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, UINT32_MAX, 4); data(f));
    BAD("boolean 2", GOSS_EFORMAT, start(f, 0, 1);
        put_str(f, "k"); put(f, GOSS_KV_BOOL, 4); put(f, 2, 1); data(f));
    BAD("boolean 255", GOSS_EFORMAT, start(f, 0, 1);
        put_str(f, "k"); put(f, GOSS_KV_BOOL, 4); put(f, 255, 1); data(f));
    BAD("boolean 2 in an array", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", GOSS_KV_BOOL, 3);
        put(f, 0x020001, 3); data(f));
    BAD("string length huge", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, GOSS_KV_STRING, 4);
        put(f, UINT64_MAX, 8); data(f));
    BAD("string length wraps", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, GOSS_KV_STRING, 4);
        put(f, UINT64_MAX - 40, 8); data(f));
    BAD("string one too long", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "k"); put(f, GOSS_KV_STRING, 4);
        put(f, DATA + 32, 8); data(f));
    BAD("array of arrays", GOSS_EUNSUPPORTED, start(f, 0, 1); kv_array(f, "k", GOSS_KV_ARRAY, 1);
        put(f, GOSS_KV_U8, 4); put(f, 1, 8); put(f, 1, 1); data(f));
    BAD("array of type 13", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", 13, 1); data(f));
    BAD("array of type -1", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", UINT32_MAX, 1); data(f));
    BAD("array of bytes, count huge", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", GOSS_KV_U8, UINT64_MAX);
        data(f));
    BAD("array of 8-byte numbers, size wraps to 8", GOSS_EFORMAT, start(f, 0, 1);
        kv_array(f, "k", GOSS_KV_U64, (1ull << 61) + 1); data(f));
    BAD("array of floats, count 2^62", GOSS_EFORMAT, start(f, 0, 1);
        kv_array(f, "k", GOSS_KV_F32, 1ull << 62); data(f));
    BAD("array one beyond", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", GOSS_KV_U8, DATA + 32); data(f));
    BAD("array of strings, count huge", GOSS_EFORMAT, start(f, 0, 1);
        kv_array(f, "k", GOSS_KV_STRING, UINT64_MAX); data(f));
    BAD("array of strings, size wraps", GOSS_EFORMAT, start(f, 0, 1);
        kv_array(f, "k", GOSS_KV_STRING, 1ull << 61); data(f));
    BAD("array of strings, one huge", GOSS_EFORMAT, start(f, 0, 1); kv_array(f, "k", GOSS_KV_STRING, 2);
        put_str(f, "a"); put(f, UINT64_MAX - 7, 8); data(f));
    BAD("alignment 0", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "general.alignment", 0); data(f));
    BAD("alignment 33", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "general.alignment", 33); data(f));
    BAD("alignment 2^31", GOSS_EFORMAT, start(f, 0, 1); kv_u32(f, "general.alignment", 1u << 31); data(f));
    BAD("alignment a string", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "general.alignment");
        put(f, GOSS_KV_STRING, 4); put_str(f, "32"); data(f));
    BAD("alignment a float", GOSS_EFORMAT, start(f, 0, 1); put_str(f, "general.alignment");
        put(f, GOSS_KV_F32, 4); put(f, 0x42000000, 4); data(f));
}

#define ONE(label, code, ...) BAD(label, code, start(f, 1, 0); tensor(f, __VA_ARGS__); data(f))

static void test_tensors(void)
{
    static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567890123";
    ONE("tensor without a name", GOSS_EFORMAT, "", 1, 4, 1, GOSS_F32, 0);
    ONE("name of 64 bytes", GOSS_EFORMAT, long_name, 1, 4, 1, GOSS_F32, 0);
    ONE("name not UTF-8", GOSS_EFORMAT, "\xC3(", 1, 4, 1, GOSS_F32, 0);
    ONE("name with a tab", GOSS_EFORMAT, "a\tb", 1, 4, 1, GOSS_F32, 0);
    BAD("name length huge", GOSS_EFORMAT, start(f, 1, 0); put(f, UINT64_MAX, 8); data(f));
    ONE("no dimensions", GOSS_EFORMAT, "t", 0, 0, 0, GOSS_F32, 0);
    ONE("5 dimensions", GOSS_EFORMAT, "t", 5, 4, 4, GOSS_F32, 0);
    ONE("2^32-1 dimensions", GOSS_EFORMAT, "t", UINT32_MAX, 4, 4, GOSS_F32, 0);
    ONE("dimension 0", GOSS_EFORMAT, "t", 2, 0, 4, GOSS_F32, 0);
    ONE("second dimension 0", GOSS_EFORMAT, "t", 2, 4, 0, GOSS_F32, 0);
    ONE("dimension negative", GOSS_EFORMAT, "t", 2, (uint64_t)-4, 4, GOSS_F32, 0);
    ONE("dimension 2^63", GOSS_EFORMAT, "t", 1, 1ull << 63, 1, GOSS_F32, 0);
    ONE("product overflows", GOSS_EFORMAT, "t", 2, 1ull << 32, 1ull << 32, GOSS_F32, 0);
    ONE("bytes overflow", GOSS_EFORMAT, "t", 2, 1ull << 31, 1ull << 31, GOSS_F64, 0);
    ONE("bytes overflow in one row", GOSS_EFORMAT, "t", 1, INT64_MAX, 1, GOSS_F64, 0);
    ONE("type 4, removed", GOSS_EUNSUPPORTED, "t", 1, 32, 1, 4, 0);
    ONE("type 31, removed", GOSS_EUNSUPPORTED, "t", 1, 32, 1, 31, 0);
    ONE("type 43, not known", GOSS_EUNSUPPORTED, "t", 1, 32, 1, 43, 0);
    ONE("type -1", GOSS_EUNSUPPORTED, "t", 1, 32, 1, UINT32_MAX, 0);
    ONE("row not whole blocks", GOSS_EFORMAT, "t", 2, 33, 2, GOSS_Q8_0, 0);
    ONE("row shorter than a block", GOSS_EFORMAT, "t", 2, 128, 2, GOSS_Q4_K, 0);
    ONE("offset misaligned", GOSS_EFORMAT, "t", 1, 4, 1, GOSS_F32, 16);
    ONE("offset at the end", GOSS_EFORMAT, "t", 1, 4, 1, GOSS_F32, DATA);
    ONE("ends beyond the file", GOSS_EFORMAT, "t", 1, 16, 1, GOSS_F32, DATA - 32);
    ONE("offset huge", GOSS_EFORMAT, "t", 1, 4, 1, GOSS_F32, UINT64_MAX - 31);
    ONE("offset wraps into the file", GOSS_EFORMAT, "t", 1, 4, 1, GOSS_F32, UINT64_MAX - 63);
    ONE("larger than the file", GOSS_EFORMAT, "t", 2, 1ull << 20, 1ull << 20, GOSS_F32, 0);
    BAD("two at one offset", GOSS_EFORMAT, start(f, 2, 0);
        tensor(f, "a", 1, 4, 1, GOSS_F32, 0); tensor(f, "b", 1, 4, 1, GOSS_F32, 0); data(f));
    BAD("overlap by one byte", GOSS_EFORMAT, start(f, 2, 0);
        tensor(f, "a", 1, 33, 1, GOSS_I8, 0); tensor(f, "b", 1, 4, 1, GOSS_F32, 32); data(f));
    BAD("overlap, listed backwards", GOSS_EFORMAT, start(f, 2, 0);
        tensor(f, "b", 1, 4, 1, GOSS_F32, 32); tensor(f, "a", 1, 33, 1, GOSS_I8, 0); data(f));
    BAD("one inside another", GOSS_EFORMAT, start(f, 2, 0);
        tensor(f, "a", 1, 1024, 1, GOSS_F32, 0); tensor(f, "b", 1, 4, 1, GOSS_F32, 512); data(f));
    BAD("name twice", GOSS_EFORMAT, start(f, 2, 0);
        tensor(f, "a", 1, 4, 1, GOSS_F32, 0); tensor(f, "a", 1, 4, 1, GOSS_F32, 32); data(f));
    BAD("misaligned for alignment 64", GOSS_EFORMAT, start(f, 1, 1);
        kv_u32(f, "general.alignment", 64); tensor(f, "a", 1, 4, 1, GOSS_F32, 32); data(f));
    BAD("no data section", GOSS_EFORMAT, start(f, 1, 0); tensor(f, "a", 1, 4, 1, GOSS_F32, 0));
}

/* ---- the sound file, cut and bent ---------------------------------------------------------------- */
static void test_cuts(void)
{
    struct file f;
    goss_gguf g;
    goss_error e;
    uint64_t want;
    sound(&f);
    CHECK_INT(goss_gguf_parse(&g, f.b.data, f.b.len, f.b.len, &want, &e), 0);
    const uint64_t header = g.header_bytes, end = g.tensors[2].offset + g.tensors[2].n_bytes;
    CHECK_INT(g.tensors[2].n_bytes, 420);
    goss_gguf_free(&g);
    char label[40];
    for (size_t n = 0; n < header; n++) { /* a file that is truly shorter */
        snprintf(label, sizeof label, "cut at byte %zu", n);
        check_bad(label, f.b.data, n, n, GOSS_EFORMAT);
    }
    for (size_t n = header; n < end; n += 61) {
        snprintf(label, sizeof label, "data cut at byte %zu", n);
        check_bad(label, f.b.data, n, n, GOSS_EFORMAT);
    }
    goss_buf_free(&f.b);
}

/* Every header byte set to nasty values: any answer is right but a crash, a leak, or an unclear sentence. */
static void test_bent(void)
{
    static const uint8_t values[] = { 0, 1, 0x7F, 0x80, 0xFF };
    struct file f;
    sound(&f);
    int refused = 0;
    for (size_t at = 0; at < f.b.len - DATA; at++)
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t *exact = malloc(f.b.len);
            memcpy(exact, f.b.data, f.b.len);
            exact[at] = values[v];
            goss_error e = { 0 };
            goss_gguf g;
            uint64_t want;
            const uint64_t live = goss_mem_get_stats().n_live, bytes_live = goss_mem_get_stats().bytes_live;
            goss_mem_reset_peak();
            const int rc = goss_gguf_parse(&g, exact, f.b.len, f.b.len, &want, &e);
            CHECK(rc == 0 || rc == GOSS_EFORMAT || rc == GOSS_EUNSUPPORTED);
            if (rc)
                check_sentence("bent", &e, f.b.len);
            refused += rc != 0;
            CHECK(goss_mem_get_stats().bytes_peak - bytes_live <= f.b.len);
            goss_gguf_free(&g);
            CHECK_INT(goss_mem_get_stats().n_live, live);
            free(exact);
        }
    CHECK(refused > 800);
    goss_buf_free(&f.b);
}

int main(void)
{
    test_start_fields();
    test_keys();
    test_values();
    test_tensors();
    const int built = n_bad;
    test_cuts();
    test_bent();
    printf("  %d bad files built, %d with the cuts\n", built, n_bad);
    CHECK(built >= 60);
    return unit_done("gguf_bad");
}
