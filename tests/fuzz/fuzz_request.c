/* fuzz_request.c - any bytes as the body of a request, rendered with the demo models' vocabularies (run it in
 * the project's root). The first byte, a digit, chooses the protocol. A body is refused with a reason, or its
 * conversation renders to messages that are whole: nothing in it became a control token. What the store knows
 * can be referred to. */
#include "base/mem.h"
#include "server/log.h"
#include "server/read.h"
#include "server/store.h"
#include "text/chat.h"
#include "text/harmony.h"
#include "tests/text/open_vocab.h"
#include "fuzz.h"
#include <string.h>

static goss_vocab *harmony, *llama;
static goss_chat_format llama_format;
static goss_harmony_ids control;
static const goss_srv_config config = { .max_body = 1 << 20, .max_depth = 64, .max_tools = 128,
                                        .max_schema = 65536, .max_messages = 4096, .max_stops = 16,
                                        .max_choices = 16, .effort = "medium", .date = "2025-06-28",
                                        .identity = "" };

/* The engine's part of a request; its defaults are tested with it. */
goss_params goss_params_default(void)
{
    return (goss_params){ .temperature = 1, .top_p = 1, .repeat_penalty = 1 };
}

#define S(literal) ((goss_str){ literal, sizeof(literal) - 1 })
static void fill_store(void)
{
    static const goss_str question = S("Weather?"), said = S("It\nis.");
    static const goss_tool_call call = { S("call_1"), S("look"), S("{}") };
    static const goss_message messages[] = {
        { .role = GOSS_ROLE_USER, .n_parts = 1, .parts = &question },
        { .role = GOSS_ROLE_ASSISTANT, .n_calls = 1, .calls = &call, .reasoning = S("Hm.") },
    };
    static const goss_srv_stored items[] = {
        { "rs_1", { .role = GOSS_ROLE_ASSISTANT, .reasoning = S("Hm.") } },
        { "fc_1", { .role = GOSS_ROLE_ASSISTANT, .n_calls = 1, .calls = &call } },
        { "msg_1", { .role = GOSS_ROLE_ASSISTANT, .n_parts = 1, .parts = &said } },
    };
    goss_srv_store_open(10, 1 << 20);
    goss_srv_store_put("resp_1", messages, 2, items, 3, S("{}"), S("\"a\""));
    goss_srv_store_put_thought("call_1", "", S("Hm."));
}

/* Every message has its start, one <|message|> and its end, but for the last, which is open. */
static void check_messages(const int32_t *ids, size_t n)
{
    int open = 0, inside = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = ids[i];
        if (id == control.start) {
            FUZZ_CHECK(!open);
            open = 1;
            inside = 0;
        } else if (id == control.message) {
            FUZZ_CHECK(open && !inside);
            inside = 1;
        } else if (id == control.end || id == control.call) {
            FUZZ_CHECK(open && inside);
            open = 0;
        } else if (id == control.channel || id == control.constrain) {
            FUZZ_CHECK(open && !inside);
        } else {
            FUZZ_CHECK(open && goss_vocab_kind(harmony, id) != GOSS_TOKEN_CONTROL);
        }
    }
    FUZZ_CHECK(open);
}

static void render(const goss_srv_request *r, const goss_vocab *v, goss_chat_format f)
{
    goss_buf ids = GOSS_BUF((size_t)1 << 26);
    goss_error err = { 0 };
    const int rc = goss_chat_encode(v, f, &r->chat, &ids, &err);
    FUZZ_CHECK(rc == 0 || ((rc == GOSS_EINVAL || rc == GOSS_EUNSUPPORTED) && err.code == rc && err.text[0]));
    FUZZ_CHECK(err.position < r->chat.n_messages);
    if (!rc && f == GOSS_CHAT_HARMONY) check_messages((const int32_t *)(const void *)ids.data, ids.len / 4);
    goss_buf_free(&ids);
}

/* The masks know the tools under the names that the model is shown: all of them, or the one that must be
 * called. */
static void check_tools(const goss_srv_request *r)
{
    goss_json j = { 0 };
    int n = 0;
    FUZZ_CHECK(!goss_json_parse(&j, r->params.tools_json, strlen(r->params.tools_json), NULL, NULL));
    for (int t = goss_json_first(&j, 0); t >= 0; t = goss_json_next(&j, t), n++)
        FUZZ_CHECK(goss_json_is(&j, goss_json_get(&j, t, "name"),
                                r->chat.choice.s ? r->chat.choice.s : r->chat.tools[n].name.s));
    FUZZ_CHECK(n == (r->chat.choice.s ? 1 : r->chat.n_tools));
    goss_json_free(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!harmony) {
        harmony = open_vocab("models/demo-gptoss.gguf", NULL);
        llama = open_vocab("models/demo-llama-f16.gguf", &llama_format);
        FUZZ_CHECK(goss_harmony_find(harmony, &control));
        goss_srv_log_level(GOSS_SRV_LOG_NONE);
        fill_store();
    }
    if (!n) return 0;
    const goss_srv_api api = (goss_srv_api)((uint8_t)(*bytes - '0') % GOSS_SRV_N_APIS);
    const uint64_t live = goss_mem_get_stats().n_live;
    goss_srv_request r;
    goss_srv_fail fail = { 0 };
    goss_buf body = GOSS_BUF(1 << 20);
    goss_buf_append(&body, bytes + 1, n - 1);
    if (goss_srv_request_read(&r, api, &config, &body, &fail)) {
        FUZZ_CHECK((fail.status == 400 || fail.status == 404) && fail.message[0] && fail.code);
        FUZZ_CHECK(fail.position < (int64_t)n);
    } else if (r.is_chat) {
        render(&r, harmony, GOSS_CHAT_HARMONY);
        render(&r, llama, llama_format);
        check_tools(&r);
    }
    goss_srv_request_free(&r);
    goss_buf_free(&body);
    FUZZ_CHECK(goss_mem_get_stats().n_live == live);
    return 0;
}
