/* download.h - a whole file over HTTP, gone on with where it was cut. */
#ifndef GOSS_NET_DOWNLOAD_H
#define GOSS_NET_DOWNLOAD_H
#include <gossamer.h>

/* path gets the finished file; until then its bytes are in path.part, and what they are of in path.part.json.
 * expect: SHA-256 in hex, or NULL. on_progress may be NULL. sha gets the file's SHA-256. */
typedef struct goss_download {
    const char *url, *path, *expect;
    /* begun: 1 when bytes begin to come, 2 when what was there before begins to be hashed, else 0 */
    void (*on_progress)(void *ctx, uint64_t done, uint64_t total, int begun);
    void *ctx;
    char sha[65];
    uint64_t size, resumed;     /* out: bytes of the file, and how many were there already */
} goss_download;
int goss_download_run(goss_download *d, goss_error *err);
#endif
