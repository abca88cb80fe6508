/* engine_util.h - what the engine's tests share: goldens, and running a session to its end. */
#ifndef ENGINE_UTIL_H
#define ENGINE_UTIL_H
#include "base/mem.h"
#include "format/json.h"
#include "unit.h"
#include <gossamer.h>
#include <stdlib.h>

enum { MAX_GOLDENS = 64 };
typedef struct golden {
    char prompt[256];
    int32_t ids[1024];
    int n_ids;
    int32_t greedy[256];
    int n_greedy;
} golden;
typedef struct goldens { golden g[MAX_GOLDENS]; int n; } goldens;

static inline char *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) { printf("cannot read %s\n", path); exit(1); }
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*n + 1);
    if (fread(text, 1, *n, f) != *n) exit(1);
    text[*n] = 0;
    fclose(f);
    return text;
}

static inline int read_ids(const goss_json *j, int array, int32_t *out, int cap)
{
    int n = 0;
    for (int k = goss_json_first(j, array); k >= 0 && n < cap; k = goss_json_next(j, k))
        out[n++] = (int32_t)goss_json_number(j, k, -1);
    return n;
}

static inline goldens *read_goldens(const char *path)
{
    size_t n;
    char *text = read_all(path, &n);
    goss_json j = { 0 };
    goss_error err;
    if (goss_json_parse(&j, text, n, NULL, &err)) { printf("%s: %s\n", path, err.text); exit(1); }
    goldens *all = calloc(1, sizeof *all);
    for (int k = goss_json_first(&j, 0); k >= 0 && all->n < MAX_GOLDENS; k = goss_json_next(&j, k)) {
        golden *g = &all->g[all->n++];
        goss_buf b = GOSS_BUF(sizeof g->prompt - 1);
        goss_json_string(&j, goss_json_get(&j, k, "prompt"), &b);
        snprintf(g->prompt, sizeof g->prompt, "%s", goss_buf_cstr(&b));
        goss_buf_free(&b);
        g->n_ids = read_ids(&j, goss_json_get(&j, k, "ids"), g->ids, 1024);
        g->n_greedy = read_ids(&j, goss_json_get(&j, k, "greedy"), g->greedy, 256);
    }
    goss_json_free(&j);
    free(text);
    return all;
}

typedef struct answer {
    int32_t ids[4096];
    int n;
    char text[16384];
    int n_text;
    int stop, done, n_reused, n_drafted;
    goss_error error;
} answer;

/* Takes the events that wait; 1 when the session is done. */
static inline int take_events(goss_session *s, answer *a)
{
    goss_event ev;
    while (goss_session_event(s, &ev)) {
        if (ev.kind == GOSS_EVENT_TOKEN && ev.token >= 0 && a->n < 4096) a->ids[a->n++] = ev.token;
        if (ev.kind != GOSS_EVENT_PREFILL && a->n_text + ev.n_text < (int)sizeof a->text) {
            memcpy(a->text + a->n_text, ev.text, (size_t)ev.n_text);
            a->n_text += ev.n_text;
            a->text[a->n_text] = 0;
        }
        if (ev.kind != GOSS_EVENT_DONE) continue;
        a->stop = ev.stop;
        a->done = 1;
        a->n_reused = ev.n_reused;
        a->error = ev.error;
    }
    return a->done;
}

static inline int run_to_end(goss_engine *e, goss_session *s, answer *a)
{
    goss_error err = { 0 };
    memset(a, 0, sizeof *a);
    while (!take_events(s, a)) {
        const int rc = goss_engine_poll(e, 100, &err);
        if (rc < 0) { printf("poll: %s\n", err.text); return rc; }
    }
    return 0;
}

static inline goss_params greedy_params(int max_tokens)
{
    goss_params p = goss_params_default();
    p.temperature = 0;
    p.max_tokens = max_tokens;
    return p;
}
#endif
