/* cmd_download.c - gossamer download: a file over HTTP, resumed where it stopped, with its SHA-256. */
#include "base/fmt.h"
#include "base/buf.h"
#include "net/download.h"
#include "net/source.h"
#include "commands.h"
#include "common/engine_options.h"
#include "progress.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The last part of the URL's path, without query; "" when there is none. */
static void name_from_url(const char *url, char *out, size_t cap)
{
    const size_t n = strcspn(url, "?#");
    size_t from = n;
    while (from > 0 && url[from - 1] != '/')
        from--;
    goss_fmt(out, cap, "%.*s", (int)(n - from), url + from);
    if (from <= strlen("https://") || !strcmp(out, ".") || !strcmp(out, ".."))
        out[0] = 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total, int begun)
{
    if (begun)
        goss_progress_start(ctx, begun == 1 ? "downloading" : "checking", done, total);
    goss_progress_update(ctx, done);
}

static int valid_sha(const char *s) { return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64; }

int goss_cmd_download(int argc, char **argv)
{
    const char *url = NULL, *out = NULL, *sha = NULL;
    char name[1000];
    int json = 0, force = 0;
    const goss_option options[] = {
        { "--output,-o", GOSS_OPT_STR, &out, .arg = "PATH",
          .help = "where it goes (the URL's last part, here)" },
        { "--sha256", GOSS_OPT_STR, &sha, .arg = "HEX", .help = "fail unless the file has this SHA-256" },
        { "--force,-f", GOSS_OPT_FLAG, &force, .help = "replace a file that is there" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "print the result as JSON" },
        { 0 }
    };
    const goss_usage usage = {
        "download",
        "URL",
        "Fetches a file over HTTP into PATH.part and renames it when whole. Run again, it continues there.",
        1,
        1,
        { options }
    };
    const int n = goss_options_read(&usage, argc, argv, &url);
    if (n < 0)
        return ~n;
    if (!goss_is_url(url)) {
        fprintf(stderr, "gossamer download: \"%s\" is not an http:// or https:// address.\n", url);
        return 2;
    }
    if (sha && !valid_sha(sha)) {
        fprintf(stderr, "gossamer download: --sha256 should be 64 hexadecimal digits.\n");
        return 2;
    }
    name_from_url(url, name, sizeof name);
    if (!out && !name[0]) {
        fprintf(stderr,
                "gossamer download: the address names no file; say where it should go with --output PATH.\n");
        return 2;
    }
    struct stat st;
    if (stat(out ? out : name, &st) == 0 && !force) {
        fprintf(stderr, "gossamer download: %s is there already; --force replaces it.\n", out ? out : name);
        return 1;
    }
    goss_progress bar = { 0 };
    goss_download d = {
        .url = url, .path = out ? out : name, .expect = sha, .on_progress = on_progress, .ctx = &bar
    };
    goss_error err;
    const int rc = goss_download_run(&d, &err);
    goss_progress_end(&bar);
    if (rc)
        return goss_cli_fail("download", 1, &err);
    goss_buf b = GOSS_BUF(1 << 16);
    goss_buf_json_string(&b, d.path, strlen(d.path));
    if (json)
        printf("{\"path\":%s,\"size\":%llu,\"resumed\":%llu,\"sha256\":\"%s\"}\n", goss_buf_cstr(&b),
               (unsigned long long)d.size, (unsigned long long)d.resumed, d.sha);
    else
        printf("%s  %s\n", d.sha, d.path);
    goss_buf_free(&b);
    return 0;
}
