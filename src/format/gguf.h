/* gguf.h - reads GGUF v2 and v3 headers: bytes in, views out. Trusts nothing: every count, length and offset
 * is checked against the bytes there are before it is used, and nothing is allocated before the whole header
 * has been walked once.
 *
 * The header may arrive in pieces (a download): goss_gguf_parse answers GOSS_EAGAIN with how many bytes it
 * wants at least. Strings and arrays are views into the caller's header bytes, which are kept. */
#ifndef GOSS_FORMAT_GGUF_H
#define GOSS_FORMAT_GGUF_H
#include <gossamer.h>
#include "quant.h"

enum { GOSS_GGUF_MAX_RECORDS = 100000 }; /* keys, and tensors, of a file or of all parts */

enum {
    GOSS_KV_U8 = 0,
    GOSS_KV_I8,
    GOSS_KV_U16,
    GOSS_KV_I16,
    GOSS_KV_U32,
    GOSS_KV_I32,
    GOSS_KV_F32,
    GOSS_KV_BOOL,
    GOSS_KV_STRING,
    GOSS_KV_ARRAY,
    GOSS_KV_U64,
    GOSS_KV_I64,
    GOSS_KV_F64
};
typedef struct goss_kvpair {
    goss_str key; int type;
    union { uint64_t u; int64_t i; double f; goss_str str; } v;  /* integers widened; bool in u */
    /* arrays: raw little-endian elements, elem_bytes in all */
    int elem_type; uint64_t n, elem_bytes; const uint8_t *elems;
    uint64_t position;                                           /* of the key in the file */
} goss_kvpair;
typedef struct goss_tensor {
    char name[64];
    int type, n_dims; int64_t ne[4];        /* ne[0] innermost; unused dims are 1 */
    uint64_t offset, n_bytes;               /* offset: absolute in its shard's file */
    int shard;
    uint64_t position;                      /* of its description in its shard's header */
    const uint8_t *data;                    /* its bytes when the file is mapped, else NULL */
} goss_tensor;
typedef struct goss_gguf {
    uint32_t version; uint64_t alignment, data_offset, header_bytes, file_size;
    uint64_t n_kv; goss_kvpair *kv;
    uint64_t n_tensors; goss_tensor *tensors; /* of all shards once they are joined, in file order */
    int n_shards;
} goss_gguf;

/* An unsigned number of `size` bytes, the lowest first. */
static inline uint64_t goss_gguf_little(const uint8_t *p, int size)
{
    uint64_t v = 0;
    for (int i = size - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* Parses the header in bytes[0..n) of a file of file_size. GOSS_EAGAIN: *want says how many bytes are
 * needed (at least). The result must be freed with goss_gguf_free also after failure. */
int goss_gguf_parse(goss_gguf *g, const void *bytes, uint64_t n, uint64_t file_size, uint64_t *want,
                    goss_error *err);
int goss_gguf_check_names(const goss_gguf *g, goss_error *err); /* no two tensors have one name */
void goss_gguf_free(goss_gguf *g);

const goss_kvpair *goss_gguf_find(const goss_gguf *g, const char *key);
/* Typed look-ups: 1 found, 0 absent, negative: there but of another kind (err says so). Any integer type
 * fits that holds the value. */
int goss_gguf_u64(const goss_gguf *g, const char *key, uint64_t *out, goss_error *err);
int goss_gguf_f64(const goss_gguf *g, const char *key, double *out, goss_error *err);
int goss_gguf_bool(const goss_gguf *g, const char *key, int *out, goss_error *err);
int goss_gguf_str(const goss_gguf *g, const char *key, goss_str *out, goss_error *err);
/* Walks an array of strings: *cursor starts at 0. 1: *out is the next, 0: end. */
int goss_gguf_next_str(const goss_kvpair *kv, uint64_t *cursor, goss_str *out);
double goss_gguf_elem(const goss_kvpair *kv, uint64_t i);        /* number i of a numeric array */
const goss_tensor *goss_gguf_tensor(const goss_gguf *g, const char *name);
#endif
