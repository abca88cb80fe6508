/* cmd_dump.c - gossamer dump: the tensor table. */
#include "base/buf.h"
#include "net/inputs.h"
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include "progress.h"
#include <stdio.h>
#include <string.h>

static void dims(char *out, size_t cap, const goss_tensor *t)
{
    size_t n = (size_t)snprintf(out, cap, "%lld", (long long)t->ne[0]);
    for (int i = 1; i < t->n_dims; i++)
        n += (size_t)snprintf(out + n, cap - n, " x %lld", (long long)t->ne[i]);
}

static void show_types(const goss_gguf *g)
{
    uint64_t bytes[64] = { 0 };
    int count[64] = { 0 };
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        bytes[g->tensors[i].type & 63] += g->tensors[i].n_bytes;
        count[g->tensors[i].type & 63]++;
    }
    for (int t = 0; t < 64; t++) {
        char human[16];
        goss_human_bytes(human, (double)bytes[t]);
        if (count[t])
            printf("  %-8s %4d tensors, %s\n", goss_type_get(t)->name, count[t], human);
    }
}

static void show_table(const goss_inputs *set, uint64_t limit)
{
    const goss_gguf *g = &set->gguf;
    char human[16], shape[100];
    uint64_t total = 0;
    int wide = 4;
    for (int i = 0; i < set->n; i++)
        total += set->input[i].size;
    goss_human_bytes(human, (double)total);
    printf("GGUF v%u, %llu tensors, %llu keys, data from byte %llu, %s", g->version,
           (unsigned long long)g->n_tensors, (unsigned long long)g->n_kv, (unsigned long long)g->data_offset,
           human);
    printf(set->n > 1 ? " in %d files\n" : "\n", set->n);
    show_types(g);
    for (uint64_t i = 0; i < g->n_tensors && i < limit; i++)
        wide = (int)strlen(g->tensors[i].name) > wide ? (int)strlen(g->tensors[i].name) : wide;
    if (g->n_tensors > 0)
        printf("\n%-*s  %-7s  %-22s  %14s  %13s%s\n", wide, "name", "type", "dims", "offset", "bytes",
               set->n > 1 ? "  file" : "");
    for (uint64_t i = 0; i < g->n_tensors && i < limit; i++) {
        const goss_tensor *t = &g->tensors[i];
        dims(shape, sizeof shape, t);
        printf("%-*s  %-7s  %-22s  %14llu  %13llu", wide, t->name, goss_type_get(t->type)->name, shape,
               (unsigned long long)t->offset, (unsigned long long)t->n_bytes);
        printf(set->n > 1 ? "  %4d\n" : "\n", t->shard + 1);
    }
    if (g->n_tensors > limit)
        printf("... and %llu more (--all shows them)\n", (unsigned long long)(g->n_tensors - limit));
}

static void show_json(const goss_inputs *set, uint64_t limit)
{
    const goss_gguf *g = &set->gguf;
    goss_buf b = GOSS_BUF(SIZE_MAX);
    goss_buf_printf(
        &b,
        "{\"version\":%u,\"n_tensors\":%llu,\"n_kv\":%llu,\"alignment\":%llu,\"data_offset\":%llu,\"files\":[",
        g->version, (unsigned long long)g->n_tensors, (unsigned long long)g->n_kv,
        (unsigned long long)g->alignment, (unsigned long long)g->data_offset);
    for (int i = 0; i < set->n; i++) {
        goss_buf_str(&b, i ? ",{\"name\":" : "{\"name\":");
        goss_buf_json_string(&b, set->input[i].name, strlen(set->input[i].name));
        goss_buf_printf(&b, ",\"size\":%llu}", (unsigned long long)set->input[i].size);
    }
    goss_buf_str(&b, "],\"tensors\":[");
    for (uint64_t i = 0; i < g->n_tensors && i < limit; i++) {
        const goss_tensor *t = &g->tensors[i];
        goss_buf_str(&b, i ? ",\n{\"name\":" : "\n{\"name\":");
        goss_buf_json_string(&b, t->name, strlen(t->name));
        goss_buf_printf(&b, ",\"type\":\"%s\",\"dims\":[", goss_type_get(t->type)->name);
        for (int d = 0; d < t->n_dims; d++)
            goss_buf_printf(&b, d ? ",%lld" : "%lld", (long long)t->ne[d]);
        goss_buf_printf(&b, "],\"offset\":%llu,\"bytes\":%llu,\"file\":%d}", (unsigned long long)t->offset,
                        (unsigned long long)t->n_bytes, t->shard);
    }
    goss_buf_str(&b, "]}\n");
    fwrite(b.data, 1, b.failed ? 0 : b.len, stdout);
    goss_buf_free(&b);
}

int goss_cmd_dump(int argc, char **argv)
{
    int all = 0, json = 0;
    uint64_t limit = 0;
    const char *path = NULL, *gguf = NULL;
    const goss_option options[] = {
        { "--limit", GOSS_OPT_U64, &limit, .arg = "N", .help = "show the first N tensors (32)" },
        { "--all", GOSS_OPT_FLAG, &all, .help = "show every tensor" },
        { "--gguf,-m", GOSS_OPT_STR, &gguf, .arg = "PATH", .help = "the file, instead of an argument",
          .env = "GPT_OSS_GGUF_PATH" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "as JSON; every tensor, unless --limit is given" },
        { 0 }
    };
    const goss_usage usage = {
        "dump",
        "[PATH|URL]",
        "Shows the tensors of a GGUF file: name, type, dimensions, offset, bytes. Only the header is read.",
        0,
        1,
        { options }
    };
    const int n = goss_options_read(&usage, argc, argv, &path);
    if (n < 0)
        return ~n;
    char room[1500], found[1500];
    path = goss_model_argument("dump", path, gguf, room, sizeof room);
    if (!path)
        return 2;
    path = goss_cli_source("dump", path, found, sizeof found);
    if (!path)
        return 1;
    goss_error err;
    goss_inputs set;
    if (goss_inputs_open(&set, path, &err))
        return goss_cli_fail("dump", 1, &err);
    if (all || (json && !limit))
        limit = UINT64_MAX;
    if (json)
        show_json(&set, limit);
    else
        show_table(&set, limit ? limit : 32);
    goss_inputs_close(&set);
    return 0;
}
