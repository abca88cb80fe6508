/* slots.c - see slots.h. */
#include "slots.h"
#include "../../src/base/error.h"
#include "../../src/base/os.h"
#include "log.h"
#include <string.h>
#include <sys/stat.h>

typedef struct listener { goss_srv_slots *slots; int index; } listener;
static listener listeners[GOSS_SRV_SLOTS_MAX]; /* outlive their engines */

/* "bytes":N of a load line, as a share of "total_bytes". Lines are our own engine's. */
static double share(const char *json, size_t n) {
    goss_json j = { 0 };
    double part = -1;
    if (goss_json_parse(&j, json, n, NULL, NULL) == 0) {
        double total = goss_json_number(&j, goss_json_get(&j, 0, "total_bytes"), 0);
        if (total > 0) part = goss_json_number(&j, goss_json_get(&j, 0, "bytes"), 0) / total;
    }
    goss_json_free(&j);
    return part;
}

static void on_telemetry(void *ctx, const char *json, size_t n) {
    listener *l = ctx;
    goss_srv_slots *s = l->slots;
    goss_srv_slot *slot = &s->slot[l->index];
    if (s->telemetry) {
        fwrite(json, 1, n, s->telemetry);
        fputc('\n', s->telemetry);
    }
    if (!slot->ready) {
        double part = share(json, n);
        if (part >= 0) s->on_progress(s->ctx, part);
    }
    s->on_line(s->ctx, slot, json, n);
}

static goss_srv_slot *free_slot(goss_srv_slots *s) {
    goss_srv_slot *oldest = NULL;
    for (int i = 0; i < s->n; i++) {
        goss_srv_slot *slot = &s->slot[i];
        if (!slot->engine) return slot;
        if (!slot->n_jobs && slot->ready && (!oldest || slot->used_ms < oldest->used_ms)) oldest = slot;
    }
    if (oldest) goss_srv_slots_unload(s, oldest);
    return oldest;
}

int goss_srv_slots_changed(const goss_srv_slot *slot) {
    const goss_srv_file *f = &slot->file;
    struct stat st;
    return !stat(slot->model.path, &st) && st.st_ino == f->inode &&
           (st.st_size != f->size || memcmp(&st.st_mtim, &f->written, sizeof f->written));
}

goss_srv_slot *goss_srv_slots_find(goss_srv_slots *s, const goss_srv_model *m, int layers, int moe_fallback) {
    for (int i = 0; i < s->n; i++) {
        goss_srv_slot *slot = &s->slot[i];
        if (slot->engine && !strcmp(slot->model.path, m->path) && slot->layers == layers &&
            slot->moe_fallback == moe_fallback)
            return slot;
    }
    return NULL;
}

double goss_srv_slots_keep(const goss_srv_slots *s) { return s->c->keep_alive > 0 ? 1000 * s->c->keep_alive : -1; }

int goss_srv_slots_get(goss_srv_slots *s, const goss_srv_model *m, int layers, int moe_fallback,
                       goss_srv_slot **out, goss_error *err) {
    goss_srv_slot *slot = goss_srv_slots_find(s, m, layers, moe_fallback);
    *out = NULL;
    if (slot) {
        if (!slot->stale && goss_srv_slots_changed(slot)) {
            goss_srv_log("%s has changed on disk: it is loaded anew", slot->model.id);
            slot->stale = 1;
        }
        if (slot->stale) return GOSS_EAGAIN;
        *out = slot;
        return slot->ready ? 0 : GOSS_EAGAIN;
    }
    slot = free_slot(s);
    if (!slot) return GOSS_EAGAIN;
    int index = (int)(slot - s->slot);
    memset(slot, 0, sizeof *slot);
    slot->model = *m;
    slot->layers = layers;
    slot->moe_fallback = moe_fallback;
    slot->began_ms = slot->used_ms = goss_os_now_ms();
    slot->keep_ms = goss_srv_slots_keep(s);
    listeners[index] = (listener){ s, index };
    goss_engine_config config = goss_srv_config_engine(s->c, slot->model.path, layers, moe_fallback);
    config.on_telemetry = on_telemetry;
    config.telemetry_ctx = &listeners[index];
    config.telemetry_mask = s->mask;
    struct stat st;
    if (!stat(m->path, &st)) slot->file = (goss_srv_file){ st.st_ino, st.st_size, st.st_mtim };
    int rc = *s->c->prefix_cache ? goss_prefix_dir_open(&slot->prefixes, s->c->prefix_cache, err) : 0;
    if (*s->c->prefix_cache) config.prefix_store = &slot->prefixes.store;
    config.prefix_store_bytes = s->c->prefix_cache_size;
    if (!rc) rc = goss_engine_open(&slot->engine, &config, err);
    if (rc < 0) {
        goss_engine_close(&slot->engine);
        goss_prefix_dir_close(&slot->prefixes);
        return rc;
    }
    *out = slot;
    return goss_srv_slots_check(s, slot, err);
}

int goss_srv_slots_check(goss_srv_slots *s, goss_srv_slot *slot, goss_error *err) {
    int state = goss_engine_state(slot->engine);
    if (state == GOSS_ENGINE_LOADING) return GOSS_EAGAIN;
    if (state == GOSS_ENGINE_FAILED) {
        if (goss_engine_poll(slot->engine, 0, err) >= 0)
            goss_fail(err, GOSS_ESTATE, -1, "%s could not be loaded", slot->model.path);
        goss_srv_slots_unload(s, slot);
        return err && err->code ? err->code : GOSS_ESTATE;
    }
    if (!slot->ready) {
        goss_engine_info(slot->engine, &slot->info);
        slot->load_ms = goss_os_now_ms() - slot->began_ms;
        slot->ready = 1;
        goss_srv_log("%s loaded in %.0f ms: %s, %d layers, %s on %s (%s)", slot->model.id, slot->load_ms,
                     slot->info.arch, slot->info.n_layer, slot->info.type, slot->info.backend, slot->info.level);
    }
    return 0;
}

void goss_srv_slots_unload(goss_srv_slots *s, goss_srv_slot *slot) {
    (void)s;
    goss_engine_close(&slot->engine);
    goss_prefix_dir_close(&slot->prefixes);
    slot->ready = slot->stale = 0;
}
