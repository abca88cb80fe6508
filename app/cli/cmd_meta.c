/* cmd_meta.c - gossamer meta: every key with its value; arrays show their first elements. */
#include "base/buf.h"
#include "net/inputs.h"
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = { "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                          "bool", "string", "array", "u64", "i64", "f64" };

/* Shortest form that reads back as the same f32 or f64; JSON has no infinities. */
static void put_real(goss_buf *b, double v, int single)
{
    char text[40];
    int digits = 6;
    if (!isfinite(v)) {
        goss_buf_str(b, "null");
        return;
    }
    if (!single) {
        goss_buf_printf(b, "%g", v);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*g", digits, v);
    while (digits++ < 9 && strtof(text, NULL) != (float)v);
    goss_buf_str(b, text);
}

static void put_number(goss_buf *b, int type, double v)
{
    if (type == GOSS_KV_F32 || type == GOSS_KV_F64)
        put_real(b, v, type == GOSS_KV_F32);
    else if (type == GOSS_KV_BOOL)
        goss_buf_str(b, v != 0 ? "true" : "false");
    else
        goss_buf_printf(b, "%.0f", v);
}

static void put_elements(goss_buf *b, const goss_kvpair *kv, uint64_t limit)
{
    uint64_t cursor = 0;
    goss_str s;
    for (uint64_t i = 0; i < kv->n && i < limit; i++) {
        if (i > 0)
            goss_buf_str(b, ", ");
        if (kv->elem_type != GOSS_KV_STRING)
            put_number(b, kv->elem_type, goss_gguf_elem(kv, i));
        else if (goss_gguf_next_str(kv, &cursor, &s))
            goss_buf_json_string(b, s.s, (size_t)s.n);
    }
}

static void put_value(goss_buf *b, const goss_kvpair *kv)
{
    switch (kv->type) {
    case GOSS_KV_STRING: goss_buf_json_string(b, kv->v.str.s, (size_t)kv->v.str.n); break;
    case GOSS_KV_I8:
    case GOSS_KV_I16:
    case GOSS_KV_I32:
    case GOSS_KV_I64: goss_buf_printf(b, "%lld", (long long)kv->v.i); break;
    case GOSS_KV_F32:
    case GOSS_KV_F64: put_real(b, kv->v.f, kv->type == GOSS_KV_F32); break;
    case GOSS_KV_BOOL: goss_buf_str(b, kv->v.u ? "true" : "false"); break;
    default: goss_buf_printf(b, "%llu", (unsigned long long)kv->v.u);
    }
}

/* Long strings (chat templates) are cut for people, at a whole character; JSON has them whole. */
static void put_line(goss_buf *b, const goss_kvpair *kv, uint64_t limit, int wide, int whole)
{
    goss_kvpair shown = *kv;
    char type[40];
    snprintf(type, sizeof type, "%s", type_names[kv->type]);
    if (kv->type == GOSS_KV_ARRAY)
        snprintf(type, sizeof type, "%s[%llu]", type_names[kv->elem_type], (unsigned long long)kv->n);
    goss_buf_printf(b, "%-*.*s  %-15s  ", wide, (int)kv->key.n, kv->key.s, type);
    if (kv->type == GOSS_KV_ARRAY) {
        put_elements(b, kv, limit);
        goss_buf_str(b, kv->n > limit ? ", ..." : "");
    } else {
        const int cut = kv->type == GOSS_KV_STRING && kv->v.str.n > 100 && !whole;
        if (cut)
            for (shown.v.str.n = 100;
                 shown.v.str.n > 0 && ((unsigned char)kv->v.str.s[shown.v.str.n] & 0xC0) == 0x80;)
                shown.v.str.n--;
        put_value(b, &shown);
        if (cut)
            goss_buf_printf(b, " ... (%llu bytes)", (unsigned long long)kv->v.str.n);
    }
    goss_buf_str(b, "\n");
}

static void put_json(goss_buf *b, const goss_gguf *g, uint64_t limit)
{
    goss_buf_printf(b, "{\"version\":%u,\"n_tensors\":%llu,\"n_kv\":%llu,\"kv\":[", g->version,
                    (unsigned long long)g->n_tensors, (unsigned long long)g->n_kv);
    for (uint64_t i = 0; i < g->n_kv; i++) {
        const goss_kvpair *kv = &g->kv[i];
        goss_buf_str(b, i ? ",\n{\"key\":" : "\n{\"key\":");
        goss_buf_json_string(b, kv->key.s, (size_t)kv->key.n);
        goss_buf_printf(b, ",\"type\":\"%s\"", type_names[kv->type]);
        if (kv->type == GOSS_KV_ARRAY) {
            goss_buf_printf(b, ",\"of\":\"%s\",\"n\":%llu,\"values\":[", type_names[kv->elem_type],
                            (unsigned long long)kv->n);
            put_elements(b, kv, limit);
            goss_buf_str(b, "]}");
        } else {
            goss_buf_str(b, ",\"value\":");
            put_value(b, kv);
            goss_buf_str(b, "}");
        }
    }
    goss_buf_str(b, "]}\n");
}

static void put_text(goss_buf *b, const goss_gguf *g, uint64_t limit, int whole)
{
    int wide = 0;
    for (uint64_t i = 0; i < g->n_kv; i++)
        wide = g->kv[i].key.n < 60 && (int)g->kv[i].key.n > wide ? (int)g->kv[i].key.n : wide;
    for (uint64_t i = 0; i < g->n_kv; i++)
        put_line(b, &g->kv[i], limit, wide, whole);
}

int goss_cmd_meta(int argc, char **argv)
{
    int json = 0, all = 0;
    uint64_t limit = 3;
    const char *path = NULL, *gguf = NULL;
    const goss_option options[] = {
        { "--limit", GOSS_OPT_U64, &limit, .arg = "N", .help = "show the first N elements of arrays (3)" },
        { "--all", GOSS_OPT_FLAG, &all, .help = "show arrays and strings whole" },
        { "--gguf,-m", GOSS_OPT_STR, &gguf, .arg = "PATH", .help = "the file, instead of an argument",
          .env = "GPT_OSS_GGUF_PATH" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "as JSON" },
        { 0 }
    };
    const goss_usage usage = { "meta", "[PATH|URL]",
                                 "Shows the metadata of a GGUF file. Only the header is read.",
                                 0, 1, { options } };
    const int n = goss_options_read(&usage, argc, argv, &path);
    if (n < 0)
        return ~n;
    char room[1500], found[1500];
    path = goss_model_argument("meta", path, gguf, room, sizeof room);
    if (!path)
        return 2;
    path = goss_cli_source("meta", path, found, sizeof found);
    if (!path)
        return 1;
    goss_error err;
    goss_inputs set;
    if (goss_inputs_open(&set, path, &err))
        return goss_cli_fail("meta", 1, &err);
    goss_buf b = GOSS_BUF(SIZE_MAX);
    if (json)
        put_json(&b, &set.gguf, all ? UINT64_MAX : limit);
    else
        put_text(&b, &set.gguf, all ? UINT64_MAX : limit, all);
    const int failed = b.failed;
    fwrite(b.data, 1, failed ? 0 : b.len, stdout);
    goss_buf_free(&b);
    goss_inputs_close(&set);
    if (failed)
        fprintf(stderr, "gossamer meta: there is not enough memory for the output.\n");
    return failed ? 1 : 0;
}
