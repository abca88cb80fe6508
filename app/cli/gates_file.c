/* gates_file.c - gates A and B: about the file alone. */
#include "base/error.h"
#include "base/sha256.h"
#include "net/inputs.h"
#include "gates.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(goss_gate *g, const goss_error *err)
{
    snprintf(g->figure, sizeof g->figure, "%s", err->text[0] ? err->text : goss_error_name(err->code));
    return GOSS_GATE_FAIL;
}

/* The header parses, every tensor lies inside its file, and the model's hyperparameters and tensors are all
 * there. */
int goss_gate_a(goss_gate *g)
{
    goss_inputs set = { 0 };
    goss_error err = { 0 };
    goss_model_info info;
    goss_plan_info plan;
    if (goss_inputs_open(&set, g->config->model_path, &err) < 0) {
        goss_inputs_close(&set);
        return fail(g, &err);
    }
    const unsigned long long n_tensors = set.gguf.n_tensors, n_keys = set.gguf.n_kv;
    unsigned long long bytes = 0;
    int inside = 1;
    for (uint64_t i = 0; i < set.gguf.n_tensors; i++) {
        const goss_tensor *t = &set.gguf.tensors[i];
        bytes += t->n_bytes;
        inside &= t->shard < set.n && t->offset <= set.input[t->shard].size
                  && t->n_bytes <= set.input[t->shard].size - t->offset;
    }
    const int n_files = set.n;
    goss_inputs_close(&set);
    if (!inside) {
        snprintf(g->figure, sizeof g->figure, "a tensor lies outside its file");
        return GOSS_GATE_FAIL;
    }
    if (goss_plan(g->config, &info, &plan, &err) < 0) return fail(g, &err);
    snprintf(g->figure, sizeof g->figure,
             "%llu tensors of %llu bytes in %d file%s, %llu keys; %s, %d layers, %d x %d, %d experts, "
             "vocabulary %d",
             n_tensors, bytes, n_files, n_files == 1 ? "" : "s", n_keys, info.arch, info.n_layer, info.n_embd,
             info.n_ff, info.n_expert, info.n_vocab);
    return GOSS_GATE_PASS;
}

/* SHA-256 of [offset, offset + n) read in pieces. */
static int digest(goss_input *in, uint64_t offset, uint64_t n, size_t piece, uint8_t *room, char hex[65],
                  goss_error *err)
{
    goss_sha256 sha;
    uint8_t bytes[32];
    goss_sha256_init(&sha);
    for (uint64_t at = 0; at < n;) {
        const size_t k = n - at < piece ? (size_t)(n - at) : piece;
        const int rc = in->read(in, offset + at, room, k, err);
        if (rc < 0) return rc;
        goss_sha256_update(&sha, room, k);
        at += k;
    }
    goss_sha256_final(&sha, bytes);
    goss_sha256_hex(bytes, hex);
    return 0;
}

static const goss_tensor *pick_tensor(const goss_gguf *gguf, const char *name)
{
    const goss_tensor *best = NULL;
    if (name) return goss_gguf_tensor(gguf, name);
    for (uint64_t i = 0; i < gguf->n_tensors; i++)
        if (!best || gguf->tensors[i].n_bytes > best->n_bytes) best = &gguf->tensors[i];
    return best;
}

int goss_gate_b(goss_gate *g)
{
    enum { PIECE = 4 << 20 };
    static const size_t pieces[] = { PIECE, 65536, 1000003, 4097 };
    goss_inputs set = { 0 };
    goss_error err = { 0 };
    char first[65] = "", hex[65];
    uint8_t *room = malloc(PIECE);
    int rc = room ? goss_inputs_open(&set, g->config->model_path, &err)
                  : goss_fail(&err, GOSS_ENOMEM, -1, "out of memory");
    const goss_tensor *t = rc == 0 ? pick_tensor(&set.gguf, g->tensor) : NULL;
    if (rc == 0 && !t)
        rc = goss_fail(&err, GOSS_ENOENT, -1, "the file has no tensor %.63s", g->tensor ? g->tensor : "");
    int agree = 1;
    const uint64_t n = t && t->n_bytes > 64u << 20 ? 64u << 20 : t ? t->n_bytes : 0;
    for (int i = 0; i < g->repeat && rc == 0; i++) {
        rc = digest(&set.input[t->shard], t->offset, n, pieces[i % 4], room, hex, &err);
        if (i == 0) memcpy(first, hex, sizeof first);
        agree &= !strcmp(first, hex);
    }
    if (rc == 0)
        snprintf(g->figure, sizeof g->figure,
                 "%d reads of %llu bytes of %s, in pieces of different sizes: %s %.16s...", g->repeat,
                 (unsigned long long)n, t->name, agree ? "all" : "NOT all", first);
    goss_inputs_close(&set);
    free(room);
    return rc < 0 ? fail(g, &err) : agree ? GOSS_GATE_PASS : GOSS_GATE_FAIL;
}
