/* keep.c - prefixes that outlive the engine: entries in the application's store (goss_store), so that a long system
 * prompt is prefilled once a machine.
 *
 * What is stored: where a chat's instructions end (the first user's message), in idle time; and when the engine
 * closes, the canonical forms of finished turns and whole texts of closed sessions. What a new prompt shares with an
 * entry by more than with anything in memory is read back into the cache of prefix.c, which then treats it as its own.
 *
 * An entry is written a page a poll, as the backend brings it (a GPU's pages come back while others are computed). It
 * holds its pages by reference meanwhile, so nothing can change them; whoever needs their room ends it.
 *
 *   name     the first 16 digits of the model's mark, "-", 16 digits of a hash of the tokens, ".kv"
 *   entry    head | tokens, int32 | sum of both | pages of the full layers, then windowed ones | sum of them
 *
 * The mark is a SHA-256 over whatever decides what the pages' bytes are: the tensors' names, types and places,
 * samples of their bytes, the options, the KV's type, the backend, its level and our version. An entry with another
 * mark is never read. Numbers are in the machine's own order. The store is bounded: least recently used first,
 * whichever model's. */
#include "../base/fmt.h"
#include "../base/mem.h"
#include "../base/sha256.h"
#include "engine.h"
#include <string.h>

enum { NAME = 64, KNOWN = 256, MARK = 32, LEAST = 64, SAMPLE = 64, PAGE_MS = 3000 };
static const char MAGIC[8] = "GOSSKV1";
static const uint64_t DEFAULT_BYTES = 4ull << 30;

typedef struct entry_head {
    char magic[8];
    uint8_t mark[MARK];
    int32_t n, window_base, n_pages[GOSS_KV_CLASSES];
    uint64_t page_bytes[GOSS_KV_CLASSES];
} entry_head;
/* tokens: of our entries only */
typedef struct stored { char name[NAME]; uint64_t bytes, used; int32_t *tokens; entry_head head; } stored;
struct goss_keeper {
    goss_store store;
    uint64_t most, page_bytes[GOSS_KV_CLASSES];
    uint8_t mark[MARK]; char prefix[20];
    stored known[KNOWN]; int n_known;
    uint64_t clock;              /* newer than everything that was listed */
    uint8_t *page;               /* one of the larger class */
    /* the entry being written: its pages by reference, the next one, the sum so far, whose it is */
    struct { int on, cls, at; stored s; goss_kv kv; uint64_t sum; goss_cached *from; } out;
};

/* ---- sums -------------------------------------------------------------------------------------------------- */
/* Of whole 64-bit words and a tail; finds torn and flipped bytes, and is no secret. */
static uint64_t add_sum(uint64_t h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = (h ^ w) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    for (; n > 0; p++, n--) h = (h ^ *p) * 0x100000001B3u;
    return h;
}

static void hash_tensor(goss_sha256 *s, const goss_tensor *t)
{
    goss_sha256_update(s, t->name, strlen(t->name));
    goss_sha256_update(s, &t->type, sizeof t->type);
    goss_sha256_update(s, t->ne, sizeof t->ne);
    const uint64_t n = t->n_bytes < SAMPLE ? t->n_bytes : SAMPLE, at[] = { 0, (t->n_bytes - n) / 2, t->n_bytes - n };
    for (int i = 0; i < 3; i++) goss_sha256_update(s, t->data + at[i], (size_t)n);
}

/* 0: the weights are not in memory, there is no mark. */
static int make_mark(const goss_engine *e, uint8_t out[MARK])
{
    const goss_engine_config *c = &e->config;
    goss_sha256 s;
    goss_sha256_init(&s);
    for (int i = 0; i < e->load.n_files; i++)
        if (e->load.files[i].source.need) return 0;  /* on their way */
    for (uint64_t i = 0; i < e->gguf.n_tensors; i++) {
        if (!e->gguf.tensors[i].data) return 0;
        hash_tensor(&s, &e->gguf.tensors[i]);
    }
    const int options[] = { c->n_layers, c->moe_fallback, c->attn_dense, c->yarn_llamacpp, e->model.hp.n_layer };
    goss_sha256_update(&s, options, sizeof options);
    goss_sha256_update(&s, e->model.hp.rope_freq, (size_t)(e->model.hp.rope_dim / 2) * sizeof *e->model.hp.rope_freq);
    const char *const words[] = { GOSS_VERSION, c->kv_type ? c->kv_type : "f16", e->backend->vt->name,
                                  e->backend->vt->level(e->backend) };
    for (int i = 0; i < 4; i++) goss_sha256_update(&s, words[i], strlen(words[i]) + 1);
    goss_sha256_final(&s, out);
    return 1;
}

static void say(const goss_keeper *k, const char *format, const char *name, const char *what)
{
    char text[320];
    if (!k->store.say) return;
    goss_fmt(text, sizeof text, format, name, what);
    k->store.say(k->store.ctx, text);
}

/* ---- what is there ----------------------------------------------------------------------------------------- */
static void forget(goss_keeper *k, int i)
{
    goss_mem_free(k->known[i].tokens);
    k->known[i] = k->known[--k->n_known];
}

static int is_ours(const goss_keeper *k, const char *name) { return !strncmp(name, k->prefix, strlen(k->prefix)); }

static void list_entry(void *to, const char *name, uint64_t bytes, uint64_t used)
{
    goss_keeper *k = to;
    const size_t n = strlen(name);
    if (k->n_known == KNOWN || n >= NAME || n < 4 || strcmp(name + n - 3, ".kv") != 0) return;
    stored *s = &k->known[k->n_known++];
    *s = (stored){ .bytes = bytes, .used = used };
    memcpy(s->name, name, n + 1);
    if (used > k->clock) k->clock = used;
}

static uint64_t entry_bytes(const entry_head *h)
{
    return sizeof *h + (uint64_t)h->n * 4 + 8 + (uint64_t)h->n_pages[0] * h->page_bytes[0] +
           (uint64_t)h->n_pages[1] * h->page_bytes[1] + 8;
}

/* NULL, or what is wrong with the entry's head and tokens. */
static const char *read_entry(const goss_engine *e, const goss_keeper *k, stored *s)
{
    entry_head *h = &s->head;
    uint64_t sum = 0;
    if (k->store.get(k->store.ctx, s->name, 0, h, sizeof *h) || memcmp(h->magic, MAGIC, sizeof MAGIC))
        return "it is no entry";
    if (memcmp(h->mark, k->mark, MARK)) return "it is of another model or kind of KV";
    if (h->n < 1 || h->n > e->model.hp.n_ctx || h->n_pages[0] < 0 || h->n_pages[1] < 0 ||
        h->page_bytes[0] != k->page_bytes[0] || h->page_bytes[1] != k->page_bytes[1] ||
        entry_bytes(h) != s->bytes)
        return "it is damaged: its size is wrong";
    if (!(s->tokens = goss_mem_array((size_t)h->n, sizeof *s->tokens))) return "there is no memory for it";
    const size_t n = (size_t)h->n * sizeof *s->tokens;
    if (k->store.get(k->store.ctx, s->name, sizeof *h, s->tokens, n) ||
        k->store.get(k->store.ctx, s->name, sizeof *h + n, &sum, 8) ||
        add_sum(add_sum(1, h, sizeof *h), s->tokens, n) != sum)
        return "it is damaged: its tokens' sum is wrong";
    return NULL;
}

/* Heads of this model's entries; what is damaged goes. */
static void read_known(const goss_engine *e, goss_keeper *k)
{
    for (int i = 0; i < k->n_known;) {
        const char *wrong = is_ours(k, k->known[i].name) ? read_entry(e, k, &k->known[i]) : NULL;
        if (!wrong) { i++; continue; }
        say(k, "the prefix cache's entry %s is ignored and removed: %s.", k->known[i].name, wrong);
        k->store.drop(k->store.ctx, k->known[i].name);
        forget(k, i);
    }
}

static goss_keeper *make_keeper(const goss_engine *e, goss_error *err)
{
    goss_keeper *k = goss_mem_alloc(sizeof *k);
    if (!k) { goss_fail(err, GOSS_ENOMEM, -1, "no memory for the prefix cache"); return NULL; }
    k->store = *e->config.prefix_store;
    k->most = e->config.prefix_store_bytes ? e->config.prefix_store_bytes : DEFAULT_BYTES;
    return k;
}

static void free_keeper(goss_keeper *k)
{
    while (k->n_known) forget(k, k->n_known - 1);
    goss_mem_free(k->page);
    goss_mem_free(k);
}

int goss_keep_open(goss_engine *e, goss_error *err)
{
    if (!e->config.prefix_store) return 0;
    goss_keeper *k = make_keeper(e, err);
    if (!k) return GOSS_ENOMEM;
    if (!e->backend->vt->kv_read || !make_mark(e, k->mark)) {
        say(k, "the prefix cache is kept in memory only: %s%s.", "the model is not in this machine's memory", "");
        free_keeper(k);
        return 0;
    }
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        k->page_bytes[c] = e->pool.n_pages[c] ? e->backend->vt->kv_bytes(e->backend, c) : 0;
    const uint64_t *n = k->page_bytes;
    k->page = goss_mem_alloc((size_t)(n[0] > n[1] ? n[0] : n[1]));
    if (!k->page || goss_kv_open(&k->out.kv, &e->pool, e->max_kv)) {
        free_keeper(k);
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the prefix cache");
    }
    char digits[65];
    goss_sha256_hex(k->mark, digits);
    goss_fmt(k->prefix, sizeof k->prefix, "%.16s-", digits);
    const int rc = k->store.list(k->store.ctx, list_entry, k);
    read_known(e, k);
    e->keeper = k;
    int ours = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < k->n_known; i++) { ours += k->known[i].tokens != NULL; bytes += k->known[i].bytes; }
    char detail[96];
    goss_fmt(detail, sizeof detail, "hit=%d bytes=%llu entries=%d", ours, (unsigned long long)bytes, k->n_known);
    goss_telemetry_load(e, "cache_open", rc ? "failed" : "completed", detail);
    return 0;
}

/* ---- reading back ------------------------------------------------------------------------------------------ */
/* The entry's pages into those of kv; *sum is what they add up to. 0, or the first error. */
static int get_pages(goss_engine *e, const goss_kv *kv, const char *name, uint64_t at, uint64_t *sum)
{
    const goss_keeper *k = e->keeper;
    *sum = 1;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        const size_t n = (size_t)k->page_bytes[c];
        for (int p = kv->base[c] / GOSS_KV_PAGE; n && p * GOSS_KV_PAGE < kv->n; p++, at += n) {
            int rc = k->store.get(k->store.ctx, name, at, k->page, n);
            if (!rc) rc = e->backend->vt->kv_write(e->backend, c, kv->page[c][p], k->page);
            if (rc) return rc;
            *sum = add_sum(*sum, k->page, n);
        }
    }
    return 0;
}

static int common(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    int i = 0;
    while (i < n_a && i < n_b && a[i] == b[i]) i++;
    return i;
}

/* How many of ids an entry gives: all it shares, if its windowed pages reach back that far. */
static int gives(const goss_engine *e, const stored *s, const int32_t *ids, int most)
{
    const int n = s->tokens ? common(s->tokens, s->head.n, ids, most) : 0;
    return n == s->head.n || s->head.window_base <= n - e->model.hp.window + 1 || !s->head.window_base ? n : 0;
}

static int fetch(goss_engine *e, stored *s)
{
    goss_keeper *k = e->keeper;
    const uint64_t at = sizeof s->head + (uint64_t)s->head.n * 4 + 8;
    uint64_t sum, stored_sum;
    goss_cached *c = s->head.n <= e->max_kv ? goss_prefix_place(e, s->tokens, s->head.n) : NULL;
    if (!c) return 0;
    int rc;
    while ((rc = goss_kv_restore(&c->kv, s->head.n, s->head.window_base)) == GOSS_EFULL)
        if (!goss_prefix_evict(e, &c->kv)) break;
    if (!rc) rc = get_pages(e, &c->kv, s->name, at, &sum);
    if (!rc) rc = k->store.get(k->store.ctx, s->name, s->bytes - 8, &stored_sum, 8);
    const int damaged = rc == GOSS_EIO || (!rc && sum != stored_sum);
    if (!rc && !damaged) {
        c->keep = GOSS_KEPT;
        s->used = ++k->clock;
        k->store.touch(k->store.ctx, s->name);
        return 1;
    }
    goss_prefix_forget(c);
    if (!damaged) return 0;
    say(k, "the prefix cache's entry %s is ignored and removed: %s.", s->name,
        "it is damaged: its pages' sum is wrong");
    k->store.drop(k->store.ctx, s->name);
    forget(k, (int)(s - k->known));
    return 0;
}

int goss_keep_fetch(goss_engine *e, const int32_t *ids, int most, int have)
{
    goss_keeper *k = e->keeper;
    if (!k || e->state != GOSS_ENGINE_READY) return 0;
    int best = -1;
    have += LEAST / 2; /* reading has its price too */
    for (int i = 0; i < k->n_known; i++) {
        const int g = gives(e, &k->known[i], ids, most);
        if (g > have) { have = g; best = i; }
    }
    return best >= 0 && fetch(e, &k->known[best]);
}

/* ---- storing ----------------------------------------------------------------------------------------------- */
static int make_room(goss_keeper *k, uint64_t bytes)
{
    if (bytes > k->most) return 0;
    for (;;) {
        uint64_t all = bytes;
        int oldest = 0;
        for (int i = 0; i < k->n_known; i++) {
            all += k->known[i].bytes;
            if (k->known[i].used < k->known[oldest].used) oldest = i;
        }
        if (all <= k->most && k->n_known < KNOWN) return 1;
        k->store.drop(k->store.ctx, k->known[oldest].name);
        forget(k, oldest);
    }
}

/* The entry that is being written ends here: rc 0: whole. */
static void end_entry(goss_engine *e, int rc)
{
    goss_keeper *k = e->keeper;
    stored *s = &k->out.s;
    k->out.on = 0;
    goss_kv_clear(&k->out.kv);
    if (!rc) rc = k->store.put(k->store.ctx, s->name, &k->out.sum, 8, 1);
    if (!rc) {
        k->known[k->n_known++] = *s;                       /* make_room left a place */
        return;
    }
    k->store.put(k->store.ctx, s->name, NULL, 0, -1);
    goss_mem_free(s->tokens);
    if (rc != GOSS_ECANCELED) say(k, "the prefix cache could not store %s: %s.", s->name, "writing failed");
}

int goss_keep_give_up(goss_engine *e)
{
    goss_keeper *k = e->keeper;
    if (!k || !k->out.on) return 0;
    if (e->backend) e->backend->vt->kv_read(e->backend, 0, 0, NULL, 0);
    if (k->out.from->keep == GOSS_KEPT) k->out.from->keep = GOSS_KEEP_SOON; /* again, when there is room */
    end_entry(e, GOSS_ECANCELED);
    return 1;
}

/* Head and tokens; the pages follow in write_page. */
static int begin_entry(goss_engine *e, goss_cached *c)
{
    goss_keeper *k = e->keeper;
    const goss_store *t = &k->store;
    stored *s = &k->out.s;
    const size_t n = (size_t)s->head.n * sizeof *c->tokens;
    const uint64_t sum = add_sum(add_sum(1, &s->head, sizeof s->head), c->tokens, n);
    if (!(s->tokens = goss_mem_array((size_t)s->head.n, sizeof *s->tokens))) return GOSS_ENOMEM;
    memcpy(s->tokens, c->tokens, n);
    int rc = t->put(t->ctx, s->name, &s->head, sizeof s->head, 0);
    if (!rc) rc = t->put(t->ctx, s->name, c->tokens, n, 0);
    if (!rc) rc = t->put(t->ctx, s->name, &sum, 8, 0);
    return rc;
}

/* One page more, or the end. GOSS_EAGAIN: it is on its way from the device. */
static int write_page(goss_engine *e, int timeout_ms)
{
    goss_keeper *k = e->keeper;
    const goss_kv *kv = &k->out.kv;
    while (k->out.cls < GOSS_KV_CLASSES && (!k->page_bytes[k->out.cls] || k->out.at * GOSS_KV_PAGE >= kv->n)) {
        k->out.cls++;
        k->out.at = kv->base[GOSS_KV_WINDOW] / GOSS_KV_PAGE;
    }
    const int c = k->out.cls;
    if (c == GOSS_KV_CLASSES) {
        end_entry(e, 0);
        return 0;
    }
    const size_t n = (size_t)k->page_bytes[c];
    int rc = e->backend->vt->kv_read(e->backend, c, kv->page[c][k->out.at], k->page, timeout_ms);
    if (rc == GOSS_EAGAIN) return rc;
    if (!rc) rc = k->store.put(k->store.ctx, k->out.s.name, k->page, n, 0);
    k->out.sum = add_sum(k->out.sum, k->page, n);
    k->out.at++;
    if (rc) end_entry(e, rc);
    return rc;
}

/* Begins an entry of what of c is computed, if it is worth one. */
static void store(goss_engine *e, goss_cached *c)
{
    goss_keeper *k = e->keeper;
    stored *s = &k->out.s;
    const goss_kv *kv = &k->out.kv;
    c->keep = GOSS_KEPT;
    if (c->kv.n < LEAST || goss_kv_fork(&k->out.kv, &c->kv, c->kv.n)) return;
    *s = (stored){ .head = { .n = kv->n, .window_base = kv->base[GOSS_KV_WINDOW] }, .used = ++k->clock };
    memcpy(s->head.magic, MAGIC, sizeof MAGIC);
    memcpy(s->head.mark, k->mark, MARK);
    const int pages = (kv->n + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE;
    for (int i = 0; i < GOSS_KV_CLASSES; i++) {
        s->head.page_bytes[i] = k->page_bytes[i];
        s->head.n_pages[i] = k->page_bytes[i] ? pages - kv->base[i] / GOSS_KV_PAGE : 0;
    }
    goss_fmt(s->name, sizeof s->name, "%s%016llx.kv", k->prefix,
             (unsigned long long)add_sum(1, c->tokens, (size_t)kv->n * sizeof *c->tokens));
    s->bytes = entry_bytes(&s->head);
    k->out.cls = k->out.at = 0;
    k->out.sum = 1;
    k->out.from = c;
    int known = 0;
    for (int i = 0; i < k->n_known && !known; i++)
        if (!strcmp(k->known[i].name, s->name)) {
            k->known[i].used = s->used;
            k->store.touch(k->store.ctx, s->name);
            known = 1;
        }
    if (known || !make_room(k, s->bytes)) {
        goss_kv_clear(&k->out.kv);
        return;
    }
    k->out.on = 1;
    const int rc = begin_entry(e, c);
    if (rc) end_entry(e, rc);
}

static goss_cached *waiting(const goss_engine *e, int least)
{
    for (int i = 0; e->keeper && i < GOSS_CACHED; i++) {
        const goss_cached *c = &e->cached[i];
        if (c->live && !c->busy && c->keep >= least && c->keep < GOSS_KEPT) return (goss_cached *)&e->cached[i];
    }
    return NULL;
}

int goss_keep_waits(const goss_engine *e)
{
    return e->keeper && (e->keeper->out.on || waiting(e, GOSS_KEEP_SOON) != NULL);
}

void goss_keep_idle(goss_engine *e, int timeout_ms)
{
    if (!e->keeper) return;
    goss_cached *c = e->keeper->out.on ? NULL : waiting(e, GOSS_KEEP_SOON);
    if (c) store(e, c);
    if (e->keeper->out.on) write_page(e, timeout_ms);
}

/* Whatever is worth it, to the end; a device that brings nothing for PAGE_MS is not waited for. */
static void store_all(goss_engine *e)
{
    goss_keeper *k = e->keeper;
    double t = goss_os_now_ms();
    for (;;) {
        goss_cached *c = k->out.on ? NULL : waiting(e, GOSS_KEEP_AT_END);
        if (c) store(e, c);
        else if (!k->out.on) return;
        else if (write_page(e, 100) != GOSS_EAGAIN) t = goss_os_now_ms();
        else if (goss_os_now_ms() - t > (double)PAGE_MS) { goss_keep_give_up(e); return; }
    }
}

void goss_keep_close(goss_engine *e)
{
    goss_keeper *k = e->keeper;
    if (!k) return;
    if (e->backend && e->state == GOSS_ENGINE_READY) store_all(e);
    goss_keep_give_up(e);
    goss_kv_close(&k->out.kv);
    free_keeper(k);
    e->keeper = NULL;
}
