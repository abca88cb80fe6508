/* harmony_guard.c - which tokens may follow in a header: a small automaton of the headers that models are
 * trained to write.
 *
 *   [assistant] [" to=" NAME] CHANNEL (analysis|commentary|final) [" to=" NAME] [[" "] CONSTRAIN TYPE | " "
 * TYPE] MESSAGE
 *
 * "assistant" only where the prompt does not end with it; one recipient, none for final; a bare TYPE only for
 * a recipient. NAME is one of those that may be called, where they are known; with none of them " to=" can't
 * come. A token may come when all its bytes keep the automaton alive. Each of the few positions of a header
 * costs one walk over the vocabulary, of which all but the tokens with a possible first byte are skipped by
 * that byte. */
#include "harmony.h"
#include "vocab_impl.h"
#include <string.h>

enum { NAME_MAX_BYTES = 96 };
typedef enum state {
    DEAD,
    ROLE,
    BEFORE,
    TO_BEFORE,
    NAME_BEFORE,
    CHANNEL,
    AFTER,
    SPACE,
    TO_AFTER,
    NAME_AFTER,
    MARKED,
    TYPE,
    DONE
} state;
typedef struct guard {
    state state;
    int at;           /* bytes matched of the word at hand */
    const char *word; /* the one it is; NULL: not known yet */
    int has_recipient, is_final;
    char name[NAME_MAX_BYTES + 1]; /* `at` bytes of it in NAME_BEFORE and NAME_AFTER */
    const goss_harmony_names *names;
} guard;

static const char *const channel_names[] = { "analysis", "commentary", "final" };
static const char *const type_names[] = { "json", "code" };

/* Matches byte c as the next of one of the words; their first bytes differ. 1: alive. */
static int match(guard *g, const char *const *words, int n, uint8_t c) {
    for (int i = 0; !g->word && i < n; i++)
        if ((uint8_t)words[i][0] == c) g->word = words[i];
    return g->word && g->word[g->at] && (uint8_t)g->word[g->at] == c && ++g->at;
}

static int complete(const guard *g) { return g->word && !g->word[g->at]; }

static int name_byte(uint8_t c, int first) {
    const int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static int may_call(const guard *g) { return g->names->any || g->names->n > 0; }

/* Whether the name so far begins (whole: is) one that may be called. */
static int known_name(const guard *g, int whole) {
    const char *s = (const char *)g->names->text.data;
    if (g->names->any) return g->at > 0;
    for (int i = 0; i < g->names->n; i++, s += strlen(s) + 1)
        if (!strncmp(s, g->name, (size_t)g->at) && (!whole || !s[g->at])) return g->at > 0;
    return 0;
}

static void name_step(guard *g, uint8_t c) {
    if (g->at == NAME_MAX_BYTES || (g->names->any && !name_byte(c, g->at == 0))) {
        g->state = DEAD;
        return;
    }
    g->name[g->at++] = (char)c;
    if (!known_name(g, 0)) g->state = DEAD;
}

static void go(guard *g, state s) {
    g->state = s;
    g->at = 0;
    g->word = NULL;
}

/* " to=" from its second byte on, then the name. */
static void to_byte(guard *g, uint8_t c, state name) {
    static const char *const to[] = { "to=" };
    if (!match(g, to, 1, c))
        g->state = DEAD;
    else if (complete(g)) {
        go(g, name);
        g->has_recipient = 1;
    }
}

static void step_byte(guard *g, uint8_t c) {
    static const char *const role[] = { "assistant" };
    switch (g->state) {
    case ROLE:
        if (!match(g, role, 1, c))
            g->state = DEAD;
        else if (complete(g))
            go(g, BEFORE);
        break;
    case BEFORE: go(g, c == ' ' && may_call(g) ? TO_BEFORE : DEAD); break;
    case TO_BEFORE: to_byte(g, c, NAME_BEFORE); break;
    case NAME_BEFORE:
    case NAME_AFTER:
        if (g->state == NAME_AFTER && c == ' ' && known_name(g, 1))
            go(g, SPACE);
        else
            name_step(g, c);
        break;
    case CHANNEL:
        if (!match(g, channel_names, 3, c))
            g->state = DEAD;
        else if (complete(g)) {
            g->is_final = g->word == channel_names[2];
            go(g, AFTER);
        }
        break;
    case AFTER: go(g, c == ' ' ? SPACE : DEAD); break;
    case SPACE:
        if (c == 't' && !g->has_recipient && !g->is_final && may_call(g)) {
            go(g, TO_AFTER);
            to_byte(g, c, NAME_AFTER);
        } else if (g->has_recipient && match(g, type_names, 2, c))
            g->state = TYPE;
        else
            g->state = DEAD;
        break;
    case TO_AFTER: to_byte(g, c, NAME_AFTER); break;
    case MARKED:
    case TYPE:
        if (match(g, type_names, 2, c))
            g->state = TYPE;
        else
            g->state = DEAD;
        break;
    default: g->state = DEAD; break;
    }
}

static void step_mark(guard *g, int mark) {
    const int named = g->state == NAME_BEFORE && known_name(g, 1);
    if (mark == GOSS_MARK_CHANNEL)
        go(g, g->state == BEFORE || named ? CHANNEL : DEAD);
    else
        go(g, g->state == AFTER || g->state == SPACE || (g->state == NAME_AFTER && known_name(g, 1)) ? MARKED
                                                                                                     : DEAD);
}

static int may_end(const guard *g) {
    return g->state == AFTER || (g->state == NAME_AFTER && known_name(g, 1)) ||
           (g->state == TYPE && complete(g));
}

static int survives(guard g, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n && g.state != DEAD; i++) step_byte(&g, s[i]);
    return g.state != DEAD;
}

static void allow(uint32_t *mask, int32_t id) { mask[id / 32] |= (uint32_t)1 << (id & 31); }

int goss_harmony_guard(const goss_vocab *v, const goss_harmony_ids *ids, const goss_harmony_head *h,
                       const goss_harmony_names *names, uint32_t *mask) {
    guard g = { .state = h->role_given ? BEFORE : ROLE, .names = names };
    for (int i = 0; i < h->n && g.state != DEAD; i++) {
        if (h->mark[i])
            step_mark(&g, h->mark[i]);
        else
            step_byte(&g, h->byte[i]);
    }
    if (g.state == DEAD) return 0;
    memset(mask, 0, ((size_t)v->n + 31) / 32 * 4);
    uint8_t first[256];
    for (int c = 0; c < 256; c++) {
        const uint8_t byte = (uint8_t)c;
        first[c] = (uint8_t)survives(g, &byte, 1);
    }
    for (int32_t i = 0; i < v->n; i++) {
        const uint8_t *s = v->bytes + v->offset[i];
        const size_t n = v->offset[i + 1] - v->offset[i];
        if (n && v->kind[i] == GOSS_TOKEN_NORMAL && first[*s] && survives(g, s, n)) allow(mask, i);
    }
    guard marked = g;
    step_mark(&marked, GOSS_MARK_CHANNEL);
    if (marked.state != DEAD) allow(mask, ids->channel);
    marked = g;
    step_mark(&marked, GOSS_MARK_CONSTRAIN);
    if (marked.state != DEAD) allow(mask, ids->constrain);
    if (may_end(&g)) allow(mask, ids->message);
    return 1;
}
