/* inputs.c - see inputs.h. */
#include "inputs.h"
#include "format/gguf_split.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "format/gguf_split.h"
#include "source_curl.h"
#include "source_file.h"
#include <string.h>

int goss_input_open(goss_input *in, const char *path_or_url, goss_error *err)
{
    return goss_is_url(path_or_url) ? goss_input_open_url(in, path_or_url, err)
                                    : goss_input_open_file(in, path_or_url, err);
}

/* Puts the file's name before the parser's sentence. */
static int named(const goss_input *in, int rc, goss_error *err)
{
    const goss_error inner = err ? *err : (goss_error){ 0 };
    return goss_fail(err, rc, inner.position, "%s: %s", in->name, inner.text);
}

int goss_input_header(goss_input *in, goss_gguf *g, goss_gguf_head *head, goss_error *err)
{
    int rc;
    *g = (goss_gguf){ 0 };
    goss_gguf_head_begin(head, in->map, in->map ? in->size : 0, in->size);
    while ((rc = goss_gguf_head_parse(head, g, err)) == GOSS_EAGAIN) {
        rc = in->read(in, head->n, head->bytes + head->n, (size_t)(head->want - head->n), err);
        if (rc) return rc; /* it has named the file */
        head->n = head->want;
    }
    return rc ? named(in, rc, err) : 0;
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
    rc = goss_input_header(&set->input[shard], &part, &set->head[shard], err);
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
    rc = goss_input_header(&set->input[0], &set->gguf, &set->head[0], err);
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
    set->head = goss_mem_array(GOSS_MAX_SHARDS, sizeof *set->head);
    int rc = set->input && set->head
                 ? 0
                 : goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to open %s.", path_or_url);
    if (rc == 0)
        rc = open_all(set, path_or_url, err);
    if (rc)
        goss_inputs_close(set);
    return rc;
}

struct goss_input_known { goss_input *in; const goss_gguf_head *head; };

static int read_known(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    struct goss_input_known *k = ctx;
    (void)tag;
    if (offset + n > k->head->n) {
        const int rc = k->in->read(k->in, offset, dst, n, NULL);
        return rc ? rc : 1;
    }
    memcpy(dst, k->head->bytes + offset, n);
    return 1;
}

const goss_source *goss_inputs_sources(goss_inputs *set)
{
    if (!set->known) set->known = goss_mem_array((size_t)set->n, sizeof *set->known);
    if (!set->sources) set->sources = goss_mem_array((size_t)set->n, sizeof *set->sources);
    if (!set->known || !set->sources) return NULL;
    for (int i = 0; i < set->n; i++) {
        const goss_input *in = &set->input[i];
        set->known[i] = (struct goss_input_known){ &set->input[i], &set->head[i] };
        set->sources[i] = (goss_source){
            .ctx = &set->known[i], .name = in->name, .size = in->size, .map = in->map, .read = read_known
        };
    }
    return set->sources;
}

void goss_inputs_close(goss_inputs *set)
{
    goss_mem_free(set->known);
    goss_mem_free(set->sources);
    goss_gguf_free(&set->gguf);
    for (int i = 0; i < set->n; i++) {
        goss_gguf_head_close(&set->head[i]);
        goss_input_close(&set->input[i]);
    }
    goss_mem_free(set->input);
    goss_mem_free(set->head);
    *set = (goss_inputs){ 0 };
}
