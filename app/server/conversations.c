/* conversations.c - see conversations.h.
 *
 *   POST /v1/conversations {items?, metadata?}     GET, POST {metadata}, DELETE /v1/conversations/ID
 *   GET, POST {items} /v1/conversations/ID/items   GET, DELETE /v1/conversations/ID/items/ITEM */
#include "conversations.h"
#include "base/os.h"
#include "input_items.h"
#include "page.h"
#include "parse.h"
#include "reply.h"
#include "store.h"
#include <string.h>

enum { ID = 64, PAIRS = 16, KEY = 64, VALUE = 512 }; /* of metadata: as OpenAI has it */

/* A body that is read: its tree, and a request that owns what is made of it. */
typedef struct body {
    goss_json j;
    goss_srv_request r;
    goss_srv_parse p;
} body;

static void body_close(body *b)
{
    goss_json_free(&b->j);
    goss_srv_request_free(&b->r);
}

/* No body is an empty one. 0, or -1 with k->fail filled. */
static int body_open(goss_srv_conn *k, body *b, const char *known)
{
    static const char none[] = "{}";
    const goss_json_limits limits = { .max_depth = (uint32_t)k->server->c->max_depth };
    const char *text = k->body.len ? (const char *)k->body.data : none;
    goss_error err = { .position = -1 };
    memset(b, 0, sizeof *b);
    b->r = (goss_srv_request){ .api = GOSS_SRV_RESPONSES, .params = goss_params_default() };
    b->r.messages = b->r.kept = GOSS_BUF(SIZE_MAX / 2);
    b->p = (goss_srv_parse){ .j = &b->j, .r = &b->r, .c = k->server->c, .fail = &k->fail };
    b->p.read = (goss_reading){ .j = &b->j, .owned = &b->r.owned };
    if (goss_json_parse(&b->j, text, k->body.len ? k->body.len : sizeof none - 1, &limits, &err))
        return goss_srv_refuse(&k->fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s",
                               err.text);
    if (goss_json_kind(&b->j, 0) != GOSS_JSON_OBJECT)
        return goss_srv_refuse(&k->fail, 400, "invalid_json", "", 0, "the body must be a JSON object");
    goss_srv_note_unknown(&b->p, 0, "/v1/conversations", known);
    return 0;
}

static int unknown(goss_srv_conn *k)
{
    return goss_srv_refuse(&k->fail, 404, "conversation_not_found", "", -1,
                           "no conversation of this id is stored (it may have made room for newer ones: see "
                           "--store)");
}

/* What the store said. 0, or -1 with k->fail filled. */
static int told(goss_srv_conn *k, int rc)
{
    if (rc > 0) return 0;
    if (!rc) return unknown(k);
    if (rc == GOSS_EAGAIN) return goss_srv_refuse_locked(&k->fail, -1);
    if (rc == GOSS_ELIMIT)
        return goss_srv_refuse(&k->fail, 400, "conversation_full", "items", -1,
                               "items: a conversation has at most %d of them, of %llu bytes together "
                               "(--max-messages, --max-body)",
                               k->server->c->max_messages, (unsigned long long)k->server->c->max_body);
    return goss_srv_refuse(&k->fail, 500, "out_of_memory", "", -1, "out of memory");
}

static enum MHD_Result give(goss_srv_conn *k, int failed, goss_buf *b)
{
    if (!failed) return goss_srv_reply_buf(k, 200, "application/json", b);
    goss_buf_free(b);
    return goss_srv_reply_fail(k);
}

/* ---- metadata -------------------------------------------------------------------------------- */
static int bad_metadata(body *b, int node)
{
    return goss_srv_bad(&b->p, node, "metadata",
                        "must be an object of at most 16 texts, of 512 bytes, with names of 64");
}

/* As JSON; absent: none. 0, or -1. */
static int metadata(body *b, const char **out)
{
    const int node = goss_srv_field(&b->p, 0, "metadata");
    int n = 0;
    *out = "{}";
    if (node < 0) return 0;
    if (goss_json_kind(&b->j, node) != GOSS_JSON_OBJECT) return bad_metadata(b, node);
    for (int key = goss_json_first(&b->j, node), value; key >= 0; key = goss_json_next(&b->j, value)) {
        value = goss_json_next(&b->j, key);
        if (++n > PAIRS || goss_json_kind(&b->j, value) != GOSS_JSON_STRING ||
            goss_json_source(&b->j, key).n > KEY || goss_json_source(&b->j, value).n > VALUE)
            return bad_metadata(b, value);
    }
    return goss_srv_json_of(&b->p, node, out);
}

/* ---- items ----------------------------------------------------------------------------------- */
/* The items of the body behind those of the conversation; `text` gets them as an array. 0, or -1. */
static int add_items(goss_srv_conn *k, body *b, const char *id, goss_buf *text)
{
    const goss_srv_room room = { k->server->c->max_messages, k->server->c->max_body };
    goss_buf *kept = &b->r.kept;
    const int node = goss_srv_field(&b->p, 0, "items");
    if (node < 0) return 0;
    if (goss_srv_read_items(&b->p, node, "items")) return -1;
    const int rc = goss_srv_input_items_keep(&b->j, node, text, kept);
    return told(k, rc ? rc
                      : goss_srv_store_extend(id, NULL, (const char *)text->data,
                                              (const goss_srv_kept *)(const void *)kept->data,
                                              (int)(kept->len / sizeof(goss_srv_kept)), &room));
}

static int write_list(goss_srv_conn *k, const goss_buf *text, const goss_srv_page *page, goss_buf *out)
{
    const goss_str json = { (const char *)text->data, text->len };
    return told(k, goss_srv_input_items_write(out, "", json, page) ? GOSS_ENOMEM : 1);
}

static enum MHD_Result create_items(goss_srv_conn *k, const char *id)
{
    const goss_srv_page all = { NULL, INT32_MAX, 1 };
    goss_buf text = GOSS_BUF(SIZE_MAX / 2), out = GOSS_BUF(SIZE_MAX / 2);
    body b;
    int failed = body_open(k, &b, " items include ");
    if (!failed && goss_srv_field(&b.p, 0, "items") < 0)
        failed = goss_srv_bad(&b.p, -1, "items", "is missing");
    if (!failed) failed = add_items(k, &b, id, &text) || write_list(k, &text, &all, &out);
    body_close(&b);
    goss_buf_free(&text);
    return give(k, failed, &out);
}

static enum MHD_Result list_items(goss_srv_conn *k, const char *id)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2), out = GOSS_BUF(SIZE_MAX / 2);
    goss_srv_page page;
    const int failed = goss_srv_page_read(k, &page) || told(k, goss_srv_store_items(id, &text)) ||
                       write_list(k, &text, &page, &out);
    goss_buf_free(&text);
    return give(k, failed, &out);
}

static enum MHD_Result one_item(goss_srv_conn *k, const char *id, const char *item)
{
    goss_buf out = GOSS_BUF(SIZE_MAX / 2);
    const int deletes = !strcmp(k->method, "DELETE"),
              rc = deletes ? goss_srv_store_drop_kept(id, item) : goss_srv_store_kept(id, item, &out);
    int failed = 0;
    if (!rc)
        failed = goss_srv_refuse(&k->fail, 404, "item_not_found", "", -1,
                                 "the conversation has no such item");
    else if (deletes) failed = told(k, rc) || told(k, goss_srv_store_about(id, &out));
    return give(k, failed, &out);
}

/* ---- conversations --------------------------------------------------------------------------- */
static enum MHD_Result create(goss_srv_conn *k)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2), out = GOSS_BUF(SIZE_MAX / 2);
    const char *data = NULL;
    char id[ID];
    body b;
    int failed = body_open(k, &b, " items metadata ") || metadata(&b, &data);
    if (!failed) {
        goss_srv_id(id, sizeof id, "conv_");
        const int rc = goss_srv_store_begin(id, goss_os_unix_time(), goss_srv_str(data));
        failed = told(k, rc ? rc : 1);
        if (!failed && add_items(k, &b, id, &text)) {
            goss_srv_store_end(id);
            failed = 1;
        }
        if (!failed) failed = told(k, goss_srv_store_about(id, &out));
    }
    body_close(&b);
    goss_buf_free(&text);
    return give(k, failed, &out);
}

static enum MHD_Result update(goss_srv_conn *k, const char *id)
{
    goss_buf out = GOSS_BUF(SIZE_MAX / 2);
    const char *data = NULL;
    body b;
    const int failed = body_open(k, &b, " metadata ") || metadata(&b, &data) ||
                       told(k, goss_srv_store_describe(id, goss_srv_str(data))) ||
                       told(k, goss_srv_store_about(id, &out));
    body_close(&b);
    return give(k, failed, &out);
}

static enum MHD_Result about(goss_srv_conn *k, const char *id)
{
    goss_buf out = GOSS_BUF(SIZE_MAX / 2);
    return give(k, told(k, goss_srv_store_about(id, &out)), &out);
}

static enum MHD_Result end(goss_srv_conn *k, const char *id)
{
    goss_buf out = GOSS_BUF(SIZE_MAX / 2);
    goss_buf_str(&out, "{\"id\":");
    goss_buf_json_string(&out, id, strlen(id));
    goss_buf_str(&out, ",\"object\":\"conversation.deleted\",\"deleted\":true}");
    return give(k, told(k, goss_srv_store_end(id)), &out);
}

/* The next piece of a path, which it moves behind; 0: it is too long to be an id. */
static int take_piece(const char **path, char to[ID])
{
    const size_t n = strcspn(*path, "/");
    if (n >= ID) return 0;
    memcpy(to, *path, n);
    to[n] = 0;
    *path += n + ((*path)[n] == '/');
    return 1;
}

enum MHD_Result goss_srv_conversations_answer(goss_srv_conn *k) {
    char id[ID], items[ID], item[ID];
    const char *at = k->rest, method = *k->method;
    if (!strcmp(k->path, "/v1/conversations")) return create(k);
    if (!take_piece(&at, id) || !take_piece(&at, items) || !take_piece(&at, item) || *at ||
        (*items && strcmp(items, "items"))) {
        goss_srv_refuse(&k->fail, 404, "not_found", "", -1, "there is nothing at this path");
        return goss_srv_reply_fail(k);
    }
    if (*item && method != 'P') return one_item(k, id, item);
    if (!*item && *items && method != 'D') return method == 'G' ? list_items(k, id) : create_items(k, id);
    if (!*items) return method == 'G' ? about(k, id) : method == 'P' ? update(k, id) : end(k, id);
    k->allow = *item ? "GET, DELETE" : "GET, POST";
    goss_srv_refuse(&k->fail, 405, "method_not_allowed", "", -1, "this path answers %s", k->allow);
    return goss_srv_reply_fail(k);
}
