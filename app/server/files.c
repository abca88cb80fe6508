/* files.c - the page: see files.h. A file is served only if it was there at the start and its extension is
 * known, so nothing else of the folder can be reached. */
#include "files.h"
#include "access.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "common/share.h"
#include "log.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

typedef struct page_file {
    char url[256], etag[40];
    goss_buf plain, packed;
    struct MHD_Response *whole, *gzip;
} page_file;
struct goss_srv_files {
    page_file *pages;
    int n_pages;
};

enum { MAX_FILES = 2048, MAX_DEPTH = 8, MAX_FILE = 64 << 20 };

static const struct {
    const char *ext, *type;
    int lasting;
} types[] = {
    { ".html", "text/html; charset=utf-8", 0 },
    { ".js", "text/javascript; charset=utf-8", 0 },
    { ".mjs", "text/javascript; charset=utf-8", 0 },
    { ".css", "text/css; charset=utf-8", 0 },
    { ".wasm", "application/wasm", 0 },
    { ".json", "application/json", 0 },
    { ".jsonl", "application/x-ndjson", 0 },
    { ".grec", "application/octet-stream", 0 },
    { ".wgsl", "text/plain; charset=utf-8", 0 },
    { ".txt", "text/plain; charset=utf-8", 0 },
    { ".map", "application/json", 0 },
    { ".zip", "application/zip", 0 },
    { ".webmanifest", "application/manifest+json", 0 },
    { ".svg", "image/svg+xml", 1 },
    { ".png", "image/png", 1 },
    { ".ico", "image/x-icon", 1 },
    { ".woff2", "font/woff2", 1 },
};

static int type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (int i = 0; dot && i < (int)(sizeof types / sizeof types[0]); i++)
        if (!strcmp(dot, types[i].ext)) return i;
    return -1;
}

static int read_whole(const char *path, goss_buf *out)
{
    FILE *f = fopen(path, "rbe");
    char chunk[65536];
    size_t n;
    if (!f) return -1;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) goss_buf_append(out, chunk, n);
    int failed = ferror(f) || out->failed;
    fclose(f);
    return failed ? -1 : 0;
}

/* gzip of the bytes, or an empty buffer where it would not be smaller by a tenth. */
static void compress_bytes(const goss_buf *in, goss_buf *out)
{
    z_stream z = { 0 };
    if (in->len < 256 || deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return;
    size_t most = deflateBound(&z, in->len);
    if (!goss_buf_reserve(out, most)) {
        z.next_in = in->data;
        z.avail_in = (uInt)in->len;
        z.next_out = out->data;
        z.avail_out = (uInt)most;
        if (deflate(&z, Z_FINISH) == Z_STREAM_END) out->len = z.total_out;
    }
    deflateEnd(&z);
    if (out->len > in->len / 10 * 9) goss_buf_clear(out);
}

/* What makes a page "cross-origin isolated", so that it may use threads; and who serves it: then it offers
 * our demo. The service worker is not isolated: it tells hosts that are not there from those that refuse. */
static void add_headers(struct MHD_Response *r, const page_file *p)
{
    MHD_add_response_header(r, "Server-Timing", "gossamer");
    MHD_add_response_header(r, "Cross-Origin-Opener-Policy", "same-origin");
    if (strcmp(p->url, "/service-worker.js"))
        MHD_add_response_header(r, "Cross-Origin-Embedder-Policy", "require-corp");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
}

static struct MHD_Response *make(const page_file *p, const goss_buf *b, int t, int gzip)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(b->len, b->data, MHD_RESPMEM_PERSISTENT);
    char etag[48];
    if (!r) return NULL;
    snprintf(etag, sizeof etag, "\"%s%s\"", p->etag, gzip ? "-gz" : "");
    MHD_add_response_header(r, "Content-Type", types[t].type);
    MHD_add_response_header(r, "ETag", etag);
    /* no-cache: kept, but asked for anew */
    MHD_add_response_header(r, "Cache-Control", types[t].lasting ? "public, max-age=3600" : "no-cache");
    MHD_add_response_header(r, "Vary", "Accept-Encoding");
    if (gzip) MHD_add_response_header(r, "Content-Encoding", "gzip");
    add_headers(r, p);
    MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
    return r;
}

static void add_file(goss_srv_files *f, const char *path, const char *url, uint64_t size)
{
    int t = type_of(url);
    if (t < 0 || f->n_pages == MAX_FILES || size > MAX_FILE || strlen(url) >= sizeof f->pages[0].url) return;
    page_file *p = &f->pages[f->n_pages];
    memset(p, 0, sizeof *p);
    p->plain = p->packed = GOSS_BUF(MAX_FILE + (1 << 20));
    if (read_whole(path, &p->plain)) { goss_buf_free(&p->plain); return; }
    goss_sha256 h;
    uint8_t digest[32];
    char hex[65];
    goss_sha256_init(&h);
    goss_sha256_update(&h, p->plain.data, p->plain.len);
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, hex);
    memcpy(p->etag, hex, 32);
    memcpy(p->url, url, strlen(url) + 1);
    compress_bytes(&p->plain, &p->packed);
    p->whole = make(p, &p->plain, t, 0);
    if (p->packed.len) p->gzip = make(p, &p->packed, t, 1);
    f->n_pages++;
}

static void walk(goss_srv_files *f, const char *folder, const char *url, int depth)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        char path[2048], name[512];
        struct stat st;
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "node_modules")) continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
        if (snprintf(name, sizeof name, "%s/%s", url, e->d_name) >= (int)sizeof name || lstat(path, &st))
            continue;
        if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) walk(f, path, name, depth + 1);
        else if (S_ISREG(st.st_mode)) add_file(f, path, name, (uint64_t)st.st_size);
    }
    if (d) closedir(d);
}

int goss_srv_files_open(goss_srv_files **out, const goss_srv_config *c)
{
    goss_srv_files *f = *out = goss_mem_alloc(sizeof *f);
    char folder[1024];
    if (!f || !(f->pages = goss_mem_array(MAX_FILES, sizeof *f->pages)))
        return goss_srv_files_close(out), GOSS_ENOMEM;
    if (*c->web) snprintf(folder, sizeof folder, "%s", c->web);
    else if (goss_share_find("web", folder, sizeof folder)) folder[0] = 0;
    if (*folder) walk(f, folder, "", 0);
    if (*c->web && !f->n_pages) goss_srv_log("%s holds no page", c->web);
    return 0;
}

void goss_srv_files_close(goss_srv_files **pointer)
{
    goss_srv_files *f = *pointer;
    if (!f) return;
    for (int i = 0; f->pages && i < f->n_pages; i++) {
        if (f->pages[i].whole) MHD_destroy_response(f->pages[i].whole);
        if (f->pages[i].gzip) MHD_destroy_response(f->pages[i].gzip);
        goss_buf_free(&f->pages[i].plain);
        goss_buf_free(&f->pages[i].packed);
    }
    goss_mem_free(f->pages);
    goss_mem_free(f);
    *pointer = NULL;
}

int goss_srv_files_has_page(const goss_srv_files *f)
{
    for (int i = 0; i < f->n_pages; i++) if (!strcmp(f->pages[i].url, "/index.html")) return 1;
    return 0;
}

int goss_srv_files_page(goss_srv_files *f, struct MHD_Connection *conn, const char *path, uint64_t *bytes)
{
    const char *accepts = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Accept-Encoding");
    const char *known = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "If-None-Match");
    if (!strncmp(path, "/gptoss/", 8)) path += 7;       /* the page's own links are relative to it */
    if (!strcmp(path, "/") || !strcmp(path, "/gptoss")) path = "/index.html";
    if (!strcmp(path, "/check")) path = "/check.html";
    for (int i = 0; i < f->n_pages; i++) {
        const page_file *p = &f->pages[i];
        if (strcmp(p->url, path)) continue;
        int gzip = p->gzip && accepts && goss_srv_access_lists(accepts, "gzip");
        struct MHD_Response *r = gzip ? p->gzip : p->whole;
        if (known && goss_srv_access_lists(known, MHD_get_response_header(r, "ETag"))) {
            struct MHD_Response *none = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
            MHD_add_response_header(none, "ETag", MHD_get_response_header(r, "ETag"));
            MHD_add_response_header(none, "Cache-Control", MHD_get_response_header(r, "Cache-Control"));
            MHD_add_response_header(none, "Vary", "Accept-Encoding");
            add_headers(none, p);
            int ok = MHD_queue_response(conn, 304, none) == MHD_YES;
            MHD_destroy_response(none);
            return ok ? 304 : 0;
        }
        *bytes = gzip ? p->packed.len : p->plain.len;
        return MHD_queue_response(conn, 200, r) == MHD_YES ? 200 : 0;
    }
    return -404;
}
