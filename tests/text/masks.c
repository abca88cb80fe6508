/* masks.c - schemas as masks over a whole vocabulary: what they cost, and that they let documents through.
 *   masks VOCAB.gguf [MOST_US]
 * Documents are cut by the tokenizer; each of their tokens must be allowed where it stands, and the end only
 * behind the last. Every document has a grammar of its own, as a request has, so the first visit to each
 * state is in the average, which must stay below MOST_US. Then random walks: tokens drawn from the masks,
 * which must never be empty. */
#include "open_vocab.h"
#include "engine/schema/grammar.c" /* its statics: the walk is compared with a plain one */
#include "plain_mask.h"
#include <math.h>
#include <string.h>
#include <time.h>

static int passed, failed, quiet;
static goss_schema_room room;
#define CHECK(c) ((c) ? (void)passed++ : (void)(failed++, printf("%s:%d: %s\n", __FILE__, __LINE__, #c)))

/* This thread's own time: others may be busy. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

typedef struct sample { const char *name, *schema, *text; } sample;
static const sample samples[] = {
    { "flat object",
        "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"unit\":{\"enum\":[\"celsius\","
      "\"fahrenheit\"]},"
      "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14},\"wind\":{\"type\":\"boolean\"}},"
      "\"required\":[\"city\",\"unit\",\"days\"],"
      "\"additionalProperties\":false}",
      "{\"city\": \"San Francisco, California\", \"unit\": \"celsius\", \"days\": 7, \"wind\": true}" },
    { "list of objects",
        "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},"
      "\"price\":{\"type\":"
      "\"number\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"required\":[\"name\","
      "\"price\",\"tags\"],"
      "\"additionalProperties\":false}}",
      "[{\"name\":\"Espresso machine\",\"price\":249.90,\"tags\":[\"kitchen\",\"coffee\",\"steel\"]},{\"name\":"
      "\"Grinder with burrs\","
      "\"price\":89,\"tags\":[]},{\"name\":\"Filter paper, "
      "100 sheets\",\"price\":3.5,\"tags\":[\"consumable\"]},{\"name\":\"Milk "
      "jug\",\"price\":12.25,\"tags\":[\"steel\",\"0.5 l\"]}]" },
    { "long text",
        "{\"type\":\"object\",\"properties\":{\"summary\":{\"type\":\"string\"}},\"required\":[\"summary\"]}",
      "{\"summary\": "
      "\"The committee met on Tuesday to discuss the plans for the new library. Several members were worried about the "
      "cost, which has risen by nearly forty percent since the first estimate; "
      "others said that no smaller one would serve "
      "the growing town. After two hours of debate they agreed to ask the architect for a second design, "
      "with one floor fewer and a "
      "garden in place of the east wing, "
      "and to decide in spring. \\\"We should not build what we cannot keep open,\\\" said the "
      "treasurer. The minutes note that the na\xC3\xAFve caf\xC3\xA9 proposal was withdrawn.\"}" },
    { "any JSON", "{}",
        "{\"a\": [1, 2.5, -3e10, {\"b\": null, \"c\": \"\\u00e9\\n\"}], \"key with spaces\": true, \"deep\": "
      "[[[[\"x\"]]]]}" },
    { "patterns",
        "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-[0-9]{4,"
      "6}$\"},\"when\":{\"type\":"
      "\"string\",\"format\":\"date-time\"},\"mail\":{\"type\":\"string\",\"format\":\"email\"},\"uuid\":"
      "{\"type\":\"string\",\"format\":"
      "\"uuid\"}},\"required\":[\"id\",\"when\",\"mail\",\"uuid\"],\"additionalProperties\":false}",
      "{\"id\":\"AB-12345\",\"when\":\"2025-06-28T14:30:00Z\",\"mail\":\"first.last@example.org\",\"uuid\":"
      "\"01234567-89ab-cdef-0123-456789abcdef\"}" },
    { "tree",
      "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"label\":{\"type\":"
      "\"string\"},\"kids\":{\"type\":"
      "\"array\",\"items\":{\"$ref\":\"#/$defs/node\"}}},\"required\":[\"label\",\"kids\"],"
      "\"additionalProperties\":false}}}",
      "{\"label\":\"root\",\"kids\":[{\"label\":\"left\",\"kids\":[{\"label\":\"leaf one\",\"kids\":[]},"
      "{\"label\":\"leaf two\",\"kids\":[]}]},"
      "{\"label\":\"right\",\"kids\":[]}]}" },
};

static int allowed(const uint32_t *mask, int32_t id) { return (int)(mask[id / 32] >> (id & 31) & 1); }

typedef struct timing { double ms, worst; int n; } timing;

static int timed_mask(goss_grammar *g, uint32_t *mask, timing *t)
{
    goss_error err;
    const double t0 = cpu_ms();
    const int bound = goss_grammar_think(g, NULL, INFINITY, mask, &err) == 1 && goss_grammar_binds(g);
    const double ms = cpu_ms() - t0;
    t->ms += ms;
    t->n++;
    if (ms > t->worst) t->worst = ms;
    return bound;
}

/* A grammar of its own, as a request has. */
static goss_grammar *open_one(const sample *s)
{
    goss_schemas *all = NULL;
    goss_grammar *g = NULL;
    goss_error err = { 0 };
    CHECK(goss_schemas_compile(&all, &room, s->schema, NULL, 0, &err) == 0);
    CHECK(goss_grammar_open(&g, all) == 0);
    goss_schemas_release(&all);
    return g;
}

static void document(const goss_vocab *v, const sample *s, uint32_t *mask, timing *t)
{
    goss_buf ids = GOSS_BUF(1 << 20);
    timing own = { 0 };
    const double t0 = cpu_ms();
    goss_grammar *g = open_one(s);
    const double open_ms = cpu_ms() - t0;
    goss_vocab_encode(v, s->text, strlen(s->text), 0, &ids);
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    const int n = (int)(ids.len / 4), end = goss_vocab_find(v, "<|return|>");
    for (int i = 0; i < n && g; i++) {
        CHECK(timed_mask(g, mask, &own));
        if (!allowed(mask, id[i])) printf("%s: token %d of %d is not allowed\n", s->name, i, n);
        CHECK(allowed(mask, id[i]));
        CHECK(!allowed(mask, end));
        goss_grammar_push(g, NULL, id[i]);
    }
    CHECK(timed_mask(g, mask, &own) && allowed(mask, end));
    if (!quiet) printf("%-16s %4d tokens, %7.1f us a mask, the worst %7.0f, opening %6.0f us\n", s->name, n,
        own.ms * 1000 / own.n,
           own.worst * 1000, open_ms * 1000);
    t->ms += own.ms + open_ms;
    t->n += own.n;
    goss_grammar_close(&g);
    goss_buf_free(&ids);
}

/* Tokens drawn evenly from the masks: longer documents than any model writes, into every corner. */
static void wander(const goss_vocab *v, int n_vocab, const sample *s, uint32_t *mask, timing *t)
{
    goss_grammar *g = open_one(s);
    uint64_t random = 99;
    for (int i = 0; i < 150; i++) {
        timed_mask(g, mask, t);
        int32_t id = -1;
        for (int k = 0; k < 100000 && id < 0; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            const int32_t at = (int32_t)((random >> 33) % (uint64_t)n_vocab);
            if (allowed(mask, at)) id = at;
        }
        if (id < 0) for (int32_t k = 0; k < n_vocab && id < 0; k++) if (allowed(mask, k)) id = k;
        CHECK(id >= 0);
        if (id < 0 || goss_vocab_is_stop(v, id)) break;
        goss_grammar_push(g, NULL, id);
        CHECK(!g->failed);
    }
    goss_grammar_close(&g);
}

/* Where classes of characters live or die together, by half, for so many characters, behind each other. */
static const sample classes[] = {
    { "paths", "{\"pattern\":\"^(/[^/]+)+$\",\"type\":\"string\"}", "\"/a\xC3\xA9/b\"" },
    { "hexadecimal escapes", "{\"type\":\"string\",\"format\":\"uri\"}", "\"a://%4b:1@c\"" },
    { "a number of letters", "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9]{3}-[a-z]{1,20}$\"}",
      "\"aB1-x" },
    { "half of a class", "{\"type\":\"string\",\"pattern\":\"^[a-cX\\u00e0-\\u00fc]+$\"}", "\"aX\xC3\xA9" },
    { "no space, one kind", "{\"type\":\"string\",\"pattern\":\"^\\\\S+( \\\\S+)*$\"}", "\"a b\xE2\x82\xAC" },
    { "control characters", "{\"type\":\"string\",\"pattern\":\"^[^a]*$\",\"not\":{\"const\":\"b\"}}",
      "\"b\\n" },
    { "characters of four", "{\"type\":\"string\",\"pattern\":\"^[\\ud800\\udf00-\\ud83d\\ude00]*$\"}",
      "\"\xF0\x90\x8C\x80\xF0\x9F\x98\x80" },
    { "dead behind two", "{\"type\":\"string\",\"pattern\":\"^[^0]{2}(0[a-z]+)?$\",\"maxLength\":12}",
      "\"ab0x" },
    { "some words", "{\"type\":\"string\",\"pattern\":\"^.*(foo|bar)$\",\"maxLength\":9}", "\"a fo" },
    { "a loop beside an end", "{\"type\":\"string\",\"pattern\":\"^-*=$\"}", "\"-=" },
    { "sixteen and more", "{\"type\":\"string\",\"pattern\":\"^([-=]{15,18}|[a-z ]{17})x?$\"}", "\"--" },
};

/* In every few states that a document passes, the mask that is put together from parts is the one of walking
 * each token. */
static void parts(const sample *s, int every)
{
    goss_grammar *g = open_one(s);
    goss_dfa *d = g->schemas->dfa;
    const size_t bytes = (size_t)(room.n_vocab + 31) / 32 * 4;
    uint32_t *plain = malloc(bytes);
    int at = goss_dfa_start(d, g->schemas->answer.node);
    for (const char *p = s->text; *p; at = goss_dfa_next(d, at, (uint8_t)*p++)) {
        goss_dfa_allow(d, INT64_MAX);
        if ((p - s->text) % every) continue;
        goss_mask_walk w = { 0 };
        CHECK(goss_token_mask_make(&g->schemas->masks, &w, at, INFINITY) == 1);
        const uint32_t *bits = goss_token_mask(&g->schemas->masks, at);
        CHECK(plain_mask(d, at, room.vocab, INT64_MAX, plain));
        if (bits && memcmp(bits, plain, bytes)) printf("%s: differs before %s\n", s->name, p);
        CHECK(bits && !memcmp(bits, plain, bytes));
    }
    CHECK(at >= 0);
    free(plain);
    goss_grammar_close(&g);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    goss_vocab *v = open_vocab(argv[1], NULL);
    const int n_vocab = goss_vocab_size(v), n = (int)(sizeof samples / sizeof *samples);
    const double most = argc > 2 ? atof(argv[2]) : 50;
    uint32_t *mask = calloc((size_t)n_vocab / 32 + 1, 4);
    timing all = { 0 }, walks = { 0 };
    const double t0 = cpu_ms();
    goss_schema_room_open(&room, v, n_vocab, 0, 0, 0);
    CHECK(words_of(&room) != NULL);
    printf("%d tokens put in order in %.0f ms, once an engine\n", n_vocab, cpu_ms() - t0);
    for (int i = 0; i < n; i++) document(v, &samples[i], mask, &all);
    for (int round = 0; round < 3; round++) { /* the least disturbed counts */
        timing again = { 0 };
        quiet = 1;
        for (int i = 0; i < n; i++) document(v, &samples[i], mask, &again);
        if (again.ms / again.n < all.ms / all.n) all = again;
    }
    printf("all documents: %.1f us a token on average, opening included\n", all.ms * 1000 / all.n);
    for (int i = 0; i < n; i++) wander(v, n_vocab, &samples[i], mask, &walks);
    printf("random walks: %.1f us a token\n", walks.ms * 1000 / walks.n);
    parts(&samples[0], 5);
    parts(&samples[3], 5);
    parts(&samples[5], 5);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) parts(&classes[i], 1);
    CHECK(all.ms * 1000 / all.n < most);
    goss_schema_room_close(&room);
    goss_vocab_close(&v);
    free(mask);
    printf("masks: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
