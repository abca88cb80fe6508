/* output.c - makes events of tokens.
 *
 * Stop texts are held back until unambiguous: what could be the start of one waits in `held`, is released
 * with the token that rules it out, and is never emitted once it is complete. In a chat they count in what
 * the user is to see (messages without a recipient, not the analysis); what is held when a message ends is
 * released as an event of its own (token -1). */
#include "output.h"
#include "base/error.h"
#include <string.h>

static size_t mask_bytes(const goss_loaded *m)
{
    return (size_t)(m->model.hp.n_vocab + 31) / 32 * sizeof(uint32_t);
}

size_t goss_output_bytes(const goss_loaded *m) { return GOSS_STOPS * sizeof(goss_stop_text) + mask_bytes(m); }

int goss_output_open(goss_output *o, goss_arena *arena)
{
    o->stops = goss_arena_take(arena, GOSS_STOPS * sizeof *o->stops);
    o->mask = goss_arena_take(arena, mask_bytes(o->loaded));
    o->decoded = GOSS_BUF(1 << 16);
    o->piece = GOSS_BUF(1 << 16);
    o->held = GOSS_BUF(1 << 16);
    if (!o->stops || !o->mask || goss_buf_reserve(&o->decoded, 4096) || goss_buf_reserve(&o->piece, 4096) ||
        goss_buf_reserve(&o->held, 4096))
        return GOSS_ENOMEM;
    return goss_chat_parser_open(&o->parser, o->loaded->vocab, o->loaded->format);
}

void goss_output_close(goss_output *o)
{
    goss_chat_parser_close(&o->parser);
    goss_grammar_close(&o->grammar);
    goss_buf_free(&o->decoded);
    goss_buf_free(&o->piece);
    goss_buf_free(&o->held);
}

static int take_stops(goss_output *o, const goss_params *p, goss_error *err)
{
    if (p->n_stop < 0 || p->n_stop > GOSS_STOPS)
        return goss_fail(err, GOSS_ELIMIT, -1, "%d stop texts: at most %d", p->n_stop, (int)GOSS_STOPS);
    o->n_stops = 0;
    for (int i = 0; i < p->n_stop; i++) {
        const size_t n = strlen(p->stop[i]);
        if (n > GOSS_STOP_BYTES)
            return goss_fail(err, GOSS_ELIMIT, -1, "stop text %d has %d bytes: at most %d", i, (int)n,
                             (int)GOSS_STOP_BYTES);
        if (!n) continue;
        memcpy(o->stops[o->n_stops].bytes, p->stop[i], n);
        o->stops[o->n_stops++].n = (int)n;
    }
    return 0;
}

/* ---- the reasoning budget ------------------------------------------------------------------------------ */
/* Once it is spent a mask lets nothing but <|end|> come in the analysis, and headers can't name that. What
 * follows is the model's choice: the answer, or a call. */
static int spent(const goss_output *o) { return o->budget >= 0 && o->n_thought >= o->budget; }

/* The next token belongs to the analysis. */
static int thinks_aloud(const goss_output *o)
{
    const char *channel, *recipient;
    return goss_chat_parser_state(o->parser, &channel, &recipient) && !strcmp(channel, "analysis") &&
           !recipient[0];
}

static void count_thought(goss_output *o, int32_t token)
{
    if (o->budget < 0 || token == o->loaded->ids.end || !thinks_aloud(o)) return;
    o->n_thought++;
    goss_chat_parser_no_analysis(o->parser, spent(o));
}

int goss_output_free(const goss_output *o)
{
    return o->budget < 0 || spent(o) || !thinks_aloud(o) ? INT32_MAX : o->budget - o->n_thought;
}

int goss_output_begin(goss_output *o, const goss_params *p, goss_error *err)
{
    int rc = take_stops(o, p, err);
    if (rc) return rc;
    goss_grammar_close(&o->grammar);
    goss_schemas *schemas = goss_schemas_share(p->schemas);
    if (!schemas)
        rc = goss_schemas_compile(&schemas, o->room, p->json_schema, p->chat ? p->tools_json : NULL,
                                  p->must_call, err);
    if (!rc && goss_grammar_open(&o->grammar, schemas))
        rc = goss_fail(err, GOSS_ENOMEM, -1, "no memory for masks");
    if (!rc) rc = goss_chat_parser_tools(o->parser, goss_schemas_tools(schemas), p->builtin, err);
    const int answer = goss_schemas_answer(schemas);
    goss_schemas_release(&schemas);
    if (rc) return rc;
    goss_chat_parser_preambles(o->parser, !answer);
    o->chat = p->chat;
    o->no_guard = p->no_guard && !answer;
    o->one_call = p->one_call;
    o->ignore_stop = p->ignore_stop;
    o->n_probs = p->n_probs;
    o->echo = p->echo;
    o->budget = p->chat && o->loaded->format == GOSS_CHAT_HARMONY ? p->reasoning_budget : -1;
    o->n_thought = 0;
    o->utf8 = (goss_utf8_stream){ 0 };
    goss_buf_clear(&o->held);
    goss_chat_parser_reset(o->parser);
    goss_chat_parser_no_analysis(o->parser, spent(o));
    o->channel = "";
    o->recipient[0] = 0;
    o->message = o->chat ? -1 : 0;
    return 0;
}

/* ---- text with stops ----------------------------------------------------------------------------------- */
/* The first complete stop text in `held`, -1: none; *may_be: how many bytes at the end could still become
 * one. */
static int find_stop(const goss_output *o, size_t *may_be)
{
    const uint8_t *t = o->held.data;
    const size_t n = o->held.len;
    *may_be = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < o->n_stops; k++) {
            const size_t m = (size_t)o->stops[k].n, rest = n - i;
            if (memcmp(t + i, o->stops[k].bytes, m < rest ? m : rest)) continue;
            if (m <= rest) return (int)i;
            if (rest > *may_be) *may_be = rest;
        }
    return -1;
}

static int stops_here(const goss_output *o)
{
    return o->n_stops && (!o->chat || (!o->recipient[0] && strcmp(o->channel, "analysis") != 0));
}

/* Releases text through the stops into `piece`. 1: a stop text is complete. */
static int release(goss_output *o, const char *text, size_t n)
{
    if (!stops_here(o)) { goss_buf_append(&o->piece, text, n); return 0; }
    size_t may_be;
    goss_buf_append(&o->held, text, n);
    const int at = find_stop(o, &may_be);
    const size_t out = at >= 0 ? (size_t)at : o->held.len - may_be;
    goss_buf_append(&o->piece, o->held.data, out);
    if (at >= 0) { goss_buf_clear(&o->held); return 1; }
    memmove(o->held.data, o->held.data + out, o->held.len - out);
    o->held.len -= out;
    return 0;
}

/* ---- events -------------------------------------------------------------------------------------------- */
static void emit(goss_output *o, const goss_pick *pick, const char *text, size_t n)
{
    goss_event ev = { .kind = GOSS_EVENT_TOKEN,
                      .token = pick ? pick->token : -1,
                      .position = o->position,
                      .channel = o->channel,
                      .message = o->message > 0 ? o->message : 0 };
    if (pick) {
        ev.logprob = pick->logprob;
        ev.entropy = pick->entropy;
        ev.n_top = pick->n_top < o->n_probs ? pick->n_top : o->n_probs;
        ev.top = pick->top;
    }
    goss_events_put(o->events, &ev, text, n, o->recipient);
}

static void flush_held(goss_output *o)
{
    if (!o->held.len) return;
    emit(o, NULL, (const char *)o->held.data, o->held.len);
    goss_buf_clear(&o->held);
}

static void enter_message(goss_output *o, const goss_chat_delta *d)
{
    flush_held(o);
    o->message++;
    o->channel = !strcmp(d->channel, "analysis")     ? "analysis"
                 : !strcmp(d->channel, "commentary") ? "commentary"
                                                     : "final";
    const size_t n = strlen(d->recipient), most = sizeof o->recipient - 1;
    memcpy(o->recipient, d->recipient, n < most ? n : most);
    o->recipient[n < most ? n : most] = 0;
    goss_telemetry_channel(o->telemetry, o->turn, o->channel, o->recipient);
}

/* What the prompt's answer has said of a message so far. */
static void tell_piece(goss_output *o)
{
    if (o->piece.len) emit(o, NULL, (const char *)o->piece.data, o->piece.len);
    goss_buf_clear(&o->piece);
}

static void resume_delta(goss_output *o, const goss_chat_delta *d)
{
    if (d->new_message) {
        tell_piece(o);
        enter_message(o, d);
    }
    if (!d->in_header) {
        if (o->echo > 0) goss_buf_append(&o->piece, d->text, d->n);
    } else if (o->message >= 0 && o->channel[0]) {
        tell_piece(o);
        o->channel = "";
        o->recipient[0] = 0;
    }
}

/* A prompt may end inside the assistant's turn (a forced tool call, an answer begun): parser and grammar are
 * shown what follows "<|start|>assistant", so that the first token generated is read in its place. */
int goss_output_resume(goss_output *o, const int32_t *ids, int n)
{
    static const char role[] = "assistant";
    const goss_loaded *m = o->loaded;
    goss_chat_delta d;
    int i = (o->echo > 0 && o->echo < n ? o->echo : n) - 1;
    while (i >= 0 && ids[i] != m->ids.start) i--;
    if (!o->chat || m->ids.start < 0 || i < 0) return 0;
    goss_buf_clear(&o->decoded);
    const int rc = goss_vocab_encode(m->vocab, role, sizeof role - 1, 0, &o->decoded);
    const int n_role = (int)(o->decoded.len / sizeof *ids);
    if (rc || i + 1 + n_role > n || memcmp(ids + i + 1, o->decoded.data, o->decoded.len) != 0) return rc;
    goss_buf_clear(&o->piece);
    for (i += 1 + n_role; i < n; i++) {
        if (o->grammar) goss_grammar_push(o->grammar, o->parser, ids[i]);
        count_thought(o, ids[i]);
        o->position = i;
        int more = goss_chat_parser_push(o->parser, ids[i], &d) > 0;
        for (; more; more = goss_chat_parser_more(o->parser, &d)) resume_delta(o, &d);
    }
    tell_piece(o);
    return 0;
}

/* One token through the parser: an event for each piece it yields, the first of them carries the token. */
static int chat_token(goss_output *o, const goss_pick *pick)
{
    goss_chat_delta d;
    const goss_pick *carry = pick;
    int stopped = 0;
    int more = goss_chat_parser_push(o->parser, pick->token, &d) > 0;
    for (; more && !stopped; more = goss_chat_parser_more(o->parser, &d)) {
        if (d.new_message) enter_message(o, &d);
        if (d.in_header && o->message >= 0 && o->channel[0]) {
            flush_held(o);
            o->channel = "";
            o->recipient[0] = 0;
        }
        o->called |= d.ended && o->recipient[0];
        goss_buf_clear(&o->piece);
        if (!d.in_header) stopped = release(o, d.text, d.n);
        if (d.ended && o->held.len && !stopped) {
            goss_buf_append(&o->piece, o->held.data, o->held.len);
            goss_buf_clear(&o->held);
        }
        emit(o, carry, (const char *)o->piece.data, o->piece.len);
        carry = NULL;
    }
    if (carry) emit(o, carry, "", 0);
    return stopped;
}

static int plain_token(goss_output *o, const goss_pick *pick)
{
    goss_buf_clear(&o->decoded);
    goss_buf_clear(&o->piece);
    const goss_str bytes = goss_vocab_bytes(o->loaded->vocab, pick->token, 0);
    goss_utf8_push(&o->utf8, (const uint8_t *)bytes.s, (size_t)bytes.n, 0, &o->decoded);
    const int stopped = release(o, (const char *)o->decoded.data, o->decoded.len);
    emit(o, pick, (const char *)o->piece.data, o->piece.len);
    return stopped;
}

static int stop_of(const goss_output *o, int32_t token)
{
    const goss_loaded *m = o->loaded;
    if (o->ignore_stop || !goss_vocab_is_stop(m->vocab, token)) return GOSS_STOP_NONE;
    return token == m->ids.call ? GOSS_STOP_CALL : GOSS_STOP_EOS;
}

int goss_output_ends(const goss_output *o, int32_t last)
{
    return o->chat && o->echo > 0 ? stop_of(o, last) : GOSS_STOP_NONE;
}

int goss_output_token(goss_output *o, const goss_pick *pick, int position)
{
    o->position = position;
    if (o->grammar) goss_grammar_push(o->grammar, o->chat ? o->parser : NULL, pick->token);
    count_thought(o, pick->token);
    o->called = 0;
    const int stopped = o->chat ? chat_token(o, pick) : plain_token(o, pick);
    if (o->called && o->one_call) return GOSS_STOP_CALL;
    const int ends = stop_of(o, pick->token);
    if (ends != GOSS_STOP_NONE) return ends;
    return stopped ? GOSS_STOP_TEXT : GOSS_STOP_NONE;
}

/* DONE carries the last piece: what the parser, the UTF-8 tail or the stops held back. A stop text that was
 * found ends all. */
void goss_output_end(goss_output *o, goss_event *done)
{
    goss_buf_clear(&o->piece);
    if (done->stop != GOSS_STOP_TEXT && o->chat) {
        goss_chat_delta d;
        int more = goss_chat_parser_finish(o->parser, &d) > 0;
        for (; more; more = goss_chat_parser_more(o->parser, &d)) {
            if (d.new_message) {
                if (o->piece.len) emit(o, NULL, (const char *)o->piece.data, o->piece.len);
                goss_buf_clear(&o->piece);
                enter_message(o, &d);
            }
            if (!d.in_header) release(o, d.text, d.n);
        }
    } else if (done->stop != GOSS_STOP_TEXT) {
        goss_buf_clear(&o->decoded);
        goss_utf8_push(&o->utf8, NULL, 0, 1, &o->decoded);
        release(o, (const char *)o->decoded.data, o->decoded.len);
    }
    goss_buf_append(&o->piece, o->held.data, o->held.len);
    goss_buf_clear(&o->held);
    done->channel = o->channel;
    done->message = o->message > 0 ? o->message : 0;
    goss_events_put(o->events, done, (const char *)o->piece.data, o->piece.len, o->recipient);
}

/* ---- masks --------------------------------------------------------------------------------------------- */
int goss_output_thinks(const goss_output *o) { return o->grammar && !goss_grammar_knows(o->grammar); }

int goss_output_think(goss_output *o, double until_ms, goss_error *err)
{
    if (!goss_output_thinks(o)) return 1;
    return goss_grammar_think(o->grammar, o->chat ? o->parser : NULL, until_ms, o->mask, err);
}

/* The guard constrains headers, the grammar contents: never both at one position. */
const uint32_t *goss_output_mask(goss_output *o)
{
    if (spent(o) && thinks_aloud(o)) {
        memset(o->mask, 0, mask_bytes(o->loaded));
        o->mask[o->loaded->ids.end / 32] |= (uint32_t)1 << (o->loaded->ids.end & 31);
        o->guarded = 1;
        return o->mask;
    }
    o->guarded = o->chat && (!o->no_guard || spent(o)) && goss_chat_parser_mask(o->parser, o->mask);
    if (o->guarded || goss_output_thinks(o)) return o->mask;
    return o->grammar && goss_grammar_binds(o->grammar) ? o->mask : NULL;
}
