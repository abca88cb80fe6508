/* test_schema.c - schemas: texts that the automaton must take and texts that it must not, what is refused, patterns. */
#include "../../src/base/fmt.h"
#include "../../src/engine/regex.h"
#include "../../src/engine/schema.h"
#include "unit.h"

/* 1: the whole text is accepted. -1: the schema is refused. */
static int accepts(const char *schema, const char *text)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    goss_graph g;
    goss_dfa *d = NULL;
    int start, out = -1;
    goss_graph_init(&g);
    if (goss_json_parse(&j, schema, strlen(schema), NULL, &err)) printf("%s: %s\n", schema, err.text);
    else if (!goss_schema_compile(&g, &j, 0, 0, &start, &err) && !goss_dfa_open(&d, &g, start)) {
        int s = goss_dfa_start(d);
        for (const char *p = text; *p; p++) s = goss_dfa_next(d, s, (uint8_t)*p);
        out = goss_dfa_accepts(d, s);
    } else CHECK(err.code == GOSS_EUNSUPPORTED && strlen(err.text) > 20);
    goss_dfa_close(&d);
    goss_graph_free(&g);
    goss_json_free(&j);
    return out;
}

#define YES(schema, text) CHECK_INT(accepts(schema, text), 1)
#define NO(schema, text) CHECK_INT(accepts(schema, text), 0)
#define REFUSED(schema) CHECK_INT(accepts(schema, ""), -1)

static void objects(void)
{
    const char *s =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"},\"c\":"
        "{\"type\":\"boolean\"}},\"required\":[\"b\"],\"additionalProperties\":false}";
    YES(s, "{\"b\":\"x\"}");
    YES(s, "{\"a\":1,\"b\":\"x\",\"c\":true}");
    YES(s, "{ \"a\": -12, \"b\": \"\" }");
    YES(s, "{\n  \"b\": \"x\",\n  \"c\": false\n}");
    NO(s, "{}");
    NO(s, "{\"a\":1}");
    NO(s, "{\"b\":\"x\",\"a\":1}");
    NO(s, "{\"b\":\"x\",}");
    NO(s, "{\"b\":\"x\",\"d\":1}");
    NO(s, "{\"a\":1.5,\"b\":\"x\"}");
    NO(s, "{\"b\":\"x\"} ");
    const char *extra = "{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"}},"
                        "\"additionalProperties\":{\"type\":\"null\"}}";
    YES(extra, "{}");
    YES(extra, "{\"ab\":1}");
    YES(extra, "{\"ab\":1,\"x\":null,\"abc\":null,\"a\":null,\"\xC3\xA9\":null}");
    NO(extra, "{\"ab\":null}");
    NO(extra, "{\"ab\":1,\"ab\":null}");
    NO(extra, "{\"x\":1}");
    YES("{\"type\":\"object\",\"required\":[\"k\"]}", "{\"k\":[1,{\"z\":null}]}");
    NO("{\"type\":\"object\",\"required\":[\"k\"]}", "{\"l\":1}");
    YES("{}", "{\"any\":[1,2,{\"x\":\"y\"}],\"k\":-1.5e3}");
    NO("{}", "[1]");
    YES("true", "[1,\"a\",null,true,{}]");
}

static void scalars(void)
{
    YES("{\"type\":\"string\"}", "\"h\xC3\xA9 \\n \\u00e9 \xF0\x9F\x98\x80\"");
    NO("{\"type\":\"string\"}", "\"\xC3\"");
    NO("{\"type\":\"string\"}", "\"\xED\xA0\x80\"");
    NO("{\"type\":\"string\"}", "\"\\ud800\"");
    NO("{\"type\":\"string\"}", "\"a\nb\"");
    NO("{\"type\":\"string\"}", "\"\\x\"");
    YES("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"\xC3\xA9" "a\"");
    NO("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"a\"");
    NO("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"abcd\"");
    YES("{\"type\":\"number\"}", "-0.5e-10");
    NO("{\"type\":\"number\"}", "01");
    NO("{\"type\":\"number\"}", "1.");
    NO("{\"type\":\"number\"}", "+1");
    YES("{\"type\":\"integer\",\"minimum\":1,\"maximum\":12}", "12");
    NO("{\"type\":\"integer\",\"minimum\":1,\"maximum\":12}", "13");
    NO("{\"type\":\"integer\",\"minimum\":1,\"maximum\":12}", "0");
    YES("{\"type\":\"integer\",\"minimum\":0}", "0");
    NO("{\"type\":\"integer\",\"exclusiveMinimum\":0}", "0");
    YES("{\"type\":\"number\",\"minimum\":0}", "0.25");
    NO("{\"type\":\"number\",\"minimum\":0}", "-1");
    YES("{\"enum\":[\"a\\\"b\",1,null,{\"x\":[1]}]}", "\"a\\\"b\"");
    YES("{\"enum\":[\"a\",1,null,{\"x\":[1]}]}", "{\"x\":[1]}");
    NO("{\"enum\":[\"a\",1]}", "\"b\"");
    YES("{\"const\":42}", "42");
    YES("{\"type\":[\"string\",\"null\"]}", "null");
    NO("{\"type\":[\"string\",\"null\"]}", "1");
    YES("{\"type\":\"string\",\"nullable\":true}", "null");
    YES("{\"type\":\"string\",\"format\":\"date\"}", "\"2025-06-28\"");
    NO("{\"type\":\"string\",\"format\":\"date\"}", "\"2025-13-28\"");
    YES("{\"type\":\"string\",\"format\":\"uuid\"}", "\"01234567-89ab-cdef-0123-456789abcdef\"");
    YES("{\"type\":\"string\",\"format\":\"ipv4\"}", "\"192.168.0.255\"");
    NO("{\"type\":\"string\",\"format\":\"ipv4\"}", "\"192.168.0.256\"");
}

static void arrays(void)
{
    const char *two = "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}";
    NO(two, "[1]");
    YES(two, "[1,2]");
    YES(two, "[1, 2, 3]");
    NO(two, "[1,2,3,4]");
    YES("{\"type\":\"array\",\"maxItems\":0}", "[]");
    NO("{\"type\":\"array\",\"maxItems\":0}", "[1]");
    YES("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", "[]");
    YES("{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1}", "[\"a\",\"b\"]");
    NO("{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1}", "[]");
    YES("{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":{"
        "\"const\":\"x\"}}]}}",
        "[1,[\"x\",\"x\"],[]]");
}

static void references(void)
{
    const char *tree =
        "{\"$ref\":\"#/$defs/"
        "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
        "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
        "node\"}}},\"required\":[\"v\",\"kids\"],\"additionalProperties\":false}}}";
    YES(tree, "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[]},{\"v\":3,\"kids\":[{\"v\":4,\"kids\":[]}]}]}");
    NO(tree, "{\"v\":1,\"kids\":[{\"v\":2}]}");
    char deep[4096] = "";
    for (int i = 0; i < 40; i++) strcat(deep, "{\"v\":1,\"kids\":[");
    for (int i = 0; i < 40; i++) strcat(deep, "]}");
    YES(tree, deep);
    REFUSED("{\"$ref\":\"#/$defs/none\"}");
    NO("{\"$ref\":\"#\"}", "1"); /* means nothing: only itself */
    YES("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", "null");
    YES("{\"allOf\":[{\"type\":\"integer\"}],\"description\":\"one\"}", "7");
}

static void refused(void)
{
    REFUSED("{\"type\":\"string\",\"pattern\":\"(?=a)b\"}");
    REFUSED("{\"type\":\"string\",\"pattern\":\"(a\"}");
    REFUSED("{\"type\":\"string\",\"format\":\"hostname\"}");
    REFUSED("{\"type\":\"number\",\"multipleOf\":2}");
    REFUSED("{\"type\":\"number\",\"maximum\":2}");
    REFUSED("{\"type\":\"array\",\"uniqueItems\":true}");
    REFUSED("{\"type\":\"object\",\"patternProperties\":{}}");
    REFUSED("{\"not\":{\"type\":\"string\"}}");
    REFUSED("{\"type\":\"thing\"}");
    REFUSED("{\"enum\":[]}");
    REFUSED("{\"type\":\"string\",\"minLength\":5,\"maxLength\":2}");
    REFUSED("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"b\"],"
            "\"additionalProperties\":false}");
    REFUSED("{\"anyOf\":[{\"type\":\"integer\"}],\"type\":\"integer\"}");
    REFUSED("false");
    REFUSED("[1]");
}

static void patterns(void)
{
#define PATTERN(p) "{\"type\":\"string\",\"pattern\":\"" p "\"}"
    YES(PATTERN("^[a-z]+$"), "\"abc\"");
    NO(PATTERN("^[a-z]+$"), "\"\"");
    NO(PATTERN("^[a-z]+$"), "\"aB\"");
    YES(PATTERN("b{2,3}"), "\"xxbbyy\"");
    NO(PATTERN("^b{2,3}$"), "\"bbbb\"");
    YES(PATTERN("^(ab|cd)*e?$"), "\"abcdabe\"");
    NO(PATTERN("^(ab|cd)*e?$"), "\"abc\"");
    YES(PATTERN("^\\\\d{3}-\\\\w+$"), "\"123-a_Z9\"");
    YES(PATTERN("^[^a-c]$"), "\"\xE2\x82\xAC\"");
    NO(PATTERN("^[^a-c]$"), "\"b\"");
    YES(PATTERN("^.$"), "\"\\\\\"");
    YES(PATTERN("^\\\"$"), "\"\\\"\"");
    YES(PATTERN("^(a*)*$"), "\"aaa\"");
    YES(PATTERN("^[\xC3\xA0-\xC3\xBC]+$"), "\"\xC3\xA9\xC3\xA8\"");
    NO(PATTERN("^[\xC3\xA0-\xC3\xBC]+$"), "\"e\"");
}

/* Code point ranges are exact at every border of the encodings. */
static void codepoints(void)
{
    static const uint32_t edge[] = { 0x20,   0x7F,   0x80,   0x7FF,   0x800,   0xFFF,   0x1000,
                                     0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF, 0x40000, 0x10FFFF };
    enum { N = sizeof edge / sizeof *edge };
    for (int a = 0; a < N; a++)
        for (int b = a; b < N; b++) {
            goss_graph g;
            goss_dfa *d = NULL;
            goss_graph_init(&g);
            const int start = goss_graph_codepoints(&g, edge[a], edge[b], 0);
            CHECK_INT(goss_dfa_open(&d, &g, start), 0);
            for (int k = 0; k < N; k++)
                for (int off = -1; off <= 1; off++) {
                    const uint32_t c = edge[k] + (uint32_t)off;
                    uint8_t u[4];
                    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) continue;
                    const int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                    uint32_t rest = c;
                    for (int i = n - 1; i > 0; i--, rest >>= 6) u[i] = (uint8_t)(0x80 | (rest & 63));
                    u[0] = (uint8_t)(rest | (n == 1 ? 0 : n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
                    int s = goss_dfa_start(d);
                    for (int i = 0; i < n; i++) s = goss_dfa_next(d, s, u[i]);
                    CHECK_INT(goss_dfa_accepts(d, s), c >= edge[a] && c <= edge[b]);
                }
            goss_dfa_close(&d);
            goss_graph_free(&g);
        }
}

/* Forgetting all states but one changes nothing of what follows. */
static void trimming(void)
{
    static const char *const text = "{\"a\":[[{\"b\":1}],2],\"c\":\"x\"}";
    goss_json j = { 0 };
    goss_error err;
    goss_graph g;
    goss_dfa *d = NULL;
    int start, trimmed, any = 0;
    goss_graph_init(&g);
    goss_json_parse(&j, "{}", 2, NULL, &err);
    CHECK_INT(goss_schema_compile(&g, &j, 0, 0, &start, &err), 0);
    CHECK_INT(goss_dfa_open(&d, &g, start), 0);
    int s = goss_dfa_start(d);
    for (const char *p = text; *p; p++) {
        s = goss_dfa_trim(d, goss_dfa_next(d, s, (uint8_t)*p), 3, &trimmed);
        any += trimmed;
        CHECK(goss_dfa_states(d) <= 4);
    }
    CHECK(goss_dfa_accepts(d, s));
    CHECK(any > 3);
    goss_dfa_close(&d);
    goss_graph_free(&g);
    goss_json_free(&j);
}

int main(void)
{
    objects();
    scalars();
    arrays();
    references();
    refused();
    patterns();
    codepoints();
    trimming();
    return unit_done("schema");
}
