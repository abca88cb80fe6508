/* gguf.c - the GGUF header parser.
 *
 *   "GGUF" | u32 version | u64 n_tensors | u64 n_kv | n_kv x (string key, u32 type, value)
 *          | n_tensors x (string name, u32 n_dims, u64 ne[n_dims], u32 type, u64 offset) | padding | tensor
 * data
 *
 * The header is walked twice. The first walk checks every field and stores nothing; only a header that is
 * whole and sound so far is walked again to fill the arrays, whose sizes are then known. So a hostile count
 * or length allocates nothing. The second walk makes all the checks again: a mapped file may have changed in
 * between.
 *
 * Reading goes through struct reader, whose `rc` stays set once something failed: the walkers check it once a
 * record. What needs all records at once (duplicates, overlaps) is found by sorting indices, since n log n
 * holds for any input. */
#include "gguf.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/utf8.h"
#include <string.h>

enum {
    MAX_KEY = 65535,
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
    MIN_KV = 13,
    MIN_TENSOR = 33
};

struct reader {
    const uint8_t *bytes;
    uint64_t n, file_size, pos, want;
    goss_error *err;
    int rc;
    goss_tensor farthest;       /* the tensor that ends last, and where in the data section */
    uint64_t farthest_end;
};

/* ---- fields -------------------------------------------------------------------------------------- */
/* Are there k more bytes? In the file at all, and here already? */
static int need(struct reader *r, uint64_t k, const char *what)
{
    if (r->rc)
        return 0;
    if (k > r->file_size - r->pos) {
        r->rc = goss_fail(r->err, GOSS_EFORMAT, (int64_t)r->pos,
                          "The GGUF file ends inside %s at byte %llu: it is cut off or damaged.", what,
                          (unsigned long long)r->pos);
        return 0;
    }
    if (k > r->n - r->pos) {
        r->want = r->pos + k;
        r->rc = GOSS_EAGAIN;
        return 0;
    }
    return 1;
}

static uint64_t read_uint(struct reader *r, int size, const char *what)
{
    if (!need(r, (uint64_t)size, what))
        return 0;
    r->pos += (uint64_t)size;
    return goss_gguf_little(r->bytes + r->pos - size, size);
}

static goss_str read_str(struct reader *r, const char *what)
{
    const uint64_t n = read_uint(r, 8, what);
    if (!need(r, n, what))
        return (goss_str){ 0 };
    r->pos += n;
    return (goss_str){ (const char *)r->bytes + r->pos - n, n };
}

/* Names go into messages and look-ups: valid UTF-8 without control characters. */
static goss_str read_name(struct reader *r, uint64_t most, const char *what)
{
    const uint64_t at = r->pos;
    const goss_str s = read_str(r, what);
    if (r->rc)
        return s;
    int bad = s.n == 0 || s.n > most || !goss_utf8_valid((const uint8_t *)s.s, (size_t)s.n);
    for (uint64_t i = 0; !bad && i < s.n; i++)
        bad = (uint8_t)s.s[i] < 0x20 || s.s[i] == 0x7F;
    if (bad)
        r->rc = goss_fail(
            r->err, GOSS_EFORMAT, (int64_t)at,
            "The GGUF file has %s at byte %llu that is empty, longer than %llu bytes or not clean UTF-8.",
            what, (unsigned long long)at, (unsigned long long)most);
    return s;
}

static int value_size(int type) /* 0: not of fixed size, or no such type */
{
    static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type >= 0 && type <= GOSS_KV_F64 ? sizes[type] : 0;
}

/* ---- key-value pairs ----------------------------------------------------------------------------- */
static void bad_value(struct reader *r, int code, uint64_t at, goss_str key, const char *what)
{
    if (r->rc == 0)
        r->rc = goss_fail(r->err, code, (int64_t)at, "The GGUF key \"%.*s\" has %s at byte %llu.",
                          (int)(key.n < 64 ? key.n : 64), key.s, what, (unsigned long long)at);
}

static void decode_scalar(goss_kvpair *kv, const uint8_t *p, int size)
{
    const uint64_t u = goss_gguf_little(p, size);
    union { uint32_t u; float f; } f32 = { (uint32_t)u };
    switch (kv->type) {
    case GOSS_KV_I8: kv->v.i = (int8_t)u; break;
    case GOSS_KV_I16: kv->v.i = (int16_t)u; break;
    case GOSS_KV_I32: kv->v.i = (int32_t)u; break;
    case GOSS_KV_F32: kv->v.f = (double)f32.f; break;
    default: kv->v.u = u; /* unsigned, bool; i64 and f64 by their bits */
    }
}

static void read_scalar(struct reader *r, goss_kvpair *kv)
{
    const uint64_t at = r->pos;
    const int size = value_size(kv->type);
    if (!need(r, (uint64_t)size, "a value"))
        return;
    decode_scalar(kv, r->bytes + at, size);
    r->pos += (uint64_t)size;
    if (kv->type == GOSS_KV_BOOL && kv->v.u > 1)
        bad_value(r, GOSS_EFORMAT, at, kv->key, "a boolean that is neither 0 nor 1");
}

static void skip_elements(struct reader *r, const goss_kvpair *kv)
{
    const int size = value_size(kv->elem_type);
    uint64_t bytes;
    if (size > 0) {
        if (goss_mul_u64(kv->n, (uint64_t)size, &bytes))
            bytes = UINT64_MAX;
        if (!need(r, bytes, "an array"))
            return;
        for (uint64_t i = 0; kv->elem_type == GOSS_KV_BOOL && i < kv->n; i++)
            if (r->bytes[r->pos + i] > 1)
                bad_value(r, GOSS_EFORMAT, r->pos + i, kv->key, "a boolean that is neither 0 nor 1");
        r->pos += bytes;
        return;
    }
    if (goss_mul_u64(kv->n, 8, &bytes))
        bytes = UINT64_MAX;
    need(r, bytes, "an array of strings"); /* each has at least its length */
    for (uint64_t i = 0; i < kv->n && !r->rc; i++)
        read_str(r, "an array of strings");
}

static void read_array(struct reader *r, goss_kvpair *kv)
{
    const uint64_t at = r->pos;
    kv->elem_type = (int)(uint32_t)read_uint(r, 4, "an array");
    kv->n = read_uint(r, 8, "an array");
    if (r->rc)
        return;
    if (kv->elem_type == GOSS_KV_ARRAY)
        bad_value(r, GOSS_EUNSUPPORTED, at, kv->key, "an array of arrays, which no supported model uses,");
    else if (kv->elem_type != GOSS_KV_STRING && value_size(kv->elem_type) == 0)
        bad_value(r, GOSS_EFORMAT, at, kv->key, "an array of an unknown type");
    const uint64_t from = r->pos;
    skip_elements(r, kv);
    kv->elems = r->bytes + from;
    kv->elem_bytes = r->pos - from;
}

static void read_kv(struct reader *r, goss_kvpair *kv)
{
    *kv = (goss_kvpair){ .position = r->pos };
    kv->key = read_name(r, MAX_KEY, "a key");
    const uint64_t at = r->pos;
    kv->type = (int)(uint32_t)read_uint(r, 4, "a key's type");
    if (r->rc)
        return;
    if (kv->type == GOSS_KV_STRING)
        kv->v.str = read_str(r, "a string");
    else if (kv->type == GOSS_KV_ARRAY)
        read_array(r, kv);
    else if (value_size(kv->type) > 0)
        read_scalar(r, kv);
    else
        bad_value(r, GOSS_EFORMAT, at, kv->key, "a value of an unknown type");
}

static void check_alignment(struct reader *r, goss_gguf *g, const goss_kvpair *kv)
{
    if (r->rc || kv->key.n != 17 || memcmp(kv->key.s, "general.alignment", 17))
        return;
    const int kind_ok = kv->type == GOSS_KV_U32 || kv->type == GOSS_KV_U64 || kv->type == GOSS_KV_U16;
    const uint64_t a = kind_ok ? kv->v.u : 0;
    if (a == 0 || a > MAX_ALIGNMENT || (a & (a - 1)))
        bad_value(r, GOSS_EFORMAT, kv->position, kv->key,
                  "a value that is not a power of two up to 1048576,");
    else
        g->alignment = a;
}

/* ---- tensors ------------------------------------------------------------------------------------- */
static void bad_tensor(struct reader *r, int code, uint64_t at, const goss_tensor *t, const char *what)
{
    if (r->rc == 0)
        r->rc = goss_fail(r->err, code, (int64_t)at, "The tensor \"%s\", described at byte %llu, has %s.",
                          t->name, (unsigned long long)at, what);
}

/* n_bytes = bytes of a row times the number of rows; the number of elements must fit an int64 too. */
static void measure(struct reader *r, goss_tensor *t, uint64_t at)
{
    const goss_type_info *type = goss_type_get(t->type);
    if (!type) {
        bad_tensor(r, GOSS_EUNSUPPORTED, at, t, "a type that is not known");
        return;
    }
    if (t->ne[0] % type->block) {
        bad_tensor(r, GOSS_EFORMAT, at, t, "rows that are not whole blocks of its type");
        return;
    }
    int64_t elements = t->ne[0];
    int overflow = 0;
    for (int i = 1; i < 4; i++)
        overflow |= __builtin_mul_overflow(elements, t->ne[i], &elements);
    t->n_bytes = overflow ? 0 : goss_type_row_bytes(t->type, t->ne[0]);
    for (int i = 1; i < 4 && !overflow; i++)
        overflow |= goss_mul_u64(t->n_bytes, (uint64_t)t->ne[i], &t->n_bytes);
    if (overflow || t->n_bytes == 0)
        bad_tensor(r, GOSS_EFORMAT, at, t, "a size beyond 64 bits");
}

/* Aligned, and not so far out that its end overflows; whether it ends inside the file is known when the
 * header's end is. */
static void place(struct reader *r, const goss_gguf *g, const goss_tensor *t)
{
    uint64_t end;
    if (t->offset % g->alignment)
        bad_tensor(r, GOSS_EFORMAT, t->position, t, "an offset that is not a multiple of the alignment");
    else if (goss_add_u64(t->offset, t->n_bytes, &end))
        bad_tensor(r, GOSS_EFORMAT, t->position, t, "an offset beyond 64 bits");
    else if (end > r->farthest_end) {
        r->farthest = *t;
        r->farthest_end = end;
    }
}

static void read_tensor(struct reader *r, const goss_gguf *g, goss_tensor *t)
{
    const uint64_t at = r->pos;
    *t = (goss_tensor){ .ne = { 1, 1, 1, 1 }, .position = at };
    const goss_str name = read_name(r, sizeof t->name - 1, "a tensor's name");
    if (r->rc)
        return;
    memcpy(t->name, name.s, (size_t)name.n);
    const uint64_t n_dims = read_uint(r, 4, "a tensor's description");
    if (r->rc)
        return;
    if (n_dims < 1 || n_dims > 4) {
        bad_tensor(r, GOSS_EFORMAT, at, t, "not 1 to 4 dimensions");
        return;
    }
    t->n_dims = (int)n_dims;
    for (int i = 0; i < t->n_dims; i++) {
        t->ne[i] = (int64_t)read_uint(r, 8, "a tensor's description");
        if (t->ne[i] <= 0)
            bad_tensor(r, GOSS_EFORMAT, at, t, "an empty or negative dimension");
    }
    t->type = (int)(uint32_t)read_uint(r, 4, "a tensor's description");
    t->offset = read_uint(r, 8, "a tensor's description");
    if (!r->rc)
        measure(r, t, at);
    if (!r->rc)
        place(r, g, t);
}

/* ---- the walk ------------------------------------------------------------------------------------ */
static void read_start(struct reader *r, goss_gguf *g)
{
    if (!need(r, 4, "its first four bytes"))
        return;
    if (memcmp(r->bytes, "GGUF", 4)) {
        r->rc = goss_fail(r->err, GOSS_EFORMAT, 0,
                          "This is not a GGUF file: it does not begin with the letters GGUF.");
        return;
    }
    r->pos = 4;
    g->version = (uint32_t)read_uint(r, 4, "its version");
    if (!r->rc && g->version != 2 && g->version != 3) {
        const char *why = (g->version & 0xFFFF) == 0 && g->version ? "is for big-endian machines"
                                                                   : "has a version that is not supported";
        r->rc = goss_fail(r->err, GOSS_EUNSUPPORTED, 4,
                          "This GGUF file %s (version %u at byte 4): versions 2 and 3 are.", why, g->version);
    }
    const uint64_t n_tensors = read_uint(r, 8, "its count of tensors"),
                   n_kv = read_uint(r, 8, "its count of keys");
    if (r->rc)
        return;
    const uint64_t left = r->file_size - r->pos;
    if (n_tensors > GOSS_GGUF_MAX_RECORDS || n_kv > GOSS_GGUF_MAX_RECORDS ||
        n_kv * MIN_KV + n_tensors * MIN_TENSOR > left) {
        const int tensors = n_tensors > GOSS_GGUF_MAX_RECORDS || n_tensors * MIN_TENSOR > left;
        r->rc = goss_fail(r->err, GOSS_EFORMAT, tensors ? 8 : 16,
                          "The GGUF header claims %llu tensors and %llu keys, more than the file can hold.",
                          (unsigned long long)n_tensors, (unsigned long long)n_kv);
    }
    if ((g->kv || g->tensors) && (n_tensors != g->n_tensors || n_kv != g->n_kv))
        r->rc = goss_fail(r->err, GOSS_EIO, 8, "The GGUF file changed while it was being read.");
    g->n_tensors = n_tensors;
    g->n_kv = n_kv;
}

/* Walks the header; stores records where g has arrays for them. */
static int walk(struct reader *r, goss_gguf *g)
{
    goss_kvpair one_kv;
    goss_tensor one_tensor;
    r->pos = r->farthest_end = 0;
    g->alignment = DEFAULT_ALIGNMENT;
    read_start(r, g);
    for (uint64_t i = 0; i < g->n_kv && !r->rc; i++) {
        goss_kvpair *kv = g->kv ? &g->kv[i] : &one_kv;
        read_kv(r, kv);
        check_alignment(r, g, kv);
    }
    for (uint64_t i = 0; i < g->n_tensors && !r->rc; i++)
        read_tensor(r, g, g->tensors ? &g->tensors[i] : &one_tensor);
    g->header_bytes = r->pos;
    g->data_offset = (r->pos + g->alignment - 1) / g->alignment * g->alignment;
    if (r->rc == 0 && r->farthest_end > 0 &&
        (g->data_offset > r->file_size || r->farthest_end > r->file_size - g->data_offset))
        r->rc = goss_fail(
            r->err, GOSS_EFORMAT, (int64_t)r->farthest.position,
            "The tensor \"%s\", described at byte %llu, ends beyond the file's %llu bytes: it is cut off or damaged.",
            r->farthest.name, (unsigned long long)r->farthest.position, (unsigned long long)r->file_size);
    return r->rc;
}

/* ---- checks over all records --------------------------------------------------------------------- */
static void in_order(uint32_t *index, uint64_t n, goss_order_fn order, const void *records)
{
    for (uint32_t i = 0; i < n; i++)
        index[i] = i;
    goss_order(index, (uint32_t)n, order, records);
}

static int order_keys(const void *records, uint32_t a, uint32_t b)
{
    const goss_str x = ((const goss_kvpair *)records)[a].key, y = ((const goss_kvpair *)records)[b].key;
    const int c = memcmp(x.s, y.s, (size_t)(x.n < y.n ? x.n : y.n));
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static int order_names(const void *records, uint32_t a, uint32_t b)
{
    const goss_tensor *t = records;
    return strcmp(t[a].name, t[b].name);
}

static int order_places(const void *records, uint32_t a, uint32_t b)
{
    const goss_tensor *x = (const goss_tensor *)records + a, *y = (const goss_tensor *)records + b;
    if (x->shard != y->shard)
        return x->shard - y->shard;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int check_keys(const goss_gguf *g, uint32_t *index, goss_error *err)
{
    in_order(index, g->n_kv, order_keys, g->kv);
    for (uint64_t i = 1; i < g->n_kv; i++)
        if (order_keys(g->kv, index[i - 1], index[i]) == 0) {
            const goss_kvpair *a = &g->kv[index[i - 1]], *b = &g->kv[index[i]],
                              *late = a->position > b->position ? a : b;
            return goss_fail(err, GOSS_EFORMAT, (int64_t)late->position,
                             "The GGUF key \"%.*s\" at byte %llu was there before.",
                             (int)(late->key.n < 64 ? late->key.n : 64), late->key.s,
                             (unsigned long long)late->position);
        }
    return 0;
}

static int check_names(const goss_gguf *g, uint32_t *index, goss_error *err)
{
    in_order(index, g->n_tensors, order_names, g->tensors);
    for (uint64_t i = 1; i < g->n_tensors; i++) {
        const goss_tensor *t = &g->tensors[index[i]];
        if (order_names(g->tensors, index[i - 1], index[i]) == 0)
            return goss_fail(err, GOSS_EFORMAT, (int64_t)t->position,
                             "Two tensors are named \"%s\", one of them at byte %llu.", t->name,
                             (unsigned long long)t->position);
    }
    return 0;
}

/* Offsets become absolute (every end was found inside the file), and nothing may be shared. */
static int check_places(const goss_gguf *g, uint32_t *index, goss_error *err)
{
    for (uint64_t i = 0; i < g->n_tensors; i++)
        g->tensors[i].offset += g->data_offset;
    in_order(index, g->n_tensors, order_places, g->tensors);
    for (uint64_t i = 1; i < g->n_tensors; i++) {
        const goss_tensor *a = &g->tensors[index[i - 1]], *b = &g->tensors[index[i]];
        if (a->offset + a->n_bytes > b->offset)
            return goss_fail(err, GOSS_EFORMAT, (int64_t)b->offset,
                             "The tensors \"%s\" and \"%s\" overlap at byte %llu.", a->name, b->name,
                             (unsigned long long)b->offset);
    }
    return 0;
}

static int check_all(goss_gguf *g, goss_error *err)
{
    const uint64_t n = g->n_kv > g->n_tensors ? g->n_kv : g->n_tensors;
    uint32_t *index = goss_mem_array((size_t)n, sizeof *index);
    if (n > 0 && !index)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to read the GGUF header.");
    int rc = check_keys(g, index, err);
    if (rc == 0)
        rc = check_names(g, index, err);
    if (rc == 0)
        rc = check_places(g, index, err);
    goss_mem_free(index);
    return rc;
}

static int allocate(goss_gguf *g, goss_error *err)
{
    if (g->n_kv > 0)
        g->kv = goss_mem_array((size_t)g->n_kv, sizeof *g->kv);
    if (g->n_tensors > 0)
        g->tensors = goss_mem_array((size_t)g->n_tensors, sizeof *g->tensors);
    if ((g->n_kv > 0 && !g->kv) || (g->n_tensors > 0 && !g->tensors))
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to read the GGUF header.");
    return 0;
}

int goss_gguf_parse(goss_gguf *g, const void *bytes, uint64_t n, uint64_t file_size, uint64_t *want,
                    goss_error *err)
{
    struct reader r = {
        .bytes = bytes, .n = n < file_size ? n : file_size, .file_size = file_size, .err = err
    };
    *g = (goss_gguf){ .file_size = file_size, .n_shards = 1 };
    *want = 0;
    int rc = walk(&r, g);
    if (rc == 0)
        rc = allocate(g, err);
    if (rc == 0)
        rc = walk(&r, g);
    if (rc == 0)
        rc = check_all(g, err);
    *want = r.want;
    if (rc) {
        goss_gguf_free(g);
        return rc;
    }
    for (uint64_t i = 0; i < g->n_tensors && r.n == file_size; i++)
        g->tensors[i].data = r.bytes + g->tensors[i].offset;
    return 0;
}

int goss_gguf_check_names(const goss_gguf *g, goss_error *err)
{
    uint32_t *index = goss_mem_array((size_t)g->n_tensors, sizeof *index);
    if (g->n_tensors > 0 && !index)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to compare the tensors' names.");
    const int rc = check_names(g, index, err);
    goss_mem_free(index);
    return rc;
}

void goss_gguf_free(goss_gguf *g)
{
    goss_mem_free(g->kv);
    goss_mem_free(g->tensors);
    *g = (goss_gguf){ 0 };
}
