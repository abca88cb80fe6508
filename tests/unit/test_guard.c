/* test_guard.c - turns at temperature 1.5 whose header logits are shaken: with the guard no header is
 * malformed, whatever the model wants; without it most are, and the parser still gives out every byte.
 *     test_guard [TURNS [FIRST]]    (60 turns with seeds from 0 on; 10,000 is the bar)
 * The logits are changed where the backend shows them (its tap on the head), for sessions whose parser stands
 * in a header or between messages. What a well-formed header is, is written here a second time, over its
 * text. */
#include "engine/engine_state.h"
#include "engine/session.h"
#include "text/chat.h"
#include "text/harmony.h"
#include "flight_util.h"

static const char *const MODEL = "models/demo-gptoss.gguf";
enum { SESSIONS = 16, TOKENS = 64, SHAKE = 14 };

static uint64_t random_state = 20251121;
static int first_turn;
static uint32_t next_random(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* Shakes the rows of sessions that stand in a header. The step being run is the one behind those in flight;
 * of a backend that has two under way it is the older. */
static void shake(void *ctx, goss_stage stage, int layer, const float *values, int n_rows, int width)
{
    goss_engine *e = ctx;
    const int behind = e->loaded.backend == &w.base ? 0 : e->flights.n;
    const goss_flight *f = &e->flights.ring[(e->flights.first + behind) % GOSS_FLIGHTS];
    float *logits = (float *)(uintptr_t)values;     /* the backend's own, before it samples */
    (void)layer;
    if (stage != GOSS_STAGE_HEAD) return;
    for (int i = 0, row = 0; i < f->step.n_seqs && row < n_rows; i++) {
        const goss_part *p = &f->parts[i];
        const int in_header = p->session && !goss_chat_parser_state(p->session->output.parser, NULL, NULL);
        for (int k = 0; k < p->n_picks; k++, row++)
            for (int v = 0; v < width && in_header; v++)
                logits[(size_t)row * (size_t)width + (size_t)v] +=
                    (float)SHAKE * ((float)(next_random() & 0xffff) / 32768.0f - 1);
    }
}

/* ---- what a header should look like -------------------------------------------------------------------- */
static int eat(const char **s, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(*s, word, n)) return 0;
    *s += n;
    return 1;
}

static int eat_name(const char **s)
{
    size_t n = strspn(*s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-");
    if (!n || strchr("0123456789.-", **s)) return 0;
    *s += n;
    return 1;
}

/* `s`: the text of a header up to and with <|message|>, behind "<|start|>assistant" or from "<|start|>"
 * on. */
static int well_formed(const char *s)
{
    int named = 0, final;
    if (eat(&s, "<|start|>") && !eat(&s, "assistant")) return 0;
    if (eat(&s, " to=")) { named = 1; if (!eat_name(&s)) return 0; }
    if (!eat(&s, "<|channel|>")) return 0;
    final = eat(&s, "final");
    if (!final && !eat(&s, "analysis") && !eat(&s, "commentary")) return 0;
    if (!strncmp(s, " to=", 4)) {
        s += 4;
        if (named || final || !eat_name(&s)) return 0;
        named = 1;
    }
    const char *before = s;
    eat(&s, " ");
    if (eat(&s, "<|constrain|>")) { if (!eat(&s, "json") && !eat(&s, "code")) return 0; }
    else if (s > before && !(named && (eat(&s, "json") || eat(&s, "code")))) return 0;
    return eat(&s, "<|message|>") && !*s;
}

/* Headers of a turn that are not well formed; *n counts all that came to an end. */
static int malformed(const goss_engine *e, const int32_t *ids, int n_ids, int *n)
{
    char text[4096] = "";
    int in_header = 1, bad = 0;
    const goss_harmony_ids *h = &e->loaded.ids;
    for (int i = 0; i < n_ids; i++) {
        const int32_t id = ids[i];
        const goss_str t = goss_vocab_bytes(e->loaded.vocab, id, 1);
        if (!in_header && id != h->start && id != h->channel && id != h->end && id != h->call && id != h->ret)
            continue;                                /* content: free */
        if (!in_header) { in_header = 1; text[0] = 0; }
        if (id == h->end || id == h->call || id == h->ret) {
            bad += text[0] != 0;                     /* a header that was cut short */
            text[0] = 0;
            continue;
        }
        if (strlen(text) + (size_t)t.n < sizeof text) strncat(text, t.s, (size_t)t.n);
        if (id != h->message) continue;
        (*n)++;
        bad += !well_formed(text);
        in_header = 0;
    }
    return bad;
}

/* ---- turns
 * ------------------------------------------------------------------------------------------------------ */
typedef struct counts { int turns, headers, bad_turns, dropped, lost_text; } counts;
typedef struct one { goss_session *s; int32_t ids[TOKENS + 8]; int n; size_t n_text; int repaired; } one;

static void begin(goss_engine *e, one *t, int no_guard, int turn)
{
    static const char *const asks[] = { "What is the capital of France?", "Which month comes after June?",
        "Tell me a story.",
                                        "What is 17 + 25?", "What is the weather in Paris?" };
    char json[512];
    int32_t ids[512];
    goss_error err = { 0 };
    goss_params p = goss_params_default();
    snprintf(json, sizeof json,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"date\":\"2025-06-28\"}",
             asks[turn % 5]);
    const int n = goss_chat_render(e, json, strlen(json), ids, 512, &err);
    p.temperature = 1.5f;
    p.seed = (uint64_t)(first_turn + turn) + 1;
    p.max_tokens = TOKENS;
    p.chat = 1;
    p.no_guard = no_guard;
    t->n = t->repaired = 0;
    t->n_text = 0;
    if (!t->s) CHECK_INT(goss_session_open(e, &t->s, &err), 0);
    if (goss_session_prompt(t->s, ids, n, &p, &err)) CHECK_STR(err.text, "");
}

/* The turn's bytes: of normal tokens what was generated, of the parser what it counted, of the events what
 * was given. */
static void count_bytes(const goss_engine *e, const one *t, counts *c)
{
    uint64_t made = 0, header = 0;
    for (int i = 0; i < t->n; i++) made += goss_vocab_bytes(e->loaded.vocab, t->ids[i], 0).n;
    const uint64_t content = goss_chat_parser_counted(t->s->output.parser, &header);
    c->dropped += made != content + header;
    c->lost_text += !t->repaired && t->n_text != content;
}

static int take(goss_engine *e, one *t, counts *c)
{
    goss_event ev;
    while (goss_session_event(t->s, &ev)) {
        if (ev.kind == GOSS_EVENT_TOKEN && ev.token >= 0) t->ids[t->n++] = ev.token;
        if (ev.kind != GOSS_EVENT_PREFILL) {
            t->n_text += (size_t)ev.n_text;
            t->repaired |= ev.n_text && strstr(ev.text, "\xEF\xBF\xBD") != NULL;
        }
        if (ev.kind != GOSS_EVENT_DONE) continue;
        CHECK(ev.stop == GOSS_STOP_EOS || ev.stop == GOSS_STOP_LENGTH || ev.stop == GOSS_STOP_CALL);
        c->turns++;
        c->bad_turns += malformed(e, t->ids, t->n, &c->headers) > 0;
        count_bytes(e, t, c);
        return 1;
    }
    return 0;
}

static counts run(int turns, int no_guard, int in_flight)
{
    const goss_engine_config config = { .model_path = MODEL, .backend = "cpu", .max_kv = 1024,
        .max_sessions = SESSIONS };
    static one all[SESSIONS];
    counts c = { 0 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    memset(all, 0, sizeof all);
    CHECK_INT(goss_engine_open(&e, &config, &err), 0);
    if (in_flight > 1) wrap(e, in_flight, 0);
    e->loaded.backend->vt->tap(e->loaded.backend, shake, e);
    int begun = 0;
    for (; begun < SESSIONS && begun < turns; begun++) begin(e, &all[begun], no_guard, begun);
    while (c.turns < turns) {
        if (goss_engine_poll(e, 100, &err) < 0) { CHECK_STR(err.text, ""); break; }
        for (int i = 0; i < SESSIONS; i++)
            if (all[i].s && all[i].s->events.n && take(e, &all[i], &c)) {
                if (begun < turns) begin(e, &all[i], no_guard, begun++);
                else goss_session_close(&all[i].s);
            }
    }
    e->loaded.backend->vt->tap(e->loaded.backend, NULL, NULL);
    if (in_flight > 1) unwrap(e);
    goss_engine_close(&e);
    printf("%d in flight, %s: %d turns, %d headers, %d turns with a malformed one, %d with a byte dropped\n",
           in_flight, no_guard ? "without the guard" : "with the guard", c.turns, c.headers, c.bad_turns,
               c.dropped + c.lost_text);
    return c;
}

static void forms(void)
{
    CHECK(well_formed("<|channel|>analysis<|message|>"));
    CHECK(well_formed("<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>"));
    CHECK(well_formed(" to=functions.f<|channel|>commentary json<|message|>"));
    CHECK(!well_formed("<|channel|>finalx<|message|>"));
    CHECK(!well_formed("<|channel|>final to=functions.f<|message|>"));
    CHECK(!well_formed("<|start|>user<|channel|>final<|message|>"));
    CHECK(!well_formed("analysis<|message|>"));
    CHECK(!well_formed("<|channel|>final <|message|>"));
    CHECK(!well_formed("<|channel|>analysis"));
}

int main(int argc, char **argv)
{
    const int turns = argc > 1 ? atoi(argv[1]) : unit_small() ? 20 : 60;
    first_turn = argc > 2 ? atoi(argv[2]) : 0;
    random_state += (uint64_t)first_turn;
    forms();
    static const int in_flight[] = { 1, 2, GOSS_FLIGHTS };
    for (int i = 0; i < 3; i++) {
        const counts with = run(turns, 0, in_flight[i]);
        CHECK(with.turns == turns && with.headers >= turns);
        CHECK_INT(with.bad_turns, 0);
        CHECK_INT(with.dropped, 0);
        CHECK_INT(with.lost_text, 0);
    }
    const counts without = run(turns, 1, 1);
    CHECK(without.bad_turns > turns / 2);
    CHECK_INT(without.dropped, 0);
    CHECK_INT(without.lost_text, 0);
    return unit_done("guard");
}
