/* catalog.c - see catalog.h. The default model is entry 0. */
#include "catalog.h"
#include "../../src/base/error.h"
#include "../../src/base/mem.h"
#include "../../src/base/sha256.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MODELS = 256 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static goss_srv_model *models;
static int n_models, has_default;

typedef struct scan { goss_srv_model *list; int n; } scan;

static void name_of(goss_srv_model *m, const char *id) {
    const char *slash = strrchr(m->path, '/');
    snprintf(m->id, sizeof m->id, "%.127s", *id ? id : slash ? slash + 1 : m->path);
    char *end = m->id + strlen(m->id);
    if (!*id && end - m->id > 5 && !strcmp(end - 5, ".gguf")) end[-5] = 0;
}

static void add(void *ctx, const char *path, const goss_model_info *info) {
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

int goss_srv_catalog_scan(const goss_srv_config *c, goss_error *err) {
    scan s = { .list = goss_mem_array(MODELS, sizeof *s.list) };
    int first = *c->model != 0, rc = 0;
    if (!s.list) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the list of models");
    if (first) {
        goss_model_info info = { 0 };
        struct stat st;
        if (stat(c->model, &st)) rc = goss_fail(err, GOSS_ENOENT, -1, "%s: %s", c->model, strerror(errno));
        else if (!S_ISREG(st.st_mode)) rc = goss_fail(err, GOSS_ENOENT, -1, "%s is not a file", c->model);
        else {
            goss_engine_config ec = goss_srv_config_engine(c, c->model, 0, 0);
            rc = goss_plan(&ec, &info, NULL, err);
            if (!rc) add(&s, c->model, &info);
            if (s.n) name_of(&s.list[0], c->model_id);
        }
    }
    if (!rc && *c->models_dir) {
        rc = goss_list(c->models_dir, add, &s, err);
        if (rc >= 0) rc = s.n ? 0 : goss_fail(err, GOSS_ENOENT, -1, "%s holds no models", c->models_dir);
    }
    if (rc) { goss_mem_free(s.list); return rc; }
    pthread_mutex_lock(&lock);
    goss_mem_free(models);
    models = s.list;
    n_models = s.n;
    has_default = first;
    pthread_mutex_unlock(&lock);
    return 0;
}

void goss_srv_catalog_close(void) {
    goss_mem_free(models);
    models = NULL;
    n_models = 0;
}

static const goss_srv_model *find(const char *name) {
    size_t n = strlen(name);
    if (n > 7 && !strcmp(name + n - 7, ":latest")) n -= 7; /* as Ollama's clients say it */
    for (int i = 0; i < n_models; i++)
        if (strlen(models[i].id) == n && !memcmp(models[i].id, name, n)) return &models[i];
    if (n_models == 1 || (!*name && (has_default || n_models))) return &models[0];
    return NULL;
}

int goss_srv_catalog_find(const char *name, goss_srv_model *out) {
    pthread_mutex_lock(&lock);
    const goss_srv_model *m = find(name);
    if (m) *out = *m;
    pthread_mutex_unlock(&lock);
    return m ? 0 : GOSS_ENOENT;
}

static void write_openai(goss_buf *b, const goss_srv_model *m) {
    goss_buf_str(b, "{\"id\":");
    goss_buf_json_string(b, m->id, strlen(m->id));
    goss_buf_printf(b,
                    ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"local\",\"context_length\":%d,\"bytes\":"
                    "%llu,\"parameters\":%lld}",
                    (long long)m->mtime, m->info.max_kv > 0 ? m->info.max_kv : m->info.n_ctx,
                    (unsigned long long)m->bytes, (long long)m->info.n_params);
}

void goss_srv_catalog_time(char to[40], int64_t unix_time) {
    struct tm tm;
    time_t t = (time_t)unix_time;
    gmtime_r(&t, &tm);
    strftime(to, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* Ollama's command line cuts digests to 12 characters, and breaks on shorter ones. */
void goss_srv_catalog_write_details(goss_buf *b, const goss_srv_model *m) {
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

static void write_ollama(goss_buf *b, const goss_srv_model *m) {
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

void goss_srv_catalog_write(goss_buf *b, int style) {
    goss_buf_str(b, style == GOSS_SRV_LIST_OLLAMA ? "{\"models\":[" : "{\"object\":\"list\",\"data\":[");
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_models; i++) {
        if (i) goss_buf_str(b, ",");
        (style == GOSS_SRV_LIST_OLLAMA ? write_ollama : write_openai)(b, &models[i]);
    }
    pthread_mutex_unlock(&lock);
    goss_buf_str(b, "]}");
}

int goss_srv_catalog_write_one(goss_buf *b, const char *id) {
    pthread_mutex_lock(&lock);
    int found = 0;
    for (int i = 0; i < n_models && !found; i++) {
        if (strcmp(models[i].id, id)) continue;
        write_openai(b, &models[i]);
        found = 1;
    }
    pthread_mutex_unlock(&lock);
    return found;
}
