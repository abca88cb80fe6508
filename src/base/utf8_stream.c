/* utf8_stream.c - see utf8_stream.h. */
#include "utf8_stream.h"
#include "utf8.h"
#include <string.h>

/* Writes what is whole of s[0..n); returns how many bytes stay behind as an incomplete tail. */
static size_t push_whole(const uint8_t *s, size_t n, int flush, goss_buf *out)
{
    size_t done = 0, i = 0;
    while (i < n) {
        uint32_t cp;
        const int k = goss_utf8_decode(s + i, n - i, &cp);
        if (k > 0) {
            i += (size_t)k;
            continue;
        }
        if (k == 0 && !flush)
            break;
        goss_buf_append(out, s + done, i - done);
        goss_buf_append(out, "\xEF\xBF\xBD", 3);
        i += k < 0 ? (size_t)-k : n - i;
        done = i;
    }
    if (i > done) goss_buf_append(out, s + done, i - done);
    return n - i;
}

int goss_utf8_push(goss_utf8_stream *u, const uint8_t *bytes, size_t n, int flush, goss_buf *out)
{
    while (u->n_tail > 0 && (n > 0 || flush)) { /* finish the character that waits, a byte at a time */
        uint8_t joined[4];
        size_t n_joined = (size_t)u->n_tail;
        memcpy(joined, u->tail, n_joined);
        if (n > 0) {
            joined[n_joined++] = *bytes++;
            n--;
        }
        const size_t left = push_whole(joined, n_joined, flush && n == 0, out);
        memcpy(u->tail, joined + n_joined - left, left);
        u->n_tail = (int)left;
    }
    const size_t left = push_whole(bytes, n, flush, out);
    if (left > 0)
        memcpy(u->tail, bytes + n - left, left);
    if (n > 0)
        u->n_tail = (int)left;
    return out->failed;
}
