/* source.h - where the bytes of a model come from, for commands that read them themselves: a mapped file
 * (source_file.c) or a URL over HTTP (source_curl.c). One shape for both, read synchronously by range. */
#ifndef GOSS_NET_SOURCE_H
#define GOSS_NET_SOURCE_H
#include <gossamer.h>

typedef struct goss_input goss_input;
struct goss_input {
    char name[1024];            /* path or URL, for messages */
    uint64_t size;
    const uint8_t *map;         /* the whole file in memory, or NULL */
    /* Reads exactly n bytes at offset, which must lie inside the file. 0 or an error, explained in err. */
    int (*read)(goss_input *in, uint64_t offset, void *dst, size_t n, goss_error *err);
    void (*close)(goss_input *in);
    void *impl;
};
int goss_is_url(const char *s);
void goss_input_close(goss_input *in);
#endif
