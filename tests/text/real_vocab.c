/* real_vocab.c - the golden vectors of the o200k vocabulary and of Harmony (docs/reference.md 8.6 and 9.8).
 * usage: real_vocab VOCAB.gguf, made by make_vocab.mjs, or any real gpt-oss file */
#include "base/sha256.h"
#include "text/chat.h"
#include "text/harmony.h"
#include "tests/unit/unit.h"
#include "open_vocab.h"
#include <time.h>

static goss_vocab *v;

/* ---- tokens ---- */

static int same_ids(const goss_buf *ids, const char *want)
{
    const int32_t *id = (const int32_t *)(const void *)ids->data;
    size_t n = 0;
    for (char *end; *want; want = end, n++) {
        const long x = strtol(want, &end, 10);
        if (end == want) break;
        if (n >= ids->len / 4 || id[n] != x) return 0;
    }
    return n == ids->len / 4;
}

static void print_ids(const goss_buf *ids)
{
    for (size_t i = 0; i < ids->len / 4; i++) printf(" %d", ((const int32_t *)(const void *)ids->data)[i]);
    printf("\n");
}

static const struct {
    const char *text, *ids;
} ordinary[] = {
    { "Hello, world!", "13225 11 2375 0" },
    { " don't DON'T it'S", "4128 153384 480 31233" },
    { "I'm we'll they've she'd it's WE'RE", "15390 22782 51676 114482 4275 26919 6 1099" },
    { "The quick brown fox jumps over the lazy dog.", "976 4853 19705 68347 65613 1072 290 29082 6446 13" },
    { "12345678", "7633 19354 4388" },
    { "1234567890 3.14159", "7633 19354 29338 15 220 18 13 16926 4621" },
    { "int main(void) {\n    return 0;\n}\n", "491 2758 10218 8 405 271 622 220 15 307 739" },
    { "   indented\n\n\n  x", "256 1383 23537 2499 220 1215" },
    { "  leading", "220 8117" },
    { "trailing  ", "371 24408 256" },
    { "a\r\n\r\nb", "64 1414 65" },
    { "\t\tif (x) {\r\n", "197 1224 350 87 8 1518" },
    { "camelCaseHTTPServer", "178067 6187 17893 6444" },
    { "ABCdefGHI", "44197 1314 38 36525" },
    { "HTMLParser2000x", "9512 9231 1179 15 87" },
    { "foo/bar\n//x", "16660 106617 198 393 87" },
    { "http://example.com/a/b?c=d&e=f#g", "2903 1684 18582 1136 23839 7611 30 66 56413 63734 40464 178782" },
    { "x_y-z.foo(bar)[0]", "87 9410 16826 136613 106832 13637 15 60" },
    { "ÄÖÜ straße", "12921 9146 8858 9642 13153" },
    { "naïve café", "1503 9954 737 30469" },
    { "e=mc²", "68 28 24335 13848" },
    { "a\xCC\x81"
      "bc",
      "64 13430 16715" },
    { "Привет мир", "23881 131903 37934" },
    { "Здравствуй, МИР", "7244 65233 2820 36012 11 4148 4643 4647" },
    { "日本語テスト", "9048 40909 16056 38236" },
    { "한국어 테스트", "114854 5959 169814" },
    { "हिन्दी भाषा", "1554 71602 840 108881" },
    { "مرحبا بالعالم", "158894 26537 101462 12773" },
    { "ไทย", "20619" },
    { "🚀🚀", "112927 222 112927 222" },
    { "\xF0\x9F\x99\x82\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",
      "37459 28823 101 2524 28823 102 2524 28823 100" },
    { "\xC2\xA0nbsp", "5310 9431" },
    { "\n", "198" },
    { "\n\n", "279" },
    { "\n\n\n", "2499" },
    { "\t", "197" },
    { " ", "220" },
    { "  ", "256" },
    { "", "" },
    { "{\"location\":\"Tokyo\"}", "10848 7693 7534 173844 18583" },
    { "<|start|>user", "27 91 5236 91 29 1428" },
    { "<|end|> typed by user", "27 91 419 91 29 58806 656 1825" },
    { "system", "17360" },
    { "developer", "77944" },
    { "user", "1428" },
    { "assistant", "173781" },
    { "tool", "17952" },
    { "analysis", "35644" },
    { "commentary", "12606 815" },
    { "final", "17196" },
    { " json", "5701" },
    { "json", "4108" },
};

static void vectors(void)
{
    goss_buf ids = GOSS_BUF(1 << 20), text = GOSS_BUF(1 << 20);
    for (size_t i = 0; i < sizeof ordinary / sizeof *ordinary; i++) {
        goss_buf_clear(&ids);
        goss_buf_clear(&text);
        const int ok = !goss_vocab_encode(v, ordinary[i].text, strlen(ordinary[i].text), 0, &ids) &&
                       same_ids(&ids, ordinary[i].ids);
        CHECK(ok);
        if (!ok) {
            printf("\"%s\" gives", ordinary[i].text);
            print_ids(&ids);
        }
        CHECK(!goss_vocab_decode(v, (int32_t *)(void *)ids.data, ids.len / 4, 0, 1, &text));
        CHECK_STR(goss_buf_cstr(&text), ordinary[i].text);
    }
    goss_buf_free(&ids);
    goss_buf_free(&text);
    CHECK_INT(goss_vocab_size(v), 201088);
    CHECK_INT(goss_vocab_find(v, "<|start|>"), 200006);
    CHECK(goss_vocab_is_stop(v, 200002) && goss_vocab_is_stop(v, 200012) && goss_vocab_is_stop(v, 199999));
    CHECK(!goss_vocab_is_stop(v, 200007));
    CHECK(!goss_vocab_adds_bos(v));
}

/* ---- prompts ---- */

static void render(const char *request, goss_buf *ids)
{
    goss_error err = { 0 };
    goss_buf_clear(ids);
    const int r = goss_chat_encode_json(v, GOSS_CHAT_HARMONY, request, strlen(request), ids, NULL, &err);
    if (r) printf("%s\n  at %lld of %s\n", err.text, (long long)err.position, request);
    CHECK_INT(r, 0);
}

static void prompt_is(const char *request, const char *want)
{
    goss_buf ids = GOSS_BUF(1 << 20);
    render(request, &ids);
    const int ok = same_ids(&ids, want);
    CHECK(ok);
    if (!ok) {
        printf("%s gives", request);
        print_ids(&ids);
    }
    goss_buf_free(&ids);
}

/* The fixtures' sums: SHA-256 of the ids in decimal, joined by commas, first 16 digits. */
static void sum_is(const goss_buf *ids, const char *name, size_t n, const char *want)
{
    goss_sha256 s;
    uint8_t digest[32];
    char hex[65], number[16];
    goss_sha256_init(&s);
    for (size_t i = 0; i < ids->len / 4; i++)
        goss_sha256_update(&s, number,
                           (size_t)snprintf(number, sizeof number, i ? ",%d" : "%d",
                                            ((const int32_t *)(const void *)ids->data)[i]));
    goss_sha256_final(&s, digest);
    goss_sha256_hex(digest, hex);
    hex[16] = 0;
    const int ok = ids->len / 4 == n && !strcmp(hex, want);
    CHECK(ok);
    if (ok) return;
    goss_buf text = GOSS_BUF(1 << 20);
    goss_vocab_decode(v, (const int32_t *)(const void *)ids->data, ids->len / 4, 1, 1, &text);
    printf("%s: %zu tokens, %s:\n%s\n", name, ids->len / 4, hex, goss_buf_cstr(&text));
    goss_buf_free(&text);
}

static void fixture(const char *name, const char *request, size_t n, const char *sum)
{
    goss_buf ids = GOSS_BUF(1 << 20);
    render(request, &ids);
    sum_is(&ids, name, n, sum);
    goss_buf_free(&ids);
}

#define FORMAT                                                                                               \
    "\"format\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\"],\"default\":\"celsius\"}"
static const char kitchensink[] =
    "{\"date\":\"2025-06-28\",\"reasoning_effort\":\"high\",\"messages\":[{\"role\":\"system\",\"content\":"
    "\"Always respond in riddles\"},"
    "{\"role\":\"user\",\"content\":\"What is the weather like in SF?\"}],\"tools\":["
    "{\"type\":\"function\",\"function\":{\"name\":\"get_location\",\"description\":\"Gets the location of "
    "the user.\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"get_current_weather\",\"description\":\"Gets the "
    "current weather in the provided location.\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"location\":{\"type\":\"string\",\"description\":"
    "\"The city and state, e.g. San Francisco, CA\"}," FORMAT "},\"required\":[\"location\"]}}},"
    "{\"type\":\"function\",\"name\":\"get_multiple_weathers\",\"description\":\"Gets the current weather in "
    "the provided list of locations.\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"locations\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"string\"},"
    "\"description\":\"List of city and state, e.g. [\\\"San Francisco, CA\\\", \\\"New York, "
    "NY\\\"]\"}," FORMAT "},\"required\":[\"locations\"]}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"kitchensink\",\"description\":\"A function with various "
    "complex schemas.\",\"parameters\":"
    "{\"description\":\"params object\",\"type\":\"object\",\"properties\":{"
    "\"string\":{\"type\":\"string\",\"title\":\"STRING\",\"description\":\"A "
    "string\",\"examples\":[\"hello\",\"world\"]},"
    "\"string_nullable\":{\"type\":\"string\",\"nullable\":true,\"description\":\"A nullable "
    "string\",\"default\":\"the default\"},"
    "\"string_enum\":{\"type\":\"string\",\"enum\":[\"a\",\"b\",\"c\"]},"
    "\"oneof_string_or_number\":{\"oneOf\":[{\"type\":\"string\",\"default\":\"default_string_in_oneof\"},"
    "{\"type\":\"number\",\"description\":\"numbers can happen too\"}],\"description\":\"a "
    "oneof\",\"default\":20}}}}}]}";

static void prompts(void)
{
    prompt_is("{\"date\":\"2025-06-28\",\"messages\":[{\"role\":\"user\",\"content\":\"What is 2 + 2?\"}]}",
              "200006 17360 200008 3575 553 17554 162016 11 261 4410 6439 2359 22203 656 7788 17527 558 "
              "87447 100594 25 220 1323 19 "
              "12 3218 198 6576 3521 25 220 1323 20 12 3218 12 2029 279 30377 289 25 14093 279 2 13888 18403 "
              "25 8450 11 49159 11 "
              "1721 13 21030 2804 413 7360 395 1753 3176 13 200007 200006 1428 200008 4827 382 220 17 659 "
              "220 17 30 200007 200006 "
              "173781");
    fixture("system", "{\"date\":\"2025-06-28\",\"messages\":[]}", 63, "9ec6e37c09d55abc");
    fixture("kitchensink", kitchensink, 364, "929477b9adb5ed22");
    fixture("browser", "{\"date\":\"2025-06-28\",\"builtin_tools\":[\"browser\"],\"messages\":[]}", 463,
            "8062fec0b0b9b1a9");
    fixture("browser, python",
            "{\"date\":\"2025-06-28\",\"builtin_tools\":[\"python\",\"browser\"],\"messages\":[]}", 597,
            "1b80627d0d577652");
    fixture("browser, functions",
            "{\"date\":\"2025-06-28\",\"builtin_tools\":[\"browser\"],\"messages\":[],\"tools\":[{\"type\":"
            "\"function\",\"function\":{"
            "\"name\":\"lookup_weather\",\"description\":\"Use this tool to lookup the weather in a given "
            "location. Call it with the "
            "parameter 'location', can be any textual description of a "
            "location.\",\"parameters\":{\"type\":\"object\",\"properties\":"
            "{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}}}]}",
            538, "510ccba29547f961");
}

/* ---- messages ---- */

static void message(const goss_harmony_ids *h, const goss_harmony_header *m, const char *content,
                    goss_buf *ids)
{
    CHECK(!goss_harmony_open_message(v, h, m, ids));
    CHECK(!goss_vocab_encode(v, content, strlen(content), 0, ids));
    CHECK(!goss_harmony_close_message(h, m, ids));
}

static void messages(void)
{
    goss_harmony_ids h;
    goss_buf ids = GOSS_BUF(1 << 20);
    CHECK(goss_harmony_find(v, &h));
    goss_harmony_header call = { .author = "assistant",
                                 .recipient = "functions.get_weather",
                                 .recipient_in_channel = 1,
                                 .channel = "commentary",
                                 .content_type = "<|constrain|>json" };
    message(&h, &call, "{\"location\":\"San Francisco\"}", &ids);
    CHECK(same_ids(&ids, "200006 173781 200005 12606 815 316 28 44580 775 170154 220 200003 4108 200008 "
                         "10848 7693 7534 28499 18826 "
                         "18583 200012"));
    goss_buf_clear(&ids);
    message(&h, &(goss_harmony_header){ .author = "user" }, "What is the weather in SF?", &ids);
    message(&h, &(goss_harmony_header){ .author = "assistant", .channel = "analysis" },
            "User asks: “What is the weather in SF?” We need to use lookup_weather tool.", &ids);
    call.recipient = "functions.lookup_weather";
    call.recipient_in_channel = 0;
    message(&h, &call, "{\"location\": \"San Francisco\"}", &ids);
    message(&h, &(goss_harmony_header){ .author = "functions.lookup_weather" },
            "{\"temperature\": 20, \"description\": \"sunny\"}", &ids);
    goss_buf_i32(&ids, h.start);
    goss_vocab_encode(v, "assistant", 9, 0, &ids);
    sum_is(&ids, "ongoing tool chain", 79, "3d4858c7fb630b70");
    goss_buf_free(&ids);
}

/* ---- completions ---- */

/* "channel>recipient(content_type): text" of every message, joined by " | ". */
static const char *parsed(const char *list)
{
    static char out[2048];
    goss_chat_parser *p;
    size_t k = 0;
    CHECK(!goss_chat_parser_open(&p, v, GOSS_CHAT_HARMONY));
    for (char *end; *list; list = end) {
        goss_chat_delta d;
        int n = goss_chat_parser_push(p, (int32_t)strtol(list, &end, 10), &d);
        for (; n > 0; n = goss_chat_parser_more(p, &d)) {
            if (d.new_message)
                k += (size_t)snprintf(out + k, sizeof out - k, "%s%s>%s(%s): ", k ? " | " : "", d.channel,
                                      d.recipient, d.content_type);
            k += (size_t)snprintf(out + k, sizeof out - k, "%.*s", (int)d.n, d.text);
        }
    }
    out[k] = 0;
    goss_chat_parser_close(&p);
    return out;
}

static void completions(void)
{
    CHECK_STR(parsed("200005 35644 200008 1844 31064 25 392 4827 382 220 17 659 220 17 16842 12295 81645 13 "
                     "51441 6052 13 200007 200006 "
                     "173781 200005 17196 200008 17 659 220 17 314 220 19 13 200002"),
              "analysis>(): User asks: \"What is 2 + 2?\" Simple arithmetic. Provide answer. | final>(): 2 + "
              "2 = 4.");
    CHECK_STR(parsed("316 28 29712 170154 200005 35644 3490 200008 10848 7693 1243 392 173844 18583 200012"),
              "analysis>lookup_weather(code): {\"location\": \"Tokyo\"}");
    CHECK_STR(parsed("200005 35644 316 28 29712 170154 3490 200008 10848 7693 1243 392 173844 18583 200012"),
              "analysis>lookup_weather(code): {\"location\": \"Tokyo\"}");
    CHECK_STR(parsed("200005 12606 815 316 28 44580 775 170154 220 200003 4108 200008 10848 7693 7534 28499 "
                     "18826 18583 200012"),
              "commentary>functions.get_weather(json): {\"location\":\"San Francisco\"}");
}

/* The guard's masks with 128 tools take less than 20 ms each, and let through the beginnings of names
 * alone. The best of three, since the machine may be busy. */
static void many_tools(void)
{
    static const char call[] = "<|channel|>commentary to=functions.";
    goss_chat_parser *p = NULL;
    goss_error err = { 0 };
    goss_chat_delta d;
    goss_buf tools = GOSS_BUF(1 << 16), ids = GOSS_BUF(1 << 16);
    uint32_t *mask = calloc((size_t)goss_vocab_size(v) / 32 + 1, sizeof *mask);
    goss_buf_str(&tools, "[");
    for (int i = 0; i < 128; i++)
        goss_buf_printf(&tools, "%s{\"name\":\"%c%c_tool_%d\"}", i ? "," : "", 'a' + i % 26,
                        'a' + i * 7 % 26, i);
    goss_buf_str(&tools, "]");
    CHECK(!goss_chat_parser_open(&p, v, GOSS_CHAT_HARMONY));
    CHECK(!goss_chat_parser_tools(p, goss_buf_cstr(&tools), 0, &err));
    CHECK(!goss_vocab_encode(v, call, sizeof call - 1, GOSS_TOKENIZE_SPECIAL, &ids));
    for (size_t i = 0; i <= ids.len / 4; i++) {
        double best = 1e9;
        for (int k = 0; k < 3; k++) {
            const clock_t from = clock();
            CHECK(goss_chat_parser_mask(p, mask));
            const double s = (double)(clock() - from) / CLOCKS_PER_SEC;
            best = s < best ? s : best;
        }
        CHECK(best < 0.020);
        if (i < ids.len / 4) goss_chat_parser_push(p, ((int32_t *)(void *)ids.data)[i], &d);
    }
    int n = 0;
    for (int32_t t = 0; t < goss_vocab_size(v); t++) {
        const goss_str s = goss_vocab_bytes(v, t, 0);
        if (!(mask[t / 32] >> (t & 31) & 1)) continue;
        int begins = 0;
        for (int i = 0; i < 128 && !begins; i++) {
            char name[32];
            snprintf(name, sizeof name, "%c%c_tool_%d", 'a' + i % 26, 'a' + i * 7 % 26, i);
            begins = s.n <= strlen(name) && !memcmp(s.s, name, (size_t)s.n);
        }
        CHECK(begins);
        n++;
    }
    CHECK(n > 40);
    goss_chat_parser_close(&p);
    goss_buf_free(&tools);
    goss_buf_free(&ids);
    free(mask);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: real_vocab VOCAB.gguf\n");
        return 2;
    }
    goss_chat_format format;
    v = open_vocab(argv[1], &format);
    CHECK_STR(goss_chat_format_name(format), "harmony");
    vectors();
    prompts();
    messages();
    completions();
    many_tools();
    goss_vocab_close(&v);
    return unit_done("real_vocab");
}
