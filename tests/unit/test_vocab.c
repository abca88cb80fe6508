/* test_vocab.c - the demo models' vocabularies against their goldens, pre-tokenizers, SPM, special tokens,
 * decoding. */
#include "tests/text/open_vocab.h"
#include "base/mem.h"
#include "format/gguf_write.h"
#include "text/pretok.h"
#include "text/unicode.h"
#include "unit.h"

static char *read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *b = NULL;
    *n = 0;
    if (f && !fseek(f, 0, SEEK_END) && (*n = (size_t)ftell(f)) && !fseek(f, 0, SEEK_SET) &&
        (b = malloc(*n + 1)))
        b[fread(b, 1, *n, f)] = 0;
    if (f) fclose(f);
    return b;
}

static int ids_equal(const goss_json *j, int array, const goss_buf *ids)
{
    const int32_t *id = (const int32_t *)(const void *)ids->data;
    size_t n = 0;
    for (int k = goss_json_first(j, array); k >= 0; k = goss_json_next(j, k), n++)
        if (n >= ids->len / 4 || id[n] != (int32_t)goss_json_number(j, k, -1)) return 0;
    return n == ids->len / 4;
}

/* Every prompt's ids from its text, and every greedy text from its ids. */
static void golden(const char *model, const char *path, int chat)
{
    goss_vocab *v = open_vocab(model, NULL);
    size_t n = 0;
    char *text = read_file(path, &n);
    goss_json j = { 0 };
    goss_error err = { 0 };
    CHECK(text && !goss_json_parse(&j, text, n, NULL, &err));
    for (int k = goss_json_first(&j, 0); k >= 0; k = goss_json_next(&j, k)) {
        goss_buf prompt = GOSS_BUF(1 << 20), ids = GOSS_BUF(1 << 20), out = GOSS_BUF(1 << 20);
        goss_json_string(&j, goss_json_get(&j, k, "prompt"), &prompt);
        if (!chat) {
            CHECK(!goss_vocab_encode(v, goss_buf_cstr(&prompt), prompt.len,
                                     GOSS_TOKENIZE_SPECIAL | GOSS_TOKENIZE_BOS, &ids));
            CHECK(ids_equal(&j, goss_json_get(&j, k, "ids"), &ids));
            CHECK(!goss_vocab_decode(v, (int32_t *)(void *)ids.data, ids.len / 4, 1, 1, &out));
            const char *got = goss_buf_cstr(&out);
            CHECK_STR(strncmp(got, "<s>", 3) ? got : got + 3, goss_buf_cstr(&prompt));
        }
        goss_buf_clear(&out);
        goss_buf_clear(&ids);
        goss_buf_clear(&prompt);
        const int greedy = goss_json_get(&j, k, "greedy");
        for (int i = goss_json_first(&j, greedy); i >= 0; i = goss_json_next(&j, i))
            goss_buf_i32(&ids, (int32_t)goss_json_number(&j, i, 0));
        goss_json_string(&j, goss_json_get(&j, k, "greedy_text"), &prompt);
        const int specials = strstr(goss_buf_cstr(&prompt), "<|") != NULL;
        CHECK(!goss_vocab_decode(v, (int32_t *)(void *)ids.data, ids.len / 4, specials, 1, &out));
        CHECK_STR(goss_buf_cstr(&out), goss_buf_cstr(&prompt));
        goss_buf_free(&prompt);
        goss_buf_free(&ids);
        goss_buf_free(&out);
    }
    goss_json_free(&j);
    free(text);
    goss_vocab_close(&v);
}

/* The pieces of text, joined by "|". */
static const char *pieces(goss_pretok kind, const char *s)
{
    static char out[512];
    size_t n = strlen(s), k = 0;
    for (size_t p = 0; p < n;) {
        const size_t e = goss_pretok_next(kind, (const uint8_t *)s, n, p);
        if (e <= p || e > n) return "no progress";
        if (p) out[k++] = '|';
        memcpy(out + k, s + p, e - p);
        k += e - p;
        p = e;
    }
    out[k] = 0;
    return out;
}

static void pretokenizers(void)
{
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "I'm WE'RE  don't\n x"), "I'm| WE'RE| | don't|\n| x");
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "camelCaseHTTPServer 12345"), "camel|Case|HTTPServer| |123|45");
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "foo/bar\n//x ..\r\n/y"), "foo|/bar|\n|//|x| ..\r\n/|y");
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "a\xCC\x81"
                                        "bc"),
              "a\xCC\x81"
              "bc"); /* a combining mark stays in its word */
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "\xC2\xAA"
                                        "AA"),
              "\xC2\xAA|AA"); /* Lo, then capitals without a small one */
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "x'\xC5\xBF."), "x'\xC5\xBF|."); /* U+017F folds to s */
    CHECK_STR(pieces(GOSS_PRETOK_O200K, "\xFF\xFE"
                                        "ab \x80"),
              "\xFF\xFE|ab| \x80"); /* bytes that are no characters */
    CHECK_STR(pieces(GOSS_PRETOK_LLAMA3, "I'm WE'RE  don't\n x"), "I|'m| WE|'RE| | don|'t|\n| x");
    CHECK_STR(pieces(GOSS_PRETOK_LLAMA3, "foo/bar 12345 (x)!\n\ny"), "foo|/bar| |123|45| (|x|)!\n\n|y");
    CHECK_STR(pieces(GOSS_PRETOK_QWEN2, "a 123"), "a| |1|2|3");
    CHECK_STR(pieces(GOSS_PRETOK_GPT2, "I'm WE'RE  don't 12345\n\nx"),
              "I|'m| WE|'|RE| | don|'t| 12345|\n|\n|x");
    CHECK_INT(goss_unicode_class('A'), GOSS_CLASS_UPPER | GOSS_CLASS_LETTER);
    CHECK_INT(goss_unicode_class(0x301), GOSS_CLASS_UPPER | GOSS_CLASS_LOWER);
    CHECK_INT(goss_unicode_class(0x10FFFF), 0);
    CHECK_INT(goss_unicode_class(0x3000), GOSS_CLASS_SPACE);
    CHECK_INT(goss_unicode_class(0x2167), GOSS_CLASS_NUMBER);
}

/* ---- a small SPM vocabulary made by hand ---- */

#define SP "\xE2\x96\x81"
static const struct {
    const char *s;
    float score;
    int type;
} spm[] = {
    { "<unk>", 0, 2 },  { "<s>", 0, 3 },        { "</s>", 0, 3 },  { "<0x0A>", 0, 6 },
    { "<0xC3>", 0, 6 }, { "<0xA9>", 0, 6 },                                        /* 0-5 */
    { SP, -5, 1 },      { "a", -1, 1 },         { "b", -1, 1 },    { "c", -1, 1 }, /* 6-9 */
    { "ab", -3, 1 },    { "bc", -2, 1 },        { SP "a", -4, 1 }, { "abc", -9, 1 },
    { SP SP, -4, 1 },   { "aa", -3, 1 },        /* 10-15 */
    { "<tool>", 0, 4 }, { "<|secret|>", 0, 4 }, /* 16-17 */
};
enum { N_SPM = sizeof spm / sizeof *spm };

static goss_vocab *open_spm(goss_buf *file, int scores)
{
    goss_gguf_writer w;
    goss_str names[N_SPM];
    int32_t types[N_SPM];
    float score[N_SPM];
    for (int i = 0; i < N_SPM; i++) {
        names[i] = (goss_str){ spm[i].s, strlen(spm[i].s) };
        types[i] = spm[i].type;
        score[i] = spm[i].score;
    }
    goss_gguf_writer_init(&w);
    goss_gguf_put_str(&w, "tokenizer.ggml.model", "llama", 5);
    goss_gguf_put_strs(&w, "tokenizer.ggml.tokens", names, N_SPM);
    goss_gguf_put_i32s(&w, "tokenizer.ggml.token_type", types, N_SPM);
    if (scores) goss_gguf_put_f32s(&w, "tokenizer.ggml.scores", score, N_SPM);
    goss_gguf g = { 0 };
    goss_error err = { 0 };
    goss_vocab *v = NULL;
    uint64_t want = 0;
    CHECK(!goss_gguf_writer_finish(&w, file));
    CHECK(!goss_gguf_parse(&g, file->data, file->len, file->len, &want, &err));
    const int r = goss_vocab_open(&v, &g, &err);
    CHECK(scores ? !r : r == GOSS_EFORMAT && strstr(err.text, "scores") != NULL && !v);
    goss_gguf_free(&g);
    return v;
}

static void encodes(const goss_vocab *v, const char *text, unsigned flags, int n, const int32_t *want)
{
    goss_buf ids = GOSS_BUF(1 << 20);
    CHECK(!goss_vocab_encode(v, text, strlen(text), flags, &ids));
    CHECK_INT(ids.len / 4, n);
    CHECK(ids.len / 4 == (size_t)n && !memcmp(ids.data ? ids.data : (const void *)"", want, ids.len));
    goss_buf_free(&ids);
}
#define IDS(...)                                                                                             \
    (int)(sizeof((int32_t[]){ __VA_ARGS__ }) / 4), (const int32_t[]) { __VA_ARGS__ }

static void hand_made_spm(void)
{
    goss_buf file = GOSS_BUF(1 << 20), out = GOSS_BUF(1 << 20);
    goss_vocab *v = open_spm(&file, 1);
    encodes(v, "", GOSS_TOKENIZE_BOS, IDS(1));
    encodes(v, "abc", GOSS_TOKENIZE_BOS,
            IDS(1, 12, 11));             /* bc (-2), then the space and a (-4) before a and bc (-9) */
    encodes(v, "aaa", 0, IDS(6, 15, 7)); /* aa (-3) before the space's pair (-4), the left one of two */
    encodes(v, "a", 0, IDS(12));
    encodes(v, " a", 0, IDS(14, 7));              /* a space prefix and a space: the left pair of equals */
    encodes(v, "a " SP "b", 0, IDS(12, 14, 8));   /* U+2581 in the text is a space */
    encodes(v, "a" SP " b", 0, IDS(12, 14, 8));   /* in any order */
    encodes(v, "a" SP "   b", 0, IDS(12, 14, 14, 8));
    encodes(v, "\xC3\xA9\n", 0, IDS(6, 4, 5, 3)); /* characters that are no tokens: their bytes */
    encodes(v, "z", 0, IDS(6, 0));                /* a byte that is no token either: unknown */
    encodes(v, "a<tool>a", 0,
            IDS(12, 16, 12)); /* user-defined tokens are part of text; a prefix behind them */
    encodes(v, "</s>", GOSS_TOKENIZE_SPECIAL, IDS(2));
    encodes(v, "a</s>b", GOSS_TOKENIZE_SPECIAL, IDS(12, 2, 6, 8));
    goss_buf ids = GOSS_BUF(1 << 20);
    CHECK(!goss_vocab_encode(v, "</s><|secret|>", 14, 0, &ids)); /* neither may be typed */
    for (size_t i = 0; i < ids.len / 4; i++)
        CHECK(((int32_t *)(void *)ids.data)[i] != 2 && ((int32_t *)(void *)ids.data)[i] != 17);
    goss_buf_free(&ids);
    CHECK(!goss_vocab_decode(v, (const int32_t[]){ 1, 12, 13, 3, 4, 5, 14, 2, 0 }, 9, 0, 1, &out));
    CHECK_STR(goss_buf_cstr(&out), "aabc\n\xC3\xA9  ");
    goss_buf_clear(&out);
    CHECK(!goss_vocab_decode(v, (const int32_t[]){ 12, 2, -1, 99, 12 }, 5, 1, 0, &out));
    CHECK_STR(goss_buf_cstr(&out), " a</s> a");
    CHECK_INT(goss_vocab_is_stop(v, 2), 1);
    CHECK_INT(goss_vocab_is_stop(v, 1), 0);
    goss_vocab_close(&v);
    goss_buf_clear(&file);
    v = open_spm(&file, 0);
    goss_vocab_close(&v);
    goss_buf_free(&file);
    goss_buf_free(&out);
}

/* A megabyte of one letter, of spaces, of two letters in turn: seconds would mean quadratic time. */
static void long_pieces(const char *model)
{
    goss_vocab *v = open_vocab(model, NULL);
    const size_t n = 1000000;
    char *text = malloc(n);
    goss_buf ids = GOSS_BUF((size_t)1 << 26), out = GOSS_BUF((size_t)1 << 26);
    for (int kind = 0; text && kind < 3; kind++) {
        for (size_t i = 0; i < n; i++) text[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : "ab"[i & 1];
        goss_buf_clear(&ids);
        goss_buf_clear(&out);
        const double t0 = goss_os_now_ms();
        CHECK(!goss_vocab_encode(v, text, n, 0, &ids));
        CHECK(goss_os_now_ms() - t0 < 10000);
        CHECK(!goss_vocab_decode(v, (int32_t *)(void *)ids.data, ids.len / 4, 0, 1, &out));
        CHECK(out.len == n && !memcmp(out.data, text, n));
    }
    free(text);
    goss_buf_free(&ids);
    goss_buf_free(&out);
    goss_vocab_close(&v);
}

static void demo(void)
{
    goss_vocab *v = open_vocab("models/demo-gptoss.gguf", NULL);
    CHECK_INT(goss_vocab_size(v), 4096);
    const int32_t end = goss_vocab_find(v, "<|end|>"), ret = goss_vocab_find(v, "<|return|>"),
                  call = goss_vocab_find(v, "<|call|>");
    CHECK(end >= 0 && ret >= 0 && call >= 0);
    CHECK_INT(goss_vocab_find(v, "<|nothing|>"), -1);
    CHECK(goss_vocab_is_stop(v, ret) && goss_vocab_is_stop(v, call) &&
          goss_vocab_is_stop(v, goss_vocab_find(v, "<|endoftext|>")));
    CHECK(!goss_vocab_is_stop(v, end));
    CHECK_INT(goss_vocab_kind(v, end), GOSS_TOKEN_CONTROL);
    CHECK_INT(goss_vocab_bytes(v, end, 0).n, 0);
    CHECK_INT(goss_vocab_bytes(v, end, 1).n, 7);
    goss_buf ids = GOSS_BUF(1 << 20), out = GOSS_BUF(1 << 20);
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i; /* any bytes come back, valid UTF-8 or not */
    CHECK(!goss_vocab_encode(v, all, 256, 0, &ids));
    CHECK(!goss_vocab_decode(v, (int32_t *)(void *)ids.data, ids.len / 4, 0, 1, &out));
    CHECK(out.len == 256 && !memcmp(out.data, all, 256));
    goss_buf_clear(&ids);
    CHECK(!goss_vocab_encode(v, "a<|end|>", 8, 0, &ids));
    CHECK(ids.len / 4 > 3);
    goss_buf_clear(&ids);
    CHECK(!goss_vocab_encode(v, "a<|end|>", 8, GOSS_TOKENIZE_SPECIAL, &ids));
    CHECK_INT(ids.len / 4, 2);
    goss_buf tiny = GOSS_BUF(8);
    CHECK(goss_vocab_encode(v, all, 256, 0, &tiny) < 0);
    goss_buf_free(&tiny);
    goss_buf_free(&ids);
    goss_buf_free(&out);
    goss_vocab_close(&v);
    goss_vocab_close(&v);
}

int main(void)
{
    golden("models/demo-gptoss.gguf", "tests/golden/demo-gptoss.golden.json", 0);
    golden("models/demo-gptoss-draft.gguf", "tests/golden/demo-gptoss-draft.golden.json", 0);
    golden("models/demo-llama-f16.gguf", "tests/golden/demo-llama-f16.golden.json", 0);
    golden("models/demo-llama-f16.gguf", "tests/golden/demo-llama-f16.chat.golden.json", 1);
    pretokenizers();
    hand_made_spm();
    demo();
    long_pieces("models/demo-gptoss.gguf");
    long_pieces("models/demo-llama-f16.gguf");
    CHECK_INT(goss_mem_get_stats().n_live, 0);
    return unit_done("test_vocab");
}
