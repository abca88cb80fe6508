/* fuzz_gguf.c - any bytes as a GGUF file: whole, and cut at a place that the first byte chooses. What is
 * accepted must be sound. */
#include "base/mem.h"
#include "base/utf8.h"
#include "format/gguf_split.h"
#include "format/gguf.h"
#include "fuzz.h"
#include <string.h>

static void check_sound(const goss_gguf *g, uint64_t size, int whole, const uint8_t *bytes)
{
    volatile double sum = 0;
    goss_str s;
    for (uint64_t i = 0; i < g->n_kv; i++) {
        const goss_kvpair *kv = &g->kv[i];
        uint64_t cursor = 0, n = 0;
        FUZZ_CHECK(kv->key.n > 0 && goss_utf8_valid((const uint8_t *)kv->key.s, (size_t)kv->key.n));
        while (goss_gguf_next_str(kv, &cursor, &s))
            n++, sum = sum + (s.n > 0 ? s.s[s.n - 1] : 0);
        FUZZ_CHECK(kv->elem_type != GOSS_KV_STRING || n == kv->n);
        if (kv->type == GOSS_KV_ARRAY && kv->n > 0)
            sum = sum + goss_gguf_elem(kv, 0) + goss_gguf_elem(kv, kv->n - 1) + goss_gguf_elem(kv, kv->n);
    }
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const goss_tensor *t = &g->tensors[i];
        const goss_type_info *type = goss_type_get(t->type);
        FUZZ_CHECK(type && t->n_bytes > 0 && t->offset >= g->header_bytes && t->n_bytes <= size &&
                   t->offset <= size - t->n_bytes);
        FUZZ_CHECK(goss_gguf_tensor(g, t->name) == t);
        if (whole) {
            FUZZ_CHECK(t->data == bytes + t->offset);
            sum = sum + t->data[0] + t->data[t->n_bytes - 1];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    goss_gguf g;
    goss_error e;
    uint64_t want;
    memset(&e, 0, sizeof e);
    const int rc = goss_gguf_parse(&g, bytes, n, n, &want, &e);
    FUZZ_CHECK(rc == 0 || rc == GOSS_EFORMAT || rc == GOSS_EUNSUPPORTED);
    if (rc == 0) {
        check_sound(&g, n, 1, bytes);
        uint64_t u;
        double d;
        int b;
        goss_str s;
        goss_gguf_u64(&g, "general.alignment", &u, &e);
        goss_gguf_f64(&g, "a", &d, &e);
        goss_gguf_bool(&g, "b", &b, &e);
        goss_gguf_str(&g, "general.architecture", &s, &e);
        goss_gguf_complete(&g, &e);
    } else {
        FUZZ_CHECK(e.code == rc && e.text[0] && goss_utf8_valid((const uint8_t *)e.text, strlen(e.text)));
    }
    goss_gguf_free(&g);
    if (n > 0) { /* the same with fewer bytes here than the file has: never a different answer, only "more" */
        const uint64_t cut = (uint64_t)bytes[n - 1] * n / 256;
        const int rc2 = goss_gguf_parse(&g, bytes, cut, n, &want, &e);
        FUZZ_CHECK(rc2 == rc || (rc2 == GOSS_EAGAIN && want > cut && want <= n));
        if (rc2 == 0)
            check_sound(&g, n, 0, bytes);
        goss_gguf_free(&g);
    }
    FUZZ_CHECK(goss_mem_get_stats().n_live == 0);
    return 0;
}
