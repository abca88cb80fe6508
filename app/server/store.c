/* store.c - see store.h.
 *
 * An entry is a response with its items, a conversation or a thought. It owns its memory; entries of a kind
 * stand in a list from oldest to newest. Ids are found by hash, apart by kind. They are this server's own
 * random ones, so that no client can make the chains long. */
#include "store.h"
#include "base/mem.h"
#include <pthread.h>
#include <string.h>

enum { BUCKETS = 4096 };
typedef enum kind { RESPONSE, CONVERSATION, THOUGHT, ITEM, KINDS } kind;
typedef struct entry entry;
typedef struct name {        /* an id */
    struct name *next;       /* in its bucket */
    kind kind;
    const char *id;
    entry *of;
    goss_message message;    /* an item's */
} name;
typedef struct kept {        /* an item of a conversation */
    struct kept *next;
    char id[48];
    size_t n;
    char json[];
} kept;
struct entry {
    entry *newer, *older;
    kind kind;               /* no ITEM */
    uint64_t age;            /* counts entries */
    name *names;             /* its id, then those of its items */
    int n_names, n_messages;
    const goss_message *messages;
    goss_str text, input;    /* the response object and what it was asked with, or the thought */
    goss_buf stream;         /* a response's events, where they are kept */
    goss_buf metadata;       /* a conversation's, as JSON */
    kept *first, **last;     /* a conversation's items, and where the next one goes */
    int n_kept;
    size_t kept_bytes;
    const void *holder;      /* the request that is answered in it; NULL: none */
    int64_t created;
    size_t counted;          /* of `bytes` */
    goss_owned *owned;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static name *buckets[BUCKETS];
static entry *oldest[KINDS], *newest[KINDS];
static int n_entries[KINDS], most_entries;
static uint64_t bytes, max_bytes, n_ever;

/* ---- ids ------------------------------------------------------------------------------------- */
static name **bucket_of(kind k, const char *id)
{
    uint32_t h = 2166136261u + (uint32_t)k;
    for (; *id; id++) h = (h ^ (uint8_t)*id) * 16777619u;
    return &buckets[(h ^ h >> 16) % BUCKETS];
}

static name *find(kind k, const char *id)
{
    name *n = *bucket_of(k, id);
    while (n && (n->kind != k || strcmp(n->id, id))) n = n->next;
    return n;
}

static void add_names(entry *e)
{
    for (int i = 0; i < e->n_names; i++) {
        name **at = bucket_of(e->names[i].kind, e->names[i].id);
        e->names[i].next = *at;
        *at = &e->names[i];
    }
}

static void remove_names(entry *e)
{
    for (int i = 0; i < e->n_names; i++) {
        name **at = bucket_of(e->names[i].kind, e->names[i].id);
        while (*at != &e->names[i]) at = &(*at)->next;
        *at = (*at)->next;
    }
}

/* ---- copies ---------------------------------------------------------------------------------- */
/* Each: 0, or GOSS_ENOMEM. An absent text stays absent. */
static int copy_str(goss_owned **owned, goss_str from, goss_str *to)
{
    if (!from.s) return 0;
    *to = (goss_str){ goss_owned_text(owned, from.s, (size_t)from.n), from.n };
    return to->s ? 0 : GOSS_ENOMEM;
}

static int copy_calls(goss_owned **owned, const goss_message *from, goss_message *to)
{
    goss_tool_call *calls = goss_owned_array(owned, (size_t)from->n_calls, sizeof *calls);
    int rc = calls ? 0 : GOSS_ENOMEM;
    for (int i = 0; i < from->n_calls && !rc; i++) {
        const goss_tool_call *c = &from->calls[i];
        rc = copy_str(owned, c->id, &calls[i].id) || copy_str(owned, c->name, &calls[i].name) ||
                     copy_str(owned, c->arguments, &calls[i].arguments)
                 ? GOSS_ENOMEM
                 : 0;
    }
    to->calls = calls;
    return rc;
}

static int copy_message(goss_owned **owned, const goss_message *from, goss_message *to)
{
    *to = (goss_message){ .role = from->role, .n_parts = from->n_parts, .n_calls = from->n_calls };
    goss_str *parts = goss_owned_array(owned, (size_t)from->n_parts, sizeof *parts);
    int rc = parts ? 0 : GOSS_ENOMEM;
    for (int i = 0; i < from->n_parts && !rc; i++) rc = copy_str(owned, from->parts[i], &parts[i]);
    to->parts = parts;
    if (!rc) rc = copy_str(owned, from->name, &to->name);
    if (!rc) rc = copy_str(owned, from->call_id, &to->call_id);
    if (!rc) rc = copy_str(owned, from->reasoning, &to->reasoning);
    return rc || !from->n_calls ? rc : copy_calls(owned, from, to);
}

static int copy_messages(goss_owned **owned, const goss_message *from, int n, const goss_message **out)
{
    goss_message *to = goss_owned_array(owned, (size_t)n, sizeof *to);
    int rc = to ? 0 : GOSS_ENOMEM;
    for (int i = 0; i < n && !rc; i++) rc = copy_message(owned, &from[i], &to[i]);
    *out = to;
    return rc;
}

/* ---- entries --------------------------------------------------------------------------------- */
/* An entry's memory has changed. */
static void count(entry *e)
{
    enum { BLOCK = 32 }; /* what an item costs beside its text */
    const size_t now = goss_owned_bytes(e->owned) + e->stream.len + e->metadata.len + e->kept_bytes +
                       (size_t)e->n_kept * (sizeof(kept) + BLOCK);
    bytes += now - e->counted;
    e->counted = now;
}

/* In its list, at the new end, or out of it. */
static void link_entry(entry *e)
{
    e->age = ++n_ever;
    e->newer = NULL;
    e->older = newest[e->kind];
    *(e->older ? &e->older->newer : &oldest[e->kind]) = e;
    newest[e->kind] = e;
}

static void unlink_entry(entry *e)
{
    *(e->newer ? &e->newer->older : &newest[e->kind]) = e->older;
    *(e->older ? &e->older->newer : &oldest[e->kind]) = e->newer;
}

static void free_entry(entry *e)
{
    for (kept *k = e->first, *next; k; k = next) {
        next = k->next;
        goss_mem_free(k);
    }
    goss_buf_free(&e->stream);
    goss_buf_free(&e->metadata);
    goss_owned *owned = e->owned; /* e is in it */
    goss_owned_free(&owned);
}

static void drop(entry *e)
{
    remove_names(e);
    unlink_entry(e);
    n_entries[e->kind]--;
    bytes -= e->counted;
    free_entry(e);
}

static void trim(void)
{
    for (int k = 0; k < ITEM; k++)
        while (oldest[k] && n_entries[k] > most_entries) drop(oldest[k]);
    while (bytes > max_bytes) {
        entry *first = NULL;
        for (int k = 0; k < ITEM; k++)
            if (oldest[k] && (!first || oldest[k]->age < first->age)) first = oldest[k];
        if (!first) return;
        drop(first);
    }
}

/* An entry with room for its id and so many items'; NULL: no memory. */
static entry *make(kind k, const char *id, int n_items)
{
    goss_owned *owned = NULL;
    entry *e = goss_owned_take(&owned, sizeof *e);
    name *names = goss_owned_array(&owned, (size_t)n_items + 1, sizeof *names);
    const char *own = goss_owned_text(&owned, id, strlen(id));
    if (!e || !names || !own) { goss_owned_free(&owned); return NULL; }
    names[0] = (name){ .kind = k, .id = own, .of = e };
    *e = (entry){ .kind = k, .names = names, .n_names = 1, .owned = owned };
    e->stream = e->metadata = GOSS_BUF(SIZE_MAX / 2);
    e->last = &e->first;
    return e;
}

/* Takes a finished entry in, in the place of one of the same id, or frees one that is not. */
static void put(entry *e, int failed)
{
    if (failed) {
        free_entry(e);
        return;
    }
    pthread_mutex_lock(&lock);
    const name *before = find(e->kind, e->names[0].id);
    if (before && e->kind == RESPONSE) drop(before->of);
    link_entry(e);
    n_entries[e->kind]++;
    count(e);
    add_names(e);
    trim();
    pthread_mutex_unlock(&lock);
}

/* ---- the calls ------------------------------------------------------------------------------- */
void goss_srv_store_open(int most, uint64_t most_bytes) { most_entries = most; max_bytes = most_bytes; }

void goss_srv_store_close(void)
{
    pthread_mutex_lock(&lock);
    most_entries = 0;
    trim();
    pthread_mutex_unlock(&lock);
}

void goss_srv_store_put(const char *id, const goss_message *messages, int n_messages,
                        const goss_srv_stored *items, int n_items, goss_str response, goss_str input)
{
    entry *e = make(RESPONSE, id, n_items);
    if (!e) return;
    int failed = copy_messages(&e->owned, messages, n_messages, &e->messages) ||
                 copy_str(&e->owned, response, &e->text) || copy_str(&e->owned, input, &e->input);
    e->n_messages = n_messages;
    for (int i = 0; i < n_items && !failed; i++) {
        name *own = &e->names[e->n_names++];
        *own = (name){ .kind = ITEM, .of = e };
        own->id = goss_owned_text(&e->owned, items[i].id, strlen(items[i].id));
        failed = !own->id || copy_message(&e->owned, &items[i].message, &own->message);
    }
    put(e, failed);
}

void goss_srv_store_put_thought(const char *call_id, const char *key, goss_str thought)
{
    entry *e = make(THOUGHT, call_id, 1);
    if (!e) return;
    const char *own = *key ? goss_owned_text(&e->owned, key, strlen(key)) : NULL;
    if (own) e->names[e->n_names++] = (name){ .kind = THOUGHT, .id = own, .of = e };
    put(e, copy_str(&e->owned, thought, &e->text));
}

int goss_srv_store_messages(const char *id, goss_owned **owned, const goss_message **out, int *n)
{
    pthread_mutex_lock(&lock);
    const name *found = find(RESPONSE, id);
    int rc = found != NULL;
    if (found && copy_messages(owned, found->of->messages, found->of->n_messages, out)) rc = GOSS_ENOMEM;
    if (found) *n = found->of->n_messages;
    pthread_mutex_unlock(&lock);
    return rc;
}

int goss_srv_store_item(const char *id, goss_owned **owned, goss_message *out)
{
    pthread_mutex_lock(&lock);
    const name *found = find(ITEM, id);
    int rc = found != NULL;
    if (found && copy_message(owned, &found->message, out)) rc = GOSS_ENOMEM;
    pthread_mutex_unlock(&lock);
    return rc;
}

int goss_srv_store_thought(const char *call_id, goss_owned **owned, goss_str *out)
{
    pthread_mutex_lock(&lock);
    const name *found = find(THOUGHT, call_id);
    int rc = found != NULL;
    if (found && copy_str(owned, found->of->text, out)) rc = GOSS_ENOMEM;
    pthread_mutex_unlock(&lock);
    return rc;
}

static int append(const char *id, int input, goss_buf *out)
{
    pthread_mutex_lock(&lock);
    const name *found = find(RESPONSE, id);
    if (found) {
        const goss_str s = input ? found->of->input : found->of->text;
        goss_buf_append(out, s.s, (size_t)s.n);
    }
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

int goss_srv_store_response(const char *id, goss_buf *out) { return append(id, 0, out); }
int goss_srv_store_input(const char *id, goss_buf *out) { return append(id, 1, out); }

static int delete(kind k, const char *id)
{
    pthread_mutex_lock(&lock);
    const name *found = find(k, id);
    if (found) drop(found->of);
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

int goss_srv_store_delete(const char *id) { return delete(RESPONSE, id); }
int goss_srv_store_end(const char *id) { return delete(CONVERSATION, id); }

int goss_srv_store_response_of(const char *item, goss_buf *out)
{
    pthread_mutex_lock(&lock);
    const name *found = find(ITEM, item);
    if (found) goss_buf_append(out, found->of->text.s, (size_t)found->of->text.n);
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

void goss_srv_store_put_stream(const char *id, const void *events, size_t n)
{
    pthread_mutex_lock(&lock);
    const name *found = find(RESPONSE, id);
    if (found && n <= max_bytes && goss_buf_append(&found->of->stream, events, n) < 0)
        goss_buf_free(&found->of->stream);
    if (found) count(found->of);
    trim();
    pthread_mutex_unlock(&lock);
}

int goss_srv_store_stream(const char *id, goss_buf *out)
{
    pthread_mutex_lock(&lock);
    const name *found = find(RESPONSE, id);
    const int there = found && found->of->stream.len;
    if (there) goss_buf_append(out, found->of->stream.data, found->of->stream.len);
    pthread_mutex_unlock(&lock);
    return there;
}

/* ---- conversations --------------------------------------------------------------------------- */
int goss_srv_store_begin(const char *id, int64_t created, goss_str metadata)
{
    entry *e = make(CONVERSATION, id, 0);
    if (!e) return GOSS_ENOMEM;
    e->created = created;
    const int failed = goss_buf_append(&e->metadata, metadata.s, (size_t)metadata.n) < 0;
    put(e, failed);
    return failed ? GOSS_ENOMEM : 0;
}

/* The conversation, which is the newest by that; NULL: unknown. Locks. */
static entry *use(const char *id)
{
    pthread_mutex_lock(&lock);
    const name *found = find(CONVERSATION, id);
    if (!found) return NULL;
    unlink_entry(found->of);
    link_entry(found->of);
    return found->of;
}

static int done(int rc)
{
    pthread_mutex_unlock(&lock);
    return rc;
}

/* The items as a list of their own; NULL: no memory, or none. */
static kept *copy_kept(const char *text, const goss_srv_kept *items, int n)
{
    kept *first = NULL, **last = &first;
    for (int i = 0; i < n; i++) {
        kept *k = *last = goss_mem_alloc(sizeof *k + items[i].n);
        if (!k) break;
        memcpy(k->id, items[i].id, sizeof k->id);
        memcpy(k->json, text + items[i].at, items[i].n);
        k->n = items[i].n;
        k->next = NULL;
        last = &k->next;
        if (i == n - 1) return first;
    }
    for (kept *next; first; first = next) {
        next = first->next;
        goss_mem_free(first);
    }
    return NULL;
}

static int is_held(const entry *e, const void *holder) { return e->holder && e->holder != holder; }

int goss_srv_store_hold(const char *id, const void *holder)
{
    entry *e = use(id);
    if (!e || is_held(e, holder)) return done(e ? GOSS_EAGAIN : 0);
    e->holder = holder;
    return done(1);
}

void goss_srv_store_let_go(const char *id, const void *holder)
{
    pthread_mutex_lock(&lock);
    const name *found = find(CONVERSATION, id);
    if (found && !is_held(found->of, holder)) found->of->holder = NULL;
    pthread_mutex_unlock(&lock);
}

int goss_srv_store_extend(const char *id, const void *holder, const char *text, const goss_srv_kept *items,
                          int n, const goss_srv_room *room)
{
    size_t more = 0;
    for (int i = 0; i < n; i++) more += items[i].n;
    entry *e = use(id);
    if (!e || !n) return done(e != NULL);
    if (is_held(e, holder)) return done(GOSS_EAGAIN);
    if (n > room->items - e->n_kept || e->kept_bytes > room->bytes || more > room->bytes - e->kept_bytes)
        return done(GOSS_ELIMIT);
    kept *k = copy_kept(text, items, n);
    if (!k) return done(GOSS_ENOMEM);
    for (*e->last = k; *e->last; e->last = &(*e->last)->next) { }
    e->n_kept += n;
    e->kept_bytes += more;
    count(e);
    trim();
    return done(1);
}

int goss_srv_store_describe(const char *id, goss_str metadata)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (goss_buf_append(&b, metadata.s, (size_t)metadata.n) < 0) return GOSS_ENOMEM;
    entry *e = use(id);
    if (e) {
        const goss_buf old = e->metadata;
        e->metadata = b;
        b = old;
        count(e);
        trim();
    }
    done(0);
    goss_buf_free(&b);
    return e != NULL;
}

int goss_srv_store_about(const char *id, goss_buf *out)
{
    const entry *e = use(id);
    if (!e) return done(0);
    goss_buf_str(out, "{\"id\":");
    goss_buf_json_string(out, id, strlen(id));
    goss_buf_printf(out, ",\"object\":\"conversation\",\"created_at\":%lld,\"metadata\":",
                    (long long)e->created);
    goss_buf_append(out, e->metadata.data, e->metadata.len);
    goss_buf_str(out, "}");
    return done(1);
}

int goss_srv_store_items(const char *id, goss_buf *out)
{
    const entry *e = use(id);
    if (!e) return done(0);
    goss_buf_str(out, "[");
    for (const kept *k = e->first; k; k = k->next) {
        if (k != e->first) goss_buf_str(out, ",");
        goss_buf_append(out, k->json, k->n);
    }
    goss_buf_str(out, "]");
    return done(out->failed ? GOSS_ENOMEM : 1);
}

static kept **find_kept(entry *e, const char *item)
{
    kept **at = &e->first;
    while (*at && strcmp((*at)->id, item)) at = &(*at)->next;
    return at;
}

int goss_srv_store_kept(const char *id, const char *item, goss_buf *out)
{
    entry *e = use(id);
    const kept *k = e ? *find_kept(e, item) : NULL;
    if (k) goss_buf_append(out, k->json, k->n);
    return done(k != NULL);
}

int goss_srv_store_drop_kept(const char *id, const char *item)
{
    entry *e = use(id);
    kept **at = e ? find_kept(e, item) : NULL, *k = at ? *at : NULL;
    if (!k || is_held(e, NULL)) return done(k ? GOSS_EAGAIN : 0);
    *at = k->next;
    if (!k->next) e->last = at;
    e->n_kept--;
    e->kept_bytes -= k->n;
    count(e);
    goss_mem_free(k);
    return done(1);
}

void goss_srv_store_count(goss_srv_stock *out)
{
    pthread_mutex_lock(&lock);
    *out = (goss_srv_stock){ n_entries[RESPONSE], n_entries[CONVERSATION], n_entries[THOUGHT], bytes };
    pthread_mutex_unlock(&lock);
}
