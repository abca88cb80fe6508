/* plain_mask.h - a state's mask as it is by definition: each token of the vocabulary walked on its own. */
#ifndef GOSS_TESTS_PLAIN_MASK_H
#define GOSS_TESTS_PLAIN_MASK_H
#include "engine/schema/automaton.h"
#include "text/vocab.h"
#include <string.h>

/* mask: (size of the vocabulary + 31) / 32 words. 1; 0: the automaton would need more work than that. */
static inline int plain_mask(goss_dfa *d, int state, const goss_vocab *v, int64_t work, uint32_t *mask)
{
    const int n = goss_vocab_size(v);
    goss_dfa_allow(d, work);
    memset(mask, 0, (size_t)(n + 31) / 32 * sizeof *mask);
    for (int id = 0; id < n; id++) {
        const goss_str t = goss_vocab_bytes(v, id, 0);
        const int kind = goss_vocab_kind(v, id);
        if (!t.n || t.n > 256 || kind == GOSS_TOKEN_CONTROL || kind == GOSS_TOKEN_UNUSED) continue;
        int at = state;
        for (uint64_t k = 0; k < t.n && at >= 0; k++) at = goss_dfa_next(d, at, (uint8_t)t.s[k]);
        if (at == GOSS_LATER || goss_dfa_failed(d)) return 0;
        if (at >= 0) mask[id >> 5] |= 1u << (id & 31);
    }
    return 1;
}
#endif
