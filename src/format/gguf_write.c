/* gguf_write.c - GGUF v3 headers. Keys and tensors gather in two buffers, since their counts come first in
 * the file; a failed append stays in its buffer and comes out of goss_gguf_writer_finish. */
#include "gguf_write.h"
#include <string.h>

enum { ALIGNMENT = 32, MAX_HEADER = 1 << 30 };

void goss_gguf_writer_init(goss_gguf_writer *w)
{
    *w = (goss_gguf_writer){
        .kv = GOSS_BUF(MAX_HEADER), .tensors = GOSS_BUF(MAX_HEADER), .alignment = ALIGNMENT
    };
}

static void put_uint(goss_buf *b, uint64_t v, int size)
{
    uint8_t bytes[8];
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(v >> 8 * i);
    goss_buf_append(b, bytes, (size_t)size);
}

static void put_string(goss_buf *b, const char *s, uint64_t n)
{
    put_uint(b, n, 8);
    goss_buf_append(b, s, (size_t)n);
}

static void put_key(goss_gguf_writer *w, const char *key, int type)
{
    put_string(&w->kv, key, strlen(key));
    put_uint(&w->kv, (uint64_t)type, 4);
    w->n_kv++;
}

static uint32_t bits(float f)
{
    const union { float f; uint32_t u; } v = { f };
    return v.u;
}

void goss_gguf_put_u32(goss_gguf_writer *w, const char *key, uint32_t v)
{
    put_key(w, key, GOSS_KV_U32);
    put_uint(&w->kv, v, 4);
}

void goss_gguf_put_f32(goss_gguf_writer *w, const char *key, float v)
{
    put_key(w, key, GOSS_KV_F32);
    put_uint(&w->kv, bits(v), 4);
}

void goss_gguf_put_bool(goss_gguf_writer *w, const char *key, int v)
{
    put_key(w, key, GOSS_KV_BOOL);
    put_uint(&w->kv, v != 0, 1);
}

void goss_gguf_put_str(goss_gguf_writer *w, const char *key, const char *s, size_t n)
{
    put_key(w, key, GOSS_KV_STRING);
    put_string(&w->kv, s, n);
}

static void put_array(goss_gguf_writer *w, const char *key, int elem_type, uint64_t n)
{
    put_key(w, key, GOSS_KV_ARRAY);
    put_uint(&w->kv, (uint64_t)elem_type, 4);
    put_uint(&w->kv, n, 8);
}

void goss_gguf_put_strs(goss_gguf_writer *w, const char *key, const goss_str *s, uint64_t n)
{
    put_array(w, key, GOSS_KV_STRING, n);
    for (uint64_t i = 0; i < n; i++)
        put_string(&w->kv, s[i].s, s[i].n);
}

void goss_gguf_put_i32s(goss_gguf_writer *w, const char *key, const int32_t *v, uint64_t n)
{
    put_array(w, key, GOSS_KV_I32, n);
    for (uint64_t i = 0; i < n; i++)
        put_uint(&w->kv, (uint32_t)v[i], 4);
}

void goss_gguf_put_f32s(goss_gguf_writer *w, const char *key, const float *v, uint64_t n)
{
    put_array(w, key, GOSS_KV_F32, n);
    for (uint64_t i = 0; i < n; i++)
        put_uint(&w->kv, bits(v[i]), 4);
}

uint64_t goss_gguf_put_tensor(goss_gguf_writer *w, const char *name, int type, int n_dims, const int64_t *ne)
{
    const uint64_t offset = (w->data_bytes + w->alignment - 1) / w->alignment * w->alignment;
    uint64_t n_bytes = goss_type_row_bytes(type, ne[0]);
    put_string(&w->tensors, name, strlen(name));
    put_uint(&w->tensors, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++) {
        put_uint(&w->tensors, (uint64_t)ne[i], 8);
        if (i > 0)
            n_bytes *= (uint64_t)ne[i];
    }
    put_uint(&w->tensors, (uint64_t)type, 4);
    put_uint(&w->tensors, offset, 8);
    w->n_tensors++;
    w->data_bytes = offset + n_bytes;
    return offset;
}

int goss_gguf_writer_finish(goss_gguf_writer *w, goss_buf *out)
{
    int rc = w->kv.failed ? w->kv.failed : w->tensors.failed;
    const size_t from = out->len;
    if (rc == 0) {
        goss_buf_str(out, "GGUF");
        put_uint(out, 3, 4);
        put_uint(out, w->n_tensors, 8);
        put_uint(out, w->n_kv, 8);
        goss_buf_append(out, w->kv.data, w->kv.len);
        goss_buf_append(out, w->tensors.data, w->tensors.len);
        while (!out->failed && (out->len - from) % w->alignment)
            put_uint(out, 0, 1);
        rc = out->failed;
    }
    goss_buf_free(&w->kv);
    goss_buf_free(&w->tensors);
    return rc;
}
