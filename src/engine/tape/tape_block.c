/* tape_block.c - see tape_block.h. All numbers are little-endian, as every machine is that this runs on. */
#include "tape_block.h"
#include <string.h>

enum { HEAD_FIRST = 8192, HEAD_MOST = 1 << 26, DATA_MOST = 1 << 28 };
static const char blanks[8] = "        ", zeros[8] = { 0 };

int goss_tape_block_open(goss_tape_block *b, size_t data_bytes)
{
    *b = (goss_tape_block){ .head = GOSS_BUF(HEAD_MOST),
                            .data = GOSS_BUF(DATA_MOST),
                            .out = GOSS_BUF(DATA_MOST + HEAD_MOST) };
    int rc = goss_buf_reserve(&b->head, HEAD_FIRST);
    if (!rc) rc = goss_buf_reserve(&b->data, data_bytes);
    return rc ? rc : goss_buf_reserve(&b->out, data_bytes + HEAD_FIRST);
}

void goss_tape_block_close(goss_tape_block *b)
{
    goss_buf_free(&b->head);
    goss_buf_free(&b->data);
    goss_buf_free(&b->out);
}

void goss_tape_block_begin(goss_tape_block *b, const char *kind)
{
    b->head.failed = b->data.failed = b->out.failed = b->n_columns = 0;
    goss_buf_clear(&b->head);
    goss_buf_clear(&b->data);
    goss_buf_clear(&b->out);
    goss_buf_printf(&b->head, "{\"kind\":\"%s\"", kind);
}

size_t goss_tape_type_bytes(const char *type)
{
    return type[1] == '8' ? 1 : type[1] == '1' ? 2 : type[1] == '6' ? 8 : 4;
}

void goss_tape_block_column(goss_tape_block *b, const char *name, const char *type, const int per[2],
                            const void *rows, const uint32_t *order, size_t n)
{
    size_t bytes = goss_tape_type_bytes(type);
    goss_buf_printf(&b->head, "%s{\"name\":\"%s\",\"type\":\"%s\",\"shape\":[%zu",
                    b->n_columns++ ? "," : ",\"columns\":[", name, type, n);
    for (int i = 0; i < 2 && per && per[i]; i++) {
        bytes *= (size_t)per[i];
        goss_buf_printf(&b->head, ",%d", per[i]);
    }
    goss_buf_printf(&b->head, "],\"at\":%zu}", b->data.len);
    if (!order) goss_buf_append(&b->data, rows, n * bytes);
    for (size_t i = 0; order && i < n; i++)
        goss_buf_append(&b->data, (const uint8_t *)rows + order[i] * bytes, bytes);
    goss_buf_append(&b->data, zeros, (8 - b->data.len % 8) % 8);
}

const goss_buf *goss_tape_block_end(goss_tape_block *b)
{
    goss_buf_str(&b->head, b->n_columns ? "]}" : "}");
    goss_buf_append(&b->head, blanks, (8 - b->head.len % 8) % 8);
    goss_buf_append(&b->data, zeros, (8 - b->data.len % 8) % 8);
    const uint32_t sizes[3] = { 1, (uint32_t)b->head.len, (uint32_t)b->data.len };
    goss_buf_str(&b->out, "GREC");
    goss_buf_append(&b->out, sizes, sizeof sizes);
    goss_buf_append(&b->out, b->head.data, b->head.len);
    if (b->data.len) goss_buf_append(&b->out, b->data.data, b->data.len);
    return b->head.failed || b->data.failed || b->out.failed ? NULL : &b->out;
}
