/* harmony_turn.c - finds messages in tokens. A message begins at <|start|> and ends before the next. */
#include "harmony_turn.h"
#include <string.h>

static int is_analysis(const goss_vocab *v, const goss_harmony_ids *h, const int32_t *ids, int n)
{
    static const char name[] = "analysis";
    enum { LEAST = 3 };                    /* bytes of it that tell it from other channels */
    for (int i = 0; i + 1 < n; i++) {
        if (ids[i] == h->message) return 0;
        if (ids[i] != h->channel) continue;
        const goss_str t = goss_vocab_bytes(v, ids[i + 1], 0);
        const size_t most = sizeof name - 1;
        return t.n >= LEAST && !memcmp(t.s, name, t.n < most ? (size_t)t.n : most);
    }
    return 0;
}

int goss_harmony_canonical(const goss_vocab *v, const goss_harmony_ids *h, const int32_t *ids, int n,
                           int32_t *out)
{
    int n_out = 0;
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && ids[to] != h->start; to++) { }
        if (is_analysis(v, h, ids + from, to - from)) continue;
        memcpy(out + n_out, ids + from, (size_t)(to - from) * sizeof *ids);
        n_out += to - from;
    }
    if (n_out && out[n_out - 1] == h->ret) out[n_out - 1] = h->end;
    return n_out;
}

int goss_harmony_instructions_end(const goss_vocab *v, const goss_harmony_ids *h, const int32_t *ids, int n)
{
    for (int i = 1; i + 1 < n; i++) {
        if (ids[i] != h->start) continue;
        const goss_str role = goss_vocab_bytes(v, ids[i + 1], 0);
        if (role.n == 4 && !memcmp(role.s, "user", 4)) return i;
    }
    return -1;
}

int goss_harmony_next(const goss_vocab *v, const goss_harmony_ids *h, goss_buf *ids)
{
    static const char role[] = "assistant";
    const size_t n = ids->len / sizeof(int32_t);
    const int32_t *all = (const int32_t *)(const void *)ids->data, last = n ? all[n - 1] : -1;
    if (last == h->end || last == h->ret || last == h->call) ids->len -= sizeof last;
    const int32_t between[2] = { h->end, h->start };
    goss_buf_append(ids, between, sizeof between);
    const int rc = goss_vocab_encode(v, role, sizeof role - 1, 0, ids);
    return ids->failed ? GOSS_ENOMEM : rc;
}

/* A message of the assistant behind its role, up to its end. */
static int content(const goss_vocab *v, const goss_harmony_ids *h, const char *channel, goss_str text,
                   goss_buf *ids)
{
    goss_buf_i32(ids, h->channel);
    int rc = goss_vocab_encode(v, channel, strlen(channel), 0, ids);
    if (!rc) rc = goss_buf_i32(ids, h->message);
    return rc ? rc : goss_vocab_encode(v, text.s, (size_t)text.n, 0, ids);
}

int goss_harmony_turn(const goss_vocab *v, const goss_harmony_ids *h, goss_str reasoning, goss_str answer,
                      goss_buf *ids)
{
    int rc = content(v, h, "analysis", reasoning, ids);
    if (!rc) rc = goss_harmony_next(v, h, ids);
    if (!rc) rc = content(v, h, "final", answer, ids);
    return rc ? rc : goss_buf_i32(ids, h->ret);
}
