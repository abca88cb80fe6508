/* thought_key.c - see thought_key.h. A part of what is hashed is its length and its bytes, so that no two
 * conversations are the same bytes. */
#include "thought_key.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "format/json.h"
#include <string.h>

enum { MOST = 1 << 20 };   /* bytes: a few ms */

static size_t bytes_of(const goss_message *m)
{
    size_t n = m->name.n;
    for (int i = 0; i < m->n_parts; i++) n += m->parts[i].n;
    for (int i = 0; i < m->n_calls; i++) n += m->calls[i].name.n + m->calls[i].arguments.n;
    return n;
}

static void add(goss_sha256 *h, goss_str s)
{
    const uint64_t n = s.n;
    goss_sha256_update(h, &n, sizeof n);
    if (n) goss_sha256_update(h, s.s, s.n);
}

static void add_call(goss_sha256 *h, const goss_tool_call *call)
{
    goss_json j = { 0 };
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    add(h, call->name);
    if (call->arguments.n && !goss_json_parse(&j, call->arguments.s, call->arguments.n, NULL, NULL) &&
        !goss_json_write(&j, 0, &b))
        add(h, (goss_str){ (const char *)b.data, b.len });
    else add(h, call->arguments);
    goss_buf_free(&b);
    goss_json_free(&j);
}

void goss_srv_thought_key(const goss_message *messages, int n, const goss_tool_call *call,
                          char to[GOSS_SRV_THOUGHT_KEY])
{
    goss_sha256 h;
    uint8_t digest[32];
    size_t bytes = call->arguments.n;
    to[0] = 0;
    for (int i = 0; i < n && bytes <= MOST; i++) bytes += bytes_of(&messages[i]);
    if (bytes > MOST) return;
    goss_sha256_init(&h);
    for (int i = 0; i < n; i++) {
        const goss_message *m = &messages[i];
        goss_sha256_update(&h, &m->role, sizeof m->role);
        add(&h, m->name);
        for (int k = 0; k < m->n_parts; k++) add(&h, m->parts[k]);
        for (int k = 0; k < m->n_calls; k++) add_call(&h, &m->calls[k]);
    }
    add_call(&h, call);
    goss_sha256_final(&h, digest);
    memcpy(to, "said_", 5);
    goss_sha256_hex(digest, to + 5);
}
