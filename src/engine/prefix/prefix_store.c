/* prefix_store.c - reads and writes the entries of the application's store (goss_store), so that a long
 * system prompt is prefilled once a machine.
 *
 * What is stored: where a chat's instructions end (the first user's message), in idle time; and when the
 * engine closes, the canonical forms of finished turns and whole texts of closed sessions. What a new prompt
 * shares with an entry by more than with anything in memory is read back into the cache, which then treats it
 * as its own.
 *
 * An entry is written a page a poll, as the backend brings it (a GPU's pages come back while others are
 * computed). It holds its pages by reference meanwhile, so nothing can change them; whoever needs their room
 * ends it.
 *
 *   name     the first 16 digits of the model's mark, "-", 16 digits of a hash of the tokens, ".kv"
 *   entry    head | tokens, int32 | sum of both | pages of the full layers, then windowed ones | sum of them
 *
 * The mark is a SHA-256 over whatever decides what the pages' bytes are: the tensors' names, types and
 * places, samples of their bytes (of weights that are not in memory the application's weights_mark), the
 * options, the KV's type, the backend, its level and our version. An entry with another mark is never read.
 * Numbers are in the machine's own order. The store is bounded: least recently used first, whichever
 * model's.
 *
 * Several engines may share a store that says when it changed: it is listed anew before a prompt is looked
 * for in it, and before and after an entry is written. So each sees what the others stored, and when all have
 * written, the last has seen all and kept to the bound; until then each may have one entry more there. */
#include "prefix_store.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sha256.h"
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
/* tokens: of our entries only; listed: the last list() had it */
typedef struct stored {
    char name[NAME];
    uint64_t bytes, used;
    int32_t *tokens;
    entry_head head;
    int listed;
} stored;
struct goss_prefix_store {
    goss_prefix_store_config c;
    goss_store store;            /* the application's functions */
    int resting;                 /* the device is away */
    uint64_t most, page_bytes[GOSS_KV_CLASSES];
    uint8_t mark[MARK]; char prefix[20];
    stored known[KNOWN]; int n_known;   /* the entries that are there */
    uint64_t clock;              /* newer than everything that was listed */
    uint8_t *page;               /* one of the larger class */
    /* the entry being written: its pages by reference, the next one, the sum so far, whose it is */
    struct { int on, cls, at; stored s; goss_kv kv; uint64_t sum; goss_cached *from; } out;
};

/* ---- sums ---------------------------------------------------------------------------------------------- */
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
    const uint64_t n = t->n_bytes < SAMPLE ? t->n_bytes : SAMPLE,
                   at[] = { 0, (t->n_bytes - n) / 2, t->n_bytes - n };
    for (int i = 0; i < 3; i++) goss_sha256_update(s, t->data + at[i], (size_t)n);
}

/* 0: the weights are not in memory, and nobody says what they are: there is no mark. */
static int make_mark(const goss_prefix_store_config *p, uint8_t out[MARK])
{
    const goss_engine_config *c = p->engine;
    const goss_hparams *h = &p->model->hp;
    const goss_backend *b = *p->backend;
    goss_sha256 s;
    if (p->arriving) return 0;
    goss_sha256_init(&s);
    int absent = 0;
    for (uint64_t i = 0; i < p->gguf->n_tensors; i++) {
        if (p->gguf->tensors[i].data) hash_tensor(&s, &p->gguf->tensors[i]);
        else absent = 1;
    }
    if (absent && !c->weights_mark) return 0;
    if (absent) goss_sha256_update(&s, c->weights_mark, strlen(c->weights_mark));
    const int options[] = { c->n_layers, c->moe_fallback, c->attn_dense, c->yarn_llamacpp, h->n_layer };
    goss_sha256_update(&s, options, sizeof options);
    goss_sha256_update(&s, h->rope_freq, (size_t)(h->rope_dim / 2) * sizeof *h->rope_freq);
    const char *const words[] = { GOSS_VERSION, c->kv_type ? c->kv_type : "f16", b->vt->name,
                                  b->vt->level(b) };
    for (int i = 0; i < 4; i++) goss_sha256_update(&s, words[i], strlen(words[i]) + 1);
    goss_sha256_final(&s, out);
    return 1;
}

static void say(const goss_prefix_store *k, const char *format, const char *name, const char *what)
{
    char text[320];
    if (!k->store.say) return;
    goss_fmt(text, sizeof text, format, name, what);
    k->store.say(k->store.ctx, text);
}

/* ---- what is there ------------------------------------------------------------------------------------- */
static void forget(goss_prefix_store *k, int i)
{
    goss_mem_free(k->known[i].tokens);
    k->known[i] = k->known[--k->n_known];
}

static int is_ours(const goss_prefix_store *k, const char *name)
{
    return !strncmp(name, k->prefix, strlen(k->prefix));
}

static int find_known(const goss_prefix_store *k, const char *name)
{
    for (int i = 0; i < k->n_known; i++) if (!strcmp(k->known[i].name, name)) return i;
    return -1;
}

/* Of two of one age all engines choose the same. */
static int is_older(const stored *a, const stored *b)
{
    return a->used != b->used ? a->used < b->used : strcmp(a->name, b->name) < 0;
}

static void drop_oldest(goss_prefix_store *k)
{
    int oldest = 0;
    for (int i = 1; i < k->n_known; i++) if (is_older(&k->known[i], &k->known[oldest])) oldest = i;
    k->store.drop(k->store.ctx, k->known[oldest].name);
    forget(k, oldest);
}

static void list_entry(void *to, const char *name, uint64_t bytes, uint64_t used)
{
    goss_prefix_store *k = to;
    const size_t n = strlen(name);
    if (n >= NAME || n < 4 || strcmp(name + n - 3, ".kv") != 0) return;
    int i = find_known(k, name);
    if (i >= 0 && k->known[i].bytes != bytes) { forget(k, i); i = -1; }
    if (i < 0) {
        if (k->n_known == KNOWN) drop_oldest(k); /* several writers can have left more than one may know */
        i = k->n_known++;
        k->known[i] = (stored){ .bytes = bytes };
        memcpy(k->known[i].name, name, n + 1);
    }
    k->known[i].used = used;
    k->known[i].listed = 1;
    if (used > k->clock) k->clock = used;
}

static uint64_t entry_bytes(const entry_head *h)
{
    return sizeof *h + (uint64_t)h->n * 4 + 8 + (uint64_t)h->n_pages[0] * h->page_bytes[0] +
           (uint64_t)h->n_pages[1] * h->page_bytes[1] + 8;
}

static const char GONE[] = "it is gone";

/* NULL, or what is wrong with the entry's head and tokens. */
static const char *read_entry(const goss_prefix_store *k, stored *s)
{
    entry_head *h = &s->head;
    uint64_t sum = 0;
    const int rc = k->store.get(k->store.ctx, s->name, 0, h, sizeof *h);
    if (rc == GOSS_ENOENT) return GONE;
    if (rc || memcmp(h->magic, MAGIC, sizeof MAGIC)) return "it is no entry";
    if (memcmp(h->mark, k->mark, MARK)) return "it is of another model or kind of KV";
    if (h->n < 1 || h->n > k->c.model->hp.n_ctx || h->n_pages[0] < 0 || h->n_pages[1] < 0 ||
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

static void remove_damaged(goss_prefix_store *k, int i, const char *why)
{
    say(k, "the prefix cache's entry %s is ignored and removed: %s.", k->known[i].name, why);
    k->store.drop(k->store.ctx, k->known[i].name);
    forget(k, i);
}

/* What is there now. Of this model's new entries heads are read; what is damaged goes. 0, or the store's
 * error: then all stays as it was known. */
static int list_known(goss_prefix_store *k)
{
    for (int i = 0; i < k->n_known; i++) k->known[i].listed = 0;
    const int rc = k->store.list(k->store.ctx, list_entry, k);
    for (int i = 0; i < k->n_known;) {
        stored *s = &k->known[i];
        const char *wrong = rc || s->listed ? NULL : GONE;
        if (!wrong && !s->tokens && is_ours(k, s->name)) wrong = read_entry(k, s);
        if (!wrong) i++;
        else if (wrong == GONE) forget(k, i);
        else remove_damaged(k, i, wrong);
    }
    return rc;
}

/* What others did since, where there are others. */
static void refresh(goss_prefix_store *k)
{
    if (k->store.changed && k->store.changed(k->store.ctx)) list_known(k);
}

static void free_store(goss_prefix_store *k)
{
    while (k->n_known) forget(k, k->n_known - 1);
    goss_kv_close(&k->out.kv);
    goss_mem_free(k->page);
    goss_mem_free(k);
}

/* 0: there is no memory. */
static int take_memory(goss_prefix_store *k)
{
    const goss_backend *b = *k->c.backend;
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        k->page_bytes[c] = k->c.pool->n_pages[c] ? b->vt->kv_bytes(b, c) : 0;
    const uint64_t *n = k->page_bytes;
    k->page = goss_mem_alloc((size_t)(n[0] > n[1] ? n[0] : n[1]));
    return k->page && !goss_kv_open(&k->out.kv, k->c.pool, k->c.max_kv);
}

static void open_known(goss_prefix_store *k)
{
    int ours = 0;
    uint64_t bytes = 0;
    char detail[96];
    const int rc = list_known(k);
    for (int i = 0; i < k->n_known; i++) { ours += k->known[i].tokens != NULL; bytes += k->known[i].bytes; }
    goss_fmt(detail, sizeof detail, "hit=%d bytes=%llu entries=%d", ours, (unsigned long long)bytes,
             k->n_known);
    goss_telemetry_load(k->c.telemetry, "cache_open", rc ? "failed" : "completed", detail);
}

int goss_prefix_store_open(goss_prefix_store **out, const goss_prefix_store_config *c, goss_error *err)
{
    *out = NULL;
    if (!c->engine->prefix_store) return 0;
    goss_prefix_store *k = goss_mem_alloc(sizeof *k);
    if (!k) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the prefix cache");
    k->c = *c;
    k->store = *c->engine->prefix_store;
    k->most = c->engine->prefix_store_bytes ? c->engine->prefix_store_bytes : DEFAULT_BYTES;
    if (!(*c->backend)->vt->kv_read || !make_mark(c, k->mark)) {
        say(k, "the prefix cache is kept in memory only: %s%s.", "the model is not in this machine's memory",
            "");
        free_store(k);
        return 0;
    }
    if (!take_memory(k)) {
        free_store(k);
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the prefix cache");
    }
    char digits[65];
    goss_sha256_hex(k->mark, digits);
    goss_fmt(k->prefix, sizeof k->prefix, "%.16s-", digits);
    open_known(k);
    *out = k;
    return 0;
}

void goss_prefix_store_rest(goss_prefix_store *k, int on)
{
    if (k) k->resting = on;
}

/* ---- reading back -------------------------------------------------------------------------------------- */
/* The entry's pages into those of kv; *sum is what they add up to. 0, or the first error. */
static int get_pages(const goss_prefix_store *k, const goss_kv *kv, const char *name, uint64_t at,
                     uint64_t *sum)
{
    goss_backend *b = *k->c.backend;
    *sum = 1;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        const size_t n = (size_t)k->page_bytes[c];
        for (int p = kv->base[c] / GOSS_KV_PAGE; n && p * GOSS_KV_PAGE < kv->n; p++, at += n) {
            int rc = k->store.get(k->store.ctx, name, at, k->page, n);
            if (!rc) rc = b->vt->kv_write(b, c, kv->page[c][p], k->page);
            if (rc) return rc;
            *sum = add_sum(*sum, k->page, n);
        }
    }
    return 0;
}

/* How many of ids an entry serves: all it shares, if its windowed pages reach back that far. */
static int serves(const goss_prefix_store *k, const stored *s, const int32_t *ids, int most)
{
    const int n = s->tokens ? goss_tokens_shared(s->tokens, s->head.n, ids, most) : 0;
    return n == s->head.n || s->head.window_base <= n - k->c.model->hp.window + 1 || !s->head.window_base ? n
                                                                                                          : 0;
}

static int fetch(goss_prefix_store *k, stored *s)
{
    const uint64_t at = sizeof s->head + (uint64_t)s->head.n * 4 + 8;
    uint64_t sum, stored_sum;
    goss_cached *c = s->head.n <= k->c.max_kv ? goss_cache_place(k->c.cache, s->tokens, s->head.n) : NULL;
    if (!c) return 0;
    int rc;
    while ((rc = goss_kv_restore(&c->seq.kv, s->head.n, s->head.window_base)) == GOSS_EFULL)
        if (!k->c.evict(k->c.evict_ctx, &c->seq.kv)) break;
    if (!rc) rc = get_pages(k, &c->seq.kv, s->name, at, &sum);
    if (!rc) rc = k->store.get(k->store.ctx, s->name, s->bytes - 8, &stored_sum, 8);
    const int damaged = rc == GOSS_EIO || (!rc && sum != stored_sum);
    if (!rc && !damaged) {
        c->store = GOSS_STORED;
        s->used = ++k->clock;
        k->store.touch(k->store.ctx, s->name);
        return 1;
    }
    goss_cache_forget(c);
    if (damaged) remove_damaged(k, (int)(s - k->known), "it is damaged: its pages' sum is wrong");
    else if (rc == GOSS_ENOENT) forget(k, (int)(s - k->known));
    return 0;
}

int goss_prefix_store_fetch(goss_prefix_store *k, const int32_t *ids, int most, int have)
{
    if (!k || k->resting) return 0;
    refresh(k);
    int best = -1;
    have += LEAST / 2; /* reading has its price too */
    for (int i = 0; i < k->n_known; i++) {
        const int n = serves(k, &k->known[i], ids, most);
        if (n > have) { have = n; best = i; }
    }
    return best >= 0 && fetch(k, &k->known[best]);
}

/* ---- storing ------------------------------------------------------------------------------------------- */
/* Drops the oldest until `bytes` more fit. What others used is in their entries' times, and those are read
 * before anything goes. */
static int make_room(goss_prefix_store *k, uint64_t bytes)
{
    if (bytes > k->most) return 0;
    for (int fresh = !k->store.changed;;) {
        uint64_t all = bytes;
        for (int i = 0; i < k->n_known; i++) all += k->known[i].bytes;
        if (all <= k->most && k->n_known < KNOWN) return 1;
        if (fresh) drop_oldest(k);
        else list_known(k);
        fresh = 1;
    }
}

/* What was just written is known, and the store keeps to its bound, whoever wrote meanwhile. */
static void add_written(goss_prefix_store *k, stored *s)
{
    const int i = find_known(k, s->name);
    if (i >= 0) forget(k, i);                   /* another wrote the same */
    if (k->n_known == KNOWN) drop_oldest(k);
    k->known[k->n_known++] = *s;
    refresh(k);
    make_room(k, 0);
}

/* The entry that is being written ends here: rc 0: whole. */
static void end_entry(goss_prefix_store *k, int rc)
{
    stored *s = &k->out.s;
    k->out.on = 0;
    goss_kv_clear(&k->out.kv);
    if (!rc) rc = k->store.put(k->store.ctx, s->name, &k->out.sum, 8, 1);
    if (!rc) {
        add_written(k, s);
        return;
    }
    k->store.put(k->store.ctx, s->name, NULL, 0, -1);
    goss_mem_free(s->tokens);
    if (rc != GOSS_ECANCELED) say(k, "the prefix cache could not store %s: %s.", s->name, "writing failed");
}

int goss_prefix_store_give_up(goss_prefix_store *k)
{
    if (!k || !k->out.on) return 0;
    goss_backend *b = *k->c.backend;
    if (b) b->vt->kv_read(b, 0, 0, NULL, 0);
    if (k->out.from->store == GOSS_STORED) k->out.from->store = GOSS_STORE_SOON; /* again, later */
    end_entry(k, GOSS_ECANCELED);
    return 1;
}

/* Head and tokens; the pages follow in write_page. */
static int begin_entry(goss_prefix_store *k, goss_cached *c)
{
    const goss_store *t = &k->store;
    stored *s = &k->out.s;
    const size_t n = (size_t)s->head.n * sizeof *c->seq.tokens;
    const uint64_t sum = add_sum(add_sum(1, &s->head, sizeof s->head), c->seq.tokens, n);
    if (!(s->tokens = goss_mem_array((size_t)s->head.n, sizeof *s->tokens))) return GOSS_ENOMEM;
    memcpy(s->tokens, c->seq.tokens, n);
    int rc = t->put(t->ctx, s->name, &s->head, sizeof s->head, 0);
    if (!rc) rc = t->put(t->ctx, s->name, c->seq.tokens, n, 0);
    if (!rc) rc = t->put(t->ctx, s->name, &sum, 8, 0);
    return rc;
}

/* One page more, or the end. GOSS_EAGAIN: it is on its way from the device. */
static int write_page(goss_prefix_store *k, int timeout_ms)
{
    const goss_kv *kv = &k->out.kv;
    while (k->out.cls < GOSS_KV_CLASSES &&
           (!k->page_bytes[k->out.cls] || k->out.at * GOSS_KV_PAGE >= kv->n)) {
        k->out.cls++;
        k->out.at = kv->base[GOSS_KV_WINDOW] / GOSS_KV_PAGE;
    }
    const int c = k->out.cls;
    if (c == GOSS_KV_CLASSES) {
        end_entry(k, 0);
        return 0;
    }
    const size_t n = (size_t)k->page_bytes[c];
    int rc = (*k->c.backend)->vt->kv_read(*k->c.backend, c, kv->page[c][k->out.at], k->page, timeout_ms);
    if (rc == GOSS_EAGAIN) return rc;
    if (!rc) rc = k->store.put(k->store.ctx, k->out.s.name, k->page, n, 0);
    k->out.sum = add_sum(k->out.sum, k->page, n);
    k->out.at++;
    if (rc) end_entry(k, rc);
    return rc;
}

/* Begins an entry of what of c is computed, if it is worth one. */
static void store(goss_prefix_store *k, goss_cached *c)
{
    stored *s = &k->out.s;
    const goss_kv *kv = &k->out.kv;
    c->store = GOSS_STORED;
    if (c->seq.kv.n < LEAST || goss_kv_fork(&k->out.kv, &c->seq.kv, c->seq.kv.n)) return;
    *s = (stored){ .head = { .n = kv->n, .window_base = kv->base[GOSS_KV_WINDOW] }, .used = ++k->clock };
    memcpy(s->head.magic, MAGIC, sizeof MAGIC);
    memcpy(s->head.mark, k->mark, MARK);
    const int pages = (kv->n + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE;
    for (int i = 0; i < GOSS_KV_CLASSES; i++) {
        s->head.page_bytes[i] = k->page_bytes[i];
        s->head.n_pages[i] = k->page_bytes[i] ? pages - kv->base[i] / GOSS_KV_PAGE : 0;
    }
    goss_fmt(s->name, sizeof s->name, "%s%016llx.kv", k->prefix,
             (unsigned long long)add_sum(1, c->seq.tokens, (size_t)kv->n * sizeof *c->seq.tokens));
    s->bytes = entry_bytes(&s->head);
    k->out.cls = k->out.at = 0;
    k->out.sum = 1;
    k->out.from = c;
    refresh(k);
    const int known = find_known(k, s->name);
    if (known >= 0) {
        k->known[known].used = s->used;
        k->store.touch(k->store.ctx, s->name);
    }
    if (known >= 0 || !make_room(k, s->bytes)) {
        goss_kv_clear(&k->out.kv);
        return;
    }
    k->out.on = 1;
    const int rc = begin_entry(k, c);
    if (rc) end_entry(k, rc);
}

/* A cached sequence that is to be stored now, `least` (GOSS_STORE_*) or sooner. */
static goss_cached *waiting(const goss_prefix_store *k, int least)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *c = &k->c.cache->entry[i];
        if (c->live && !c->seq.n_inflight && c->store >= least && c->store < GOSS_STORED) return c;
    }
    return NULL;
}

int goss_prefix_store_waits(const goss_prefix_store *k)
{
    return k && (k->out.on || waiting(k, GOSS_STORE_SOON) != NULL);
}

void goss_prefix_store_idle(goss_prefix_store *k, int timeout_ms)
{
    if (!k) return;
    goss_cached *c = k->out.on ? NULL : waiting(k, GOSS_STORE_SOON);
    if (c) store(k, c);
    if (k->out.on) write_page(k, timeout_ms);
}

/* Whatever is worth it, to the end; a device that brings nothing for PAGE_MS is not waited for. */
static void store_all(goss_prefix_store *k)
{
    double t = goss_os_now_ms();
    for (;;) {
        goss_cached *c = k->out.on ? NULL : waiting(k, GOSS_STORE_AT_END);
        if (c) store(k, c);
        else if (!k->out.on) return;
        else if (write_page(k, 100) != GOSS_EAGAIN) t = goss_os_now_ms();
        else if (goss_os_now_ms() - t > (double)PAGE_MS) { goss_prefix_store_give_up(k); return; }
    }
}

void goss_prefix_store_close(goss_prefix_store **p, int whole)
{
    goss_prefix_store *k = *p;
    if (!k) return;
    if (whole) store_all(k);
    goss_prefix_store_give_up(k);
    free_store(k);
    *p = NULL;
}
