/* input_items.c - see input_items.h. */
#include "input_items.h"
#include "ids.h"
#include "store.h"
#include <string.h>

typedef struct list { const goss_json *j; goss_buf *b; const char *response; } list;

static int has_type(const goss_json *j, int item, const char *type)
{
    return goss_json_is(j, goss_json_get(j, item, "type"), type);
}

static int is_message(const goss_json *j, int item)
{
    const int type = goss_json_get(j, item, "type");
    return goss_json_kind(j, type) != GOSS_JSON_STRING || goss_json_is(j, type, "message");
}

/* The item's own id, or one that tells its response and place. */
static void write_id(const list *l, goss_buf *to, int item, int place)
{
    const int own = goss_json_get(l->j, item, "id");
    if (goss_json_kind(l->j, own) == GOSS_JSON_STRING) { goss_json_string(l->j, own, to); return; }
    const char *digits = strchr(l->response, '_');
    goss_buf_printf(to, "%s_%s%04d", is_message(l->j, item) || item == 0 ? "msg" : "item",
                    digits ? digits + 1 : l->response, place);
}

/* A content that came as a text is the list of parts that it stands for. */
static void write_content(const list *l, int content, int assistant)
{
    if (goss_json_kind(l->j, content) == GOSS_JSON_ARRAY) { goss_json_write(l->j, content, l->b); return; }
    goss_buf_str(l->b, assistant ? "[{\"type\":\"output_text\",\"annotations\":[],\"text\":"
                                 : "[{\"type\":\"input_text\",\"text\":");
    goss_json_write(l->j, content, l->b);
    goss_buf_str(l->b, "}]");
}

/* A call or its result, that has no status: it is over. */
static int lacks_status(const goss_json *j, int item)
{
    static const char *const types[] = { "function_call", "function_call_output", "custom_tool_call_output" };
    int is = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) is |= has_type(j, item, types[i]);
    return is && goss_json_kind(j, goss_json_get(j, item, "status")) != GOSS_JSON_STRING;
}

/* The members of an item behind its id; what is written anew is left out. */
static void write_members(const list *l, int item, int message)
{
    const int over = lacks_status(l->j, item);
    for (int key = goss_json_first(l->j, item), value; key >= 0; key = goss_json_next(l->j, value)) {
        value = goss_json_next(l->j, key);
        if (goss_json_is(l->j, key, "id") || (over && goss_json_is(l->j, key, "status")) ||
            (message && (goss_json_is(l->j, key, "type") || goss_json_is(l->j, key, "status") ||
                         goss_json_is(l->j, key, "content"))))
            continue;
        goss_buf_str(l->b, ",");
        goss_json_write(l->j, key, l->b);
        goss_buf_str(l->b, ":");
        goss_json_write(l->j, value, l->b);
    }
    if (over) goss_buf_str(l->b, ",\"status\":\"completed\"");
}

static void write_item(const list *l, int item, const goss_buf *id)
{
    const int text = goss_json_kind(l->j, item) == GOSS_JSON_STRING;
    goss_buf_str(l->b, "{\"id\":");
    goss_buf_json_string(l->b, (const char *)id->data, id->len);
    if (text) {
        goss_buf_str(l->b, ",\"role\":\"user\"");
    } else write_members(l, item, is_message(l->j, item));
    if (text || is_message(l->j, item)) {
        goss_buf_str(l->b, ",\"type\":\"message\",\"status\":\"completed\",\"content\":");
        write_content(l, text ? item : goss_json_get(l->j, item, "content"),
                      goss_json_is(l->j, goss_json_get(l->j, item, "role"), "assistant"));
    }
    goss_buf_str(l->b, "}");
}

/* The page's items; the ids of its first and last behind it. */
static void write_page(const list *l, const goss_srv_page *page)
{
    const int text = goss_json_kind(l->j, 0) == GOSS_JSON_STRING, n = text ? 1 : (int)l->j->nodes[0].n;
    goss_buf id = GOSS_BUF(1 << 16), first = GOSS_BUF(1 << 16), last = GOSS_BUF(1 << 16);
    int written = 0, begun = !page->after, more = 0;
    for (int k = 0; k < n && !more; k++) {
        const int place = page->oldest_first ? k : n - 1 - k;
        const int item = text ? 0 : goss_json_at(l->j, 0, (uint32_t)place);
        goss_buf_clear(&id);
        write_id(l, &id, item, place);
        if (!begun) { begun = !strcmp(goss_buf_cstr(&id), page->after); continue; }
        if ((more = written == page->limit)) break;
        if (written) goss_buf_str(l->b, ",");
        write_item(l, item, &id);
        if (!written++) goss_buf_append(&first, id.data, id.len);
        goss_buf_clear(&last);
        goss_buf_append(&last, id.data, id.len);
    }
    goss_buf_str(l->b, "],\"first_id\":");
    if (written) goss_buf_json_string(l->b, (const char *)first.data, first.len);
    else goss_buf_str(l->b, "null");
    goss_buf_str(l->b, ",\"last_id\":");
    if (written) goss_buf_json_string(l->b, (const char *)last.data, last.len);
    else goss_buf_str(l->b, "null");
    goss_buf_printf(l->b, ",\"has_more\":%s}", more ? "true" : "false");
    goss_buf_free(&id);
    goss_buf_free(&first);
    goss_buf_free(&last);
}

int goss_srv_input_items_write(goss_buf *b, const char *response, goss_str input, const goss_srv_page *page)
{
    goss_json j = { 0 };
    const int rc = goss_json_parse(&j, input.s, (size_t)input.n, NULL, NULL);
    if (!rc) {
        const list l = { &j, b, response };
        goss_buf_str(b, "{\"object\":\"list\",\"data\":[");
        write_page(&l, page);
    }
    goss_json_free(&j);
    return rc || b->failed ? GOSS_ENOMEM : 0;
}

/* ---- what a conversation keeps --------------------------------------------------------------- */
static void new_id(const goss_json *j, int item, char *to, size_t cap)
{
    static const char *const prefixes[][2] = { { "reasoning", "rs_" },
                                               { "function_call", "fc_" },
                                               { "function_call_output", "fco_" },
                                               { "compaction", "cmp_" } };
    const int text = goss_json_kind(j, item) == GOSS_JSON_STRING;
    const char *prefix = text || is_message(j, item) ? "msg_" : "item_";
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (has_type(j, item, prefixes[i][0])) prefix = prefixes[i][1];
    goss_srv_id(to, cap, prefix);
}

static int keep(const list *l, int item, goss_buf *kept)
{
    goss_srv_kept one = { .id = "" };
    goss_buf id = GOSS_BUF(1 << 16);
    new_id(l->j, item, one.id, sizeof one.id);
    goss_buf_str(&id, one.id);
    if (l->b->len > 1) goss_buf_str(l->b, ",");
    one.at = l->b->len;
    write_item(l, item, &id);
    one.n = l->b->len - one.at;
    goss_buf_free(&id);
    return goss_buf_append(kept, &one, sizeof one) || l->b->failed ? GOSS_ENOMEM : 0;
}

static int is_reference(const goss_json *j, int item)
{
    return has_type(j, item, "item_reference") ||
           (goss_json_get(j, item, "type") < 0 && goss_json_get(j, item, "role") < 0);
}

/* The item of an earlier answer; nothing where it is not stored any more. */
static int keep_referred(const list *l, int item, goss_buf *kept)
{
    goss_buf id = GOSS_BUF(1 << 16), text = GOSS_BUF(SIZE_MAX / 2);
    goss_json j = { 0 };
    int rc = 0;
    goss_json_string(l->j, goss_json_get(l->j, item, "id"), &id);
    if (goss_srv_store_response_of(goss_buf_cstr(&id), &text))
        rc = goss_json_parse(&j, (const char *)text.data, text.len, NULL, NULL) ? GOSS_ENOMEM : 0;
    const list answer = { &j, l->b, NULL };
    for (int i = rc || !text.len ? -1 : goss_json_first(&j, goss_json_get(&j, 0, "output")); i >= 0 && !rc;
         i = goss_json_next(&j, i))
        if (goss_json_is(&j, goss_json_get(&j, i, "id"), goss_buf_cstr(&id))) rc = keep(&answer, i, kept);
    goss_json_free(&j);
    goss_buf_free(&id);
    goss_buf_free(&text);
    return rc;
}

int goss_srv_input_items_keep(const goss_json *j, int node, goss_buf *text, goss_buf *kept)
{
    const list l = { j, text, NULL };
    int rc = goss_buf_str(text, "[");
    if (goss_json_kind(j, node) == GOSS_JSON_STRING) rc = keep(&l, node, kept);
    else
        for (int item = goss_json_first(j, node); item >= 0 && !rc; item = goss_json_next(j, item))
            rc = has_type(j, item, "compaction_trigger") ? 0
                 : is_reference(j, item)                 ? keep_referred(&l, item, kept)
                                                         : keep(&l, item, kept);
    goss_buf_str(text, "]");
    return rc || text->failed ? GOSS_ENOMEM : 0;
}
