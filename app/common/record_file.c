/* record_file.c - see record_file.h. */
#include "record_file.h"
#include "record_member.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { LEVEL = 1, LINES_MOST = 1 << 24 };

struct goss_record_file {
    FILE *file;
    char path[1024];   /* for messages */
    int failed;        /* errno */
    int headed;        /* the head is written */
    uint32_t n_tokens; /* in the file */
    goss_buf lines, block, packed;
    z_stream z;
};

int goss_record_file_open(goss_record_file **out, const char *path, goss_error *err)
{
    goss_record_file *f = *out = goss_mem_alloc(sizeof *f);
    if (!f) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a recording");
    goss_fmt(f->path, sizeof f->path, "%s", path);
    f->lines = f->block = GOSS_BUF(LINES_MOST);
    f->packed = GOSS_BUF((size_t)1 << 30);
    if (deflateInit2(&f->z, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        goss_mem_free(f);
        *out = NULL;
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory to pack a recording");
    }
    f->file = fopen(path, "wbe");
    if (f->file) return 0;
    const int why = errno;
    goss_record_file_close(out, NULL);
    return goss_fail(err, GOSS_EIO, -1, "cannot write %s: %s", path, strerror(why));
}

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> 8 * i);
}

/* One block as a gzip member into f->packed. */
static int pack(goss_record_file *f, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens)
{
    const size_t most = deflateBound(&f->z, n) + GOSS_MEMBER_HEAD + GOSS_MEMBER_END;
    goss_buf_clear(&f->packed);
    if (goss_buf_reserve(&f->packed, most)) return ENOMEM;
    uint8_t *p = f->packed.data;
    deflateReset(&f->z);
    f->z.next_in = (Bytef *)(uintptr_t)bytes;
    f->z.avail_in = (uInt)n;
    f->z.next_out = p + GOSS_MEMBER_HEAD;
    f->z.avail_out = (uInt)(most - GOSS_MEMBER_HEAD - GOSS_MEMBER_END);
    if (deflate(&f->z, Z_FINISH) != Z_STREAM_END) return EIO;
    const size_t size = GOSS_MEMBER_HEAD + f->z.total_out + GOSS_MEMBER_END;
    memcpy(p, goss_member_begin, sizeof goss_member_begin);
    put32(p + GOSS_MEMBER_SIZE, (uint32_t)size);
    put32(p + GOSS_MEMBER_FIRST, first);
    put32(p + GOSS_MEMBER_TOKENS, n_tokens);
    put32(p + size - 8, (uint32_t)crc32(0, bytes, (uInt)n));
    put32(p + size - 4, (uint32_t)n);
    f->packed.len = size;
    return 0;
}

static void write_block(goss_record_file *f, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens)
{
    if (!f->failed) f->failed = pack(f, bytes, n, first, n_tokens);
    errno = EIO;
    if (!f->failed && (fwrite(f->packed.data, 1, f->packed.len, f->file) != f->packed.len || fflush(f->file)))
        f->failed = errno;
}

/* The lines that wait, as a block of their own. */
static void write_lines(goss_record_file *f)
{
    static const char head[] = "{\"kind\":\"lines\"}", blanks[] = "       ";
    goss_buf *b = &f->block;
    if (!f->lines.len) return;
    goss_buf_append(&f->lines, blanks, (8 - f->lines.len % 8) % 8);
    const uint32_t sizes[3] = { 1, sizeof head - 1, (uint32_t)f->lines.len };
    goss_buf_clear(b);
    goss_buf_str(b, "GREC");
    goss_buf_append(b, sizes, sizeof sizes);
    goss_buf_str(b, head);
    goss_buf_append(b, f->lines.data, f->lines.len);
    if (!b->failed && !f->lines.failed) write_block(f, b->data, b->len, f->n_tokens, 0);
    goss_buf_clear(&f->lines);
    b->failed = f->lines.failed = 0;
}

int goss_record_file_block(void *file, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens)
{
    goss_record_file *f = file;
    if (f->headed) write_lines(f);
    write_block(f, bytes, n, first, n_tokens);
    f->n_tokens = first + n_tokens;
    if (!f->headed) write_lines(f);
    f->headed = 1;
    return f->failed ? GOSS_EIO : 0;
}

void goss_record_file_line(void *file, const char *json, size_t n)
{
    goss_record_file *f = file;
    goss_buf_append(&f->lines, json, n);
    goss_buf_str(&f->lines, "\n");
}

int goss_record_file_close(goss_record_file **file, goss_error *err)
{
    goss_record_file *f = *file;
    if (!f) return 0;
    *file = NULL;
    if (f->file && fclose(f->file) && !f->failed) f->failed = errno;
    deflateEnd(&f->z);
    const int rc = f->failed ? goss_fail(err, GOSS_EIO, -1, "the recording %s could not be written: %s",
                                         f->path, strerror(f->failed))
                             : 0;
    goss_buf_free(&f->lines);
    goss_buf_free(&f->block);
    goss_buf_free(&f->packed);
    goss_mem_free(f);
    return rc;
}
