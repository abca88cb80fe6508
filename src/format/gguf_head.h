/* gguf_head.h - the head of a GGUF file as its bytes come: the one way to read it, whether the file is in
 * memory, its reads are done at once, or they end later.
 *
 * goss_gguf_head h;
 * goss_gguf_head_begin(&h, map, n_there, size);
 * while ((rc = goss_gguf_head_parse(&h, &g, err)) == GOSS_EAGAIN)
 * bring the file's bytes [h.n, h.want) to h.bytes + h.n, then h.n = h.want;
 *
 * The GGUF's strings are views into the head's bytes: the head (or the map) lives as long as they are
 * used. */
#ifndef GOSS_FORMAT_GGUF_HEAD_H
#define GOSS_FORMAT_GGUF_HEAD_H
#include "base/os.h"
#include "gguf.h"

typedef struct goss_gguf_head {
    uint8_t *bytes;             /* the map, or a buffer of ours that grows */
    uint64_t n, want, size;     /* bytes that are there, that are wanted, that the file has */
    uint64_t room;              /* bytes of our buffer */
    int is_map;
} goss_gguf_head;

/* map: the file in memory, borrowed, of which the first n_there bytes are there already; NULL: a buffer is
 * made. */
void goss_gguf_head_begin(goss_gguf_head *h, const void *map, uint64_t n_there, uint64_t size);
/* 0: g has the header. GOSS_EAGAIN: bytes [n, want) are to be brought. g is to be freed whatever came out. */
int goss_gguf_head_parse(goss_gguf_head *h, goss_gguf *g, goss_error *err);
void goss_gguf_head_close(goss_gguf_head *h);

/* Reads n bytes at offset into dst, at once: 0, or an error that it has described. */
typedef int (*goss_gguf_read_fn)(void *ctx, uint64_t offset, void *dst, size_t n, goss_error *err);
/* The whole way with such a function. */
int goss_gguf_head_read(goss_gguf_head *h, goss_gguf *g, goss_gguf_read_fn read, void *ctx, goss_error *err);
/* Of a file on this machine, which is mapped: its tensors point to their bytes. Both are to be freed whatever
 * came out. */
int goss_gguf_map(goss_gguf *g, goss_mapping *m, const char *path, goss_error *err);
#endif
