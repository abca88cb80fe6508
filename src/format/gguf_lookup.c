/* gguf_lookup.c - finding keys and tensors in a parsed header. Linear: a model has some 35 keys and a few
 * hundred tensors. */
#include "base/error.h"
#include "gguf.h"
#include <string.h>

const goss_kvpair *goss_gguf_find(const goss_gguf *g, const char *key)
{
    const size_t n = strlen(key);
    for (uint64_t i = 0; i < g->n_kv; i++)
        if (g->kv[i].key.n == n && !memcmp(g->kv[i].key.s, key, n))
            return &g->kv[i];
    return NULL;
}

const goss_tensor *goss_gguf_tensor(const goss_gguf *g, const char *name)
{
    for (uint64_t i = 0; i < g->n_tensors; i++)
        if (!strcmp(g->tensors[i].name, name))
            return &g->tensors[i];
    return NULL;
}

static int other_kind(const goss_kvpair *kv, const char *wanted, goss_error *err)
{
    return goss_fail(
        err, GOSS_EFORMAT, (int64_t)kv->position, "The GGUF key \"%.*s\" at byte %llu should be %s.",
        (int)(kv->key.n < 64 ? kv->key.n : 64), kv->key.s, (unsigned long long)kv->position, wanted);
}

static int is_unsigned(int type)
{
    return type == GOSS_KV_U8 || type == GOSS_KV_U16 || type == GOSS_KV_U32 || type == GOSS_KV_U64;
}
static int is_signed(int type)
{
    return type == GOSS_KV_I8 || type == GOSS_KV_I16 || type == GOSS_KV_I32 || type == GOSS_KV_I64;
}

int goss_gguf_u64(const goss_gguf *g, const char *key, uint64_t *out, goss_error *err)
{
    const goss_kvpair *kv = goss_gguf_find(g, key);
    if (!kv)
        return 0;
    if (!is_unsigned(kv->type) && !(is_signed(kv->type) && kv->v.i >= 0))
        return other_kind(kv, "a whole number, not negative", err);
    *out = kv->v.u;
    return 1;
}

int goss_gguf_f64(const goss_gguf *g, const char *key, double *out, goss_error *err)
{
    const goss_kvpair *kv = goss_gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type == GOSS_KV_F32 || kv->type == GOSS_KV_F64)
        *out = kv->v.f;
    else if (is_unsigned(kv->type))
        *out = (double)kv->v.u;
    else if (is_signed(kv->type))
        *out = (double)kv->v.i;
    else
        return other_kind(kv, "a number", err);
    return 1;
}

int goss_gguf_bool(const goss_gguf *g, const char *key, int *out, goss_error *err)
{
    const goss_kvpair *kv = goss_gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type != GOSS_KV_BOOL)
        return other_kind(kv, "a boolean", err);
    *out = (int)kv->v.u;
    return 1;
}

int goss_gguf_str(const goss_gguf *g, const char *key, goss_str *out, goss_error *err)
{
    const goss_kvpair *kv = goss_gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type != GOSS_KV_STRING)
        return other_kind(kv, "a string", err);
    *out = kv->v.str;
    return 1;
}

/* The bounds are checked again: the bytes may be a mapped file that changed since it was parsed. */
int goss_gguf_next_str(const goss_kvpair *kv, uint64_t *cursor, goss_str *out)
{
    if (kv->type != GOSS_KV_ARRAY || kv->elem_type != GOSS_KV_STRING || *cursor > kv->elem_bytes ||
        kv->elem_bytes - *cursor < 8)
        return 0;
    const uint64_t n = goss_gguf_little(kv->elems + *cursor, 8);
    if (n > kv->elem_bytes - *cursor - 8)
        return 0;
    *out = (goss_str){ (const char *)kv->elems + *cursor + 8, n };
    *cursor += 8 + n;
    return 1;
}

double goss_gguf_elem(const goss_kvpair *kv, uint64_t i)
{
    static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    if (kv->type != GOSS_KV_ARRAY || i >= kv->n || kv->elem_type > GOSS_KV_F64 || sizes[kv->elem_type] == 0)
        return 0;
    const int size = sizes[kv->elem_type];
    const uint64_t u = goss_gguf_little(kv->elems + i * (uint64_t)size, size);
    union { uint32_t u; float f; } f32 = { (uint32_t)u };
    union { uint64_t u; double f; } f64 = { u };
    switch (kv->elem_type) {
    case GOSS_KV_I8: return (int8_t)u;
    case GOSS_KV_I16: return (int16_t)u;
    case GOSS_KV_I32: return (int32_t)u;
    case GOSS_KV_I64: return (double)(int64_t)u;
    case GOSS_KV_F32: return (double)f32.f;
    case GOSS_KV_F64: return f64.f;
    default: return (double)u;
    }
}
