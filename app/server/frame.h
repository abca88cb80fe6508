/* frame.h - HTTP/1.1 requests as bytes, judged one by one (RFC 9112), before the library reads them.
 *
 * libmicrohttpd takes what a proxy before it may have read otherwise: folded lines, two lengths, bare line
 * feeds. Whoever sends such bytes can hide a request in another's body. Here they end the connection. What
 * passes is given on as it came, but for chunked bodies, which are framed anew: without extensions and
 * trailers.
 *
 *   head:  start -> method -> target -> version -> name -> value -> name ... -> start, body or chunks
 *   body:  length bytes, then start
 *   chunks: size -> extension -> data -> size ... -> trailers -> start
 *
 * After the first byte that is wrong comes an end that the library takes, with a field that no client can
 * send: GOSS_SRV_BAD is no token. Its value is a status and a sentence. Nothing of the connection is read
 * after that. */
#ifndef GOSS_SERVER_FRAME_H
#define GOSS_SERVER_FRAME_H
#include <stddef.h>
#include <stdint.h>

#define GOSS_SRV_BAD "(bad)"
enum { GOSS_SRV_FRAME_MORE = 256 }; /* how much a piece may grow */

typedef enum goss_srv_phase {
    GOSS_SRV_BETWEEN,
    GOSS_SRV_HEAD,
    GOSS_SRV_BODY,
    GOSS_SRV_BROKEN
} goss_srv_phase;
typedef struct goss_srv_frame {
    int state, old, chunked, blanks, hosts, lengths, codings; /* old: HTTP/1.0 */
    uint64_t left;              /* bytes of the body, or of the chunk */
    uint32_t requests;          /* whose head was whole */
    uint32_t extra;             /* bytes of chunk extensions and trailers */
    uint32_t n_name, n_value;   /* as they came; the first of them are kept: */
    char name[24], value[24];
    char *out;                  /* of goss_srv_frame_feed, while it runs */
    size_t n_out;
} goss_srv_frame;

/* All zero is a frame at its start. Reads n bytes; what the library shall see goes to `out`, which has room
 * for n + GOSS_SRV_FRAME_MORE. Returns its length. */
size_t goss_srv_frame_feed(goss_srv_frame *f, const char *in, size_t n, char *out);
/* Ends what is under way with a status and a sentence; the same room. Nothing of a body that has a length. */
size_t goss_srv_frame_end(goss_srv_frame *f, const char *why, char *out);
goss_srv_phase goss_srv_frame_phase(const goss_srv_frame *f);
/* Bytes that surely follow as they are, so that the caller needn't ask for each. */
uint64_t goss_srv_frame_plain(const goss_srv_frame *f);
void goss_srv_frame_skip(goss_srv_frame *f, size_t n); /* n of them have passed */
#endif
