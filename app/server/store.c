/* store.c - see store.h. A list from newest to oldest; at a few hundred entries a walk costs less than a request. */
#include "store.h"
#include "../../src/base/mem.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct entry { struct entry *next; char id[48]; goss_buf conversation, response; } entry;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *newest;
static int n_entries, max_entries;
static uint64_t bytes, max_bytes;

static void entry_free(entry *e) {
    bytes -= e->conversation.len + e->response.len;
    n_entries--;
    goss_buf_free(&e->conversation);
    goss_buf_free(&e->response);
    goss_mem_free(e);
}

static void trim(void) {
    while (newest && (n_entries > max_entries || bytes > max_bytes)) {
        entry **at = &newest;
        while ((*at)->next) at = &(*at)->next;
        entry *oldest = *at;
        *at = NULL;
        entry_free(oldest);
    }
}

void goss_srv_store_open(int items, uint64_t most) { max_entries = items; max_bytes = most; }

void goss_srv_store_close(void) {
    pthread_mutex_lock(&lock);
    max_entries = 0;
    trim();
    pthread_mutex_unlock(&lock);
}

void goss_srv_store_put(const char *id, const goss_buf *conversation, const char *response, size_t n) {
    entry *e = goss_mem_alloc(sizeof *e);
    if (!e) return;
    snprintf(e->id, sizeof e->id, "%s", id);
    e->conversation = e->response = GOSS_BUF((size_t)1 << 30);
    goss_buf_append(&e->conversation, conversation->data, conversation->len);
    goss_buf_append(&e->response, response, n);
    pthread_mutex_lock(&lock);
    e->next = newest;
    newest = e;
    n_entries++;
    bytes += e->conversation.len + e->response.len;
    trim();
    pthread_mutex_unlock(&lock);
}

static entry **find(const char *id) {
    entry **at = &newest;
    while (*at && strcmp((*at)->id, id)) at = &(*at)->next;
    return at;
}

static int copy(const char *id, goss_buf *out, int conversation) {
    pthread_mutex_lock(&lock);
    entry *e = *find(id);
    if (e) {
        const goss_buf *from = conversation ? &e->conversation : &e->response;
        goss_buf_append(out, from->data, from->len);
    }
    pthread_mutex_unlock(&lock);
    return e != NULL;
}

int goss_srv_store_conversation(const char *id, goss_buf *out) { return copy(id, out, 1); }
int goss_srv_store_response(const char *id, goss_buf *out) { return copy(id, out, 0); }

int goss_srv_store_delete(const char *id) {
    pthread_mutex_lock(&lock);
    entry **at = find(id), *e = *at;
    if (e) {
        *at = e->next;
        entry_free(e);
    }
    pthread_mutex_unlock(&lock);
    return e != NULL;
}
