/* model_links.c - see model_links.h. One program at a time writes: `serve --pull`'s helper. */
#include "model_links.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include "format/json.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int goss_link_good_name(const char *name)
{
    const size_t n = strlen(name);
    if (!n || n >= GOSS_LINK_NAME || !isalnum((unsigned char)*name)) return 0;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-:/", *c)) return 0;
    return 1;
}

void goss_links_each(const char *folder, void (*fn)(void *ctx, const char *name, const char *path), void *ctx)
{
    char file[1100];
    struct stat st;
    goss_mapping m;
    goss_json j;
    goss_buf name = GOSS_BUF(GOSS_LINK_NAME), path = GOSS_BUF(4096);
    goss_fmt(file, sizeof file, "%s/names.json", folder);
    if (goss_os_map(&m, file, NULL)) return;
    if (!goss_json_parse(&j, m.data, (size_t)m.size, NULL, NULL)) {
        for (int k = goss_json_first(&j, 0); k >= 0; k = goss_json_next(&j, goss_json_next(&j, k))) {
            goss_buf_clear(&name);
            goss_buf_clear(&path);
            if (goss_json_string(&j, k, &name)) continue;
            if (goss_json_string(&j, goss_json_next(&j, k), &path)) continue;
            const char *n = goss_buf_cstr(&name), *p = goss_buf_cstr(&path);
            if (goss_link_good_name(n) && *p == '/' && !stat(p, &st)) fn(ctx, n, p);
        }
        goss_json_free(&j);
    }
    goss_buf_free(&name);
    goss_buf_free(&path);
    goss_os_unmap(&m);
}

typedef struct rewriting { goss_buf out; const char *without; } rewriting;

static void put(rewriting *r, const char *name, const char *path)
{
    goss_buf_str(&r->out, r->out.len > 1 ? ",\n " : "");
    goss_buf_json_string(&r->out, name, strlen(name));
    goss_buf_str(&r->out, ": ");
    goss_buf_json_string(&r->out, path, strlen(path));
}

static void keep(void *ctx, const char *name, const char *path)
{
    rewriting *r = ctx;
    if (strcmp(name, r->without) != 0) put(r, name, path);
}

/* Beside, then renamed. */
static int write_whole(const char *file, const goss_buf *b)
{
    char part[1120];
    goss_fmt(part, sizeof part, "%s.new", file);
    FILE *f = fopen(part, "wb");
    if (!f) return -1;
    int bad = fwrite(b->data, 1, b->len, f) != b->len || fflush(f) || fsync(fileno(f));
    bad |= fclose(f) != 0;
    return bad || rename(part, file) ? -1 : 0;
}

int goss_links_set(const char *folder, const char *name, const char *path, goss_error *err)
{
    char file[1100];
    rewriting r = { .out = GOSS_BUF(1 << 20), .without = name };
    goss_fmt(file, sizeof file, "%s/names.json", folder);
    goss_buf_str(&r.out, "{");
    goss_links_each(folder, keep, &r);
    if (path) put(&r, name, path);
    goss_buf_str(&r.out, "}\n");
    const int bad = r.out.failed || write_whole(file, &r.out);
    goss_buf_free(&r.out);
    return bad ? goss_fail(err, GOSS_EIO, -1, "%s cannot be written: %s.", file, strerror(errno)) : 0;
}
