/* test_schema_budget.c - what schemas may take: memory that is counted, nodes, time in slices; and that masks
 * are the same however they were made. */
#include "base/mem.h"
#include "base/os.h"
#include "engine/schema/automaton.h"
#include "engine/schema/grammar.h"
#include "tests/text/open_vocab.h"
#include "unit.h"
#include <math.h>

static goss_vocab *vocab;
enum { MASK = 1 << 13 };
static const char *const hostile = "{\"type\":\"string\",\"pattern\":\"^(.?.?){120}$\"}";

static goss_schemas *compiled(goss_schema_room *r, const char *schema, const char *tools, int want)
{
    goss_schemas *s = NULL;
    goss_error err = { 0 };
    const int rc = goss_schemas_compile(&s, r, schema, tools, 0, &err);
    CHECK_INT(rc, want);
    CHECK(!rc || (err.code == rc && err.text[0]));
    return s;
}

static goss_schema_room room_of(uint64_t all, uint64_t one, int ms)
{
    goss_schema_room r = { 0 };
    goss_schema_room_open(&r, vocab, goss_vocab_size(vocab), all, one, ms);
    return r;
}

static int32_t pick(const uint32_t *mask, uint64_t *state)
{
    const int32_t n = goss_vocab_size(vocab);
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    for (int32_t i = 0, at = (int32_t)((*state >> 33) % (uint64_t)n); i < n; i++, at = (at + 1) % n)
        if (mask[at / 32] >> (at & 31) & 1 && !goss_vocab_is_stop(vocab, at)) return at;
    return -1;
}

/* The same walk, thought of in one go and in the smallest slices: the same masks. */
static void slices(const char *schema)
{
    static uint32_t whole[MASK], cut[MASK];
    goss_schema_room r = room_of(0, 0, 0);
    goss_schemas *a = compiled(&r, schema, NULL, 0), *b = compiled(&r, schema, NULL, 0);
    goss_grammar *g = NULL, *h = NULL;
    goss_error err;
    uint64_t state = 5;
    int later = 0;
    CHECK(!goss_grammar_open(&g, a) && !goss_grammar_open(&h, b));
    for (int i = 0; i < 25; i++) {
        CHECK_INT(goss_grammar_think(g, NULL, INFINITY, whole, &err), 1);
        int rc = 0;
        while (!(rc = goss_grammar_think(h, NULL, 0, cut, &err))) later++;
        CHECK_INT(rc, 1);
        CHECK(goss_grammar_binds(g) && goss_grammar_binds(h) && goss_grammar_knows(h));
        CHECK(!memcmp(whole, cut, (size_t)(r.n_vocab + 31) / 32 * 4));
        const int32_t id = pick(whole, &state);
        if (id < 0) break;
        goss_grammar_push(g, NULL, id);
        goss_grammar_push(h, NULL, id);
        CHECK(!goss_grammar_knows(h));
    }
    CHECK(schema != hostile || later > 5);
    goss_grammar_close(&g);
    goss_grammar_close(&h);
    goss_schemas_release(&a);
    goss_schemas_release(&b);
    CHECK_INT(r.budget.used, 0);
    CHECK_INT(r.n_nodes, 0);
    goss_schema_room_close(&r);
}

/* Patterns that make a product of thousands of states, in a few members. */
static char *products(void)
{
    static char text[4096];
    int at = snprintf(text, sizeof text, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 2; i++)
        at += snprintf(text + at, sizeof text - (size_t)at,
                       "%s\"p%d\":{\"type\":\"string\",\"pattern\":\"a.{%d}b\",\"maxLength\":40}",
                       i ? "," : "", i, 2 + i);
    snprintf(text + at, sizeof text - (size_t)at, "}}");
    return text;
}

/* What the compiler works with counts as well as what it makes, and its time is bounded. */
static void compiling(void)
{
    goss_schema_room r = room_of(0, 0, 0);
    goss_schemas *s = NULL;
    goss_error err = { 0 };
    CHECK_INT(goss_schemas_compile(&s, &r, products(), NULL, 0, &err), 0);
    const uint64_t used = atomic_load(&r.budget.used);
    goss_schemas_release(&s);
    CHECK_INT(r.budget.used, 0);
    goss_schema_room tight = room_of(0, used + used / 8, 0);  /* enough for what is made, not for making it */
    CHECK_INT(goss_schemas_compile(&s, &tight, products(), NULL, 0, &err), GOSS_ELIMIT);
    CHECK(s == NULL && strstr(err.text, "too large"));
    CHECK_INT(tight.budget.used, 0);
    goss_schema_room hasty = room_of(0, 0, 2);
    const double began = goss_os_thread_ms();
    CHECK_INT(goss_schemas_compile(&s, &hasty, products(), NULL, 0, &err), GOSS_ELIMIT);
    CHECK(s == NULL && strstr(err.text, "more than 2 ms to compile"));
    CHECK(goss_os_thread_ms() - began < 40);
    CHECK_INT(hasty.budget.used, 0);
    goss_schema_room_close(&r);
    goss_schema_room_close(&tight);
    goss_schema_room_close(&hasty);
}

/* Sessions of one request share what they make: the second finds the masks of the first, however they go on,
 * and the states that either of them needs outlive every trim. */
static void shared(void)
{
    enum { N = 3, STEPS = 60 };
    static uint32_t mask[N][MASK], own[MASK];
    static int32_t said[N][STEPS];
    goss_schema_room r = room_of(0, 1 << 20, 0);    /* so little that states are trimmed all the time */
    goss_schema_room wide = room_of(0, 0, 0);
    const char *schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":"
                         "{\"type\":\"string\",\"maxLength\":300},\"b\":{\"type\":\"integer\"}},"
                         "\"required\":[\"a\"]}}";
    goss_schemas *s = compiled(&r, schema, NULL, 0);
    goss_grammar *g[N] = { 0 };
    goss_error err;
    uint64_t state = 3;
    for (int k = 0; k < N; k++) CHECK(!goss_grammar_open(&g[k], s));
    goss_schemas_release(&s);
    for (int i = 0; i < STEPS; i++)
        for (int k = 0; k < N; k++) {
            CHECK_INT(goss_grammar_think(g[k], NULL, INFINITY, mask[k], &err), 1);
            said[k][i] = pick(mask[k], &state);
            if (said[k][i] >= 0) goss_grammar_push(g[k], NULL, said[k][i]);
        }
    for (int k = 0; k < N; k++) { /* alone, with all the room there is */
        goss_schemas *one = compiled(&wide, schema, NULL, 0);
        goss_grammar *alone = NULL;
        CHECK(!goss_grammar_open(&alone, one));
        goss_schemas_release(&one);
        for (int i = 0; i < STEPS && said[k][i] >= 0; i++) {
            CHECK_INT(goss_grammar_think(alone, NULL, INFINITY, own, &err), 1);
            CHECK(own[said[k][i] / 32] >> (said[k][i] & 31) & 1);
            goss_grammar_push(alone, NULL, said[k][i]);
        }
        CHECK_INT(goss_grammar_think(alone, NULL, INFINITY, own, &err), 1);
        CHECK_INT(goss_grammar_think(g[k], NULL, INFINITY, mask[k], &err), 1);
        CHECK(!memcmp(own, mask[k], (size_t)(r.n_vocab + 31) / 32 * 4));
        goss_grammar_close(&alone);
        goss_grammar_close(&g[k]);
    }
    CHECK_INT(r.budget.used, 0);
    goss_schema_room_close(&r);
    goss_schema_room_close(&wide);
}

static void memory(void)
{
    const char *large = "{\"type\":\"string\",\"pattern\":\"^(.{200}){60}$\"}",
               *small = "{\"type\":\"boolean\"}";
    goss_schema_room r = room_of(0, (uint64_t)4 << 20, 0);
    compiled(&r, large, NULL, GOSS_ELIMIT);
    CHECK_INT(r.budget.used, 0);
    CHECK_INT(r.n_refused, 1);
    goss_schemas *s = compiled(&r, small, NULL, 0);
    CHECK(r.budget.used > 0 && r.budget.used < 1 << 20 && r.n_nodes > 0);
    goss_schemas_release(&s);
    CHECK(r.budget.used == 0 && r.n_nodes == 0);
    goss_schema_room_close(&r);
    /* all together: the second does not fit beside the first */
    r = room_of((uint64_t)8 << 20, 0, 0);
    const char *half = "{\"type\":\"string\",\"pattern\":\"^(.{200}){12}$\"}";
    goss_schemas *a = compiled(&r, half, NULL, 0), *b = NULL;
    CHECK(r.budget.used > 4 << 20);
    compiled(&r, half, NULL, GOSS_ELIMIT);
    goss_schemas_release(&a);
    b = compiled(&r, half, NULL, 0);
    goss_schemas_release(&b);
    CHECK_INT(r.budget.used, 0);
    goss_schema_room_close(&r);
    /* more nodes than any request may have: a limit, no lack of memory */
    r = room_of(0, (uint64_t)1 << 32, 0);
    compiled(&r, "{\"type\":\"string\",\"pattern\":\"^((.{200}){200}){200}$\"}", NULL, GOSS_ELIMIT);
    goss_schema_room_close(&r);
}

static void nodes(void)
{
    goss_graph g;
    goss_graph_init(&g);
    int at = 0;
    for (int i = 0; i < 1 << 21 && !g.failed; i++) at = goss_graph_bytes(&g, 'a', 'a', at);
    CHECK_INT(g.failed, GOSS_ELIMIT);
    goss_graph_free(&g);
}

static void running(void)
{
    static uint32_t mask[MASK];
    goss_error err = { 0 };
    for (int by_time = 0; by_time < 2; by_time++) {
        goss_schema_room r = by_time ? room_of(0, 0, 30) : room_of(0, 1000 << 10, 0);
        goss_schemas *s = compiled(&r, hostile, NULL, 0);
        goss_grammar *g = NULL;
        uint64_t state = 1;
        int rc = goss_grammar_open(&g, s);
        goss_schemas_release(&s);
        for (int i = 0; i < 200 && rc >= 0; i++) {
            do rc = goss_grammar_think(g, NULL, 0, mask, &err);
            while (!rc);
            const int32_t id = rc > 0 ? pick(mask, &state) : -1;
            if (id < 0) break;
            goss_grammar_push(g, NULL, id);
        }
        CHECK_INT(rc, GOSS_ELIMIT);
        CHECK(err.code == GOSS_ELIMIT && strstr(err.text, by_time ? "too long" : "too large"));
        CHECK_INT(goss_grammar_think(g, NULL, 0, mask, &err), GOSS_ELIMIT);     /* and stays so */
        CHECK_INT(r.n_refused, 1);
        goss_grammar_close(&g);
        CHECK_INT(r.budget.used, 0);
        goss_schema_room_close(&r);
    }
}

/* Strict tools share the request's budget; of the others only the names are kept. */
static void tools(void)
{
    goss_schema_room r = room_of(0, 0, 0);
    goss_schemas *s = compiled(&r, NULL,
                               "[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"strict\":true,"
                               "\"parameters\":{}}},{\"name\":\"b\\\"\"},{}]",
                               0);
    CHECK_STR(goss_schemas_tools(s), "[{\"name\":\"a\"},{\"name\":\"b\\\"\"}]");
    goss_schemas_release(&s);
    s = compiled(&r, NULL, "[]", 0);
    CHECK_STR(goss_schemas_tools(s), "[]");
    goss_grammar *g;
    CHECK(!goss_grammar_open(&g, s) && !g);
    goss_schemas_release(&s);
    s = compiled(&r, NULL, NULL, 0);
    CHECK(!s && !goss_schemas_tools(s));
    goss_schema_room_close(&r);
}

int main(void)
{
    vocab = open_vocab("models/demo-gptoss.gguf", NULL);
    CHECK(goss_vocab_size(vocab) <= MASK * 32);
    const uint64_t live = goss_mem_get_stats().n_live;
    compiling();
    slices(hostile);
    slices("{}");
    slices("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":40},"
           "\"b\":{\"enum\":[1,null]}}}");
    slices("{\"type\":\"string\",\"pattern\":\"^((((){200}){200}){200}){200}x*$\"}");
    shared();
    memory();
    nodes();
    running();
    tools();
    CHECK_INT(goss_mem_get_stats().n_live, live);
    goss_vocab_close(&vocab);
    return unit_done("schema_budget");
}
