/* test_schema.c - schemas: texts that the automaton must take and texts that it must not, what is refused,
 * patterns. */
#include "base/fmt.h"
#include "engine/schema/regex.h"
#include "engine/schema/schema.h"
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
    else if (!goss_schema_compile(&g, &j, 0, 0, &start, &err) && !goss_dfa_open(&d, &g)) {
        int s = goss_dfa_start(d, start);
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

/* A property's name is as long as a client likes: it costs no stack (8,000 bytes killed the server once). */
static void long_names(void)
{
    enum { LONG = 60000 };
    static char schema[3 * LONG], text[3 * LONG], name[LONG + 1];
    memset(name, 'n', LONG);
    snprintf(schema, sizeof schema,
             "{\"type\":\"object\",\"properties\":{\"%s\":{\"type\":\"integer\"},\"nn\":{\"type\":\"integer\"},"
             "\"nm\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"null\"}}", name);
    snprintf(text, sizeof text, "{\"%s\":1,\"nn\":2,\"nm\":3,\"nnn\":null,\"n\":null,\"no\":null,\"\":null}",
             name);
    YES(schema, text);
    snprintf(text, sizeof text, "{\"%s\":null}", name);
    NO(schema, text);
    snprintf(text, sizeof text, "{\"%sn\":null}", name);
    YES(schema, text);
    snprintf(text, sizeof text, "{\"%s\":null}", name + 1);
    YES(schema, text);
    NO(schema, "{\"nn\":null}");
    NO(schema, "{\"nm\":null}");
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
    REFUSED("{\"$ref\":\"#\"}"); /* means nothing: only itself */
    YES("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}", "null");
    YES("{\"allOf\":[{\"type\":\"integer\"}],\"description\":\"one\"}", "7");
}

static void refused(void)
{
    REFUSED("{\"type\":\"string\",\"pattern\":\"(?=a)b\"}");
    REFUSED("{\"type\":\"string\",\"pattern\":\"(a\"}");
    REFUSED("{\"type\":\"string\",\"format\":\"idn-hostname\"}");
    REFUSED("{\"type\":\"array\",\"uniqueItems\":true}");
    REFUSED("{\"$dynamicRef\":\"#a\"}");
    REFUSED("{\"type\":\"thing\"}");
    REFUSED("{\"enum\":[]}");
    REFUSED("{\"type\":\"string\",\"minLength\":5,\"maxLength\":2}");
    REFUSED("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"b\"],"
            "\"additionalProperties\":false}");
    REFUSED("false");
    REFUSED("[1]");
    REFUSED("{\"not\":{}}");
    REFUSED("{\"enum\":[1,2],\"const\":3}");
    /* only itself below itself */
    REFUSED("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}");
    /* malformed keywords */
    REFUSED("{\"maximum\":\"3\"}");
    REFUSED("{\"required\":\"a\"}");
    REFUSED("{\"required\":[1]}");
    REFUSED("{\"properties\":[]}");
    REFUSED("{\"minLength\":-1}");
    REFUSED("{\"exclusiveMinimum\":true}");
    /* docs/server.md's limits, and what is just within them */
#define TEN(c) c c c c c c c c c c
#define GROUPS(open, close) TEN("(") TEN("(") TEN("(") open "a" close TEN(")") TEN(")") TEN(")")
    REFUSED("{\"pattern\":\"^a{257}$\"}");
    CHECK_INT(accepts("{\"type\":\"string\",\"pattern\":\"^a{256}$\"}", "\"a\""), 0);
    REFUSED("{\"pattern\":\"" GROUPS("(((", ")))") "\"}");
    CHECK_INT(accepts("{\"type\":\"string\",\"pattern\":\"^" GROUPS("((", "))") "$\"}", "\"a\""), 1);
    REFUSED("{\"properties\":{\"a\":1}}");
    REFUSED("{\"anyOf\":{}}");
}

/* The sentence names the place. */
static void places(void)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    goss_graph g;
    int start;
    const char *s = "{\"properties\":{\"a/b\":{\"items\":[true,{\"pattern\":\"(\"}]}}}";
    goss_graph_init(&g);
    CHECK_INT(goss_json_parse(&j, s, strlen(s), NULL, &err), 0);
    CHECK_INT(goss_schema_compile(&g, &j, 0, 0, &start, &err), GOSS_EUNSUPPORTED);
    CHECK(strstr(err.text, "(at #/properties/a/b/items/1/pattern)") != NULL);
    goss_json_free(&j);
    goss_graph_free(&g);
}

/* What the standard doesn't define says nothing; what it defines holds with what stands beside it. */
static void together(void)
{
    YES("{\"x-any\":[1],\"name\":7,\"type\":\"null\"}", "null");
    YES("{\"format\":\"my own\",\"type\":\"string\"}", "\"x\"");
    YES("{\"anyOf\":[{\"type\":\"integer\"}],\"maximum\":5}", "5");
    NO("{\"anyOf\":[{\"type\":\"integer\"}],\"maximum\":5}", "6");
    NO("{\"enum\":[\"a\",1,\"bc\"],\"type\":\"string\",\"minLength\":2}", "\"a\"");
    YES("{\"enum\":[\"a\",1,\"bc\"],\"type\":\"string\",\"minLength\":2}", "\"bc\"");
    NO("{\"$ref\":\"#/$defs/a\",\"maximum\":5,\"$defs\":{\"a\":{\"type\":\"integer\"}}}", "6");
    YES("{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"allOf\":[{\"$ref\":\"#/definitions/a\","
        "\"maximum\":5}],\"definitions\":{\"a\":{\"type\":\"integer\"}}}",
        "6");
    const char *all =
        "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"b\"]},"
        "{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":3},\"b\":{\"type\":\"null\"}}}]}";
    YES(all, "{\"a\":3,\"b\":null}");
    NO(all, "{\"a\":2,\"b\":null}");
    NO(all, "{\"a\":3}");
    YES(all, "{\"b\":null,\"c\":1}");
    const char *cond =
        "{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"x\",\"y\"]},\"v\":{}},\"required\":[\"k\","
        "\"v\"],"
        "\"if\":{\"properties\":{\"k\":{\"const\":\"x\"}}},\"then\":{\"properties\":{\"v\":{\"type\":"
        "\"integer\"}}},\"else\":{\"properties\":{\"v\":{\"type\":\"string\"}}}}";
    YES(cond, "{\"k\":\"x\",\"v\":1}");
    YES(cond, "{\"k\":\"y\",\"v\":\"1\"}");
    NO(cond, "{\"k\":\"x\",\"v\":\"1\"}");
    NO(cond, "{\"k\":\"y\",\"v\":1}");
    NO("{\"oneOf\":[{\"multipleOf\":2},{\"multipleOf\":3}],\"type\":\"integer\"}", "6");
    YES("{\"oneOf\":[{\"multipleOf\":2},{\"multipleOf\":3}],\"type\":\"integer\"}", "9");
    NO("{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"b\"]}}", "\"b\"");
    YES("{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"b\"]}}", "\"bb\"");
    NO("{\"dependentRequired\":{\"a\":[\"b\"]},\"properties\":{\"a\":{},\"b\":{}}}", "{\"a\":1}");
    YES("{\"dependentRequired\":{\"a\":[\"b\"]},\"properties\":{\"a\":{},\"b\":{}}}", "{\"b\":1}");
}

static void members(void)
{
    const char *p =
        "{\"type\":\"object\",\"patternProperties\":{\"^a\":{\"type\":\"integer\"},\"z$\":{\"minimum\":3}},"
        "\"additionalProperties\":{\"type\":\"null\"}}";
    YES(p, "{\"a\":1,\"b\":null,\"az\":4,\"z\":3}");
    NO(p, "{\"a\":null}");
    NO(p, "{\"az\":2}");
    NO(p, "{\"b\":1}");
    NO("{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}");
    YES("{\"propertyNames\":{\"maxLength\":2}}", "{\"ab\":1}");
    NO("{\"minProperties\":1,\"type\":\"object\"}", "{}");
    NO("{\"maxProperties\":1,\"type\":\"object\"}", "{\"a\":1,\"b\":1}");
    YES("{\"maxProperties\":1,\"type\":\"object\"}", "{\"a\":1}");
    const char *late = "{\"type\":\"object\",\"required\":[\"k\",\"l\"],\"properties\":{\"m\":{}}}";
    YES(late, "{\"m\":1,\"x\":2,\"l\":3,\"y\":4,\"k\":5}");
    NO(late, "{\"m\":1,\"x\":2,\"l\":3}");
    YES("{\"properties\":{\"\xC3\xA9\":{\"type\":\"null\"}}}", "{\"\xC3\xA9\":null,\"\xC3\xA8\":1}");
    NO("{\"properties\":{\"\xC3\xA9\":{\"type\":\"null\"}},\"type\":\"object\"}", "{\"\xC3\xA9\":1}");
}

static size_t graph_bytes(const char *schema)
{
    goss_json j = { 0 };
    goss_graph g;
    int start;
    goss_graph_init(&g);
    CHECK_INT(goss_json_parse(&j, schema, strlen(schema), NULL, NULL), 0);
    CHECK_INT(goss_schema_compile(&g, &j, 0, 0, &start, NULL), 0);
    const size_t n = g.nodes.len;
    goss_json_free(&j);
    goss_graph_free(&g);
    return n;
}

/* What says the same in several places is made once, whatever stands beside it and in which order. */
static void alike(void)
{
#define ONE "{\"type\":\"string\",\"pattern\":\"^[a-c]{1,30}x$\",\"maxLength\":99,\"title\":\"one\"}"
#define OTHER "{\"maxLength\":99,\"description\":\"two\",\"pattern\":\"^[a-c]{1,30}x$\",\"type\":\"string\"}"
#define UNLIKE "{\"type\":\"string\",\"pattern\":\"^[a-c]{1,30}y$\",\"maxLength\":99}"
#define THREE(a, b, c) \
    "{\"type\":\"array\",\"prefixItems\":[" a "," b "," c "],\"items\":false,\"minItems\":3}"
    const char *all = THREE(ONE, OTHER, UNLIKE);
    YES(all, "[\"abcx\",\"aaax\",\"cccy\"]");
    NO(all, "[\"abcx\",\"aaay\",\"cccy\"]");
    NO(all, "[\"abcx\",\"aaax\",\"cccx\"]");
    CHECK(graph_bytes(THREE(ONE, OTHER, ONE)) < graph_bytes(THREE(ONE, "{}", "{}")) + 300);
    CHECK(graph_bytes(all) > graph_bytes(THREE(ONE, OTHER, ONE)) + 300);
    YES(THREE("{\"minimum\":1,\"type\":\"integer\"}", "{\"minimum\":10,\"type\":\"integer\"}", "{}"),
        "[1,10,0]");
    NO(THREE("{\"minimum\":1,\"type\":\"integer\"}", "{\"minimum\":10,\"type\":\"integer\"}", "{}"),
       "[1,9,0]");
}

/* A $ref is of the resource that it stands in, a pointer too: y is not the outer one. */
static void resources(void)
{
    const char *s =
        "{\"$id\":\"http://a/\",\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"$id\":\"b/\",\"type\":\"array\","
        "\"items\":{\"$ref\":\"#/$defs/y\"},\"$defs\":{\"y\":{\"type\":\"boolean\"}}},"
        "\"y\":{\"type\":\"integer\"}}}";
    YES(s, "[true]");
    NO(s, "[1]");
    YES("{\"$id\":\"http://a/\",\"$ref\":\"b/#/$defs/y\",\"$defs\":{\"x\":{\"$id\":\"b/\",\"$defs\":{\"y\":"
        "{\"type\":\"null\"}}}}}",
        "null");
    REFUSED("{\"$ref\":\"#/$defs/none\"}");
}

static void numbers(void)
{
    YES("{\"type\":[\"string\",\"integer\"],\"minimum\":-10}", "\"a\""); /* no count for strings */
    const char *zod = "{\"type\":\"integer\",\"minimum\":-9007199254740991,\"maximum\":9007199254740991}";
    YES(zod, "9007199254740991");
    NO(zod, "9007199254740992");
    YES(zod, "-9007199254740991");
    NO(zod, "-9007199254740992");
    YES(zod, "0");
    const char *range = "{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":20.25}";
    YES(range, "20.25");
    NO(range, "20.250000001");
    YES(range, "20.2499");
    YES(range, "-1.49");
    NO(range, "-1.5");
    NO(range, "-1.50");
    NO(range, "100");
    YES(range, "9");
    NO(range, "21");
    /* 48 digits, and 1e308: decimals, no casts */
    NO("{\"type\":\"integer\",\"maximum\":123456789012345678901234567890123456789012345678}",
       "123456789012345678901234567890123456789012345679");
    YES("{\"type\":\"integer\",\"maximum\":123456789012345678901234567890123456789012345678}",
        "123456789012345678901234567890123456789012345678");
    YES("{\"type\":\"number\",\"maximum\":1e308,\"minimum\":-1e308}", "7");
    NO("{\"type\":\"integer\",\"maximum\":1e2}", "101");
    YES("{\"type\":\"number\",\"multipleOf\":0.01}", "1.25");
    NO("{\"type\":\"number\",\"multipleOf\":0.01}", "1.255");
    YES("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":50}", "56");
    NO("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":50}", "49");
    YES("{\"type\":\"integer\",\"minimum\":5,\"exclusiveMinimum\":true}", "6"); /* draft 4 */
    NO("{\"type\":\"integer\",\"minimum\":5,\"exclusiveMinimum\":true}", "5");
    YES("{\"not\":{\"type\":\"integer\"},\"type\":\"number\"}", "1.5");
    NO("{\"not\":{\"type\":\"integer\"},\"type\":\"number\"}", "1.0");
}

static void formats(void)
{
    static const struct {
        const char *format, *yes, *no;
    } f[] = {
        { "date", "\"2024-02-29\"", "\"2023-02-29\"" },
        { "date", "\"2025-01-31\"", "\"2025-04-31\"" },
        { "date", "\"2000-02-29\"", "\"1900-02-29\"" },
        { "time", "\"23:59:59.5Z\"", "\"24:00:00Z\"" },
        { "date-time", "\"2025-12-31T00:00:00+01:00\"", "\"2025-12-31 00:00\"" },
        { "duration", "\"P1Y2M3DT4H5M6S\"", "\"P\"" },
        { "email", "\"a.b@c.org\"", "\"a@b@c.org\"" },
        { "hostname", "\"a-b.example\"", "\"-a.example\"" },
        { "ipv6", "\"2001:db8::1\"", "\"1::2::3\"" },
        { "ipv6", "\"::ffff:1.2.3.4\"", "\"1:2:3:4:5:6:7\"" },
        { "uri", "\"https://a.org/b?c#d\"", "\"a b\"" },
        { "uri", "\"mailto:a@b.c\"", "\"/a\"" },
        { "uri-reference", "\"../a\"", "\"a b\"" },
        { "json-pointer", "\"/a~0b\"", "\"a\"" },
        { "uri-template", "\"/{a,b}\"", "\"{\"" },
        { "uuid", "\"01234567-89AB-cdef-0123-456789abcdef\"", "\"01234567\"" },
    };
    char schema[80];
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
        goss_fmt(schema, sizeof schema, "{\"type\":\"string\",\"format\":\"%s\"}", f[i].format);
        YES(schema, f[i].yes);
        NO(schema, f[i].no);
    }
    YES("{\"type\":\"string\",\"format\":\"date\",\"pattern\":\"^2\",\"minLength\":3}", "\"2025-06-28\"");
    NO("{\"type\":\"string\",\"format\":\"date\",\"pattern\":\"^3\"}", "\"2025-06-28\"");
}

static void lists(void)
{
    const char *tuple =
        "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"items\":false}";
    YES(tuple, "[1,null]");
    YES(tuple, "[1]");
    NO(tuple, "[1,null,2]");
    NO(tuple, "[null]");
    YES("{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"null\"}}", "[1,null,null]");
    const char *has =
        "{\"type\":\"array\",\"contains\":{\"type\":\"integer\"},\"minContains\":2,\"maxContains\":3}";
    NO(has, "[1,\"a\"]");
    YES(has, "[1,\"a\",2]");
    NO(has, "[1,2,3,4]");
    YES("{\"type\":\"array\",\"uniqueItems\":true,\"maxItems\":1}", "[1]");
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
            CHECK_INT(goss_dfa_open(&d, &g), 0);
            for (int k = 0; k < N; k++)
                for (int off = -1; off <= 1; off++) {
                    const uint32_t c = edge[k] + (uint32_t)off;
                    uint8_t u[4];
                    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) continue;
                    const int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                    uint32_t rest = c;
                    for (int i = n - 1; i > 0; i--, rest >>= 6) u[i] = (uint8_t)(0x80 | (rest & 63));
                    u[0] = (uint8_t)(rest | (n == 1 ? 0 : n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
                    int s = goss_dfa_start(d, start);
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
    int start, any = 0;
    goss_graph_init(&g);
    goss_json_parse(&j, "{}", 2, NULL, &err);
    CHECK_INT(goss_schema_compile(&g, &j, 0, 0, &start, &err), 0);
    CHECK_INT(goss_dfa_open(&d, &g), 0);
    int s = goss_dfa_start(d, start);
    for (const char *p = text; *p; p++) {
        int *const kept[] = { &s };
        s = goss_dfa_next(d, s, (uint8_t)*p);
        any += goss_dfa_trim(d, kept, 1, 3);
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
    long_names();
    scalars();
    arrays();
    references();
    refused();
    places();
    together();
    alike();
    resources();
    members();
    numbers();
    formats();
    lists();
    patterns();
    codepoints();
    trimming();
    return unit_done("schema");
}
