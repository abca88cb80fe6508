/* bench_turn.c - how soon a conversation's second turn begins.
 *
 * The first turn's answer is put into its prompt but for its last token, which a bias makes the model give,
 * so that the same conversation can be had from any model: random weights end no message. What the second
 * turn's prompt shares with what was computed then is all but the reasoning in the middle: the engine
 * prefills the rest in idle time. */
#include "base/error.h"
#include "bench_turn.h"
#include <stdlib.h>
#include <string.h>

enum { ANSWER_TOKENS = 300, REASONING_TOKENS = 100, TEXT_MOST = 1 << 22 };
static const char FILLER[] =
    "The crow listened to the wind above the forest and counted the clouds until the evening. ";

typedef struct conversation { goss_buf history, answer, reasoning; } conversation;

static int count(const goss_bench *b, const char *text, size_t n)
{
    return goss_tokenize(b->c.engine, text, n, 0, NULL, 0);
}

static goss_str text_of(const goss_buf *b)
{
    return (goss_str){ .s = (const char *)b->data, .n = b->len };
}

/* Sentences of at least n tokens. */
static int fill(const goss_bench *b, goss_buf *out, int n)
{
    const int each = count(b, FILLER, sizeof FILLER - 1);
    if (each < 1) return GOSS_EUNSUPPORTED;
    for (int have = 0; have < n; have += each) goss_buf_str(out, FILLER);
    return out->failed;
}

static int make(const goss_bench *b, conversation *c, int n)
{
    goss_buf said = GOSS_BUF(TEXT_MOST);
    int rc = fill(b, &said, n / 4);
    for (int i = 0; i < 4 && !rc; i++)
        goss_cli_message(&c->history, i % 2 ? "assistant" : "user", (const char *)said.data, said.len);
    goss_cli_message(&c->history, "user", "And then?", 9);
    if (!rc) rc = fill(b, &c->answer, ANSWER_TOKENS);
    if (!rc) rc = fill(b, &c->reasoning, REASONING_TOKENS);
    goss_buf_free(&said);
    return rc ? rc : c->history.failed;
}

/* The tokens of a request with these messages, and of the turn behind them, if there is one; the caller frees
 * them. */
static int tokens_of(const goss_bench *b, const goss_buf *messages, const conversation *turn, int32_t **ids,
                     goss_error *err)
{
    const goss_str none = { 0 };
    goss_buf json = GOSS_BUF(2 * TEXT_MOST);
    goss_buf_str(&json, "{\"date\":\"2025-06-28\",\"messages\":[");
    goss_buf_append(&json, messages->data, messages->len);
    goss_buf_str(&json, "]}");
    const goss_str reasoning = turn ? text_of(&turn->reasoning) : none,
                   answer = turn ? text_of(&turn->answer) : none;
    const int cap = (int)json.len + (int)(reasoning.n + answer.n) + 64;
    *ids = malloc((size_t)cap * sizeof **ids);
    int n = *ids && !json.failed
                ? goss_chat_render(b->c.engine, (const char *)json.data, json.len, *ids, cap, err)
                : goss_fail(err, GOSS_ENOMEM, -1, "no memory for the conversation");
    goss_buf_free(&json);
    if (n < 0 || !turn) return n;
    const int more = goss_chat_turn(b->c.engine, reasoning, answer, *ids + n, cap - n, err);
    return more < 0 ? more : n + more;
}

/* One token behind ids; `only`: it must be this one, -1: any. */
static int one_token(goss_bench *b, const int32_t *ids, int n, int32_t only, goss_event *done,
                     goss_error *err)
{
    goss_session *s = NULL;
    goss_params p = goss_params_default();
    const goss_logit_bias bias = { only, 1000 };
    int n_got, rc = goss_session_open(b->c.engine, &s, err);
    p.temperature = 0;
    p.max_tokens = 1;
    p.chat = 1;
    p.bias = &bias;
    p.n_bias = only >= 0;
    if (!rc) rc = goss_session_prompt(s, ids, n, &p, err);
    if (!rc) rc = goss_bench_finish(b, s, done, NULL, 0, &n_got, err);
    goss_session_close(&s);
    return rc;
}

static int idle(goss_bench *b, goss_error *err)
{
    int rc;
    while ((rc = goss_engine_poll(b->c.engine, 100, err)) > 0 && !goss_cli_interrupted()) { }
    return rc;
}

static int first_turn(goss_bench *b, conversation *c, goss_error *err)
{
    int32_t *ids = NULL;
    goss_event done;
    const int n = tokens_of(b, &c->history, c, &ids, err);
    int rc = n < 0 ? n : one_token(b, ids, n - 1, ids[n - 1], &done, err);
    if (!rc && done.stop != GOSS_STOP_EOS) rc = goss_fail(err, GOSS_ESTATE, -1, "the first turn did not end");
    free(ids);
    return rc ? rc : idle(b, err);
}

static void report(goss_bench *b, const char *kind, const goss_event *done, double cold_ms)
{
    goss_bench_result *r = goss_bench_add(b, kind, done->n_prompt, 1);
    if (!r) return;
    r->ms = done->prefill_ms;
    r->per_second = done->n_prompt * 1000 / done->prefill_ms;
    r->ratio = cold_ms > 0 ? done->prefill_ms / cold_ms : 0;
    snprintf(r->note, sizeof r->note, "of the cold time; %d tokens reused", done->n_reused);
}

static int second_turn(goss_bench *b, conversation *c, goss_error *err)
{
    goss_event warm = { 0 }, cold = { 0 };
    int32_t *ids = NULL;
    goss_cli_message(&c->history, "assistant", (const char *)c->answer.data, c->answer.len);
    goss_cli_message(&c->history, "user", "What is the capital of France?", 30);
    const int n = tokens_of(b, &c->history, NULL, &ids, err);
    int rc = n < 0 ? n : one_token(b, ids, n, -1, &warm, err);
    if (!rc && !b->no_cold) {
        const int32_t first = ids[0]; /* another first token: nothing that was kept begins so */
        ids[0] = first ? first - 1 : 1;
        rc = one_token(b, ids, n, -1, &cold, err);
    }
    free(ids);
    if (rc) return rc;
    report(b, "turn", &warm, cold.prefill_ms);
    if (!b->no_cold) report(b, "turn-cold", &cold, 0);
    return 0;
}

int goss_bench_turn(goss_bench *b, int n, goss_error *err)
{
    conversation c = { GOSS_BUF(4 * TEXT_MOST), GOSS_BUF(TEXT_MOST), GOSS_BUF(TEXT_MOST) };
    int rc = strcmp(b->info.chat, "harmony") ? goss_fail(err, GOSS_EUNSUPPORTED, -1,
        "--turn wants a model that speaks Harmony")
                                             : make(b, &c, n);
    if (!rc) rc = first_turn(b, &c, err);
    if (!rc) rc = second_turn(b, &c, err);
    goss_buf_free(&c.history);
    goss_buf_free(&c.answer);
    goss_buf_free(&c.reasoning);
    return rc;
}
