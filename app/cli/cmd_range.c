/* cmd_range.c - gossamer range: reads bytes or a tensor, N times, and says whether all reads gave the same
 * SHA-256. */
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sha256.h"
#include "net/inputs.h"
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include "progress.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK = 4 << 20, DEFAULT_LEN = 1 << 20, MAX_REPEAT = 1000 };

struct what { uint64_t offset, len; goss_input *in; const char *tensor; };
struct reading { char sha[65]; double ms; };

static int read_once(const struct what *w, struct reading *r, uint8_t *chunk, goss_progress *bar,
                     uint64_t done, goss_error *err)
{
    goss_sha256 sha;
    uint8_t digest[32];
    const double begun = goss_os_now_ms();
    goss_sha256_init(&sha);
    for (uint64_t at = 0; at < w->len;) {
        const size_t n = w->len - at < CHUNK ? (size_t)(w->len - at) : CHUNK;
        const int rc = w->in->read(w->in, w->offset + at, chunk, n, err);
        if (rc)
            return rc;
        goss_sha256_update(&sha, chunk, n);
        at += n;
        goss_progress_update(bar, done + at);
    }
    goss_sha256_final(&sha, digest);
    goss_sha256_hex(digest, r->sha);
    r->ms = goss_os_now_ms() - begun;
    return 0;
}

static int all_agree(const struct reading *r, int n)
{
    for (int i = 1; i < n; i++)
        if (strcmp(r[i].sha, r[0].sha))
            return 0;
    return 1;
}

static void show(const struct what *w, const struct reading *r, int n, int json)
{
    goss_buf b = GOSS_BUF(1 << 20);
    if (json) {
        goss_buf_str(&b, "{\"source\":");
        goss_buf_json_string(&b, w->in->name, strlen(w->in->name));
        if (w->tensor) {
            goss_buf_str(&b, ",\"tensor\":");
            goss_buf_json_string(&b, w->tensor, strlen(w->tensor));
        }
        goss_buf_printf(
            &b, ",\"offset\":%llu,\"len\":%llu,\"repeat\":%d,\"agree\":%s,\"sha256\":\"%s\",\"reads\":[",
            (unsigned long long)w->offset, (unsigned long long)w->len, n, all_agree(r, n) ? "true" : "false",
            r[0].sha);
        for (int i = 0; i < n; i++)
            goss_buf_printf(&b, "%s{\"sha256\":\"%s\",\"ms\":%.3f}", i ? "," : "", r[i].sha, r[i].ms);
        goss_buf_str(&b, "]}\n");
    } else {
        goss_buf_printf(&b, "%s%s%llu bytes at %llu\n", w->tensor ? w->tensor : "", w->tensor ? ": " : "",
                        (unsigned long long)w->len, (unsigned long long)w->offset);
        for (int i = 0; i < n; i++) {
            char rate[16];
            goss_human_bytes(rate, r[i].ms > 0 ? (double)w->len / r[i].ms * 1000 : 0);
            goss_buf_printf(&b, "  %s  %.1f ms, %s/s\n", r[i].sha, r[i].ms, rate);
        }
        if (n > 1)
            goss_buf_printf(&b, all_agree(r, n) ? "all %d reads agree\n" : "the %d reads DIFFER\n", n);
    }
    fwrite(b.data, 1, b.len, stdout);
    goss_buf_free(&b);
}

/* Which bytes of which file: a tensor (or a part of it), or plain bytes of the first file. */
static int locate(goss_inputs *set, struct what *w, uint64_t offset, int has_len, uint64_t len,
                  goss_error *err)
{
    uint64_t limit = set->input[0].size, begin = 0;
    w->in = &set->input[0];
    if (w->tensor) {
        const goss_tensor *t = goss_gguf_tensor(&set->gguf, w->tensor);
        if (!t)
            return goss_fail(err, GOSS_ENOENT, -1, "There is no tensor \"%s\"; gossamer dump lists them.",
                             w->tensor);
        w->in = &set->input[t->shard];
        begin = t->offset;
        limit = t->n_bytes;
    }
    if (offset > limit || (has_len && len > limit - offset))
        return goss_fail(err, GOSS_EINVAL, (int64_t)offset,
                         "The %s has %llu bytes: there are not %llu of them from byte %llu on.",
                         w->tensor ? "tensor" : "file", (unsigned long long)limit,
                         (unsigned long long)(has_len ? len : 1), (unsigned long long)offset);
    const uint64_t rest = limit - offset;
    w->offset = begin + offset;
    w->len = has_len ? len : w->tensor || rest < DEFAULT_LEN ? rest : DEFAULT_LEN;
    return 0;
}

static int run(goss_inputs *set, const struct what *w, int repeat, int json)
{
    goss_error err;
    struct reading *r = goss_mem_array((size_t)repeat, sizeof *r);
    uint8_t *chunk = goss_mem_alloc(CHUNK);
    goss_progress bar;
    int rc = r && chunk ? 0 : goss_fail(&err, GOSS_ENOMEM, -1, "There is not enough memory.");
    goss_progress_start(&bar, "reading", 0, w->len * (uint64_t)repeat);
    for (int i = 0; rc == 0 && i < repeat; i++)
        rc = read_once(w, &r[i], chunk, &bar, w->len * (uint64_t)i, &err);
    goss_progress_end(&bar);
    int status = rc ? goss_cli_fail("range", 1, &err) : 0;
    if (rc == 0) {
        show(w, r, repeat, json);
        status = all_agree(r, repeat) ? 0 : 1;
    }
    goss_mem_free(r);
    goss_mem_free(chunk);
    goss_inputs_close(set);
    return status;
}

int goss_cmd_range(int argc, char **argv)
{
    int json = 0, repeat = 1;
    uint64_t offset = 0, len = UINT64_MAX;
    const char *path = NULL, *gguf = NULL, *tensor = NULL;
    const goss_option options[] = {
        { "--tensor", GOSS_OPT_STR, &tensor, .arg = "NAME",
          .help = "read this tensor; --offset and --len count inside it" },
        { "--offset", GOSS_OPT_U64, &offset, .arg = "O", .help = "first byte (0)" },
        { "--len", GOSS_OPT_SIZE, &len, .arg = "N", .help = "bytes to read (1 MiB; a tensor whole)" },
        { "--repeat", GOSS_OPT_INT, &repeat, .arg = "N", .help = "read N times and compare (1)", .min = 1,
          .max = MAX_REPEAT },
        { "--gguf,-m", GOSS_OPT_STR, &gguf, .arg = "PATH", .help = "the file, instead of an argument",
          .env = "GPT_OSS_GGUF_PATH" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "as JSON" },
        { 0 }
    };
    const goss_usage usage = {
        "range",
        "[PATH|URL]",
        "Reads bytes of a GGUF file and prints their SHA-256. Fails when repeated reads differ.",
        0,
        1,
        { options }
    };
    const int n = goss_options_read(&usage, argc, argv, &path);
    if (n < 0)
        return ~n;
    char room[1500], found[1500];
    path = goss_model_argument("range", path, gguf, room, sizeof room);
    if (!path)
        return 2;
    path = goss_cli_source("range", path, found, sizeof found);
    if (!path)
        return 1;
    goss_error err;
    goss_inputs set = { 0 };
    struct what w = { .tensor = tensor };
    int rc;
    if (tensor) {
        rc = goss_inputs_open(&set, path, &err);
    } else { /* any file will do: its header is not looked at */
        set.input = goss_mem_array(1, sizeof *set.input);
        set.head = goss_mem_array(1, sizeof *set.head);
        rc = set.input && set.head ? goss_input_open(&set.input[0], path, &err)
                                   : goss_fail(&err, GOSS_ENOMEM, -1, "There is not enough memory.");
        set.n = rc == 0;
    }
    if (rc == 0)
        rc = locate(&set, &w, offset, len != UINT64_MAX, len, &err);
    if (rc) {
        goss_inputs_close(&set);
        return goss_cli_fail("range", 1, &err);
    }
    return run(&set, &w, repeat, json);
}
