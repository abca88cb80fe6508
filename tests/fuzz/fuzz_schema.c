/* fuzz_schema.c - any bytes as a schema, and as a request's tools: compiled within a small budget, then
 * walked: tokens drawn from the masks, which are made in slices, and are those of walking each token on its
 * own. What is taken can be followed; what is refused says why; all memory is given back. The last byte
 * chooses the walk. Run it in the project's root. */
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/schema/grammar.h"
#include "engine/schema/schema.h"
#include "tests/text/open_vocab.h"
#include "tests/text/plain_mask.h"
#include "fuzz.h"
#include <math.h>
#include <string.h>

enum { TOKENS = 12, VOCAB_MOST = 1 << 16 };
static goss_vocab *vocab;
static goss_schema_room room;
static uint32_t mask[VOCAB_MOST / 32];

static int32_t draw(uint32_t *state)
{
    const int32_t n = room.n_vocab;
    *state = *state * 1664525u + 1013904223u;
    for (int32_t i = 0, at = (int32_t)(*state % (uint32_t)n); i < n; i++, at = (at + 1) % n)
        if (mask[at / 32] >> (at & 31) & 1) return at;
    return -1;
}

/* A second automaton of the schema, followed beside the first one; dfa NULL: there is none (any more). */
typedef struct twin {
    goss_budget budget;
    goss_graph graph;
    goss_dfa *dfa;
    int state;
} twin;

static void open_twin(twin *t, const char *schema)
{
    goss_json j = { 0 };
    int start = 0;
    *t = (twin){ .budget = { .most = (uint64_t)4 << 20, .until_ms = goss_os_thread_ms() + 200 } };
    goss_graph_init(&t->graph);
    int rc = goss_graph_count(&t->graph, &t->budget);
    if (!rc && schema) rc = goss_json_parse(&j, schema, strlen(schema), NULL, NULL);
    if (!rc && schema) rc = goss_schema_compile(&t->graph, &j, 0, 0, &start, NULL);
    if (!rc && schema) rc = goss_dfa_open(&t->dfa, &t->graph);
    goss_json_free(&j);
    t->budget.until_ms = 0;
    if (t->dfa) t->state = goss_dfa_start(t->dfa, start);
}

static void close_twin(twin *t)
{
    goss_dfa_close(&t->dfa);
    goss_graph_free(&t->graph);
}

/* The tokens that the mask lets through are those that the twin takes; the ends are not compared. */
static void compare(twin *t)
{
    static uint32_t plain[VOCAB_MOST / 32];
    if (!t->dfa || !plain_mask(t->dfa, t->state, vocab, 1 << 16, plain)) {
        goss_dfa_close(&t->dfa);
        return;
    }
    for (int32_t i = 0; i < room.n_vocab; i++)
        FUZZ_CHECK(goss_vocab_is_stop(vocab, i) || !((mask[i >> 5] ^ plain[i >> 5]) >> (i & 31) & 1));
}

static void follow_twin(twin *t, int32_t id)
{
    const goss_str s = goss_vocab_bytes(vocab, id, 0);
    for (uint64_t i = 0; i < s.n && t->dfa; i++) {
        t->state = goss_dfa_next(t->dfa, t->state, (uint8_t)s.s[i]);
        if (t->state < 0) goss_dfa_close(&t->dfa); /* GOSS_LATER, or it has failed */
    }
}

static void walk(goss_schemas *s, twin *twin, uint32_t state)
{
    goss_grammar *g = NULL;
    goss_error err = { 0 };
    FUZZ_CHECK(!goss_grammar_open(&g, s));
    for (int i = 0; g && i < TOKENS; i++) {
        int rc = 0;
        for (int k = 0; k < 50 && !rc; k++)
            rc = goss_grammar_think(g, NULL, goss_os_now_ms() + 1, mask, &err);
        if (rc < 0) FUZZ_CHECK(err.code == rc && err.text[0]);
        if (rc <= 0) break;
        if (!goss_grammar_binds(g)) break;
        compare(twin);
        const int32_t id = draw(&state);
        FUZZ_CHECK(id >= 0);                    /* a mask is never empty */
        if (goss_vocab_is_stop(vocab, id)) break;
        goss_grammar_push(g, NULL, id);
        follow_twin(twin, id);
    }
    goss_grammar_close(&g);
}

static void compile(const char *schema, const char *tools, uint32_t state)
{
    goss_schemas *s = NULL;
    goss_error err = { 0 };
    const int rc = goss_schemas_compile(&s, &room, schema, tools, (int)(state & 1), &err);
    FUZZ_CHECK(rc == 0 || (err.code == rc && err.text[0]));
    FUZZ_CHECK(rc == 0 || goss_utf8_valid((const uint8_t *)err.text, strlen(err.text)));
    FUZZ_CHECK(rc != GOSS_ENOMEM);
    if (!rc) {
        twin t;
        open_twin(&t, schema);
        walk(s, &t, state);
        close_twin(&t);
    }
    goss_schemas_release(&s);
    FUZZ_CHECK(room.budget.used == 0 && room.n_nodes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!vocab) {
        vocab = open_vocab("models/demo-gptoss-draft.gguf", NULL);
        goss_schema_room_open(&room, vocab, goss_vocab_size(vocab), 0, (uint64_t)4 << 20, 200);
        FUZZ_CHECK(room.n_vocab <= VOCAB_MOST);
        compile("{}", NULL, 0);                 /* makes what stays */
    }
    const uint64_t live = goss_mem_get_stats().n_live;
    char *text = malloc(n + 64);
    memcpy(text, bytes, n);
    text[n] = 0;
    compile(text, NULL, n ? bytes[n - 1] : 0);
    sprintf(text, "[{\"name\":\"f\",\"strict\":true,\"parameters\":");
    const size_t head = strlen(text);
    char *tool = malloc(n + head + 8);
    memcpy(tool, text, head);
    memcpy(tool + head, bytes, n);
    memcpy(tool + head + n, "}]", 3);
    compile(NULL, tool, 0);
    free(text);
    free(tool);
    FUZZ_CHECK(goss_mem_get_stats().n_live == live);
    return 0;
}
