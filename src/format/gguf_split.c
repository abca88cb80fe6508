/* gguf_split.c - see gguf_split.h. */
#include "gguf_split.h"
#include "base/error.h"
#include "base/mem.h"
#include <string.h>

int goss_gguf_join(goss_gguf *g, goss_gguf *part, int shard, goss_error *err)
{
    uint64_t number = 0, count = 0, first_count = 0;
    if (goss_gguf_u64(part, "split.no", &number, err) <= 0 ||
        goss_gguf_u64(part, "split.count", &count, err) <= 0 ||
        goss_gguf_u64(g, "split.count", &first_count, err) <= 0)
        return goss_fail(err, GOSS_EFORMAT, -1,
                         "Part %d of the split model does not say which part it is (split.no, split.count).",
                         shard + 1);
    if (number != (uint64_t)shard || count != first_count || shard != g->n_shards)
        return goss_fail(err, GOSS_EFORMAT, -1,
                         "Part %d of the split model says it is part %llu of %llu; the first says there are %llu.",
                         shard + 1, (unsigned long long)number + 1, (unsigned long long)count,
                         (unsigned long long)first_count);
    const uint64_t n = g->n_tensors + part->n_tensors;
    goss_tensor *all = n > GOSS_GGUF_MAX_RECORDS ? NULL : goss_mem_array((size_t)n, sizeof *all);
    if (!all && n > 0)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to join the parts of the model.");
    if (g->n_tensors > 0)
        memcpy(all, g->tensors, (size_t)g->n_tensors * sizeof *all);
    for (uint64_t i = 0; i < part->n_tensors; i++) {
        all[g->n_tensors + i] = part->tensors[i];
        all[g->n_tensors + i].shard = shard;
    }
    goss_mem_free(g->tensors);
    g->tensors = all;
    g->n_tensors = n;
    g->n_shards++;
    goss_gguf_free(part);
    return goss_gguf_check_names(g, err);
}

int goss_gguf_complete(const goss_gguf *g, goss_error *err)
{
    uint64_t number = 0, count = 1, tensors = g->n_tensors;
    if (goss_gguf_u64(g, "split.no", &number, err) < 0 || goss_gguf_u64(g, "split.count", &count, err) < 0 ||
        goss_gguf_u64(g, "split.tensors.count", &tensors, err) < 0)
        return GOSS_EFORMAT;
    if (number != 0)
        return goss_fail(err, GOSS_EFORMAT, -1,
                         "This file is part %llu of a split model: open its first part (-00001-of-%05llu.gguf).",
                         (unsigned long long)number + 1, (unsigned long long)count);
    if (count > 1 && count != (uint64_t)g->n_shards)
        return goss_fail(err, GOSS_EFORMAT, -1, "The model is split into %llu files and %d are here.",
                         (unsigned long long)count, g->n_shards);
    if (tensors != g->n_tensors)
        return goss_fail(err, GOSS_EFORMAT, -1, "The split model should have %llu tensors and has %llu.",
                         (unsigned long long)tensors, (unsigned long long)g->n_tensors);
    return 0;
}
