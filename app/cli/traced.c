/* traced.c - see traced.h. */
#include "traced.h"
#include "base/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int goss_cli_load(goss_engine **out, const goss_engine_config *config, goss_error *err)
{
    int rc = goss_engine_open(out, config, err);
    while (rc == 0 && goss_engine_state(*out) == GOSS_ENGINE_LOADING) {
        rc = goss_engine_poll(*out, 100, err);
        if (rc > 0) rc = 0;
    }
    if (rc < 0) goss_engine_close(out);
    return rc;
}

/* ---- tokens ---- */
static int read_list(const char *list, int32_t *ids, int cap, goss_error *err)
{
    int n = 0;
    for (const char *s = list; *s;) {
        char *end;
        const long v = strtol(s, &end, 10);
        if (end == s || (*end && *end != ',' && *end != ' ') || v < 0 || v > INT32_MAX)
            return goss_fail(err, GOSS_EINVAL, s - list,
                             "--tokens should be numbers with commas between, not \"%.40s\"", s);
        if (n < cap) ids[n] = (int32_t)v;
        n++;
        s = end + (*end != 0);
    }
    return n;
}

int goss_cli_tokens(const goss_engine *e, const char *text, const char *list, int seq_len, int32_t **ids,
                    goss_error *err)
{
    const size_t n_text = strlen(text);
    const int room = (int)(list ? strlen(list) : n_text) + 8;
    const int cap = room > seq_len ? room : seq_len;
    *ids = calloc((size_t)cap, sizeof **ids);
    if (!*ids) return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the tokens");
    int n = list ? read_list(list, *ids, cap, err)
                 : goss_tokenize(e, text, n_text, GOSS_TOKENIZE_SPECIAL | GOSS_TOKENIZE_BOS, *ids, cap);
    if (n == 0) n = goss_fail(err, GOSS_EINVAL, -1, "there are no tokens: give --text or --tokens");
    if (n > 0 && seq_len > 0) {
        for (int i = n; i < seq_len; i++) (*ids)[i] = (*ids)[i - n];
        n = seq_len;
    }
    if (n < 0) {
        free(*ids);
        *ids = NULL;
    }
    return n;
}

/* ---- traces ---- */
static goss_traced *slot(goss_traces *t, const char *stage, int layer, int width)
{
    for (int i = 0; i < t->n; i++)
        if (t->list[i].layer == layer && !strcmp(t->list[i].stage, stage)) return &t->list[i];
    if (t->n == t->cap) {
        const int cap = t->cap ? 2 * t->cap : 64;
        goss_traced *list = realloc(t->list, (size_t)cap * sizeof *list);
        if (!list) return NULL;
        t->list = list;
        t->cap = cap;
    }
    t->list[t->n] = (goss_traced){ .layer = layer, .width = width };
    strncpy(t->list[t->n].stage, stage, sizeof t->list[t->n].stage - 1);
    return &t->list[t->n++];
}

static void keep(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    goss_traces *t = ctx;
    if (t->failed || (layer >= 0 && t->only_layer >= 0 && layer != t->only_layer)) return;
    goss_traced *s = slot(t, stage, layer, width);
    const size_t have = s ? (size_t)s->n_rows * (size_t)width : 0, more = (size_t)n_rows * (size_t)width;
    float *all = s && s->width == width ? realloc(s->values, (have + more) * sizeof *all) : NULL;
    if (!all) {
        t->failed = 1;
        return;
    }
    memcpy(all + have, values, more * sizeof *all);
    s->values = all;
    s->n_rows += n_rows;
}

int goss_cli_trace(goss_engine *e, const int32_t *ids, int n, int chunk, int only_layer, goss_traces *out,
                   goss_error *err)
{
    *out = (goss_traces){ .only_layer = only_layer };
    const int rc = goss_trace(e, ids, n, chunk, keep, out, err);
    if (rc < 0) return rc;
    return out->failed ? goss_fail(err, GOSS_ENOMEM, -1, "out of memory for what the stages put out") : 0;
}

void goss_traces_free(goss_traces *t)
{
    for (int i = 0; i < t->n; i++) free(t->list[i].values);
    free(t->list);
    *t = (goss_traces){ 0 };
}

const goss_traced *goss_traces_find(const goss_traces *t, const char *stage, int layer)
{
    for (int i = 0; i < t->n; i++)
        if (t->list[i].layer == layer && !strcmp(t->list[i].stage, stage)) return &t->list[i];
    return NULL;
}

goss_summary goss_summarize(const float *v, size_t n)
{
    goss_summary s = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) {
            s.n_bad++;
            continue;
        }
        s.rms += (double)v[i] * (double)v[i];
        s.mean += (double)v[i];
        s.max_abs = fmax(s.max_abs, fabs((double)v[i]));
    }
    s.rms = n ? sqrt(s.rms / (double)n) : 0;
    s.mean = n ? s.mean / (double)n : 0;
    return s;
}
