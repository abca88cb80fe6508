/* fuzz_http.c - any bytes as HTTP requests: the same comes out however they are cut, and what passed passes
 * again. */
#include "fuzz.h"
#include "server/frame.h"
#include <stdlib.h>
#include <string.h>

typedef struct passed { char *bytes; size_t n; goss_srv_frame frame; } passed;

/* In pieces of `piece` bytes, each in a block of its own, so that a byte too far is seen. */
static passed feed(const char *in, size_t n, size_t piece)
{
    passed p = { .bytes = malloc(n + 2 * GOSS_SRV_FRAME_MORE) };
    FUZZ_CHECK(p.bytes != NULL);
    for (size_t at = 0; at < n; at += piece) {
        const size_t k = n - at < piece ? n - at : piece;
        char *out = malloc(k + GOSS_SRV_FRAME_MORE), *copy = malloc(k);
        FUZZ_CHECK(out && copy);
        memcpy(copy, in + at, k);
        const size_t got = goss_srv_frame_feed(&p.frame, copy, k, out);
        FUZZ_CHECK(got <= k + GOSS_SRV_FRAME_MORE && p.n + got <= n + 2 * GOSS_SRV_FRAME_MORE);
        memcpy(p.bytes + p.n, out, got);
        p.n += got;
        free(copy);
        free(out);
    }
    return p;
}

static int is_bad(const passed *p)
{
    return goss_srv_frame_phase(&p->frame) == GOSS_SRV_BROKEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const passed whole = feed((const char *)bytes, n, n + 1);
    for (size_t piece = 1; piece < 40; piece = piece * 3 + 1) {
        const passed cut = feed((const char *)bytes, n, piece);
        FUZZ_CHECK(cut.n == whole.n && !memcmp(cut.bytes, whole.bytes, cut.n));
        FUZZ_CHECK(is_bad(&cut) == is_bad(&whole) && cut.frame.requests == whole.frame.requests);
        free(cut.bytes);
    }
    const passed again = feed(whole.bytes, whole.n, whole.n + 1);
    FUZZ_CHECK(again.frame.requests >= whole.frame.requests);
    /* our mark is refused when a client sends it: whoever reads it knows that it is ours */
    FUZZ_CHECK(!is_bad(&whole) || is_bad(&again));
    if (!is_bad(&whole)) FUZZ_CHECK(again.n == whole.n && !memcmp(again.bytes, whole.bytes, again.n));
    free(again.bytes);
    free(whole.bytes);
    return 0;
}
