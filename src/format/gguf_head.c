/* gguf_head.c - reads a GGUF's head in windows that grow fourfold, so that 13 MB of it take four reads. */
#include "gguf_head.h"
#include "base/error.h"
#include "base/mem.h"

enum { FIRST_WINDOW = 1 << 18, GROWTH = 4 };

void goss_gguf_head_begin(goss_gguf_head *h, const void *map, uint64_t n_there, uint64_t size)
{
    *h = (goss_gguf_head){ .size = size, .want = size < FIRST_WINDOW ? size : FIRST_WINDOW };
    if (!map) return;
    h->bytes = (uint8_t *)map; /* nobody writes to it but who fills it */
    h->is_map = 1;
    h->n = n_there;
}

/* Room for want bytes. */
static int make_room(goss_gguf_head *h, goss_error *err)
{
    if (h->is_map || h->room >= h->want) return 0;
    uint8_t *bytes = goss_mem_grow(h->bytes, (size_t)h->n, (size_t)h->want);
    if (!bytes)
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a header of %llu bytes",
                         (unsigned long long)h->want);
    h->bytes = bytes;
    h->room = h->want;
    return 0;
}

int goss_gguf_head_parse(goss_gguf_head *h, goss_gguf *g, goss_error *err)
{
    if (h->n >= h->want) {
        uint64_t want = 0;
        const int rc = goss_gguf_parse(g, h->bytes, h->n, h->size, &want, err);
        if (rc != GOSS_EAGAIN) return rc;
        goss_gguf_free(g);
        h->want = want > h->n * GROWTH ? want : h->n * GROWTH;
        if (h->want > h->size) h->want = h->size;
        if (h->want <= h->n)
            return goss_fail(err, GOSS_EFORMAT, (int64_t)h->size, "the file ends inside its header");
    }
    const int rc = make_room(h, err);
    return rc ? rc : GOSS_EAGAIN;
}

void goss_gguf_head_close(goss_gguf_head *h)
{
    if (!h->is_map) goss_mem_free(h->bytes);
    *h = (goss_gguf_head){ 0 };
}

int goss_gguf_head_read(goss_gguf_head *h, goss_gguf *g, goss_gguf_read_fn read, void *ctx, goss_error *err)
{
    int rc;
    while ((rc = goss_gguf_head_parse(h, g, err)) == GOSS_EAGAIN) {
        rc = read(ctx, h->n, h->bytes + h->n, (size_t)(h->want - h->n), err);
        if (rc) return rc;
        h->n = h->want;
    }
    return rc;
}

int goss_gguf_map(goss_gguf *g, goss_mapping *m, const char *path, goss_error *err)
{
    uint64_t want;
    const int rc = goss_os_map(m, path, err);
    return rc ? rc : goss_gguf_parse(g, m->data, m->size, m->size, &want, err);
}
