/* tape_block.h - one block of a recording: a JSON header, then its arrays (docs/recording.md). */
#ifndef GOSS_TAPE_TAPE_BLOCK_H
#define GOSS_TAPE_TAPE_BLOCK_H
#include "base/buf.h"

typedef struct goss_tape_block {
    goss_buf head, data, out; /* head: open JSON object, for the caller to add ",\"key\":value" */
    int n_columns;
} goss_tape_block;
/* Room for so many bytes of data, so that later blocks of that size allocate nothing. 0 or GOSS_ENOMEM. */
int goss_tape_block_open(goss_tape_block *b, size_t data_bytes);
void goss_tape_block_close(goss_tape_block *b);
void goss_tape_block_begin(goss_tape_block *b, const char *kind);
/* A column of n rows of per[0] * per[1] values (0: a dimension that isn't there). order: which rows, NULL:
 * the first n. type: "u8", "u16", "u32", "i32", "f32" or "f64". */
void goss_tape_block_column(goss_tape_block *b, const char *name, const char *type, const int per[2],
                            const void *rows, const uint32_t *order, size_t n);
/* The block's bytes, valid until the next begin; NULL: there was no memory. */
const goss_buf *goss_tape_block_end(goss_tape_block *b);
size_t goss_tape_type_bytes(const char *type);
#endif
