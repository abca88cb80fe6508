/* seats.c - see seats.h. */
#include "seats.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include "log.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef struct listener { goss_srv_seats *seats; int index; } listener;
static listener listeners[GOSS_SRV_SEATS_MAX]; /* outlive their engines */

/* "bytes":N of a load line, as a share of "total_bytes". Lines are our own engine's. */
static void on_load(goss_srv_seats *s, goss_srv_seat *seat, const char *json, size_t n)
{
    goss_json j = { 0 };
    if (goss_json_parse(&j, json, n, NULL, NULL) == 0) {
        const double total = goss_json_number(&j, goss_json_get(&j, 0, "total_bytes"), 0);
        if (total > 0)
            s->on_progress(s->ctx, goss_json_number(&j, goss_json_get(&j, 0, "bytes"), 0) / total);
        if (goss_json_is(&j, goss_json_get(&j, 0, "stage"), "model_config")) {
            goss_buf_clear(&seat->config);
            goss_buf_append(&seat->config, json, n);
        }
    }
    goss_json_free(&j);
}

static void on_telemetry(void *ctx, const char *json, size_t n)
{
    listener *l = ctx;
    goss_srv_seats *s = l->seats;
    goss_srv_seat *seat = &s->seat[l->index];
    if (s->telemetry) {
        if (fwrite(json, 1, n, s->telemetry) < n || fputc('\n', s->telemetry) == EOF) {
            goss_srv_log("telemetry ends here, its file can't be written: %s", strerror(errno));
            fclose(s->telemetry);
            s->telemetry = NULL;
        }
    }
    if (!seat->ready) on_load(s, seat, json, n);
    s->on_line(s->ctx, seat, json, n);
}

static goss_srv_seat *free_seat(goss_srv_seats *s)
{
    goss_srv_seat *oldest = NULL;
    for (int i = 0; i < s->n; i++) {
        goss_srv_seat *seat = &s->seat[i];
        if (!seat->engine) return seat;
        if (!seat->n_jobs && seat->ready && (!oldest || seat->used_ms < oldest->used_ms)) oldest = seat;
    }
    if (oldest) goss_srv_seats_unload(s, oldest);
    return oldest;
}

int goss_srv_seats_changed(const goss_srv_seat *seat)
{
    const goss_srv_file *f = &seat->file;
    struct stat st;
    return !stat(seat->model.path, &st) && st.st_ino == f->inode &&
           (st.st_size != f->size || memcmp(&st.st_mtim, &f->written, sizeof f->written));
}

goss_srv_seat *goss_srv_seats_find(goss_srv_seats *s, const goss_srv_model *m, int layers, int moe_fallback)
{
    for (int i = 0; i < s->n; i++) {
        goss_srv_seat *seat = &s->seat[i];
        if (seat->engine && !strcmp(seat->model.path, m->path) && seat->layers == layers &&
            seat->moe_fallback == moe_fallback)
            return seat;
    }
    return NULL;
}

double goss_srv_seats_keep(const goss_srv_seats *s)
{
    return s->c->keep_alive > 0 ? 1000 * s->c->keep_alive : -1;
}

int goss_srv_seats_get(goss_srv_seats *s, const goss_srv_model *m, int layers, int moe_fallback,
                       goss_srv_seat **out, goss_error *err)
{
    goss_srv_seat *seat = goss_srv_seats_find(s, m, layers, moe_fallback);
    *out = NULL;
    if (seat) {
        if (!seat->stale && goss_srv_seats_changed(seat)) {
            goss_srv_log("%s has changed on disk: it is loaded anew", seat->model.id);
            seat->stale = 1;
        }
        if (seat->stale) return GOSS_EAGAIN;
        *out = seat;
        return seat->ready ? 0 : GOSS_EAGAIN;
    }
    seat = free_seat(s);
    if (!seat) return GOSS_EAGAIN;
    int index = (int)(seat - s->seat);
    memset(seat, 0, sizeof *seat);
    seat->model = *m;
    seat->config = GOSS_BUF(4096);
    seat->layers = layers;
    seat->moe_fallback = moe_fallback;
    seat->began_ms = seat->used_ms = goss_os_now_ms();
    seat->keep_ms = goss_srv_seats_keep(s);
    listeners[index] = (listener){ s, index };
    goss_engine_config config = goss_srv_config_engine(s->c, seat->model.path, layers, moe_fallback);
    config.on_telemetry = on_telemetry;
    config.telemetry_ctx = &listeners[index];
    config.telemetry_mask = s->mask | (s->c->engine.record ? GOSS_TELEMETRY_RECORD : 0);
    struct stat st;
    if (!stat(m->path, &st)) seat->file = (goss_srv_file){ st.st_ino, st.st_size, st.st_mtim };
    const char *folder = s->c->engine.prefix_cache;
    int rc = folder ? goss_prefix_dir_open(&seat->prefixes, folder, err) : 0;
    if (folder) config.prefix_store = &seat->prefixes.store;
    const goss_engine_options *o = &s->c->engine;
    if (!rc) rc = goss_kernels_file_open(&seat->kernels, &config, o->kernels, o->model_cache, err);
    if (!rc) rc = goss_engine_open(&seat->engine, &config, err);
    s->changes++;
    if (rc < 0) {
        goss_engine_close(&seat->engine);
        goss_prefix_dir_close(&seat->prefixes);
        goss_kernels_file_close(&seat->kernels);
        goss_buf_free(&seat->config);
        return rc;
    }
    *out = seat;
    return goss_srv_seats_check(s, seat, err);
}

/* Records what the model does, into a file of its own in the folder that was named. A server goes on
 * without. */
static void record(goss_srv_seats *s, goss_srv_seat *seat)
{
    char path[1024], id[256];
    const time_t now = time(NULL);
    struct tm day;
    goss_error err = { .position = -1 };
    if (!s->c->engine.record) return;
    goss_fmt(id, sizeof id, "%s", seat->model.id);
    for (char *c = id; *c; c++)
        if (*c == '/' || *c == ':') *c = '_';
    gmtime_r(&now, &day);
    goss_fmt(path, sizeof path, "%s/%s-%04d%02d%02dT%02d%02d%02d.grec", s->c->engine.record, id,
             day.tm_year + 1900, day.tm_mon + 1, day.tm_mday, day.tm_hour, day.tm_min, day.tm_sec);
    int rc = goss_record_file_open(&seat->recording, path, &err);
    const goss_record_config config = { .block = goss_record_file_block, .ctx = seat->recording };
    if (!rc) rc = goss_engine_record(seat->engine, &config, &err);
    if (rc) goss_srv_log("%s is not recorded: %s", seat->model.id, err.text);
}

int goss_srv_seats_check(goss_srv_seats *s, goss_srv_seat *seat, goss_error *err)
{
    int state = goss_engine_state(seat->engine);
    if (state == GOSS_ENGINE_LOADING) return GOSS_EAGAIN;
    if (state == GOSS_ENGINE_FAILED) {
        if (goss_engine_poll(seat->engine, 0, err) >= 0)
            goss_fail(err, GOSS_ESTATE, -1, "%s could not be loaded", seat->model.path);
        goss_srv_seats_unload(s, seat);
        return err && err->code ? err->code : GOSS_ESTATE;
    }
    if (!seat->ready) {
        goss_engine_info(seat->engine, &seat->info);
        seat->load_ms = goss_os_now_ms() - seat->began_ms;
        seat->ready = 1;
        goss_srv_log("%s loaded in %.0f ms: %s, %d layers, %s on %s (%s)", seat->model.id, seat->load_ms,
                     seat->info.arch, seat->info.n_layer, seat->info.type, seat->info.backend,
                     seat->info.level);
        record(s, seat);
    }
    return 0;
}

void goss_srv_seats_unload(goss_srv_seats *s, goss_srv_seat *seat)
{
    (void)s;
    s->changes++;
    goss_engine_close(&seat->engine);
    goss_prefix_dir_close(&seat->prefixes);
    goss_kernels_file_close(&seat->kernels);
    goss_buf_free(&seat->config);
    goss_error err = { .position = -1 };
    if (goss_record_file_close(&seat->recording, &err)) goss_srv_log("%s", err.text);
    seat->ready = seat->stale = 0;
}
