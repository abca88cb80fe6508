/* fuzz_chat.c - any bytes as text, as a conversation and as generated tokens, with the demo models'
 * vocabularies (run it in the project's root). Text comes back from its ids, a conversation renders or is
 * refused with a reason, the parser counts every byte of normal tokens once and gives out whole characters.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/chat.h"
#include "text/harmony.h"
#include "tests/text/open_vocab.h"
#include "fuzz.h"
#include <string.h>

static goss_vocab *harmony, *llama;
static goss_chat_format llama_format;

static void as_text(const goss_vocab *v, const uint8_t *bytes, size_t n, int exact)
{
    goss_buf ids = GOSS_BUF((size_t)1 << 26), out = GOSS_BUF((size_t)1 << 26);
    FUZZ_CHECK(!goss_vocab_encode(v, (const char *)bytes, n, 0, &ids));
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    for (size_t i = 0; i < ids.len / 4; i++) FUZZ_CHECK(goss_vocab_kind(v, id[i]) != GOSS_TOKEN_CONTROL);
    FUZZ_CHECK(!goss_vocab_decode(v, id, ids.len / 4, 0, 1, &out));
    FUZZ_CHECK(!exact || (out.len == n && (n == 0 || !memcmp(out.data, bytes, n))));
    goss_buf_clear(&ids);
    FUZZ_CHECK(
        !goss_vocab_encode(v, (const char *)bytes, n, GOSS_TOKENIZE_SPECIAL | GOSS_TOKENIZE_BOS, &ids));
    goss_buf_free(&ids);
    goss_buf_free(&out);
}

static void as_conversation(const goss_vocab *v, goss_chat_format f, const uint8_t *bytes, size_t n)
{
    goss_json j;
    goss_error e = { 0 };
    goss_buf ids = GOSS_BUF((size_t)1 << 26);
    if (!goss_json_parse(&j, (const char *)bytes, n, NULL, &e)) {
        memset(&e, 0, sizeof e);
        const int r = goss_chat_encode_json(v, f, (const char *)bytes, n, &ids, NULL, &e);
        FUZZ_CHECK(r == 0 || r == GOSS_EINVAL || r == GOSS_EUNSUPPORTED);
        FUZZ_CHECK(r == 0 || (e.code == r && e.text[0] && e.position < (int64_t)n));
        FUZZ_CHECK(r != 0 || ids.len > 0 || f != GOSS_CHAT_HARMONY);
    }
    goss_json_free(&j);
    goss_buf_free(&ids);
}

static uint64_t text_bytes;

static void read_delta(const goss_chat_delta *d, int *open)
{
    FUZZ_CHECK(goss_utf8_valid((const uint8_t *)d->text, d->n));
    FUZZ_CHECK(d->in_header ? !d->n && !d->new_message && !d->ended : d->channel[0] != 0);
    if (d->new_message) *open = 1;
    FUZZ_CHECK(d->in_header || *open);
    if (d->ended) *open = 0;
}

/* A byte below 16: a control token; else with the next byte a token of the vocabulary. */
static void as_tokens(const goss_vocab *v, goss_chat_format f, const uint8_t *bytes, size_t n)
{
    static const char *const controls[] = { "<|channel|>", "<|message|>", "<|start|>",     "<|end|>",
                                            "<|call|>",    "<|return|>",  "<|constrain|>", "<|endoftext|>" };
    static uint32_t mask[4096 / 32];
    goss_chat_parser *p;
    goss_chat_delta d;
    int open = 0;
    text_bytes = 0;
    FUZZ_CHECK(!goss_chat_parser_open(&p, v, f));
    const char *tools = n & 1 ? "[{\"name\":\"a\"},{\"name\":\"ab\"}]" : NULL;
    FUZZ_CHECK(!goss_chat_parser_tools(p, tools, (int)(n >> 1 & 3), NULL));
    goss_chat_parser_preambles(p, n >> 3 & 1);
    const uint64_t allocs = goss_mem_get_stats().n_allocs;
    for (size_t i = 0; i < n; i++) {
        int32_t id = bytes[i] < 16 ? goss_vocab_find(v, controls[bytes[i] & 7]) : -1;
        if (bytes[i] >= 16 && i + 1 < n) {
            id = (bytes[i] - 16) * 256 + bytes[i + 1];
            i++;
        }
        FUZZ_CHECK(i % 7 || goss_chat_parser_mask(p, mask) >= 0);
        text_bytes += goss_vocab_bytes(v, id, 0).n;
        for (int k = goss_chat_parser_push(p, id, &d); k > 0; k = goss_chat_parser_more(p, &d))
            read_delta(&d, &open);
    }
    for (int k = goss_chat_parser_finish(p, &d); k > 0; k = goss_chat_parser_more(p, &d))
        read_delta(&d, &open);
    FUZZ_CHECK(goss_mem_get_stats().n_allocs == allocs);
    uint64_t header, content = goss_chat_parser_counted(p, &header);
    FUZZ_CHECK(f != GOSS_CHAT_HARMONY || header + content == text_bytes);
    goss_chat_parser_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!harmony) {
        harmony = open_vocab("models/demo-gptoss.gguf", NULL);
        llama = open_vocab("models/demo-llama-f16.gguf", &llama_format);
    }
    const uint64_t live = goss_mem_get_stats().n_live;
    as_text(harmony, bytes, n, 1);
    as_text(llama, bytes, n, 0);
    as_conversation(harmony, GOSS_CHAT_HARMONY, bytes, n);
    for (int f = GOSS_CHAT_RAW; f <= GOSS_CHAT_CHATML; f++)
        if (f != GOSS_CHAT_HARMONY) as_conversation(llama, (goss_chat_format)f, bytes, n);
    as_tokens(harmony, GOSS_CHAT_HARMONY, bytes, n);
    as_tokens(llama, llama_format, bytes, n);
    FUZZ_CHECK(goss_mem_get_stats().n_live == live);
    return 0;
}
