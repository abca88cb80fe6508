/* source_file.c - inputs that are files, and what all inputs share: headers, and the parts of split models
 * found by name. */
#include "source.h"
#include "../src/base/error.h"
#include "../src/base/fmt.h"
#include "../src/base/mem.h"
#include "../src/base/os.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_WINDOW = 64 << 10 };

/* Reads by pread, not from the mapping: `range` measures reading, and a file cut meanwhile is an error here,
 * not a signal. */
static int read_file(goss_input *in, uint64_t offset, void *dst, size_t n, goss_error *err)
{
    const goss_mapping *m = in->impl;
    for (size_t done = 0; done < n;) {
        const ssize_t k = pread(m->fd, (uint8_t *)dst + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return goss_fail(err, GOSS_EIO, (int64_t)(offset + done), "Cannot read %s at byte %llu: %s.",
                             in->name, (unsigned long long)(offset + done),
                             k < 0 ? strerror(errno) : "the file has become shorter");
        done += (size_t)k;
    }
    return 0;
}

static void close_file(goss_input *in)
{
    goss_mapping *m = in->impl;
    goss_os_unmap(m);
    goss_mem_free(m);
}

int goss_input_open_file(goss_input *in, const char *path, goss_error *err)
{
    *in = (goss_input){ .read = read_file, .close = close_file };
    goss_fmt(in->name, sizeof in->name, "%s", path);
    goss_mapping *m = goss_mem_alloc(sizeof *m);
    if (!m)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to open %s.", path);
    const int rc = goss_os_map(m, path, err);
    if (rc) {
        goss_mem_free(m);
        return rc;
    }
    in->impl = m;
    in->map = m->data;
    in->size = m->size;
    return 0;
}

/* ---- any input ----------------------------------------------------------------------------------- */
int goss_is_url(const char *s) { return !strncmp(s, "http://", 7) || !strncmp(s, "https://", 8); }

int goss_input_open(goss_input *in, const char *path_or_url, goss_error *err)
{
    return goss_is_url(path_or_url) ? goss_input_open_url(in, path_or_url, err)
                                    : goss_input_open_file(in, path_or_url, err);
}

void goss_input_close(goss_input *in)
{
    if (in->impl)
        in->close(in);
    in->impl = NULL;
}

/* Puts the file's name before the parser's sentence. */
static int named(const goss_input *in, int rc, goss_error *err)
{
    const goss_error inner = err ? *err : (goss_error){ 0 };
    return goss_fail(err, rc, inner.position, "%s: %s", in->name, inner.text);
}

int goss_input_header(goss_input *in, goss_gguf *g, goss_buf *keep, goss_error *err)
{
    uint64_t want = 0, have = 0;
    *keep = GOSS_BUF(SIZE_MAX);
    *g = (goss_gguf){ 0 };
    if (in->map) {
        const int rc = goss_gguf_parse(g, in->map, in->size, in->size, &want, err);
        return rc ? named(in, rc, err) : 0;
    }
    for (;;) { /* the window grows fourfold, so that a header of 13 MB takes five requests */
        uint64_t next = have ? have * 4 : FIRST_WINDOW;
        next = next < want ? want : next;
        next = next > in->size ? in->size : next;
        if (goss_buf_reserve(keep, (size_t)(next - have)))
            return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory for the header of %s.", in->name);
        int rc = in->read(in, have, keep->data + have, (size_t)(next - have), err);
        if (rc)
            return rc;
        keep->len = (size_t)(have = next);
        rc = goss_gguf_parse(g, keep->data, have, in->size, &want, err);
        if (rc != GOSS_EAGAIN)
            return rc ? named(in, rc, err) : 0;
    }
}

int goss_split_name(const char *first, int shard, int n, char *out, size_t cap)
{
    char tail[32], wanted[32];
    const size_t length = strlen(first), k = goss_fmt(tail, sizeof tail, "-00001-of-%05d.gguf", n);
    if (length < k || strcmp(first + length - k, tail))
        return GOSS_EFORMAT;
    goss_fmt(wanted, sizeof wanted, "-%05d-of-%05d.gguf", shard + 1, n);
    goss_fmt(out, cap, "%.*s%s", (int)(length - k), first, wanted);
    return 0;
}

/* ---- sets ---------------------------------------------------------------------------------------- */
static int open_shard(goss_inputs *set, const char *first, int shard, int n, goss_error *err)
{
    char name[1024];
    goss_gguf part;
    if (goss_split_name(first, shard, n, name, sizeof name))
        return goss_fail(
            err, GOSS_EFORMAT, -1,
            "%s is split into %d files; its name does not end in -00001-of-%05d.gguf, so the others are unknown.",
            first, n, n);
    int rc = goss_input_open(&set->input[shard], name, err);
    if (rc)
        return rc;
    set->n = shard + 1;
    rc = goss_input_header(&set->input[shard], &part, &set->keep[shard], err);
    if (rc == 0)
        rc = goss_gguf_join(&set->gguf, &part, shard, err);
    goss_gguf_free(&part);
    return rc;
}

static int open_all(goss_inputs *set, const char *path_or_url, goss_error *err)
{
    uint64_t n = 1, number = 0;
    int rc = goss_input_open(&set->input[0], path_or_url, err);
    if (rc)
        return rc;
    set->n = 1;
    rc = goss_input_header(&set->input[0], &set->gguf, &set->keep[0], err);
    if (rc == 0 && (goss_gguf_u64(&set->gguf, "split.count", &n, err) < 0 ||
                    goss_gguf_u64(&set->gguf, "split.no", &number, err) < 0))
        rc = GOSS_EFORMAT;
    if (rc == 0 && number != 0) /* not the first: says which it is */
        return goss_gguf_complete(&set->gguf, err);
    if (rc == 0 && n > GOSS_MAX_SHARDS)
        rc = goss_fail(err, GOSS_ELIMIT, -1, "%s says it is split into %llu files; at most %d are supported.",
                       path_or_url, (unsigned long long)n, GOSS_MAX_SHARDS);
    for (int i = 1; rc == 0 && i < (int)n; i++)
        rc = open_shard(set, path_or_url, i, (int)n, err);
    return rc ? rc : goss_gguf_complete(&set->gguf, err);
}

int goss_inputs_open(goss_inputs *set, const char *path_or_url, goss_error *err)
{
    *set = (goss_inputs){ 0 };
    set->input = goss_mem_array(GOSS_MAX_SHARDS, sizeof *set->input);
    set->keep = goss_mem_array(GOSS_MAX_SHARDS, sizeof *set->keep);
    int rc = set->input && set->keep
                 ? 0
                 : goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to open %s.", path_or_url);
    if (rc == 0)
        rc = open_all(set, path_or_url, err);
    if (rc)
        goss_inputs_close(set);
    return rc;
}

void goss_inputs_close(goss_inputs *set)
{
    goss_gguf_free(&set->gguf);
    for (int i = 0; i < set->n; i++) {
        goss_buf_free(&set->keep[i]);
        goss_input_close(&set->input[i]);
    }
    goss_mem_free(set->input);
    goss_mem_free(set->keep);
    *set = (goss_inputs){ 0 };
}
