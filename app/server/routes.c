/* routes.c - see routes.h. */
#include "routes.h"
#include "base/os.h"
#include "background.h"
#include "conversations.h"
#include "input_items.h"
#include "page.h"
#include "offers.h"
#include "catalog.h"
#include "metrics.h"
#include "reply.h"
#include "store.h"
#include <stdio.h>
#include <string.h>

static const goss_srv_route routes[] = {
    { "/v1/chat/completions", "POST", "chat", GOSS_SRV_ROUTE_API, GOSS_SRV_CHAT, 1 },
    { "/v1/completions", "POST", "completions", GOSS_SRV_ROUTE_API, GOSS_SRV_TEXT, 1 },
    { "/v1/responses", "POST", "responses", GOSS_SRV_ROUTE_API, GOSS_SRV_RESPONSES, 1 },
    { "/v1/responses/input_tokens", "POST", "input_tokens", GOSS_SRV_ROUTE_API, GOSS_SRV_COUNT_INPUT, 1 },
    { "/v1/responses/compact", "POST", "compact", GOSS_SRV_ROUTE_API, GOSS_SRV_COMPACT, 1 },
    { "/v1/conversations", "POST", "conversations", GOSS_SRV_ROUTE_CONVERSATION, -1, 1 },
    { "/v1/conversations/", "GET, POST, DELETE", "conversation", GOSS_SRV_ROUTE_CONVERSATION, -1, 1 },
    { "/v1/responses/", "GET, POST, DELETE", "response", GOSS_SRV_ROUTE_RESPONSE, -1, 1 },
    { "/v1/messages", "POST", "messages", GOSS_SRV_ROUTE_API, GOSS_SRV_MESSAGES, 1 },
    { "/v1/messages/count_tokens", "POST", "count_tokens", GOSS_SRV_ROUTE_API, GOSS_SRV_COUNT, 1 },
    { "/v1/models", "GET, HEAD", "models", GOSS_SRV_ROUTE_MODELS, -1, 1 },
    { "/v1/models/", "GET, HEAD", "model", GOSS_SRV_ROUTE_MODEL, -1, 1 },
    { "/api/chat", "POST", "api_chat", GOSS_SRV_ROUTE_API, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/generate", "POST", "api_generate", GOSS_SRV_ROUTE_API, GOSS_SRV_OLLAMA_GENERATE, 1 },
    { "/api/tags", "GET, HEAD", "api_tags", GOSS_SRV_ROUTE_TAGS, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/show", "POST", "api_show", GOSS_SRV_ROUTE_SHOW, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/pull", "POST", "api_pull", GOSS_SRV_ROUTE_CHANGE, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/delete", "DELETE", "api_delete", GOSS_SRV_ROUTE_CHANGE, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/copy", "POST", "api_copy", GOSS_SRV_ROUTE_CHANGE, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/create", "POST", "api_create", GOSS_SRV_ROUTE_CHANGE, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/ps", "GET, HEAD", "api_ps", GOSS_SRV_ROUTE_PS, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/api/version", "GET, HEAD", "api_version", GOSS_SRV_ROUTE_VERSION, GOSS_SRV_OLLAMA_CHAT, 1 },
    { "/v1/embeddings", "POST", "embeddings", GOSS_SRV_ROUTE_API, GOSS_SRV_EMBED, 1 },
    { "/api/embed", "POST", "api_embed", GOSS_SRV_ROUTE_API, GOSS_SRV_OLLAMA_EMBED, 1 },
    { "/api/embeddings", "POST", "api_embeddings", GOSS_SRV_ROUTE_API, GOSS_SRV_OLLAMA_EMBEDDINGS, 1 },
    { "/v1/tools", "GET, HEAD", "tools", GOSS_SRV_ROUTE_TOOLS, -1, 1 },
    { "/v1/tools/call", "POST", "tools_call", GOSS_SRV_ROUTE_CALL, -1, 1 },
    { "/tokenize", "POST", "tokenize", GOSS_SRV_ROUTE_API, GOSS_SRV_TOKENIZE, 1 },
    { "/detokenize", "POST", "detokenize", GOSS_SRV_ROUTE_API, GOSS_SRV_DETOKENIZE, 1 },
    { "/metrics", "GET, HEAD", "metrics", GOSS_SRV_ROUTE_METRICS, -1, 1 },
    { "/health", "GET, HEAD", "health", GOSS_SRV_ROUTE_HEALTH, -1, 0 },
    { "/models/", "GET, HEAD, OPTIONS", "model_file", GOSS_SRV_ROUTE_MODEL_FILE, -1, 0 },
    { "/", "GET, HEAD", "page", GOSS_SRV_ROUTE_PAGE, -1, 0 },
};

const goss_srv_route *goss_srv_route_find(const char *path, const char **rest)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const goss_srv_route *r = &routes[i];
        size_t n = strlen(r->path);
        int below = r->path[n - 1] == '/';
        if (below ? strncmp(path, r->path, n) : strcmp(path, r->path)) continue;
        *rest = path + n;
        return r;
    }
    return NULL;
}

static enum MHD_Result not_found(goss_srv_conn *k, const char *what)
{
    goss_srv_refuse(&k->fail, 404, "not_found", "", -1, "%s", what);
    return goss_srv_reply_fail(k);
}

static enum MHD_Result health(goss_srv_conn *k)
{
    static const char *const names[] = { "loading", "ok", "error", "stopping" };
    goss_srv_health h;
    goss_buf b = GOSS_BUF(4096);
    goss_srv_runner_health(k->server->runner, &h);
    goss_buf_printf(&b, "{\"status\":\"%s\"", names[h.state]);
    if (h.model[0]) {
        goss_buf_str(&b, ",\"model\":");
        goss_buf_json_string(&b, h.model, strlen(h.model));
        goss_buf_printf(&b, ",\"loaded\":%s", h.loaded ? "true" : "false");
        if (h.backend[0]) goss_buf_printf(&b, ",\"backend\":\"%s\"", h.backend);
    }
    if (h.state == GOSS_SRV_LOADING) goss_buf_printf(&b, ",\"progress\":%.3f", h.progress);
    if (h.error[0]) {
        goss_buf_str(&b, ",\"error\":");
        goss_buf_json_string(&b, h.error, strlen(h.error));
    }
    goss_buf_str(&b, "}");
    return goss_srv_reply_buf(k, h.state == GOSS_SRV_OK ? 200 : 503, "application/json", &b);
}

static enum MHD_Result list(goss_srv_conn *k, int style)
{
    goss_buf b = GOSS_BUF(1 << 20);
    goss_srv_catalog_write(&b, style);
    return goss_srv_reply_buf(k, 200, "application/json", &b);
}

static enum MHD_Result one_model(goss_srv_conn *k)
{
    goss_buf b = GOSS_BUF(1 << 16);
    if (goss_srv_catalog_write_one(&b, k->rest)) return goss_srv_reply_buf(k, 200, "application/json", &b);
    goss_buf_free(&b);
    return not_found(k, "there is no model of this name");
}

/* The tools that this server runs. */
static enum MHD_Result tools(goss_srv_conn *k)
{
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    goss_srv_offers_write(&b);
    return goss_srv_reply_buf(k, 200, "application/json", &b);
}

static enum MHD_Result input_items(goss_srv_conn *k, const char *id)
{
    goss_srv_page page;
    goss_buf b = GOSS_BUF((size_t)1 << 30), input = GOSS_BUF((size_t)1 << 30);
    if (goss_srv_page_read(k, &page)) return goss_srv_reply_fail(k);
    const int found = goss_srv_store_input(id, &input);
    const goss_str json = { (const char *)input.data, input.len };
    if (found && goss_srv_input_items_write(&b, id, json, &page)) b.failed = 1;
    goss_buf_free(&input);
    return found ? goss_srv_reply_buf(k, 200, "application/json", &b)
                 : not_found(k, "no response of this id is stored");
}

static enum MHD_Result delete_response(goss_srv_conn *k)
{
    goss_buf b = GOSS_BUF((size_t)1 << 16);
    if (goss_srv_background_cancel(k->rest)) goss_srv_runner_nudge(k->server->runner);
    if (!goss_srv_store_delete(k->rest)) return not_found(k, "no response of this id is stored");
    goss_buf_str(&b, "{\"id\":");
    goss_buf_json_string(&b, k->rest, strlen(k->rest));
    goss_buf_str(&b, ",\"object\":\"response\",\"deleted\":true}");
    return goss_srv_reply_buf(k, 200, "application/json", &b);
}

/* What runs in the background is looked for first: it is stored before it is over. */
static enum MHD_Result get_response(goss_srv_conn *k, const char *id)
{
    goss_buf b = GOSS_BUF((size_t)1 << 30);
    if (goss_srv_background_response(id, &b) || goss_srv_store_response(id, &b))
        return goss_srv_reply_buf(k, 200, "application/json", &b);
    return not_found(k, "no response of this id is stored");
}

/* One that is over stays as it is. */
static enum MHD_Result cancel(goss_srv_conn *k, const char *id)
{
    if (goss_srv_background_cancel(id)) goss_srv_runner_nudge(k->server->runner);
    return get_response(k, id);
}

static enum MHD_Result response(goss_srv_conn *k)
{
    char id[64];
    const size_t n = strcspn(k->rest, "/");
    const char *below = k->rest + n;
    const int get = !strcmp(k->method, "GET");
    snprintf(id, sizeof id, "%.*s", n < sizeof id ? (int)n : 0, k->rest);
    if (get && !strcmp(below, "/input_items")) return input_items(k, id);
    if (!strcmp(k->method, "POST") && !strcmp(below, "/cancel")) return cancel(k, id);
    if (*below) return not_found(k, "there is nothing at this path");
    if (get) return get_response(k, id);
    if (!strcmp(k->method, "DELETE")) return delete_response(k);
    k->allow = "GET, DELETE";
    goss_srv_refuse(&k->fail, 405, "method_not_allowed", "", -1, "this path answers %s", k->allow);
    return goss_srv_reply_fail(k);
}

/* Ollama's clients ask what a model can do before they use it. */
static enum MHD_Result show(goss_srv_conn *k)
{
    goss_json j = { 0 };
    goss_error err = { .position = -1 };
    goss_buf name = GOSS_BUF(1024), b = GOSS_BUF(1 << 16);
    goss_srv_model m;
    int bad = goss_json_parse(&j, (const char *)k->body.data, k->body.len, NULL, &err) < 0;
    if (bad)
        goss_srv_refuse(&k->fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s",
                        err.text);
    int node = bad ? -1 : goss_json_get(&j, 0, "model");
    if (node < 0 && !bad) node = goss_json_get(&j, 0, "name");
    if (goss_json_kind(&j, node) == GOSS_JSON_STRING) goss_json_string(&j, node, &name);
    goss_json_free(&j);
    int found = !bad && !goss_srv_catalog_find(goss_buf_cstr(&name), &m);
    goss_buf_free(&name);
    if (bad) return goss_srv_reply_fail(k);
    if (!found) return not_found(k, "there is no model of this name");
    int harmony = !strcmp(m.info.arch, "gpt-oss");
    char when[40];
    goss_srv_catalog_time(when, m.mtime);
    goss_buf_printf(&b,
                    "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\","
                    "\"modified_at\":\"%s\",",
                    when);
    goss_srv_catalog_write_details(&b, &m);
    goss_buf_printf(&b,
                    ",\"model_info\":{\"general.architecture\":\"%s\",\"general.parameter_count\":%lld,\"%s.context_"
                    "length\":%d,\"%s.embedding_length\":%d,\"%s.block_count\":%d},"
                    "\"capabilities\":[\"completion\",\"embedding\"%s]}",
                    m.info.arch, (long long)m.info.n_params, m.info.arch, m.info.n_ctx,
                    m.info.arch, m.info.n_embd, m.info.arch, m.info.n_layer,
                    harmony ? ",\"tools\",\"thinking\"" : "");
    return goss_srv_reply_buf(k, 200, "application/json", &b);
}

/* Which models are in memory, as Ollama says it. */
static enum MHD_Result ps(goss_srv_conn *k)
{
    enum { MOST = 64 };
    static const int64_t never = 10000000000; /* the year 2286: Ollama's command line says "Forever" */
    goss_srv_loaded list[MOST];
    goss_buf b = GOSS_BUF(1 << 18);
    int n = goss_srv_runner_loaded(k->server->runner, list, MOST), n_written = 0;
    goss_buf_str(&b, "{\"models\":[");
    for (int i = 0; i < n; i++) {
        goss_srv_model m;
        char when[40];
        if (goss_srv_catalog_find(list[i].id, &m)) continue;
        goss_srv_catalog_time(when, list[i].expires < 0 ? never : list[i].expires);
        goss_buf_str(&b, n_written++ ? ",{\"name\":" : "{\"name\":");
        goss_buf_json_string(&b, m.id, strlen(m.id));
        goss_buf_str(&b, ",\"model\":");
        goss_buf_json_string(&b, m.id, strlen(m.id));
        goss_buf_printf(&b, ",\"size\":%llu,\"size_vram\":%llu,\"context_length\":%d,\"expires_at\":\"%s\",",
                        (unsigned long long)list[i].bytes, (unsigned long long)list[i].gpu_bytes,
                        list[i].n_ctx, when);
        goss_srv_catalog_write_details(&b, &m);
        goss_buf_str(&b, "}");
    }
    goss_buf_str(&b, "]}");
    return goss_srv_reply_buf(k, 200, "application/json", &b);
}

static enum MHD_Result page(goss_srv_conn *k)
{
    static const char none[] =
        "<!doctype html><title>Gossamer</title><p>The page's files were not found beside "
        "the program: give their folder with --web DIR. "
        "The APIs work: see <a href=\"/v1/models\">/v1/models</a>.";
    int status = goss_srv_files_page(k->server->files, k->conn, k->path, &k->bytes);
    if (status == -404 && (!strcmp(k->path, "/") || !strcmp(k->path, "/gptoss")))
        return goss_srv_reply(k, 404, "text/html; charset=utf-8", none, sizeof none - 1);
    if (status == -404) return not_found(k, "there is nothing at this path");
    k->status = status;
    return status ? MHD_YES : MHD_NO;
}

/* Clients ask whether Ollama is new enough for what they want (Codex: 0.13.4, for /v1/responses). This is the
 * version whose paths are here. */
static const char version[] = "{\"version\":\"0.14.0\",\"gossamer\":\"" GOSS_VERSION "\"}";

enum MHD_Result goss_srv_route_answer(goss_srv_conn *k) {
    goss_buf b = GOSS_BUF(1 << 20);
    switch (k->route->kind) {
    case GOSS_SRV_ROUTE_HEALTH: return health(k);
    case GOSS_SRV_ROUTE_MODELS: return list(k, GOSS_SRV_LIST_OPENAI);
    case GOSS_SRV_ROUTE_MODEL: return one_model(k);
    case GOSS_SRV_ROUTE_TAGS: return list(k, GOSS_SRV_LIST_OLLAMA);
    case GOSS_SRV_ROUTE_SHOW: return show(k);
    case GOSS_SRV_ROUTE_PS: return ps(k);
    case GOSS_SRV_ROUTE_RESPONSE: return response(k);
    case GOSS_SRV_ROUTE_CONVERSATION: return goss_srv_conversations_answer(k);
    case GOSS_SRV_ROUTE_TOOLS: return tools(k);
    case GOSS_SRV_ROUTE_VERSION:
        return goss_srv_reply(k, 200, "application/json", version, sizeof version - 1);
    case GOSS_SRV_ROUTE_METRICS:
        goss_srv_metrics_write(&b);
        return goss_srv_reply_buf(k, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
    case GOSS_SRV_ROUTE_MODEL_FILE:
        k->status = goss_srv_model_files_send(&k->server->models, k->conn, k->method, k->rest, &k->bytes);
        return k->status ? MHD_YES : MHD_NO;
    default: return page(k);
    }
}
