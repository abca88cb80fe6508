/* open_vocab.h - for tests: a vocabulary from a GGUF on disk. */
#ifndef OPEN_VOCAB_H
#define OPEN_VOCAB_H
#include "base/os.h"
#include "text/chat.h"
#include "text/vocab.h"
#include <stdio.h>
#include <stdlib.h>
/* Exits with a message when the file is bad. *format may be NULL. */
static inline goss_vocab *open_vocab(const char *path, goss_chat_format *format)
{
    goss_error err = { 0 };
    goss_mapping m;
    goss_gguf g = { 0 };
    goss_vocab *v = NULL;
    uint64_t want = 0;
    if (goss_os_map(&m, path, &err) || goss_gguf_parse(&g, m.data, m.size, m.size, &want, &err) ||
        goss_vocab_open(&v, &g, &err)) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(1);
    }
    if (format) *format = goss_chat_detect(v, &g);
    goss_gguf_free(&g);
    goss_os_unmap(&m);
    return v;
}
#endif
