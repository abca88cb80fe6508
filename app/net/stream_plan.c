/* stream_plan.c - see stream_plan.h. */
#include "stream_plan.h"
#include "base/mem.h"
#include <string.h>

enum { SMALL = 2 << 20, CLASSES = 3 };

/* Layers come in the order of their numbers, not of the file: "blk.10." follows "blk.9.". -1: none. */
static int layer_of(const char *name)
{
    int n = 0;
    if (strncmp(name, "blk.", 4)) return -1;
    for (const char *p = name + 4; *p >= '0' && *p <= '9' && n < 100000; p++) n = n * 10 + (*p - '0');
    return n;
}

static int has_output(const goss_gguf *g)
{
    for (uint64_t i = 0; i < g->n_tensors; i++)
        if (!strcmp(g->tensors[i].name, "output.weight")) return 1;
    return 0;
}

/* 0: read by every token, 1: an expert's, 2: one row of it is read. */
static int class_of(const goss_tensor *t, int output)
{
    if (!strcmp(t->name, "token_embd.weight")) return output ? 2 : 0;
    return t->ne[2] > 1;
}

int goss_stream_plan(const goss_gguf *g, uint64_t size, goss_range **small, int *n_small, goss_range **plan,
                     int *n_plan)
{
    const size_t n = (size_t)g->n_tensors;
    const int output = has_output(g);
    int last = -1;
    *small = goss_mem_array(n + 1, sizeof **small);
    *plan = goss_mem_array(n + 1, sizeof **plan);
    if (!*small || !*plan) {
        goss_mem_free(*small);
        goss_mem_free(*plan);
        *small = *plan = NULL;
        return GOSS_ENOMEM;
    }
    *n_small = *n_plan = 0;
    (*small)[(*n_small)++] = (goss_range){ 0, g->data_offset < size ? g->data_offset : size };
    for (size_t i = 0; i < n; i++) {
        const goss_tensor *t = &g->tensors[i];
        if (layer_of(t->name) > last) last = layer_of(t->name);
        if (t->n_bytes <= SMALL) (*small)[(*n_small)++] = (goss_range){ t->offset, t->n_bytes };
    }
    for (int c = 0; c < CLASSES; c++)
        for (int l = 0; l <= last + 1; l++) /* last + 1 stands for what is of no layer */
            for (size_t i = 0; i < n; i++) {
                const goss_tensor *t = &g->tensors[i];
                const int layer = layer_of(t->name);
                if (t->n_bytes <= SMALL || class_of(t, output) != c || (layer < 0 ? last + 1 : layer) != l)
                    continue;
                (*plan)[(*n_plan)++] = (goss_range){ t->offset, t->n_bytes };
            }
    (*plan)[(*n_plan)++] = (goss_range){ 0, size };
    return 0;
}
