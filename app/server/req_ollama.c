/* req_ollama.c - reads Ollama's /api/chat and /api/generate. */
#include "tools.h"
#include <stdlib.h>
#include <string.h>

static int read_options(goss_srv_parse *p)
{
    int o = goss_srv_field(p, 0, "options"), predict = 0;
    if (o < 0) return 0;
    if (goss_json_kind(p->j, o) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, o, "options", "must be an object");
    goss_srv_note_unknown(p, o, "options",
                          " temperature top_p top_k min_p seed num_predict num_ctx stop repeat_penalty "
                          "repeat_last_n presence_penalty "
                          "frequency_penalty logit_bias "
                          "reasoning_budget_tokens reasoning_budget thinking_token_budget ");
    if (goss_srv_get_sampling(p, o) || goss_srv_get_stops(p, o, "stop") ||
        goss_srv_get_int(p, o, "num_ctx", 1, 1 << 30, &p->r->max_kv) ||
        goss_srv_get_int(p, o, "num_predict", -2, 1 << 30, &predict))
        return -1;
    p->r->params.max_tokens = predict > 0 ? predict : 0;
    return 0;
}

static int read_format(goss_srv_parse *p)
{
    goss_conversation *c = &p->r->chat;
    const int node = goss_srv_field(p, 0, "format");
    if (node < 0 || goss_json_is(p->j, node, "")) return 0;
    if (goss_json_is(p->j, node, "json")) return goss_srv_set_object(p), 0;
    if (goss_srv_set_schema(p, node, "format")) return -1;
    c->format = GOSS_FORMAT_SCHEMA;
    c->schema = goss_srv_str(p->r->params.json_schema);
    c->schema_name = goss_srv_str("answer");
    return 0;
}

/* think: true shows the reasoning, false hides it and asks for little; a word is the effort. */
static int read_think(goss_srv_parse *p, const char **effort)
{
    int node = goss_srv_field(p, 0, "think"), kind = goss_json_kind(p->j, node);
    if (kind == GOSS_JSON_FALSE) return p->r->show_reasoning = 0, *effort = "low", 0;
    if (node < 0 || kind == GOSS_JSON_TRUE) return 0;
    return goss_srv_read_effort(p, 0, "think", effort);
}

static int read_one(goss_srv_parse *p, int role, const char *key)
{
    goss_str text = { 0 };
    if (goss_srv_get_str(p, 0, key, &text)) return -1;
    return text.n ? goss_srv_chat_add_text(p, goss_json_get(p->j, 0, key), role, text) : 0;
}

/* A duration in Go's words: "5m", "1h30m", "-1s", "0". */
static int read_duration(const char *s, double *seconds)
{
    static const struct { const char *name; double seconds; } units[] = {
        { "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }
    };
    double sign = *s == '-' ? -1 : 1, sum = 0;
    s += *s == '-' || *s == '+';
    if (!strcmp(s, "0")) return *seconds = 0, 1;
    if (!*s) return 0;
    while (*s) {
        size_t digits = strspn(s, "0123456789."), letters = strcspn(s + digits, "0123456789."), unit = 0;
        char *end;
        double value = strtod(s, &end);
        if (!digits || end != s + digits) return 0;
        while (unit < 6 && (strlen(units[unit].name) != letters || memcmp(units[unit].name, end, letters)))
            unit++;
        if (unit == 6) return 0;
        sum += value * units[unit].seconds;
        s = end + letters;
    }
    *seconds = sign * sum;
    return 1;
}

/* keep_alive: a number of seconds or a duration; negative: for ever; 0: the model goes when its answers are
 * done. */
static int read_keep_alive(goss_srv_parse *p)
{
    int node = goss_srv_field(p, 0, "keep_alive");
    const char *text = NULL;
    double seconds = 0;
    if (node < 0) return 0;
    if (goss_json_kind(p->j, node) == GOSS_JSON_NUMBER) seconds = goss_json_number(p->j, node, 0);
    else if (goss_srv_get_text(p, 0, "keep_alive", &text)) return -1;
    if (text && !read_duration(text, &seconds))
        return goss_srv_bad(p, node, "keep_alive", "must be seconds, or a duration such as \"5m\"");
    p->r->has_keep = 1;
    p->r->keep_ms = seconds < 0 || seconds > 3e9 ? -1 : 1000 * seconds;
    return 0;
}

/* logprobs: true, with top_logprobs alternatives. */
static int read_logprobs(goss_srv_parse *p)
{
    int wanted = 0, top = 0;
    if (goss_srv_get_bool(p, 0, "logprobs", &wanted) || goss_srv_get_int(p, 0, "top_logprobs", 0, 20, &top))
        return -1;
    if (wanted) p->r->logprobs = top;
    return 0;
}

static int read_prompt(goss_srv_parse *p, int prompt)
{
    goss_srv_joined text = { 0 };
    goss_str s = { 0 };
    if (goss_srv_get_str(p, 0, "prompt", &s)) return -1;
    goss_srv_join(&text, s);
    const int failed = goss_srv_join_images(p, 0, &text);
    return goss_srv_joined_end(p, &text, &s) || failed ||
           goss_srv_chat_add_text(p, prompt, GOSS_ROLE_USER, s);
}

static int read_generate(goss_srv_parse *p, const char *effort)
{
    goss_srv_request *r = p->r;
    const int suffix = goss_srv_field(p, 0, "suffix");
    int raw = 0, prompt = goss_srv_field(p, 0, "prompt");
    if (goss_srv_get_bool(p, 0, "raw", &raw)) return -1;
    if (suffix >= 0 && !goss_json_is(p->j, suffix, ""))
        return goss_srv_bad(p, suffix, "suffix", "is not something this model can fill towards");
    if (raw) {
        r->prompts = goss_srv_keep(r, sizeof *r->prompts);
        r->n_prompts = 1;
        if (!r->prompts || prompt < 0) return goss_srv_bad(p, prompt, "prompt", "is missing");
        return goss_srv_text_of(p, prompt, "prompt", &r->prompts->text, &r->prompts->n_text);
    }
    if (prompt < 0 || goss_json_is(p->j, prompt, "")) return r->load_only = 1, 0;
    goss_srv_chat_begin(p, effort);
    return read_one(p, GOSS_ROLE_DEVELOPER, "system") || read_prompt(p, prompt);
}

int goss_srv_read_ollama(goss_srv_parse *p)
{
    static const char known[] = " model messages tools format options stream think keep_alive prompt system "
                                "template raw suffix images context logprobs top_logprobs "
                                GOSS_SRV_EXTRAS;
    goss_srv_request *r = p->r;
    int messages = goss_srv_field(p, 0, "messages");
    const char *effort = NULL;
    r->stream = 1;
    goss_srv_note_unknown(p, 0, r->api == GOSS_SRV_OLLAMA_CHAT ? "/api/chat" : "/api/generate", known);
    if (goss_srv_get_bool(p, 0, "stream", &r->stream) || read_options(p) || read_format(p) ||
        read_think(p, &effort) || read_keep_alive(p) || read_logprobs(p) || goss_srv_get_extras(p, 0))
        return -1;
    if (r->api == GOSS_SRV_OLLAMA_GENERATE) return read_generate(p, effort);
    if (goss_srv_tools_read(p, goss_srv_field(p, 0, "tools"), "parameters") ||
        goss_srv_tools_use(p))
        return -1;
    if (messages < 0 || (goss_json_kind(p->j, messages) == GOSS_JSON_ARRAY && !p->j->nodes[messages].n))
        return r->load_only = 1, 0;
    if (goss_json_kind(p->j, messages) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, messages, "messages", "must be an array");
    goss_srv_chat_begin(p, effort);
    for (int m = goss_json_first(p->j, messages); m >= 0; m = goss_json_next(p->j, m))
        if (goss_srv_chat_openai_message(p, m)) return -1;
    return 0;
}
