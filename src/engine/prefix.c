/* prefix.c - what was computed once is not computed again: sequences are kept by reference to their KV pages and
 * reused by the longest token prefix they share with a new prompt. What is being computed is waited for.
 *
 * Sources of a prefix, best first by length: the session's own KV, other sessions', and the cache of finished ones.
 * Windowed layers have given back the pages behind their window, so a long sequence can't be rewound far: snapshots
 * (forks, which hold only references) are taken where conversations branch: at the last message boundaries of a prompt
 * and at its end. A finished Harmony turn is also kept in its canonical form, as the next prompt will show it: without
 * the analysis, <|return|> turned to <|end|>; what of it is not computed yet is prefilled in idle time.
 * Least recently used goes first, when a place or pages are needed. */
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

enum { MIN_KEEP = 16, BOUNDARIES = 4 };

int goss_prefix_open(goss_engine *e)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        const int rc = goss_kv_open(&e->cached[i].kv, &e->pool, e->max_kv);
        if (rc) return rc;
    }
    return 0;
}

void goss_prefix_forget(goss_cached *c)
{
    goss_kv_clear(&c->kv);
    goss_mem_free(c->tokens);
    c->tokens = NULL;
    c->n = c->live = c->warm = c->keep = 0;
}

void goss_prefix_close(goss_engine *e)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_mem_free(e->cached[i].tokens);
        goss_kv_close(&e->cached[i].kv);
    }
}

void goss_prefix_drop(goss_engine *e)
{
    goss_keep_give_up(e);
    for (int i = 0; i < GOSS_CACHED; i++) {
        e->cached[i].busy = 0;
        goss_prefix_forget(&e->cached[i]);
    }
}

static int shared(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    const int n = n_a < n_b ? n_a : n_b;
    int i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

/* ---- reuse ------------------------------------------------------------------------------------------------- */
/* How many positions of ids a KV of these tokens can give; 0 when its windowed pages for that point are gone. */
static int gives(const goss_kv *kv, const int32_t *tokens, int n_tokens, const int32_t *ids, int most)
{
    const int n = shared(tokens, n_tokens < kv->n ? n_tokens : kv->n, ids, most);
    return n > 0 && goss_kv_can_truncate(kv, n) ? n : 0;
}

int goss_prefix_reuse(goss_session *s, const int32_t *ids, int n, int most)
{
    goss_engine *e = s->engine;
    (void)n;
    const int own = gives(&s->kv, s->tokens, s->n_known, ids, most);
    int best = own, fetched = 0;
    const goss_kv *from = NULL;
    goss_cached *hit = NULL;
    s->n_stored = 0;
again:
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &e->cached[i];
        const int g = c->live && !c->busy ? gives(&c->kv, c->tokens, c->n, ids, most) : 0;
        if (g > best) { best = g; from = &c->kv; hit = c; }
    }
    for (int i = 0; i < e->max_sessions; i++) {
        const goss_session *o = e->sessions[i];
        if (!o || o == s) continue;
        const int held = o->n_known < o->kv.n ? o->n_known : o->kv.n, g = gives(&o->kv, o->tokens, held, ids, most);
        if (g > best) { best = g; from = &o->kv; hit = NULL; }
    }
    if (goss_keep_fetch(e, ids, most, best)) { fetched = 1; goto again; }
    if (!from) {
        if (!own || goss_kv_truncate(&s->kv, own)) goss_kv_clear(&s->kv);
        return s->kv.n;
    }
    if (s->kv.n >= MIN_KEEP) goss_prefix_keep(e, &s->kv, s->tokens, s->kv.n);
    goss_kv_clear(&s->kv);
    if (hit) hit->used = e->clock;
    if (goss_kv_fork(&s->kv, from, best)) goss_kv_clear(&s->kv);
    if (fetched && hit) s->n_stored = s->kv.n;
    return s->kv.n;
}

/* ---- following --------------------------------------------------------------------------------------------- */
/* n answers to one prompt, or users with the same instructions: when the next comes while the first is still being
 * prefilled, it waits for what they share and takes it by reference, instead of computing it once more. */
int goss_prefix_follow(goss_session *s)
{
    enum { WORTH = 32 };
    goss_engine *e = s->engine;
    const int most = s->prefill_only ? s->n_prompt : s->n_prompt - 1;
    int best = s->kv.n + WORTH;
    s->follows = NULL;
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *o = e->sessions[i];
        if (!o || o == s || !o->active || o->canceled || o->closed || o->kv.n >= o->n_prompt) continue;
        const int g = shared(o->tokens, o->n_prompt, s->tokens, most);
        if (g < best || g <= o->kv.n || (g == best && s->follows && o->follows)) continue;
        best = g;
        s->follows = o;
        s->follow_n = g;
        s->follow_born = o->born;
    }
    return s->follows != NULL;
}

/* Is it still on its way to where s wants it? Whoever can't go on, for whatever reason, is not waited for. */
static int comes(const goss_session *s)
{
    const goss_session *o = s->follows;
    return o->born == s->follow_born && o->active && !o->canceled && !o->closed && o->kv.n < s->follow_n &&
           (o->follows || o->n_inflight || goss_session_room(o));
}

void goss_prefix_join(goss_engine *e)
{
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->follows || comes(s)) continue;
        const int n = goss_prefix_reuse(s, s->tokens, s->n_prompt, s->n_prompt - !s->prefill_only);
        s->n_joined = n;
        goss_session_begin(s, n);
    }
}

void goss_prefix_left(const goss_session *s)
{
    for (int i = 0; s->engine->sessions && i < s->engine->max_sessions; i++) {
        goss_session *o = s->engine->sessions[i];
        if (o && o->follows == s) { o->follow_born = 0; o->follows = o; } /* the next join ends its wait */
    }
}

/* ---- keeping ----------------------------------------------------------------------------------------------- */
static goss_cached *place(goss_engine *e)
{
    goss_cached *oldest = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &e->cached[i];
        if (c->busy) continue;
        if (!c->live) return c;
        if (!oldest || c->used < oldest->used) oldest = c;
    }
    if (oldest) goss_prefix_forget(oldest);
    return oldest;
}

/* The entry that already holds exactly these tokens. */
static goss_cached *find(goss_engine *e, const int32_t *ids, int n)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &e->cached[i];
        if (c->live && c->n == n && !memcmp(c->tokens, ids, (size_t)n * sizeof *ids)) return c;
    }
    return NULL;
}

goss_cached *goss_prefix_place(goss_engine *e, const int32_t *ids, int n)
{
    goss_cached *c = place(e);
    if (!c) return NULL;
    c->tokens = goss_mem_array((size_t)n, sizeof *ids);
    if (!c->tokens) return NULL;
    memcpy(c->tokens, ids, (size_t)n * sizeof *ids);
    c->n = n;
    c->live = 1;
    c->used = e->clock;
    return c;
}

/* An entry for n tokens whose KV starts as the first `have` positions of `kv`. NULL: there is no place or no memory. */
static goss_cached *insert(goss_engine *e, const goss_kv *kv, const int32_t *ids, int n, int have)
{
    goss_cached *c = find(e, ids, n);
    if (c) { c->used = e->clock; return c; }
    if (have > 0 && !goss_kv_can_truncate(kv, have)) return NULL;
    c = goss_prefix_place(e, ids, n);
    if (!c) return NULL;
    if (have > 0 && goss_kv_fork(&c->kv, kv, have)) { goss_prefix_forget(c); return NULL; }
    return c;
}

goss_cached *goss_prefix_keep(goss_engine *e, const goss_kv *kv, const int32_t *ids, int n)
{
    return n >= MIN_KEEP ? insert(e, kv, ids, n, n) : NULL;
}

/* Where the first user's message begins, if the prompt says anything before it: every conversation with the same
 * instructions begins with the same tokens. -1: nowhere. */
static int instructions_end(const goss_engine *e, const int32_t *ids, int n)
{
    for (int i = 1; i + 1 < n; i++) {
        if (ids[i] != e->tok_start) continue;
        const goss_str role = goss_vocab_bytes(e->vocab, ids[i + 1], 0);
        if (role.n == 4 && !memcmp(role.s, "user", 4)) return i;
    }
    return -1;
}

void goss_prefix_snapshot(goss_session *s)
{
    goss_engine *e = s->engine;
    const int first = e->keeper && s->chat && e->tok_start >= 0 ? instructions_end(e, s->tokens, s->n_prompt) : -1;
    if (first > s->n_reused && first <= s->kv.n && goss_kv_can_truncate(&s->kv, first)) {
        goss_cached *c = goss_prefix_keep(e, &s->kv, s->tokens, first);
        if (c && c->keep < GOSS_KEEP_SOON) c->keep = GOSS_KEEP_SOON;
    }
    if (!e->model.hp.window) return;
    const int n = s->n_prompt, done = s->kv.n < n ? s->kv.n : n, from = s->kv.n - e->max_rows - GOSS_ROLLBACK;
    if (done == n) goss_prefix_keep(e, &s->kv, s->tokens, n - 1);
    int found = 0;
    for (int at = n - 3; at >= MIN_KEEP && at >= from && found < BOUNDARIES && e->tok_start >= 0; at--) {
        if (s->tokens[at] != e->tok_start) continue;
        if (at <= done) goss_prefix_keep(e, &s->kv, s->tokens, at);
        found++;
    }
}

/* ---- the canonical form of a finished turn ----------------------------------------------------------------- */
static int is_analysis(const goss_engine *e, const int32_t *ids, int n)
{
    for (int i = 0; i + 1 < n; i++) {
        if (ids[i] == e->tok_message) return 0;
        if (ids[i] != e->tok_channel) continue;
        const goss_str name = goss_vocab_bytes(e->vocab, ids[i + 1], 0);
        return name.n >= 3 && !memcmp(name.s, "analysis", name.n < 8 ? (size_t)name.n : 8);
    }
    return 0;
}

/* Copies the messages but analysis; returns the count. A message begins at <|start|> and ends before the next. */
static int canonical(const goss_engine *e, const int32_t *ids, int n, int32_t *out)
{
    int n_out = 0;
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && ids[to] != e->tok_start; to++) { }
        if (is_analysis(e, ids + from, to - from)) continue;
        memcpy(out + n_out, ids + from, (size_t)(to - from) * sizeof *ids);
        n_out += to - from;
    }
    if (n_out && out[n_out - 1] == e->tok_return) out[n_out - 1] = e->tok_end;
    return n_out;
}

void goss_prefix_finished(goss_session *s, int stop)
{
    goss_engine *e = s->engine;
    if (stop != GOSS_STOP_EOS || !s->chat || e->format != GOSS_CHAT_HARMONY || s->n_known < MIN_KEEP) return;
    int32_t *ids = goss_mem_array((size_t)s->n_known, sizeof *ids);
    if (!ids) return;
    const int n = canonical(e, s->tokens, s->n_known, ids);
    int best = 0;
    const goss_kv *from = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        const goss_cached *c = &e->cached[i];
        const int g = c->live && !c->busy ? gives(&c->kv, c->tokens, c->n, ids, n) : 0;
        if (g > best) { best = g; from = &c->kv; }
    }
    const int own = gives(&s->kv, s->tokens, s->n_known, ids, n);
    if (own >= best) { best = own; from = &s->kv; }
    goss_cached *c = best > 0 ? insert(e, from, ids, n, best) : NULL;
    if (c && c->kv.n < c->n) c->warm = 1;
    if (c && c->keep < GOSS_KEEP_AT_END) c->keep = GOSS_KEEP_AT_END;
    goss_mem_free(ids);
}

goss_cached *goss_prefix_warm(goss_engine *e)
{
    goss_cached *next = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &e->cached[i];
        if (!c->live || !c->warm || c->busy) continue;
        if (c->kv.n >= c->n) c->warm = 0;
        else if (!next || c->used > next->used) next = c;
    }
    return next;
}

/* ---- giving up --------------------------------------------------------------------------------------------- */
/* Drops the least recently used of cached sequences and of sessions that are not generating. */
int goss_prefix_evict(goss_engine *e, const goss_kv *but)
{
    if (goss_keep_give_up(e)) return 1;                    /* it holds pages that are in the store's way only */
    goss_cached *oldest = NULL;
    goss_session *idle = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &e->cached[i];
        if (c->live && !c->busy && &c->kv != but && (!oldest || c->used < oldest->used)) oldest = c;
    }
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (s && !s->active && !s->n_inflight && s->kv.n && (!idle || s->used < idle->used)) idle = s;
    }
    if (idle && (!oldest || idle->used < oldest->used)) { goss_kv_clear(&idle->kv); return 1; }
    if (!oldest) return 0;
    goss_prefix_forget(oldest);
    return 1;
}
