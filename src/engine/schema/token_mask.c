/* token_mask.c - see token_mask.h.
 *
 * A state that dies at depth d skips every token that shares more than d bytes. Where whole classes of
 * characters lead on (outlook.h), as in strings and most patterns, the tokens that are made of them are let
 * through by masks that were made with the order, and only those are walked that have a character of a class
 * that is neither live nor dead. */
#include "token_mask.h"
#include "base/os.h"
#include <string.h>

enum { WORK = 1 << 13 };             /* between two looks at the clock: about 0.1 ms */

int goss_slice_more(goss_dfa *d, double until_ms)
{
    if (goss_os_now_ms() >= until_ms) return 0;
    goss_dfa_allow(d, WORK);
    return 1;
}

static uint64_t mask_bytes(const goss_token_masks *m)
{
    return (uint64_t)(m->words->n_vocab + 31) / 32 * sizeof(uint32_t);
}

void goss_token_masks_drop(goss_token_masks *m)
{
    for (int i = 0; i < m->n; i++) goss_budget_free(m->budget, m->kept[i].bits, mask_bytes(m));
    m->n = 0;
}

const uint32_t *goss_token_mask(const goss_token_masks *m, int state)
{
    for (int i = 0; i < m->n; i++)
        if (m->kept[i].state == state) return m->kept[i].bits;
    return NULL;
}

/* ---- walks --------------------------------------------------------------------------------------------- */
void goss_mask_walk_end(goss_token_masks *m, goss_mask_walk *w)
{
    goss_budget_free(m->budget, w->bits, mask_bytes(m));
    w->bits = NULL;
}

static int begin(goss_token_masks *m, goss_mask_walk *w, int state, const goss_outlook *o)
{
    int failed = 0;
    w->bits = goss_budget_alloc(m->budget, mask_bytes(m), &failed);
    if (!w->bits) {                  /* those of other states make room */
        goss_token_masks_drop(m);
        w->bits = goss_budget_alloc(m->budget, mask_bytes(m), &m->failed);
    }
    if (!w->bits) return m->failed;
    w->lists = goss_word_list_rest(m->words, o);
    if (!(w->lists >> GOSS_WORDS_ALL & 1)) goss_word_list_give(m->words, o, w->bits);
    w->at = 0;
    w->state = w->states[0] = state;
    return 0;
}

/* 1: all words are walked; 0: GOSS_LATER at one that is begun anew then. */
static int walk(goss_dfa *d, goss_mask_walk *w, const goss_words *list)
{
    for (int i = w->at; i < list->n;) {
        const goss_word *t = &list->words[i];
        const uint8_t *bytes = list->bytes.data + t->from;
        int k = 0, *at = w->states + t->shared;
        for (; k < t->n; k++)
            if ((at[k + 1] = goss_dfa_next(d, at[k], bytes[k])) < 0) break;
        if (k < t->n && at[k + 1] == GOSS_LATER) { w->at = i; return 0; }
        i++;
        if (k == t->n) w->bits[t->id >> 5] |= 1u << (t->id & 31);
        else while (i < list->n && list->words[i].shared > t->shared + k) i = list->words[i].skip;
    }
    return 1;
}

static int walk_lists(const goss_token_masks *m, goss_mask_walk *w)
{
    for (int k = 0; k < GOSS_WORD_LISTS; k++) {
        if (!(w->lists >> k & 1)) continue;
        if (!walk(m->dfa, w, &m->words->lists[k])) return 0;
        w->lists &= ~GOSS_CLASS_BIT(k);
        w->at = 0;
    }
    return 1;
}

static void keep(goss_token_masks *m, goss_mask_walk *w)
{
    if (m->n == GOSS_MASKS) goss_token_masks_drop(m);
    m->kept[m->n].state = w->state;
    m->kept[m->n++].bits = w->bits;
    w->bits = NULL;
}

int goss_token_mask_make(goss_token_masks *m, goss_mask_walk *w, int state, double until_ms)
{
    goss_dfa_allow(m->dfa, WORK);
    for (;;) {
        if (goss_token_mask(m, state)) { goss_mask_walk_end(m, w); return 1; }
        goss_outlook o;
        if (w->bits || goss_outlook_find(m->dfa, state, &m->words->sizes, &o) != GOSS_LATER) {
            if (!w->bits && begin(m, w, state, &o)) return m->failed;
            const int done = walk_lists(m, w);
            m->failed = goss_dfa_failed(m->dfa);
            if (m->failed) return m->failed;
            if (done) { keep(m, w); continue; }
        }
        if (!goss_slice_more(m->dfa, until_ms)) return 0;
    }
}
