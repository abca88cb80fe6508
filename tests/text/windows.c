/* windows.c - long pieces are merged window by window (src/text/merge.c): the ids are those of merging the
 * piece in one go, for windows of every size, whatever the text.
 *   windows VOCAB.gguf ... */
#include "open_vocab.h"
#include "text/merge.c" /* its statics: windows of our own sizes */
#include <stdio.h>

static int passed, failed, larger;
static uint64_t state = 1;
static uint32_t draw(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

/* Texts with much to merge across every border: few letters, runs, tokens of the vocabulary in a row. */
static size_t text_of(const goss_vocab *v, int kind, uint8_t *s, size_t n)
{
    size_t k = 0;
    while (k < n) {
        if (kind == 0) s[k++] = (uint8_t)('a' + draw(3));
        else if (kind == 1)
            for (uint32_t c = draw(4), run = 1 + draw(40); run-- && k < n;) s[k++] = (uint8_t)" a=\n"[c];
        else if (kind == 2) s[k++] = (uint8_t)draw(256);
        else if (kind == 3) s[k++] = (uint8_t)"etaoin shrdlu"[draw(13)];
        else {
            const goss_str t = goss_vocab_raw(v, (int32_t)draw((uint32_t)v->n));
            if (!t.n || t.n > n - k) { s[k++] = ' '; continue; }
            memcpy(s + k, t.s, (size_t)t.n);
            k += (size_t)t.n;
        }
    }
    return n;
}

static void one(const goss_vocab *v, const uint8_t *s, size_t n, size_t window)
{
    goss_buf whole = GOSS_BUF((size_t)1 << 24), cut = GOSS_BUF((size_t)1 << 24);
    merger m = { .v = v };
    void *room = take_room(&m, n);
    const int all = room && merge_windows(&m, s, n, n, &whole);
    const int done = room && merge_windows(&m, s, n, window, &cut);
    goss_mem_free(room);
    if (all && !done) larger++;
    else if (all && cut.len == whole.len && !memcmp(cut.data, whole.data, cut.len)) passed++;
    else {
        printf("windows of %d bytes, %d bytes of text: other ids\n", (int)window, (int)n);
        failed++;
    }
    goss_buf_free(&whole);
    goss_buf_free(&cut);
}

/* The whole way, and that it says as much of a run as of one window of it: it is made of equal windows. */
static void by_goss_merge(const goss_vocab *v, const uint8_t *s, size_t n)
{
    goss_buf whole = GOSS_BUF((size_t)1 << 24), cut = GOSS_BUF((size_t)1 << 24);
    merger m = { .v = v };
    void *room = take_room(&m, n);
    const int ok = room && merge_windows(&m, s, n, n, &whole) && !goss_merge(v, s, n, &cut) &&
                   cut.len == whole.len && !memcmp(cut.data, whole.data, cut.len);
    goss_mem_free(room);
    *(ok ? &passed : &failed) += 1;
    goss_buf_free(&whole);
    goss_buf_free(&cut);
}

int main(int argc, char **argv)
{
    static const size_t windows[] = { 24, 60, 150, 400, 1000, 3000 };
    static uint8_t s[40000];
    for (int f = 1; f < argc; f++) {
        goss_vocab *v = open_vocab(argv[f], NULL);
        for (int round = 0; round < 20; round++)
            for (int kind = 0; kind < 5; kind++) {
                const size_t n = text_of(v, kind, s, 3000 + draw(2000));
                for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) one(v, s, n, windows[w]);
            }
        for (int kind = 0; kind < 5; kind++) by_goss_merge(v, s, text_of(v, kind, s, sizeof s));
        for (int c = 0; c < 256; c += 5) {
            memset(s, c, sizeof s);
            by_goss_merge(v, s, sizeof s);
        }
        goss_vocab_close(&v);
    }
    printf("%d texts wanted larger windows\n", larger);
    printf("windows: %d passed, %d failed\n", passed, failed);
    return failed != 0 || passed < 1000;
}
