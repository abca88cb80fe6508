/* fuzz_encode.c - any bytes as text for vocabularies of each kind, and as a vocabulary (a GGUF's header).
 * Text comes back from its ids, and so does a long run of it, which is merged in windows. A vocabulary that
 * loads can encode and decode. Run it in the project's root. */
#include "base/mem.h"
#include "tests/text/open_vocab.h"
#include "text/vocab_impl.h"
#include "fuzz.h"
#include <string.h>

static goss_vocab *bpe, *spm;

static void there_and_back(const goss_vocab *v, const uint8_t *bytes, size_t n, int exact)
{
    goss_buf ids = GOSS_BUF((size_t)1 << 26), out = GOSS_BUF((size_t)1 << 26);
    FUZZ_CHECK(!goss_vocab_encode(v, (const char *)bytes, n, 0, &ids));
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    for (size_t i = 0; i < ids.len / 4; i++) FUZZ_CHECK(id[i] >= 0 && id[i] < goss_vocab_size(v));
    FUZZ_CHECK(!goss_vocab_decode(v, id, ids.len / 4, 0, 1, &out));
    FUZZ_CHECK(!exact || (out.len == n && (n == 0 || !memcmp(out.data, bytes, n))));
    goss_buf_free(&ids);
    goss_buf_free(&out);
}

/* The input over and over, as one piece that is long enough for windows: what comes out is the text. */
static void long_run(const goss_vocab *v, const uint8_t *bytes, size_t n)
{
    enum { LONG = 20000 };
    static uint8_t text[LONG];
    goss_buf ids = GOSS_BUF((size_t)1 << 26), out = GOSS_BUF((size_t)1 << 26);
    if (!n || bytes[0] % 8) return;             /* one in eight: it takes long */
    for (size_t i = 0; i < LONG; i++) text[i] = bytes[i % n];
    FUZZ_CHECK(!goss_merge(v, text, LONG, &ids));
    FUZZ_CHECK(!goss_vocab_decode(v, (const int32_t *)(const void *)ids.data, ids.len / 4, 0, 1, &out));
    FUZZ_CHECK(out.len == LONG && !memcmp(out.data, text, LONG));
    goss_buf_free(&ids);
    goss_buf_free(&out);
}

static void as_vocabulary(const uint8_t *bytes, size_t n)
{
    goss_gguf g;
    goss_error err = { 0 };
    goss_vocab *v = NULL;
    uint64_t want;
    if (!goss_gguf_parse(&g, bytes, n, n, &want, &err)) {
        const int rc = goss_vocab_open(&v, &g, &err);
        FUZZ_CHECK(rc == 0 || (err.code == rc && err.text[0]));
        if (!rc) there_and_back(v, bytes, n < 300 ? n : 300, 0);
        goss_vocab_close(&v);
    }
    goss_gguf_free(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!bpe) {
        bpe = open_vocab("models/demo-gptoss-draft.gguf", NULL);
        spm = open_vocab("models/demo-llama-f16.gguf", NULL);
    }
    const uint64_t live = goss_mem_get_stats().n_live;
    there_and_back(bpe, bytes, n, 1);
    there_and_back(spm, bytes, n, 0);
    long_run(bpe, bytes, n);
    as_vocabulary(bytes, n);
    FUZZ_CHECK(goss_mem_get_stats().n_live == live);
    return 0;
}
