/* harmony_guard.c - which tokens may follow in a header: a small automaton of the headers that models are
 * trained to write.
 *
 *   [assistant] [" to=" NAME] CHANNEL (analysis|commentary|final) [" to=" NAME]
 *       [[" "] CONSTRAIN TYPE | " " TYPE] MESSAGE
 *
 * "assistant" only where the prompt does not end with it; one recipient, none for final; a bare TYPE only for
 * a recipient. Where there are no preambles, commentary comes only with a recipient; where the analysis is
 * over, it can't be chosen. NAME is one of those that may be called, where they are known; with none of them
 * " to=" can't come. A token may come when all its bytes keep the automaton alive. Each of the few positions
 * of a header costs one walk over the vocabulary, of which all but the tokens with a possible first byte are
 * skipped by that byte. Known names are sorted: a byte narrows the range of those that begin so. */
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
    int has_recipient, is_final, is_commentary;
    int from, to;     /* of a name: which of the sorted ones begin with its `at` bytes */
    const goss_harmony_names *names;
} guard;

static const char *const channel_names[] = { "analysis", "commentary", "final" };
static const char *const type_names[] = { "json", "code" };

/* Matches byte c as the next of one of the words; their first bytes differ. 1: alive. */
static int match(guard *g, const char *const *words, int n, uint8_t c)
{
    for (int i = 0; !g->word && i < n; i++)
        if ((uint8_t)words[i][0] == c) g->word = words[i];
    return g->word && g->word[g->at] && (uint8_t)g->word[g->at] == c && ++g->at;
}

static int complete(const guard *g) { return g->word && !g->word[g->at]; }

static int name_byte(uint8_t c, int first)
{
    const int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static int may_call(const guard *g) { return g->names->any || g->names->n > 0; }

/* The byte at g->at of the i-th name. */
static uint8_t byte_of(const guard *g, int i)
{
    return g->names->text.data[((const uint32_t *)(const void *)g->names->order.data)[i] + (uint32_t)g->at];
}

/* Whether the name so far is one that may be called: the shortest of those that begin so stands first. */
static int whole_name(const guard *g)
{
    return g->at > 0 && (g->names->any || !byte_of(g, g->from));
}

/* The first of the names g->from .. g->to whose next byte is not below c. */
static int bound(const guard *g, int c)
{
    int from = g->from, to = g->to;
    while (from < to) {
        const int mid = (from + to) / 2;
        if (byte_of(g, mid) < c)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static void name_step(guard *g, uint8_t c)
{
    if (g->names->any) {
        if (g->at++ == NAME_MAX_BYTES || !name_byte(c, g->at == 1)) g->state = DEAD;
        return;
    }
    const int from = bound(g, c), to = c ? bound(g, c + 1) : from; /* a NUL ends a name */
    g->from = from;
    g->to = to;
    g->at++;
    if (from == to) g->state = DEAD;
}

static void go(guard *g, state s)
{
    g->state = s;
    g->at = 0;
    g->from = 0;
    g->to = g->names->n;
    g->word = NULL;
}

/* A preamble where there may be none: a recipient must come yet. */
static int lacks_name(const guard *g)
{
    const int commentary = g->is_commentary || (g->state == CHANNEL && g->word == channel_names[1]);
    return g->names->no_preambles && commentary && !g->has_recipient;
}

/* " to=" from its second byte on, then the name. */
static void to_byte(guard *g, uint8_t c, state name)
{
    static const char *const to[] = { "to=" };
    if (!match(g, to, 1, c))
        g->state = DEAD;
    else if (complete(g)) {
        go(g, name);
        g->has_recipient = 1;
    }
}

static void step_byte(guard *g, uint8_t c)
{
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
        if (g->state == NAME_AFTER && c == ' ' && whole_name(g))
            go(g, SPACE);
        else
            name_step(g, c);
        break;
    case CHANNEL:
        if (!match(g, channel_names + g->names->no_analysis,
                   (g->has_recipient ? 2 : 3) - g->names->no_analysis, c) ||
            (lacks_name(g) && !may_call(g)))
            g->state = DEAD;
        else if (complete(g)) {
            g->is_final = g->word == channel_names[2];
            g->is_commentary = g->word == channel_names[1];
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

static void step_mark(guard *g, int mark)
{
    const int named = g->state == NAME_BEFORE && whole_name(g);
    if (mark == GOSS_MARK_CHANNEL)
        go(g, g->state == BEFORE || named ? CHANNEL : DEAD);
    else {
        const int here = g->state == AFTER || g->state == SPACE;
        go(g, (here && !lacks_name(g)) || (g->state == NAME_AFTER && whole_name(g)) ? MARKED : DEAD);
    }
}

static int may_end(const guard *g)
{
    return (g->state == AFTER && !lacks_name(g)) || (g->state == NAME_AFTER && whole_name(g)) ||
           (g->state == TYPE && complete(g));
}

static int survives(guard g, const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n && g.state != DEAD; i++) step_byte(&g, s[i]);
    return g.state != DEAD;
}

static void allow(uint32_t *mask, int32_t id) { mask[id / 32] |= (uint32_t)1 << (id & 31); }

int goss_harmony_guard(const goss_vocab *v, const goss_harmony_ids *ids, const goss_harmony_head *h,
                       const goss_harmony_names *names, uint32_t *mask)
{
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
