/* test_stack.c - the deepest input of each kind that a client can send, on the stack that the server's
 * threads have: half of it must do. (tools/recursion.py lists what recurses, and what bounds it.) */
#define _GNU_SOURCE
#include "engine/schema/grammar.h"
#include "server/prepare.h"
#include "tests/text/open_vocab.h"
#include "unit.h"
#include <math.h>
#include <sys/mman.h>

static goss_vocab *vocab;
static goss_schema_room room;

/* text with `before` and `after` n times around it */
static char *around(const char *before, const char *text, const char *after, int n)
{
    const size_t b = strlen(before), a = strlen(after), t = strlen(text);
    char *out = malloc((b + a) * (size_t)n + t + 1);
    for (int i = 0; i < n; i++) memcpy(out + (size_t)i * b, before, b);
    memcpy(out + (size_t)n * b, text, t);
    for (int i = 0; i < n; i++) memcpy(out + (size_t)n * b + t + (size_t)i * a, after, a);
    out[(size_t)n * (a + b) + t] = 0;
    return out;
}

/* Compiles it and makes a few masks. Returns whether it was taken. */
static int takes(const char *schema, const char *tools)
{
    static uint32_t mask[1 << 13];
    goss_schemas *s = NULL;
    goss_grammar *g = NULL;
    goss_error err = { 0 };
    const int rc = goss_schemas_compile(&s, &room, schema, tools, 0, &err);
    CHECK(!rc || err.text[0]);
    if (!rc && !goss_grammar_open(&g, s) && g)
        for (int i = 0; i < 8 && goss_grammar_think(g, NULL, INFINITY, mask, &err) == 1; i++)
            for (int32_t id = 0; id < room.n_vocab; id++)
                if (mask[id / 32] >> (id & 31) & 1 && !goss_vocab_is_stop(vocab, id)) {
                    goss_grammar_push(g, NULL, id);
                    break;
                }
    goss_grammar_close(&g);
    goss_schemas_release(&s);
    return !rc;
}

/* Every depth up to 80: it is taken to some limit, and refused beyond. */
static void nested(const char *before, const char *text, const char *after)
{
    int deepest = 0, refused = 0;
    for (int n = 1; n < 80; n++) {
        char *s = around(before, text, after, n);
        if (takes(s, NULL)) deepest = n;
        else refused++;
        free(s);
    }
    CHECK(deepest >= 15 && refused == 79 - deepest);
}

static void schemas(void)
{
    nested("{\"type\":\"object\",\"properties\":{\"a\":", "true", "},\"required\":[\"a\"]}");
    nested("{\"items\":", "true", "}");
    nested("{\"anyOf\":[", "{\"type\":\"null\"}", ",{\"type\":\"null\"}]}");
    nested("{\"type\":\"object\",\"additionalProperties\":", "{}", ",\"properties\":{\"k\":{}}}");
    nested("{\"type\":\"array\",\"minItems\":0,\"maxItems\":2,\"items\":", "{\"$ref\":\"#\"}", "}");
}

static void pattern(const char *before, const char *text, const char *after, int n, int taken)
{
    char *p = around(before, text, after, n),
         *s = around("{\"type\":\"string\",\"pattern\":\"^", p, "$\"}", 1);
    CHECK_INT(takes(s, NULL), taken);
    free(p);
    free(s);
}

static void patterns(void)
{
    pattern("(", "a", ")", 32, 1);
    pattern("(", "a", ")", 33, 0);
    pattern("(b|", "a", "c)?", 32, 1);
    pattern("(?:x*(?:y|", "a", ")+)?", 12, 1);
    pattern("a", "b", "c", 1000, 1);                  /* a chain of 2,000 */
    pattern("a|", "b", "", 1500, 0);                  /* alternatives without a group beside anchors */
    pattern("(a|", "b", ")", 30, 1);
    char *chain = around("a|", "b", "", 1000);
    pattern("(", chain, ")", 1, 1);
    free(chain);
    pattern("a", "?", "?", 2000, 0);                  /* counts of counts */
}

static void rendering(void)
{
    for (int kind = 0; kind < 3; kind++) {
        static const char *const before[] = { "{\"type\":\"object\",\"properties\":{\"a\":",
                                              "{\"type\":\"array\",\"items\":",
                                              "{\"oneOf\":[{\"type\":\"null\"}," };
        static const char *const after[] = { "}}", "}", "]}" };
        int deepest = 0;
        for (int n = 1; n < 80; n++) {
            char *type = around(before[kind], "{\"type\":\"string\"}", after[kind], n), *all;
            all = around("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":"
                         "\"function\",\"function\":{\"name\":\"f\",\"parameters\":",
                         type, "}}]}", 1);
            goss_json j;
            goss_error err;
            goss_buf ids = GOSS_BUF(1 << 24);
            if (!goss_json_parse(&j, all, strlen(all), NULL, &err)) {
                CHECK_INT(goss_chat_encode_json(vocab, GOSS_CHAT_HARMONY, all, strlen(all), &ids, NULL,
                                                &err), 0);
                deepest = n;
            }
            goss_json_free(&j);
            goss_buf_free(&ids);
            free(type);
            free(all);
        }
        CHECK(deepest >= 29);
    }
}

static void texts(void)
{
    char *deep = around("[", "1", "]", 64), *deeper = around("[", "1", "]", 65);
    goss_json j;
    goss_error err;
    goss_buf out = GOSS_BUF(1 << 20), ids = GOSS_BUF(1 << 26);
    CHECK_INT(goss_json_parse(&j, deep, strlen(deep), NULL, &err), 0);
    CHECK_INT(goss_json_write(&j, 0, &out), 0);
    goss_json_free(&j);
    CHECK_INT(goss_json_parse(&j, deeper, strlen(deeper), NULL, &err), GOSS_ELIMIT);
    char *a = around("a", "", "", 300000), *mixed = around("(<|", "", "\xF0\x9F\x98\x80", 50000);
    CHECK_INT(goss_vocab_encode(vocab, a, strlen(a), 0, &ids), 0);
    CHECK_INT(goss_vocab_encode(vocab, mixed, strlen(mixed), GOSS_TOKENIZE_SPECIAL, &ids), 0);
    goss_buf_free(&out);
    goss_buf_free(&ids);
    free(deep);
    free(deeper);
    free(a);
    free(mixed);
}

static void *run(void *what)
{
    ((void (*)(void))(uintptr_t)what)();
    return NULL;
}

/* On a stack of that size, which is painted before: how much of it was used. */
static void on_stack(const char *name, void (*what)(void))
{
    const size_t n = unit_small() ? (size_t)GOSS_SRV_ENGINE_STACK : (size_t)GOSS_SRV_STACK;
    uint8_t *stack = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;
    memset(stack, 0xA5, n);
    pthread_attr_init(&attr);
    CHECK_INT(pthread_attr_setstack(&attr, stack, n), 0);
    CHECK_INT(pthread_create(&thread, &attr, run, (void *)(uintptr_t)what), 0);
    pthread_join(thread, NULL);
    size_t free_bytes = 0;
    while (free_bytes < n && stack[free_bytes] == 0xA5) free_bytes++;
    printf("%s: %zu KB of %zu KB\n", name, (n - free_bytes) >> 10, n >> 10);
    if (!unit_small()) CHECK(n - free_bytes <= n / 2); /* sanitizers' frames are several times larger */
    pthread_attr_destroy(&attr);
    munmap(stack, n);
}

int main(void)
{
    vocab = open_vocab("models/demo-gptoss.gguf", NULL);
    goss_schema_room_open(&room, vocab, goss_vocab_size(vocab), 0, 0, 0);
    on_stack("schemas", schemas);
    on_stack("patterns", patterns);
    on_stack("rendering", rendering);
    on_stack("texts", texts);
    goss_schema_room_close(&room);
    goss_vocab_close(&vocab);
    return unit_done("stack");
}
