/* output.c - from sampled tokens to events: stop tokens, the chat parser, UTF-8, stop texts, and the mask
 * for the next token.
 *
 * Stop texts are held back until unambiguous: what could be the start of one waits in `held`, is released
 * with the token
 * that rules it out, and is never emitted once it is complete. In a chat they count in what the user is to
 * see (messages
 * without a recipient, not the analysis); what is held when a message ends is released as an event of its
 * own (token -1). */
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

int goss_output_open(goss_session *s)
{
    s->decoded = GOSS_BUF(1 << 16);
    s->piece = GOSS_BUF(1 << 16);
    s->held = GOSS_BUF(1 << 16);
    if (goss_buf_reserve(&s->decoded, 4096) || goss_buf_reserve(&s->piece, 4096) ||
        goss_buf_reserve(&s->held, 4096))
        return GOSS_ENOMEM;
    return goss_chat_parser_open(&s->parser, s->engine->vocab, s->engine->format);
}

void goss_output_close(goss_session *s)
{
    goss_chat_parser_close(&s->parser);
    goss_grammar_close(&s->grammar);
    goss_buf_free(&s->decoded);
    goss_buf_free(&s->piece);
    goss_buf_free(&s->held);
}

static int take_stops(goss_session *s, const goss_params *p, goss_error *err)
{
    if (p->n_stop < 0 || p->n_stop > GOSS_STOPS)
        return goss_fail(err, GOSS_ELIMIT, -1, "%d stop texts: at most %d", p->n_stop, (int)GOSS_STOPS);
    s->n_stops = 0;
    for (int i = 0; i < p->n_stop; i++) {
        const size_t n = strlen(p->stop[i]);
        if (n > GOSS_STOP_BYTES)
            return goss_fail(err, GOSS_ELIMIT, -1, "stop text %d has %d bytes: at most %d", i, (int)n,
                             (int)GOSS_STOP_BYTES);
        if (!n) continue;
        memcpy(s->stops[s->n_stops].bytes, p->stop[i], n);
        s->stops[s->n_stops++].n = (int)n;
    }
    return 0;
}

int goss_output_begin(goss_session *s, const goss_params *p, goss_error *err)
{
    goss_engine *e = s->engine;
    int rc = take_stops(s, p, err);
    if (rc) return rc;
    goss_grammar_close(&s->grammar);
    if (p->json_schema || p->tools_json) {
        if (!e->words && goss_word_list_open(&e->words, e->vocab, e->model.hp.n_vocab))
            return goss_fail(err, GOSS_ENOMEM, -1, "no memory for masks");
        rc = goss_grammar_open(&s->grammar, e->words, p->json_schema, p->chat ? p->tools_json : NULL, err);
        if (rc) return rc;
    }
    rc = goss_chat_parser_tools(s->parser, p->chat ? p->tools_json : NULL, err);
    if (rc) return rc;
    s->chat = p->chat;
    s->no_guard = p->no_guard;
    s->utf8 = (goss_utf8_stream){ 0 };
    goss_buf_clear(&s->held);
    goss_chat_parser_reset(s->parser);
    s->channel = "";
    s->recipient[0] = 0;
    s->message = s->chat ? -1 : 0;
    s->in_content = !s->chat;
    return 0;
}

/* ---- text with stops --------------------------------------------------------------------------------------- */
/* The first complete stop text in `held`, -1: none; *keep: how many bytes at the end could still become one. */
static int find_stop(const goss_session *s, size_t *keep)
{
    const uint8_t *t = s->held.data;
    const size_t n = s->held.len;
    *keep = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < s->n_stops; k++) {
            const size_t m = (size_t)s->stops[k].n, left = n - i;
            if (memcmp(t + i, s->stops[k].bytes, m < left ? m : left)) continue;
            if (m <= left) return (int)i;
            if (left > *keep) *keep = left;
        }
    return -1;
}

static int stops_here(const goss_session *s)
{
    return s->n_stops && (!s->chat || (!s->recipient[0] && strcmp(s->channel, "analysis") != 0));
}

/* Releases text through the stops into `piece`. 1: a stop text is complete. */
static int release(goss_session *s, const char *text, size_t n)
{
    if (!stops_here(s)) { goss_buf_append(&s->piece, text, n); return 0; }
    size_t keep;
    goss_buf_append(&s->held, text, n);
    const int at = find_stop(s, &keep);
    const size_t out = at >= 0 ? (size_t)at : s->held.len - keep;
    goss_buf_append(&s->piece, s->held.data, out);
    if (at >= 0) { goss_buf_clear(&s->held); return 1; }
    memmove(s->held.data, s->held.data + out, s->held.len - out);
    s->held.len -= out;
    return 0;
}

/* ---- events -------------------------------------------------------------------------------------------------- */
static void emit(goss_session *s, const goss_pick *pick, const char *text, size_t n)
{
    goss_event ev = { .kind = GOSS_EVENT_TOKEN,
                      .token = pick ? pick->token : -1,
                      .position = s->n_known - 1,
                      .channel = s->channel,
                      .message = s->message > 0 ? s->message : 0 };
    if (pick) {
        ev.logprob = pick->logprob;
        ev.entropy = pick->entropy;
        ev.n_top = pick->n_top < s->n_probs ? pick->n_top : s->n_probs;
        ev.top = pick->top;
    }
    goss_session_queue(s, &ev, text, n, s->recipient);
    if (pick) goss_telemetry_token(s, pick);
}

static void flush_held(goss_session *s)
{
    if (!s->held.len) return;
    emit(s, NULL, (const char *)s->held.data, s->held.len);
    goss_buf_clear(&s->held);
}

static void enter_message(goss_session *s, const goss_chat_delta *d)
{
    flush_held(s);
    s->message++;
    s->channel = !strcmp(d->channel, "analysis")     ? "analysis"
                 : !strcmp(d->channel, "commentary") ? "commentary"
                                                     : "final";
    const size_t n = strlen(d->recipient), most = sizeof s->recipient - 1;
    memcpy(s->recipient, d->recipient, n < most ? n : most);
    s->recipient[n < most ? n : most] = 0;
    goss_telemetry_channel(s);
}

/* A prompt may end inside the assistant's turn (a forced tool call, an answer begun): parser and grammar are shown what
 * follows "<|start|>assistant", so that the first token generated is read in its place. */
int goss_output_resume(goss_session *s, const int32_t *ids, int n)
{
    static const char role[] = "assistant";
    goss_engine *e = s->engine;
    goss_chat_delta d;
    int i = n - 1;
    while (i >= 0 && ids[i] != e->tok_start) i--;
    if (!s->chat || e->tok_start < 0 || i < 0) return 0;
    goss_buf_clear(&s->decoded);
    const int rc = goss_vocab_encode(e->vocab, role, sizeof role - 1, 0, &s->decoded);
    const int n_role = (int)(s->decoded.len / sizeof *ids);
    if (rc || i + 1 + n_role > n || memcmp(ids + i + 1, s->decoded.data, s->decoded.len) != 0) return rc;
    for (i += 1 + n_role; i < n; i++) {
        if (s->grammar) goss_grammar_push(s->grammar, s->parser, ids[i]);
        int more = goss_chat_parser_push(s->parser, ids[i], &d) > 0;
        for (; more; more = goss_chat_parser_more(s->parser, &d))
            if (d.new_message) enter_message(s, &d);
    }
    return 0;
}

/* One token through the parser: an event for each piece it yields, the first of them carries the token. */
static int chat_token(goss_session *s, const goss_pick *pick)
{
    goss_chat_delta d;
    const goss_pick *carry = pick;
    int stopped = 0;
    int more = goss_chat_parser_push(s->parser, pick->token, &d) > 0;
    for (; more && !stopped; more = goss_chat_parser_more(s->parser, &d)) {
        if (d.new_message) enter_message(s, &d);
        if (d.in_header && s->message >= 0 && s->channel[0]) {
            flush_held(s);
            s->channel = "";
            s->recipient[0] = 0;
        }
        goss_buf_clear(&s->piece);
        if (!d.in_header) stopped = release(s, d.text, d.n);
        if (d.ended && s->held.len && !stopped) {
            goss_buf_append(&s->piece, s->held.data, s->held.len);
            goss_buf_clear(&s->held);
        }
        emit(s, carry, (const char *)s->piece.data, s->piece.len);
        carry = NULL;
    }
    if (carry) emit(s, carry, "", 0);
    return stopped;
}

static int plain_token(goss_session *s, const goss_pick *pick)
{
    goss_buf_clear(&s->decoded);
    goss_buf_clear(&s->piece);
    const goss_str bytes = goss_vocab_bytes(s->engine->vocab, pick->token, 0);
    goss_utf8_push(&s->utf8, (const uint8_t *)bytes.s, (size_t)bytes.n, 0, &s->decoded);
    const int stopped = release(s, (const char *)s->decoded.data, s->decoded.len);
    emit(s, pick, (const char *)s->piece.data, s->piece.len);
    return stopped;
}

int goss_output_token(goss_session *s, const goss_pick *pick)
{
    goss_engine *e = s->engine;
    s->tokens[s->n_known++] = pick->token;
    goss_speculate_emitted(s);
    s->n_generated++;
    e->stats.n_generated_tokens++;
    s->t_last = goss_os_now_ms();
    if (s->n_generated == 1) s->t_first = s->t_last;
    if (s->grammar) {
        goss_grammar_push(s->grammar, s->chat ? s->parser : NULL, pick->token);
        if (goss_grammar_failed(s->grammar)) return GOSS_STOP_ERROR;
    }
    const int stopped = s->chat ? chat_token(s, pick) : plain_token(s, pick);
    if (!s->ignore_stop && goss_vocab_is_stop(e->vocab, pick->token))
        return pick->token == e->tok_call ? GOSS_STOP_CALL : GOSS_STOP_EOS;
    if (stopped) return GOSS_STOP_TEXT;
    return s->n_known >= s->n_limit ? GOSS_STOP_LENGTH : GOSS_STOP_NONE;
}

/* DONE carries the last piece: what the parser, the UTF-8 tail or the stops held back. A stop text that was
 * found ends all. */
void goss_output_end(goss_session *s, goss_event *done)
{
    goss_buf_clear(&s->piece);
    if (done->stop != GOSS_STOP_TEXT && s->chat) {
        goss_chat_delta d;
        int more = goss_chat_parser_finish(s->parser, &d) > 0;
        for (; more; more = goss_chat_parser_more(s->parser, &d)) {
            if (d.new_message) {
                if (s->piece.len) emit(s, NULL, (const char *)s->piece.data, s->piece.len);
                goss_buf_clear(&s->piece);
                enter_message(s, &d);
            }
            if (!d.in_header) release(s, d.text, d.n);
        }
    } else if (done->stop != GOSS_STOP_TEXT) {
        goss_buf_clear(&s->decoded);
        goss_utf8_push(&s->utf8, NULL, 0, 1, &s->decoded);
        release(s, (const char *)s->decoded.data, s->decoded.len);
    }
    goss_buf_append(&s->piece, s->held.data, s->held.len);
    goss_buf_clear(&s->held);
    done->channel = s->channel;
    done->message = s->message > 0 ? s->message : 0;
    goss_session_queue(s, done, (const char *)s->piece.data, s->piece.len, s->recipient);
}

/* ---- masks ------------------------------------------------------------------------------------------------- */
/* The guard constrains headers, the grammar contents: never both at one position. */
const uint32_t *goss_output_mask(goss_session *s)
{
    s->guarded = s->chat && !s->no_guard && goss_chat_parser_mask(s->parser, s->mask);
    if (s->guarded) return s->mask;
    if (s->grammar && goss_grammar_mask(s->grammar, s->chat ? s->parser : NULL, s->mask)) return s->mask;
    return NULL;
}

int goss_output_wants_mask(goss_session *s)
{
    return goss_output_mask(s) != NULL;
}
