/* test_json.c - the JSON parser: what it takes, what it refuses and where, the tree, and what it writes
 * back. */
#include "base/mem.h"
#include "format/json.h"
#include "unit.h"
#include <stdlib.h>

static goss_error e;

static int parse_exact(goss_json *j, const char *text, size_t n, const goss_json_limits *limits, char **copy)
{
    *copy = malloc(n ? n : 1); /* of exact size, so that a sanitizer sees reads beyond it */
    memcpy(*copy, text, n);
    return goss_json_parse(j, *copy, n, limits, &e);
}

static void good(const char *text, const char *compact)
{
    goss_json j;
    char *copy;
    goss_buf out = GOSS_BUF(1 << 20);
    const int rc = parse_exact(&j, text, strlen(text), NULL, &copy);
    if (rc)
        printf("%s: %s\n", text, e.text);
    CHECK_INT(rc, 0);
    if (rc == 0) {
        CHECK_INT(goss_json_write(&j, 0, &out), 0);
        CHECK_STR(goss_buf_cstr(&out), compact);
    }
    goss_buf_free(&out);
    goss_json_free(&j);
    free(copy);
}

static void bad_n(const char *text, size_t n, int64_t position)
{
    goss_json j;
    char *copy;
    const uint64_t live = goss_mem_get_stats().n_live;
    const int rc = parse_exact(&j, text, n, NULL, &copy);
    if (rc != GOSS_EFORMAT || e.position != position)
        printf("%s: %d at %lld: %s\n", text, rc, (long long)e.position, e.text);
    CHECK_INT(rc, GOSS_EFORMAT);
    CHECK_INT(e.position, position);
    CHECK(j.nodes == NULL && goss_mem_get_stats().n_live == live);
    free(copy);
}

static void bad(const char *text, int64_t position) { bad_n(text, strlen(text), position); }

static void test_good(void)
{
    good("0", "0");
    good(" -0 ", "-0");
    good("1.5e+10", "1.5e+10");
    good("\"\"", "\"\"");
    good("null", "null");
    good("[]", "[]");
    good("{}", "{}");
    good(" [ 1 , 2 , [ ] , { } , true , false , null ] ", "[1,2,[],{},true,false,null]");
    good("{\"a\":{\"b\":[{\"c\":\"d\"}]},\"e\":\"f g\"}", "{\"a\":{\"b\":[{\"c\":\"d\"}]},\"e\":\"f g\"}");
    good("{\"\":1,\" \":2}", "{\"\":1,\" \":2}");
    good("\"\\u00e9\\/\\\"\\\\\\n\\ud83d\\ude00 \x7F\"", "\"\xC3\xA9/\\\"\\\\\\n\xF0\x9F\x98\x80 \x7F\"");
    good("\"\\ud83d x \\ude00\"", "\"\xEF\xBF\xBD x \xEF\xBF\xBD\"");
    good("\"\\ud83d\\u0041\\u0000\"", "\"\xEF\xBF\xBD" "A\\u0000\"");
    good("\t\r\n[1]\n", "[1]");
    good("123456789012345678901234567890", "123456789012345678901234567890");
    good("{\"a\":1,\"A\":2,\"aa\":3,\"b\":4,\"c\":5,\"d\":6,\"e\":7,\"f\":8,\"g\":9,\"h\":10}",
         "{\"a\":1,\"A\":2,\"aa\":3,\"b\":4,\"c\":5,\"d\":6,\"e\":7,\"f\":8,\"g\":9,\"h\":10}");
}

static void test_bad(void)
{
    bad("", 0);
    bad("  ", 2);
    bad("[", 1);
    bad("[1", 2);
    bad("[1,", 3);
    bad("[1,]", 3);
    bad("[,1]", 1);
    bad("[1 2]", 3);
    bad("]", 0);
    bad("[}", 1);
    bad("{]", 1);
    bad("{\"a\"}", 4);
    bad("{\"a\":}", 5);
    bad("{\"a\":1,}", 7);
    bad("{a:1}", 1);
    bad("{1:1}", 1);
    bad("{\"a\" 1}", 5);
    bad("{\"a\":1 \"b\":2}", 7);
    bad("{\"a\":1,\"a\":2}", 7);
    bad("{\"a\":1,\"\\u0061\":2}", 7);
    bad("{\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"c\":1}", 61);
    bad("nul", 0);
    bad("nulll", 4);
    bad("True", 0);
    bad("NaN", 0);
    bad("Infinity", 0);
    bad("01", 1);
    bad("+1", 0);
    bad("-", 0);
    bad("1.", 1);
    bad(".5", 0);
    bad("1e", 1);
    bad("0x1", 1);
    bad("1e999", 0);
    bad("-1e999", 0);
    bad("1 2", 2);
    bad("\"abc", 0);
    bad("\"a\nb\"", 2);
    bad("\"\\x\"", 1);
    bad("\"\\u12\"", 1);
    bad("\"\\u12G4\"", 1);
    bad("\"\\", 1);
    bad("'a'", 0);
    bad("// x\n1", 0);
    bad("\xEF\xBB\xBF" "1", 0);
    bad("\"\xFF\"", 1);
    bad("\"a\xC0\x80\"", 2);
    bad("\"\xED\xA0\x80\"", 1);
    bad("\"\xF4\x90\x80\x80\"", 1);
    bad("\"\xE2\x82\"", 1);
    bad_n("[1]\0", 4, 3);
    bad_n("\"a\0b\"", 5, 2);
    bad_n("\"\\\0\"", 4, 1);
}

/* Every cut of a text that only its whole makes valid is refused, without reading beyond the cut. */
static void test_cuts(void)
{
    static const char text[] =
        "{\"name\":\"caf\xC3\xA9 \\u00e9\\n\",\"list\":[1,-2.5e-3,true,false,null,[],{}],\"deep\":[[[{\"x\":\"\"}]]]}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        goss_json j;
        char *copy;
        CHECK_INT(parse_exact(&j, text, n, NULL, &copy), GOSS_EFORMAT);
        CHECK(e.position >= 0 && (size_t)e.position <= n);
        free(copy);
    }
    goss_json j;
    CHECK_INT(goss_json_parse(&j, text, sizeof text - 1, NULL, &e), 0);
    goss_json_free(&j);
}

static void test_tree(void)
{
    static const char text[] =
        "{\"a\": [10, 20, {\"x\": \"y\"}], \"b\\u0063\": \"v\\tw\", "
        "\"t\": true, \"f\": false, \"n\": null, \"d\": -2.5}";
    goss_json j;
    goss_buf out = GOSS_BUF(1000);
    CHECK_INT(goss_json_parse(&j, text, strlen(text), NULL, &e), 0);
    const int a = goss_json_get(&j, 0, "a"), bc = goss_json_get(&j, 0, "bc");
    CHECK_INT(j.nodes[0].n, 6);
    CHECK_INT(j.nodes[a].n, 3);
    CHECK(goss_json_kind(&j, a) == GOSS_JSON_ARRAY && goss_json_kind(&j, 0) == GOSS_JSON_OBJECT &&
          goss_json_kind(&j, -1) == 0);
    CHECK(goss_json_number(&j, goss_json_at(&j, a, 1), 0) == 20);
    CHECK(goss_json_at(&j, a, 3) == -1 && goss_json_at(&j, 0, 0) == -1 && goss_json_at(&j, -1, 0) == -1);
    CHECK(goss_json_is(&j, goss_json_get(&j, goss_json_at(&j, a, 2), "x"), "y"));
    CHECK(goss_json_is(&j, bc, "v\tw") && !goss_json_is(&j, bc, "v\tw2") && !goss_json_is(&j, bc, "v") &&
          !goss_json_is(&j, -1, ""));
    CHECK_INT(goss_json_string(&j, bc, &out), 0);
    CHECK_STR(goss_buf_cstr(&out), "v\tw");
    CHECK_INT(goss_json_string(&j, a, &out), GOSS_EINVAL);
    CHECK(goss_json_get(&j, 0, "zzz") == -1 && goss_json_get(&j, a, "a") == -1 &&
          goss_json_get(&j, -1, "a") == -1);
    CHECK(goss_json_bool(&j, goss_json_get(&j, 0, "t"), 0) == 1 &&
          goss_json_bool(&j, goss_json_get(&j, 0, "f"), 1) == 0);
    CHECK(goss_json_bool(&j, goss_json_get(&j, 0, "n"), 7) == 7 &&
          goss_json_number(&j, goss_json_get(&j, 0, "d"), 0) == -2.5);
    CHECK(goss_json_number(&j, bc, 9) == 9 && goss_json_first(&j, bc) == -1 && goss_json_next(&j, -1) == -1);
    goss_buf_clear(&out);
    goss_json_write_spaced(&j, 0, &out);
    CHECK_STR(
        goss_buf_cstr(&out),
        "{\"a\": [10, 20, {\"x\": \"y\"}], \"bc\": \"v\\tw\", \"t\": true, \"f\": false, \"n\": null, \"d\": -2.5}");
    goss_buf_clear(&out);
    goss_json_write(&j, bc, &out);
    CHECK_STR(goss_buf_cstr(&out), "\"v\\tw\"");
    goss_buf_free(&out);
    goss_json_free(&j);
}

static void test_limits(void)
{
    goss_json j;
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    CHECK_INT(goss_json_parse(&j, deep + 136, 128, NULL, &e), 0);
    goss_json_free(&j);
    CHECK_INT(goss_json_parse(&j, deep + 135, 130, NULL, &e), GOSS_ELIMIT);
    CHECK_INT(e.position, 64);
    CHECK_INT(goss_json_parse(&j, deep, 400, &(goss_json_limits){ .max_depth = 200 }, &e), 0);
    goss_json_free(&j);
    CHECK_INT(goss_json_parse(&j, "[1,2,3]", 7, &(goss_json_limits){ .max_nodes = 4 }, &e), 0);
    goss_json_free(&j);
    CHECK_INT(goss_json_parse(&j, "[1,2,3,4]", 9, &(goss_json_limits){ .max_nodes = 4 }, &e), GOSS_ELIMIT);
    CHECK_INT(e.position, 7);
    /* 200,000 keys in one object: duplicates are found without comparing all pairs */
    goss_buf big = GOSS_BUF(1 << 27);
    goss_buf_str(&big, "{");
    for (int i = 0; i < 200000; i++)
        goss_buf_printf(&big, "\"key%d\":%d,", i * 7919 % 200000, i);
    goss_buf_str(&big, "\"key5\":0}");
    CHECK_INT(goss_json_parse(&j, (const char *)big.data, big.len, NULL, &e), GOSS_EFORMAT);
    CHECK(strstr(e.text, "second time") && (size_t)e.position == big.len - 9);
    memcpy(big.data + big.len - 9, "\"kex5\":0}", 9);
    CHECK_INT(goss_json_parse(&j, (const char *)big.data, big.len, NULL, &e), 0);
    CHECK_INT(j.nodes[0].n, 200001);
    goss_json_free(&j);
    goss_buf_free(&big);
    const uint64_t live = goss_mem_get_stats().n_live;
    for (uint64_t n = 1; n <= 4; n++) {
        goss_mem_fail_at(n);
        const int rc = goss_json_parse(&j, deep + 136, 128, NULL, &e);
        goss_mem_fail_at(0);
        CHECK_INT(rc, n <= 2 ? GOSS_ENOMEM : 0);
        goss_json_free(&j);
        CHECK_INT(goss_mem_get_stats().n_live, live);
    }
}

/* Without escapes a string is where it stands; with them it is a copy. */
static void test_slices(void)
{
    static const char text[] =
        "{\"a\":\"plain\",\"b\":\"q\\\"\\u00e9\\ud83d\\ude42\\ud800\",\"c\":1,\"d\":\"\",\"e\": {\"x\" : 1 }}";
    goss_json j;
    goss_owned *owned = NULL;
    goss_str s = { 0 };
    CHECK_INT(goss_json_parse(&j, text, sizeof text - 1, NULL, NULL), 0);
    CHECK_INT(goss_json_str(&j, goss_json_get(&j, 0, "a"), &owned, &s), 0);
    CHECK(s.s == strstr(text, "plain") && s.n == 5 && !owned);
    CHECK_INT(goss_json_str(&j, goss_json_get(&j, 0, "d"), &owned, &s), 0);
    CHECK(s.s && s.n == 0);
    CHECK_INT(goss_json_str(&j, goss_json_get(&j, 0, "b"), &owned, &s), 0);
    CHECK(s.n == 11 && !memcmp(s.s, "q\"\xC3\xA9\xF0\x9F\x99\x82\xEF\xBF\xBD", 11));
    CHECK_INT(goss_json_str(&j, goss_json_get(&j, 0, "c"), &owned, &s), GOSS_EINVAL);
    CHECK_INT(goss_json_str(&j, -1, &owned, &s), GOSS_EINVAL);
    s = goss_json_source(&j, goss_json_get(&j, 0, "e"));
    CHECK(s.n == 10 && !memcmp(s.s, "{\"x\" : 1 }", 10));
    CHECK(!goss_json_source(&j, -1).s);
    CHECK(goss_json_compare(&j, goss_json_get(&j, 0, "a"), goss_json_get(&j, 0, "b")) < 0);
    goss_owned_free(&owned);
    goss_json_free(&j);
}

int main(void)
{
    test_good();
    test_bad();
    test_cuts();
    test_tree();
    test_limits();
    test_slices();
    return unit_done("json");
}
