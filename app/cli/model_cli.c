/* model_cli.c - see model_cli.h. */
#include "model_cli.h"
#include "base/fmt.h"
#include "net/source.h"
#include "net/stream.h"
#include "progress.h"
#include <string.h>

typedef struct shown { goss_progress bar; int waiting; } shown;

static void on_progress(void *ctx, const char *file, uint64_t done, uint64_t total, int waiting)
{
    shown *s = ctx;
    (void)file;
    if (waiting != s->waiting && s->waiting) goss_progress_end(&s->bar);
    if (waiting != s->waiting && waiting)
        goss_progress_start(&s->bar, waiting == GOSS_STREAM_FETCHES ? "fetching" : "checking", done, total);
    s->waiting = waiting;
    if (waiting) goss_progress_update(&s->bar, done);
}

int goss_cli_pull(goss_model_pull *p, const char *command)
{
    shown s = { .waiting = 0 };
    goss_error err = { .position = -1 };
    p->on_progress = on_progress;
    p->ctx = &s;
    const int rc = goss_model_pull_run(p, &err);
    if (s.waiting) goss_progress_end(&s.bar);
    return rc ? goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err) : 0;
}

int goss_cli_bring(const char **path, const char *folder, const char *command, char *room, size_t cap)
{
    goss_model_pull p = { .said = *path, .folder = folder };
    if (!*path || !(goss_is_url(*path) || goss_model_is_name(*path))) return 0;
    goss_error err = { .position = -1 };
    int rc = goss_model_locate(&p.place, *path, folder, 1, &err);
    if (rc) return goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err);
    if (!p.place.kept && goss_cli_pull(&p, command)) return 1;
    goss_fmt(room, cap, "%s", p.place.path);
    *path = room;
    return 0;
}

int goss_cli_bring_model(const char **model, const goss_engine_options *o, const char *command, char *room,
                         size_t cap)
{
    goss_model_pull p = { .said = *model, .folder = o->model_cache };
    goss_error err = { .position = -1 };
    if (!o->config.ring) return goss_cli_bring(model, o->model_cache, command, room, cap);
    const int rc = goss_model_locate(&p.place, *model, o->model_cache, 1, &err);
    if (rc) return goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err);
    return p.place.kept || p.place.n_parts < 2 ? 0 : goss_cli_pull(&p, command);
}

int goss_cli_model(goss_engine_options *o, const char *command, const char *model)
{
    int status = goss_engine_options_finish(o, command, model);
    if (!status)
        status = goss_cli_bring_model(&o->config.model_path, o, command, o->found, sizeof o->found);
    if (!status)
        status = goss_cli_bring(&o->config.draft_path, o->model_cache, command, o->draft, sizeof o->draft);
    return status;
}

const char *goss_cli_source(const char *command, const char *said, char *room, size_t cap)
{
    goss_model_place p;
    goss_error err = { .position = -1 };
    if (!goss_model_is_name(said)) return said;
    const int rc = goss_model_locate(&p, said, NULL, 1, &err);
    if (rc) return goss_cli_fail(command, 1, &err), NULL;
    goss_fmt(room, cap, "%s", p.kept ? p.path : p.url);
    return room;
}

int goss_cli_model_head(goss_engine_options *o, const char *command, const char *model)
{
    char room[1500];
    int status = goss_engine_options_finish(o, command, model);
    const char *found = status ? NULL : goss_cli_source(command, o->config.model_path, room, sizeof room);
    if (!found) return status ? status : 1;
    if (found != room) return 0;
    memcpy(o->found, room, sizeof room);
    o->config.model_path = o->found;
    return 0;
}
