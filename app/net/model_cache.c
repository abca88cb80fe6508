/* model_cache.c - see model_cache.h. */
#include "model_cache.h"
#include "http.h"
#include "inputs.h"
#include "model_host.h"
#include "source_curl.h"
#include "stream.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sha256.h"
#include "format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MAX = 8 << 20, DEPTH_MAX = 8 };

/* ---- lists of files ------------------------------------------------------------------------------------ */
typedef struct files { goss_buf text; const char **at; int n; } files; /* text: each with its NUL */

static void add_file(files *f, const char *name)
{
    if (goss_model_good_file(name) && !goss_buf_append(&f->text, name, strlen(name) + 1)) f->n++;
}

/* Fills `at`, when the last is added. */
static int index_files(files *f)
{
    f->at = goss_mem_array((size_t)f->n + 1, sizeof *f->at);
    const char *text = (const char *)f->text.data;
    for (int i = 0; i < f->n && f->at; i++) {
        f->at[i] = text;
        text += strlen(text) + 1;
    }
    return f->at && !f->text.failed ? 0 : GOSS_ENOMEM;
}

static void free_files(files *f)
{
    goss_buf_free(&f->text);
    goss_mem_free(f->at);
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* The GGUF files below `folder`, by name; with `parts` also what is left of unfinished ones. */
static int list_kept(files *f, const char *folder, int parts)
{
    char *roots[] = { (char *)(uintptr_t)folder, NULL }, name[600];
    const size_t skip = strlen(folder) + 1;
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    for (FTSENT *e; walk && (e = fts_read(walk));) {
        if (e->fts_level > DEPTH_MAX) fts_set(walk, e, FTS_SKIP);
        if (e->fts_info != FTS_F || e->fts_pathlen <= skip) continue;
        size_t n = goss_fmt(name, sizeof name, "%s", e->fts_path + skip);
        if (n > 5 && parts && !strcmp(name + n - 5, ".part")) name[n - 5] = 0;
        add_file(f, name);
    }
    if (walk) fts_close(walk);
    return index_files(f);
}

static int take_text(void *ctx, const void *bytes, size_t n) { return goss_buf_append(ctx, bytes, n); }

static int read_list(files *f, const goss_buf *text, const char *url, goss_error *err)
{
    goss_json j;
    goss_buf name = GOSS_BUF(4096);
    if (goss_json_parse(&j, (const char *)text->data, text->len, NULL, NULL))
        return goss_fail(err, GOSS_EFORMAT, -1, "%.150s answers without a list of files.", url);
    const int list = goss_json_get(&j, 0, "siblings");
    for (int i = goss_json_first(&j, list); i >= 0; i = goss_json_next(&j, i)) {
        goss_buf_clear(&name);
        if (!goss_json_string(&j, goss_json_get(&j, i, "rfilename"), &name)) add_file(f,
                                                                                      goss_buf_cstr(&name));
    }
    goss_json_free(&j);
    goss_buf_free(&name);
    return list < 0 ? goss_fail(err, GOSS_EFORMAT, -1, "%.150s answers without a list of files.", url)
                    : index_files(f);
}

static int get_list(goss_buf *text, const char *url, goss_http_answer *a, goss_error *err)
{
    goss_http *http;
    int rc = goss_http_open(&http, err);
    if (rc) return rc;
    for (int attempt = 1;; attempt++) {
        goss_buf_clear(text);
        rc = goss_http_get(http, url, 0, UINT64_MAX, NULL, 1, take_text, text, a, err);
        if (!rc || !a->retry || attempt >= GOSS_HTTP_TRIES) break;
        goss_http_pause(attempt);
    }
    goss_http_close(&http);
    return rc != GOSS_ECANCELED ? rc : goss_fail(err, GOSS_ELIMIT, -1,
                                                 "%.150s answers with a list that does not end.", url);
}

/* The repository's files, as its host lists them. */
static int ask_host(files *f, const goss_model_name *name, goss_error *err)
{
    char host[512], url[900];
    goss_buf text = GOSS_BUF(LIST_MAX);
    goss_http_answer a = { 0 };
    goss_model_host(host, sizeof host);
    goss_fmt(url, sizeof url, "%s/api/models/%s/%s", host, name->owner, name->repo);
    int rc = get_list(&text, url, &a, err);
    if (rc && (a.status == 401 || a.status == 403 || a.status == 404))
        rc = goss_fail(err, GOSS_ENOENT, -1,
                       "There is no public repository %.90s/%.90s at %.60s (HTTP %ld): check the name, or set "
                       "HF_TOKEN.", name->owner, name->repo, host, a.status);
    else if (!rc) rc = read_list(f, &text, url, err);
    goss_buf_free(&text);
    return rc;
}

/* ---- where a model is ---------------------------------------------------------------------------------- */
static int exists(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* The path of part i (from 0), and of its address where `url` isn't NULL. */
static int part_of(const goss_model_place *p, int i, char *file, size_t cap, char *url, size_t url_cap)
{
    goss_fmt(file, cap, "%s", p->file);
    if (url) goss_fmt(url, url_cap, "%s", p->url);
    if (p->n_parts < 2) return 0;
    if (url && goss_split_name(p->url, i, p->n_parts, url, url_cap)) return GOSS_EFORMAT;
    return goss_split_name(p->file, i, p->n_parts, file, cap);
}

static int is_kept(const goss_model_place *p)
{
    char file[600], path[1600];
    for (int i = 0; i < p->n_parts; i++) {
        if (part_of(p, i, file, sizeof file, NULL, 0)) return 0;
        goss_fmt(path, sizeof path, "%s/%s", p->folder, file);
        if (!exists(path)) return 0;
    }
    return 1;
}

/* With the file known. */
static int settle(goss_model_place *p, const goss_model_name *name, goss_error *err)
{
    goss_model_name_write(name, p->name, sizeof p->name);
    goss_fmt(p->file, sizeof p->file, "hf/%s/%s/%s", name->owner, name->repo, name->file);
    goss_fmt(p->path, sizeof p->path, "%s/%s", p->folder, p->file);
    p->n_parts = goss_model_parts(name->file);
    p->kept = is_kept(p);
    if (!goss_model_address(name, name->file, p->url, sizeof p->url)) return 0;
    return goss_fail(err, GOSS_ELIMIT, -1, "The address of %.150s is too long.", p->name);
}

static int no_such(const goss_model_name *name, const files *f, goss_error *err)
{
    char list[120] = "";
    size_t n = 0;
    for (int i = 0; i < f->n && n < 80; i++)
        n += goss_fmt(list + n, sizeof list - n, "%s%.30s", n ? ", " : "", f->at[i]);
    if (!f->n)
        return goss_fail(err, GOSS_ENOENT, -1, "%.90s/%.90s has no GGUF file.", name->owner, name->repo);
    return goss_fail(err, GOSS_ENOENT, -1, "%.40s/%.40s has no GGUF file of the kind %.30s; it has %s.",
                     name->owner, name->repo, *name->quant ? name->quant : "that was asked for", list);
}

/* Chooses among f. 0 when one fits. */
static int choose(goss_model_name *name, const files *f)
{
    const int i = goss_model_choose(name, f->at, f->n);
    if (i < 0) return GOSS_ENOENT;
    goss_fmt(name->file, sizeof name->file, "%s", f->at[i]);
    return 0;
}

static int locate_name(goss_model_place *p, const char *said, int ask, goss_error *err)
{
    char folder[1300];
    goss_model_name name;
    files kept = { .text = GOSS_BUF(LIST_MAX) }, there = { .text = GOSS_BUF(LIST_MAX) };
    int rc = goss_model_name_read(&name, said, err);
    if (rc) return rc;
    if (*name.file) return settle(p, &name, err);
    goss_fmt(folder, sizeof folder, "%s/hf/%s/%s", p->folder, name.owner, name.repo);
    rc = list_kept(&kept, folder, 0);
    if (!rc && !choose(&name, &kept)) rc = settle(p, &name, err);
    if (!rc && !p->kept) {
        name.file[0] = 0;
        rc = ask ? ask_host(&there, &name, err)
                 : goss_fail(err, GOSS_ENOENT, -1, "%.150s is not kept here.", said);
        if (!rc && choose(&name, &there)) rc = no_such(&name, &there, err);
        if (!rc) rc = settle(p, &name, err);
    }
    free_files(&kept);
    free_files(&there);
    return rc;
}

static int locate_address(goss_model_place *p, const char *said, goss_error *err)
{
    if (goss_fmt(p->url, sizeof p->url, "%s", said) >= sizeof p->url)
        return goss_fail(err, GOSS_ELIMIT, -1, "The address is longer than %d characters.",
                         (int)sizeof p->url - 1);
    goss_stream_name(said, p->file, sizeof p->file);
    goss_fmt(p->path, sizeof p->path, "%s/%s", p->folder, p->file);
    p->kept = is_kept(p);
    return 0;
}

int goss_model_locate(goss_model_place *p, const char *said, const char *folder, int ask, goss_error *err)
{
    *p = (goss_model_place){ .n_parts = 1 };
    const int name = goss_model_is_name(said) && access(said, F_OK), url = goss_is_url(said);
    goss_fmt(p->name, sizeof p->name, "%s", said);
    if (!name && !url) {
        p->kept = 1;
        if (goss_fmt(p->path, sizeof p->path, "%s", said) < sizeof p->path) return 0;
        return goss_fail(err, GOSS_ELIMIT, -1, "The path is longer than %d characters.",
                         (int)sizeof p->path - 1);
    }
    if (folder) goss_fmt(p->folder, sizeof p->folder, "%s", folder);
    else if (goss_stream_folder(p->folder, sizeof p->folder))
        return goss_fail(err, GOSS_ENOENT, -1,
                         "There is no folder for models: set HOME, or say --model-cache.");
    return name ? locate_name(p, said, ask, err) : locate_address(p, said, err);
}

/* ---- bringing it --------------------------------------------------------------------------------------- */
/* SHA-256 of a kept file: what is noted beside it, else of its bytes. */
static int sum_of(const char *path, char digits[65], goss_error *err)
{
    char note[1600], line[66] = "";
    uint8_t digest[32];
    goss_mapping m;
    goss_sha256 h;
    goss_fmt(note, sizeof note, "%s.sha256", path);
    const int fd = open(note, O_RDONLY | O_CLOEXEC);
    const int noted = fd >= 0 && read(fd, line, 65) == 65 && strspn(line, "0123456789abcdefABCDEF") == 64;
    if (fd >= 0) close(fd);
    goss_fmt(digits, 65, "%.64s", line);
    if (noted) return 0;
    const int rc = goss_os_map(&m, path, err);
    if (rc) return rc;
    goss_sha256_init(&h);
    goss_sha256_update(&h, m.data, (size_t)m.size);
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, digits);
    goss_os_unmap(&m);
    return 0;
}

/* Does the kept file have the bytes that its host has now? 1, 0, or an error. */
static int is_current(const char *path, const char *url, goss_error *err)
{
    goss_input in;
    struct stat st;
    char digits[65], sha[65];
    int rc = goss_input_open_url(&in, url, err);
    if (rc) return rc;
    const uint64_t size = in.size;
    goss_fmt(sha, sizeof sha, "%s", goss_input_sha(&in));
    goss_input_close(&in);
    if (stat(path, &st) || (uint64_t)st.st_size != size) return 0;
    rc = sha[0] ? sum_of(path, digits, err) : 0;
    return rc ? rc : !sha[0] || !strcasecmp(sha, digits);
}

typedef struct telling { goss_model_pull *p; const char *file; } telling;

static void on_wait(void *ctx, uint64_t there, uint64_t total, int waiting)
{
    const telling *t = ctx;
    if (t->p->on_progress) t->p->on_progress(t->p->ctx, t->file, there, total, waiting);
}

static int pull_part(goss_model_pull *p, int i, goss_error *err)
{
    char file[600], path[1600], url[1024];
    struct stat st;
    int rc = part_of(&p->place, i, file, sizeof file, url, sizeof url);
    if (rc) return goss_fail(err, rc, -1, "%.150s is no first part of a split model.", p->place.name);
    goss_fmt(path, sizeof path, "%s/%s", p->place.folder, file);
    rc = !exists(path) ? 0 : p->update ? is_current(path, url, err) : 1;
    if (rc < 0) return rc;
    telling t = { p, file };
    const goss_stream_options o = {
        .folder = p->place.folder, .file = file, .anew = rc == 0, .on_wait = on_wait, .ctx = &t
    };
    goss_stream *s = NULL;
    rc = rc ? 0 : goss_stream_open(&s, url, &o, path, sizeof path, err);
    if (!rc && s) rc = goss_stream_whole(s, err);
    goss_stream_close(&s);
    if (!rc && !stat(path, &st)) p->size += (uint64_t)st.st_size;
    return rc;
}

/* The sum that is noted beside the first file; "" where its host gave none. */
static void read_sum(goss_model_pull *p)
{
    char note[1600];
    goss_fmt(note, sizeof note, "%s.sha256", p->place.path);
    p->sha[0] = 0;
    if (exists(note)) sum_of(p->place.path, p->sha, NULL);
}

int goss_model_pull_run(goss_model_pull *p, goss_error *err)
{
    p->size = 0;
    int rc = goss_model_locate(&p->place, p->said, p->folder, 1, err);
    if (!rc && !*p->place.url)
        rc = goss_fail(err, GOSS_EINVAL, -1,
                       "\"%.100s\" is no name of a model and no address: a name has the "
                       "form hf:OWNER/REPO:FILE.gguf.", p->said);
    for (int i = 0; i < p->place.n_parts && !rc; i++) rc = pull_part(p, i, err);
    if (!rc) p->place.kept = 1;
    if (!rc) read_sum(p);
    return rc;
}

/* ---- removing, listing --------------------------------------------------------------------------------- */
/* 1 when something was there. */
static int remove_file(const char *folder, const char *file)
{
    static const char *const ends[] = { "", ".sha256", ".part", ".part.have" };
    char path[1700];
    int any = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        goss_fmt(path, sizeof path, "%s/%s%s", folder, file, ends[i]);
        any |= !unlink(path);
    }
    return any;
}

/* Folders that became empty go, up to the cache's own. */
static void remove_folders(const goss_model_place *p)
{
    char path[1500];
    goss_fmt(path, sizeof path, "%s", p->path);
    for (char *slash; (slash = strrchr(path, '/')) && (size_t)(slash - path) > strlen(p->folder);) {
        *slash = 0;
        if (rmdir(path)) return;
    }
}

/* A name without a file means the only model that there is anything of. */
static int find_only(goss_model_place *p, const char *said, goss_error *err)
{
    char folder[1300];
    goss_model_name name;
    files kept = { .text = GOSS_BUF(LIST_MAX) };
    int rc = goss_model_name_read(&name, said, err), n = 0;
    goss_fmt(folder, sizeof folder, "%s/hf/%s/%s", p->folder, name.owner, name.repo);
    if (!rc) rc = list_kept(&kept, folder, 1);
    for (int i = 0; i < kept.n && !rc && !*name.file && !*name.quant; i++)
        n += !goss_model_is_later_part(kept.at[i]);
    if (n > 1) rc = goss_fail(err, GOSS_EINVAL, -1, "%d models of %.60s/%.60s are kept: say which, as in "
                              "hf:OWNER/REPO:FILE.gguf (gossamer models lists them).", n, name.owner, name.repo);
    if (!rc && !*name.file && choose(&name, &kept))
        rc = goss_fail(err, GOSS_ENOENT, -1, "%.150s is not kept here.", said);
    free_files(&kept);
    return rc ? rc : settle(p, &name, err);
}

int goss_model_remove(const char *said, const char *folder, goss_error *err)
{
    goss_model_place p;
    char file[600];
    int any = 0;
    if (!goss_model_is_name(said) && !goss_is_url(said))
        return goss_fail(err, GOSS_EINVAL, -1,
                         "\"%.100s\" is no name of a model and no address; a file of your "
                         "own is yours to remove.", said);
    int rc = goss_model_locate(&p, said, folder, 0, err);
    if (rc && rc != GOSS_ENOENT) return rc;
    rc = goss_is_url(said) ? 0 : find_only(&p, said, err);
    for (int i = 0; i < p.n_parts && !rc; i++) {
        rc = part_of(&p, i, file, sizeof file, NULL, 0);
        if (!rc) any |= remove_file(p.folder, file);
    }
    if (!rc && !any) rc = goss_fail(err, GOSS_ENOENT, -1, "%.150s is not kept here.", said);
    if (!rc) remove_folders(&p);
    return rc;
}

int goss_model_make_folder(const char *folder, goss_error *err)
{
    char path[1100];
    goss_fmt(path, sizeof path, "%s/", folder);
    for (char *c = path + 1; *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        if (mkdir(path, 0777) && errno != EEXIST)
            return goss_fail(err, GOSS_EIO, -1, "The folder %s cannot be made: %s.", path, strerror(errno));
        *c = '/';
    }
    return 0;
}

/* "hf/OWNER/REPO/FILE" as a name; anything else as it is. */
static void name_of(const char *file, char *out, size_t cap)
{
    const size_t owner = strncmp(file, "hf/", 3) ? 0 : strcspn(file + 3, "/");
    const size_t repo = owner && file[3 + owner] ? strcspn(file + 4 + owner, "/") : 0;
    const char *rest = repo ? file + 4 + owner + repo : "";
    if (*rest != '/') goss_fmt(out, cap, "%s", file);
    else goss_fmt(out, cap, "hf:%.*s:%s", (int)(owner + 1 + repo), file + 3, rest + 1);
}

int goss_model_each(const char *folder, void (*fn)(void *ctx, const char *name, const char *path), void *ctx)
{
    char own[1000], name[600], path[1700];
    files f = { .text = GOSS_BUF(LIST_MAX) };
    if (folder) goss_fmt(own, sizeof own, "%s", folder);
    else if (goss_stream_folder(own, sizeof own)) return 0;
    const int rc = list_kept(&f, own, 0);
    for (int i = 0; i < f.n && !rc; i++) {
        if (goss_model_is_later_part(f.at[i])) continue;
        name_of(f.at[i], name, sizeof name);
        goss_fmt(path, sizeof path, "%s/%s", own, f.at[i]);
        fn(ctx, name, path);
    }
    free_files(&f);
    return rc;
}
