/* offers.c - see offers.h. */
#include "offers.h"
#include <pthread.h>
#include <string.h>

typedef struct label {
    int heard;
    goss_owned *owned;
    goss_srv_offer *offers;
    int n;
} label;
static struct {
    goss_mcp_entry entries[GOSS_MCP_SERVERS];
    goss_owned *owned; /* their texts */
    int n, any;
    pthread_mutex_t lock;
    label labels[GOSS_MCP_SERVERS]; /* under the lock */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

int goss_srv_offers_open(const char *file, goss_error *err)
{
    const int n = goss_mcp_file_read(file, all.entries, &all.owned, err);
    all.n = n < 0 ? 0 : n;
    all.any = n >= 0;
    return n;
}

void goss_srv_offers_close(void)
{
    for (int i = 0; i < all.n; i++) goss_owned_free(&all.labels[i].owned);
    goss_owned_free(&all.owned);
    all.n = all.any = 0;
}

static const char *keep(goss_owned **owned, const goss_json *j, int node, int json)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (json) goss_json_write(j, node, &b);
    else goss_json_string(j, node, &b);
    const char *text = b.failed ? NULL : goss_owned_text(owned, b.len ? b.data : (const uint8_t *)"", b.len);
    goss_buf_free(&b);
    return text;
}

void goss_srv_offers_take(int number, const goss_json *j, int tools)
{
    goss_owned *owned = NULL;
    int n = 0;
    const int count = goss_json_kind(j, tools) == GOSS_JSON_ARRAY ? (int)j->nodes[tools].n : 0;
    goss_srv_offer *list = goss_owned_array(&owned, (size_t)count, sizeof *list);
    for (int t = goss_json_first(j, tools); list && t >= 0; t = goss_json_next(j, t)) {
        goss_srv_offer *o = &list[n];
        o->name = keep(&owned, j, goss_json_get(j, t, "name"), 0);
        o->description = keep(&owned, j, goss_json_get(j, t, "description"), 0);
        o->schema = keep(&owned, j, goss_json_get(j, t, "schema"), 1);
        o->reads = goss_json_bool(j, goss_json_get(j, t, "reads"), 0);
        n += o->name && o->description && o->schema;
    }
    pthread_mutex_lock(&all.lock);
    label *l = &all.labels[number];
    goss_owned_free(&l->owned);
    *l = (label){ .heard = 1, .owned = owned, .offers = list, .n = n };
    pthread_mutex_unlock(&all.lock);
}

int goss_srv_offers_heard(int number)
{
    pthread_mutex_lock(&all.lock);
    const int heard = all.labels[number].heard;
    pthread_mutex_unlock(&all.lock);
    return heard;
}

int goss_srv_offers_label(const char *name)
{
    for (int i = 0; i < all.n; i++)
        if (!strcmp(all.entries[i].name, name)) return i;
    return -1;
}

const goss_mcp_entry *goss_srv_offers_entry(int number) { return &all.entries[number]; }
int goss_srv_offers_any(void) { return all.any; }

int goss_srv_offers_copy(int number, goss_owned **owned, const goss_srv_offer **out)
{
    pthread_mutex_lock(&all.lock);
    const label *l = &all.labels[number];
    int n = l->n;
    goss_srv_offer *list = goss_owned_array(owned, (size_t)n, sizeof *list);
    for (int i = 0; list && i < n; i++) {
        const goss_srv_offer *o = &l->offers[i];
        list[i] = (goss_srv_offer){ goss_owned_text(owned, o->name, strlen(o->name)),
                                    goss_owned_text(owned, o->description, strlen(o->description)),
                                    goss_owned_text(owned, o->schema, strlen(o->schema)), o->reads };
        if (!list[i].name || !list[i].description || !list[i].schema) list = NULL;
    }
    pthread_mutex_unlock(&all.lock);
    *out = list;
    return list ? n : GOSS_ENOMEM;
}

void goss_srv_offers_write(goss_buf *b)
{
    int written = 0;
    pthread_mutex_lock(&all.lock);
    goss_buf_str(b, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < all.n; i++)
        for (int k = 0; k < all.labels[i].n; k++) {
            const goss_srv_offer *o = &all.labels[i].offers[k];
            goss_buf_str(b, written++ ? ",{\"server_label\":" : "{\"server_label\":");
            goss_buf_json_string(b, all.entries[i].name, strlen(all.entries[i].name));
            goss_buf_printf(b, ",\"require_approval\":\"%s\",", all.entries[i].trust ? "never" : "always");
            goss_srv_mcp_write_tool(b, o);
            goss_buf_str(b, "}");
        }
    goss_buf_str(b, "]}");
    pthread_mutex_unlock(&all.lock);
}
