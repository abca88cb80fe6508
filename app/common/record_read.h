/* record_read.h - reads a recording (docs/recording.md) block by block, from memory; packed or not. Bytes
 * may be anybody's: what is handed out is checked, so that a column is what its type and shape say. */
#ifndef GOSS_COMMON_RECORD_READ_H
#define GOSS_COMMON_RECORD_READ_H
#include "base/buf.h"
#include "format/json.h"

enum { GOSS_RECORD_COLUMNS = 64 };
typedef struct goss_record_column {
    int name;     /* of the header's JSON: its node */
    char type[4]; /* "u8", "f32" */
    int n_dims;
    uint32_t shape[3];
    size_t n;           /* values of all dimensions */
    const void *values; /* aligned */
} goss_record_column;

typedef struct goss_record_block {
    goss_json head;
    const uint8_t *data;
    size_t n_data;
    goss_record_column column[GOSS_RECORD_COLUMNS];
    int n_columns;
} goss_record_block;

typedef struct goss_record_reader {
    const uint8_t *bytes;
    size_t n, at;
    int cut; /* the bytes end within a block */
    uint8_t *room;
    size_t room_bytes;
    goss_record_block block;
} goss_record_reader;

/* bytes are kept. */
void goss_record_reader_open(goss_record_reader *r, const uint8_t *bytes, size_t n);
void goss_record_reader_close(goss_record_reader *r);
/* 1: r->block is the next one, until the next call; 0: there are no more whole ones; or an error, whose
 * position is the byte where the block begins. */
int goss_record_next(goss_record_reader *r, goss_error *err);
/* The column, where it has this type; NULL: there is none. */
const goss_record_column *goss_record_find(const goss_record_block *b, const char *name, const char *type);
#endif
