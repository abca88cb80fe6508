/* vocab_ids.c - ids to bytes, and questions to a vocabulary. */
#include "vocab_impl.h"

int goss_vocab_size(const goss_vocab *v) { return v->n; }
int32_t goss_vocab_bos(const goss_vocab *v) { return v->bos; }
int32_t goss_vocab_eos(const goss_vocab *v) { return v->eos; }
int goss_vocab_adds_bos(const goss_vocab *v) { return v->adds_bos; }

int goss_vocab_kind(const goss_vocab *v, int32_t id)
{
    return id < 0 || id >= v->n ? GOSS_TOKEN_UNUSED : v->kind[id];
}

goss_str goss_vocab_bytes(const goss_vocab *v, int32_t id, int specials)
{
    const int kind = goss_vocab_kind(v, id);
    const int text = kind == GOSS_TOKEN_NORMAL || kind == GOSS_TOKEN_USER || kind == GOSS_TOKEN_BYTE;
    if (id < 0 || id >= v->n || (!text && !specials)) return (goss_str){ "", 0 };
    return goss_vocab_raw(v, id);
}

int32_t goss_vocab_find(const goss_vocab *v, const char *special)
{
    const size_t n = strlen(special);
    for (int i = 0; i < v->n_special; i++) {
        const goss_str s = goss_vocab_raw(v, v->special[i]);
        if (s.n == n && !memcmp(s.s, special, n)) return v->special[i];
    }
    return -1;
}

int goss_vocab_is_stop(const goss_vocab *v, int32_t id)
{
    for (int i = 0; i < v->n_stop; i++)
        if (v->stop[i] == id) return 1;
    return 0;
}

int goss_vocab_decode(const goss_vocab *v, const int32_t *ids, size_t n, int specials, int start,
                      goss_buf *out)
{
    int drop = start && v->space_prefix;
    for (size_t i = 0; i < n; i++) {
        goss_str s = goss_vocab_bytes(v, ids[i], specials);
        if (drop && s.n && v->kind[ids[i]] != GOSS_TOKEN_CONTROL) {
            drop = 0;
            if (s.s[0] == ' ') {
                s.s++;
                s.n--;
            }
        }
        int r = goss_buf_append(out, s.s, (size_t)s.n);
        if (r) return r;
    }
    return 0;
}
