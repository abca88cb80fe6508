/* catalog.c - see catalog.h. The default model is entry 0. */
#include "catalog.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "net/inputs.h"
#include "net/model_cache.h"
#include "net/model_links.h"
#include "net/stream.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

enum { MODELS = 256 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static goss_srv_model *models;
static int n_models, n_files, has_default; /* n_files: without the aliases, which stand last */

typedef struct scan { goss_srv_model *list; int n; } scan;

static void name_of(goss_srv_model *m, const char *id)
{
    const char *slash = strrchr(m->path, '/');
    snprintf(m->id, sizeof m->id, "%.500s", *id ? id : slash ? slash + 1 : m->path);
    char *end = m->id + strlen(m->id);
    if (!*id && end - m->id > 5 && !strcmp(end - 5, ".gguf")) end[-5] = 0;
}

static void add(void *ctx, const char *path, const goss_model_info *info)
{
    scan *s = ctx;
    struct stat st;
    if (s->n == MODELS || strlen(path) >= sizeof s->list->path || stat(path, &st)) return;
    if (s->n && !strcmp(s->list[0].path, path)) return;
    goss_srv_model *m = &s->list[s->n++];
    snprintf(m->path, sizeof m->path, "%s", path);
    m->info = *info;
    m->bytes = (uint64_t)st.st_size;
    m->mtime = st.st_mtime;
    name_of(m, "");
}

/* ---- the model cache ------------------------------------------------------------------------- */
static int plan(const char *path, goss_model_info *info)
{
    const goss_engine_config ec = { .model_path = path };
    return goss_plan(&ec, info, NULL, NULL);
}

/* Adds `path` under a name of the cache's. */
static void add_named(scan *s, const char *id, const char *path, int origin)
{
    goss_model_info info = { 0 };
    const int before = s->n;
    if (strlen(id) >= GOSS_SRV_ID || plan(path, &info)) return;
    const goss_srv_model first = s->list[0];
    s->list[0].path[0] = 0; /* the same file may have several names */
    add(s, path, &info);
    if (before) s->list[0] = first;
    if (s->n == before) return;
    name_of(&s->list[before], id);
    s->list[before].origin = origin;
}

static void add_link(void *ctx, const char *name, const char *path)
{
    add_named(ctx, name, path, GOSS_SRV_LINKED);
}

/* A kept file is listed by its own name where it has no other. */
static void add_kept(void *ctx, const char *name, const char *path)
{
    scan *s = ctx;
    int has = 0;
    for (int i = 0; i < s->n && strlen(name) < GOSS_SRV_ID; i++) {
        if (strcmp(s->list[i].path, path) != 0) continue;
        snprintf(s->list[i].kept, sizeof s->list[i].kept, "%s", name);
        has = 1;
    }
    const int before = s->n;
    if (!has) add_named(s, name, path, GOSS_SRV_KEPT);
    if (s->n > before) snprintf(s->list[before].kept, sizeof s->list[before].kept, "%s", name);
}

static int has_id(const scan *s, const char *id)
{
    for (int i = 0; i < s->n; i++)
        if (!strcasecmp(s->list[i].id, id)) return 1;
    return 0;
}

/* Ollama's names of OpenAI's two models, for the first file of each shape. */
static void add_aliases(scan *s)
{
    static const struct { const char *id; int n_layer, n_expert; } shapes[] = { { "gpt-oss:20b", 24, 32 },
                                                                                { "gpt-oss:120b", 36, 128 } };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int i = 0, n = s->n; i < n && s->n < MODELS && !has_id(s, shapes[k].id); i++) {
            const goss_model_info *m = &s->list[i].info;
            if (strcmp(m->arch, "gpt-oss") || m->n_layer != shapes[k].n_layer ||
                m->n_expert != shapes[k].n_expert)
                continue;
            s->list[s->n] = s->list[i];
            s->list[s->n].origin = GOSS_SRV_ALIAS;
            name_of(&s->list[s->n++], shapes[k].id);
        }
}

static void scan_cache(scan *s, const goss_srv_config *c)
{
    char folder[1000];
    if (goss_srv_cache_folder(c, folder, sizeof folder)) return;
    goss_links_each(folder, add_link, s);
    goss_model_each(folder, add_kept, s);
}

int goss_srv_cache_folder(const goss_srv_config *c, char *out, size_t cap)
{
    if (!c->engine.model_cache) return goss_stream_folder(out, cap);
    return snprintf(out, cap, "%s", c->engine.model_cache) >= (int)cap;
}

/* ---- the list -------------------------------------------------------------------------------- */
/* What a pipeline serves may be at an address, of which each process fetches its part: its header says what
 * it is. It has the id that it would have as a file of the model cache. */
static int scan_elsewhere(scan *s, const goss_srv_config *c, goss_error *err)
{
    goss_srv_model *m = &s->list[0];
    goss_model_place p;
    goss_inputs set = { 0 };
    int rc = goss_model_locate(&p, c->model, c->engine.model_cache, 1, err);
    if (!rc) rc = goss_inputs_open(&set, p.kept ? p.path : p.url, err);
    if (rc) return rc;
    goss_engine_config ec = goss_srv_config_engine(c, NULL, 0, 0);
    ec.sources = goss_inputs_sources(&set);
    ec.n_sources = set.n;
    rc = ec.sources ? goss_plan(&ec, &m->info, NULL, err) : goss_fail(err, GOSS_ENOMEM, -1, "no memory");
    for (int i = 0; i < set.n; i++) m->bytes += set.input[i].size;
    goss_inputs_close(&set);
    goss_fmt(m->path, sizeof m->path, "%s", p.path);
    name_of(m, c->model_id);
    goss_fmt(m->path, sizeof m->path, "%s", c->model);
    m->mtime = time(NULL);
    s->n = !rc;
    return rc;
}

static int scan_default(scan *s, const goss_srv_config *c, goss_error *err)
{
    goss_model_info info = { 0 };
    struct stat st;
    if (goss_is_url(c->model) || goss_model_is_name(c->model)) return scan_elsewhere(s, c, err);
    if (stat(c->model, &st)) return goss_fail(err, GOSS_ENOENT, -1, "%s: %s", c->model, strerror(errno));
    if (!S_ISREG(st.st_mode)) return goss_fail(err, GOSS_ENOENT, -1, "%s is not a file", c->model);
    goss_engine_config ec = goss_srv_config_engine(c, c->model, 0, 0);
    const int rc = goss_plan(&ec, &info, NULL, err);
    if (!rc) add(s, c->model, &info);
    if (s->n) name_of(&s->list[0], c->model_id);
    return rc;
}

int goss_srv_catalog_scan(const goss_srv_config *c, goss_error *err)
{
    scan s = { .list = goss_mem_array(MODELS, sizeof *s.list) };
    const int first = *c->model != 0;
    if (!s.list) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the list of models");
    int rc = first ? scan_default(&s, c, err) : 0;
    if (!rc && *c->models_dir) {
        rc = goss_list(c->models_dir, add, &s, err);
        if (rc >= 0) rc = s.n ? 0 : goss_fail(err, GOSS_ENOENT, -1, "%s holds no models", c->models_dir);
    }
    if (rc) { goss_mem_free(s.list); return rc; }
    if (c->pull) scan_cache(&s, c);
    const int n = s.n;
    add_aliases(&s);
    pthread_mutex_lock(&lock);
    goss_mem_free(models);
    models = s.list;
    n_models = s.n;
    n_files = n;
    has_default = first;
    pthread_mutex_unlock(&lock);
    return 0;
}

void goss_srv_catalog_close(void)
{
    goss_mem_free(models);
    models = NULL;
    n_models = n_files = 0;
}

/* Without ":latest", as Ollama's clients say it. */
static size_t plain_length(const char *name)
{
    const size_t n = strlen(name);
    return n > 7 && !strcmp(name + n - 7, ":latest") ? n - 7 : n;
}

static const goss_srv_model *find_id(const char *name)
{
    const size_t n = plain_length(name);
    for (int i = 0; i < n_models; i++)
        if (plain_length(models[i].id) == n && !strncasecmp(models[i].id, name, n)) return &models[i];
    return NULL;
}

/* A name of the model host's: hf.co/OWNER/REPO:QUANT means the same file here as when it was pulled. */
static const goss_srv_model *find_kept(const char *name)
{
    static char texts[MODELS][300];
    const char *files[MODELS];
    int at[MODELS], n = 0;
    goss_model_name asked, has;
    if (!goss_model_is_name(name) || goss_model_name_read(&asked, name, NULL)) return NULL;
    for (int i = 0; i < n_models; i++) {
        if (!*models[i].kept || goss_model_name_read(&has, models[i].kept, NULL)) continue;
        if (strcasecmp(has.owner, asked.owner) || strcasecmp(has.repo, asked.repo)) continue;
        memcpy(texts[n], has.file, sizeof texts[n]);
        files[n] = texts[n];
        at[n++] = i;
    }
    const int k = goss_model_choose(&asked, files, n);
    return k < 0 ? NULL : &models[at[k]];
}

static const goss_srv_model *find(const char *name)
{
    const goss_srv_model *m = find_id(name);
    if (!m) m = find_kept(name);
    if (m) return m;
    if (n_files == 1 || (!*name && (has_default || n_files))) return &models[0];
    return NULL;
}

int goss_srv_catalog_find(const char *name, goss_srv_model *out)
{
    pthread_mutex_lock(&lock);
    const goss_srv_model *m = find(name);
    if (m) *out = *m;
    pthread_mutex_unlock(&lock);
    return m ? 0 : GOSS_ENOENT;
}

int goss_srv_catalog_find_named(const char *name, goss_srv_model *out)
{
    pthread_mutex_lock(&lock);
    const goss_srv_model *m = find_id(name);
    if (!m || m->origin == GOSS_SRV_ALIAS) m = find_kept(name);
    if (m && m->origin == GOSS_SRV_LINKED && m != find_id(name)) m = NULL;
    if (m) *out = *m;
    pthread_mutex_unlock(&lock);
    return m ? 0 : GOSS_ENOENT;
}

int goss_srv_catalog_names(const char *path)
{
    int n = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_models; i++)
        n += models[i].origin != GOSS_SRV_ALIAS && models[i].origin != GOSS_SRV_OWN &&
            !strcmp(models[i].path, path);
    pthread_mutex_unlock(&lock);
    return n;
}

void goss_srv_catalog_time(char to[40], int64_t unix_time)
{
    struct tm tm;
    time_t t = (time_t)unix_time;
    gmtime_r(&t, &tm);
    strftime(to, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* OpenAI's object, with what Anthropic's clients look for in theirs. */
static void write_openai(goss_buf *b, const goss_srv_model *m)
{
    char when[40];
    goss_srv_catalog_time(when, m->mtime);
    goss_buf_str(b, "{\"id\":");
    goss_buf_json_string(b, m->id, strlen(m->id));
    goss_buf_str(b, ",\"display_name\":");
    goss_buf_json_string(b, m->id, strlen(m->id));
    goss_buf_printf(b,
                    ",\"type\":\"model\",\"created_at\":\"%s\",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"local\",\"context_length\":%d,\"bytes\":"
                    "%llu,\"parameters\":%lld}",
                    when, (long long)m->mtime, m->info.max_kv > 0 ? m->info.max_kv : m->info.n_ctx,
                    (unsigned long long)m->bytes, (long long)m->info.n_params);
}

/* Ollama's command line cuts digests to 12 characters, and breaks on shorter ones. */
void goss_srv_catalog_write_details(goss_buf *b, const goss_srv_model *m)
{
    char size[32], hex[65];
    uint8_t digest[32];
    goss_sha256 h;
    goss_sha256_init(&h);
    goss_sha256_update(&h, m->path, strlen(m->path));
    goss_sha256_update(&h, &m->bytes, sizeof m->bytes);
    goss_sha256_update(&h, &m->mtime, sizeof m->mtime);
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, hex);
    if (m->info.n_params >= 1000000000) snprintf(size, sizeof size, "%.1fB", (double)m->info.n_params / 1e9);
    else snprintf(size, sizeof size, "%.1fM", (double)m->info.n_params / 1e6);
    goss_buf_printf(b,
                    "\"digest\":\"%s\",\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"%s\","
                    "\"families\":[\"%s\"],\"parameter_size\":\"%s\",\"quantization_level\":\"%s\"}",
                    hex, m->info.arch, m->info.arch, size, m->info.type);
}

static void write_ollama(goss_buf *b, const goss_srv_model *m)
{
    char when[40];
    goss_srv_catalog_time(when, m->mtime);
    goss_buf_str(b, "{\"name\":");
    goss_buf_json_string(b, m->id, strlen(m->id));
    goss_buf_str(b, ",\"model\":");
    goss_buf_json_string(b, m->id, strlen(m->id));
    goss_buf_printf(b, ",\"modified_at\":\"%s\",\"size\":%llu,", when, (unsigned long long)m->bytes);
    goss_srv_catalog_write_details(b, m);
    goss_buf_str(b, "}");
}

void goss_srv_catalog_write(goss_buf *b, int style)
{
    goss_buf_str(b, style == GOSS_SRV_LIST_OLLAMA ? "{\"models\":[" : "{\"object\":\"list\",\"data\":[");
    pthread_mutex_lock(&lock);
    for (int i = 0; i < (style == GOSS_SRV_LIST_OLLAMA ? n_models : n_files); i++) {
        if (i) goss_buf_str(b, ",");
        (style == GOSS_SRV_LIST_OLLAMA ? write_ollama : write_openai)(b, &models[i]);
    }
    if (style == GOSS_SRV_LIST_OPENAI && n_models) {
        goss_buf_str(b, "],\"has_more\":false,\"first_id\":");
        goss_buf_json_string(b, models[0].id, strlen(models[0].id));
        goss_buf_str(b, ",\"last_id\":");
        goss_buf_json_string(b, models[n_models - 1].id, strlen(models[n_models - 1].id));
        goss_buf_str(b, "}");
    } else goss_buf_str(b, "]}");
    pthread_mutex_unlock(&lock);
}

int goss_srv_catalog_write_one(goss_buf *b, const char *id)
{
    pthread_mutex_lock(&lock);
    const goss_srv_model *m = find(id);
    if (m) write_openai(b, m);
    pthread_mutex_unlock(&lock);
    return m != NULL;
}
