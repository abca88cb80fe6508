/* outlook.c - see outlook.h.
 *
 * A place is a state between characters. It is looked at once: which classes lead on from it with all their
 * characters, which with none, and where to. Then a set of classes is followed from the first place, one
 * character after the other. While all of it is live everywhere, that goes on. Where it is live nowhere, or
 * no new place is found, that is the answer. Where some of it is dead, it is begun anew with less. */
#include "outlook.h"

enum { MOST_PLACES = 128, MOST_MIDDLES = 40, MOST_ROADS = 1024, MOST_ENDS = 6 };
/* leads: the roads from..to-1. level: where it was met, 0: not yet */
typedef struct place { int state, from, to, level; uint64_t live, dead; } place;
/* A state within a character, before `tail` more bytes, the next of them lo..hi: whether all of them lead
 * on, to the places to[0..n-1]. No others do: a schema is UTF-8, and what is made of ranges, too. */
typedef struct middle { int state, tail, lo, hi, good, n, to[MOST_ENDS]; } middle;
typedef struct road { uint64_t classes; int state; } road;
typedef struct finder {
    goss_dfa *d;
    const goss_class_sizes *sizes;
    place places[MOST_PLACES];
    middle middles[MOST_MIDDLES];    /* of one place */
    road roads[MOST_ROADS];
    int n_places, n_middles, n_roads;
    int later, full;
} finder;

static int step(finder *f, int state, int byte)
{
    const int to = goss_dfa_next(f->d, state, (uint8_t)byte);
    if (to == GOSS_LATER) f->later = 1;
    return to;
}

/* ---- places -------------------------------------------------------------------------------------------- */
static void add_road(finder *f, place *p, int state, uint64_t classes)
{
    for (int i = p->from; i < f->n_roads; i++)
        if (f->roads[i].state == state) {
            f->roads[i].classes |= classes;
            return;
        }
    if (f->n_roads == MOST_ROADS) f->full = 1;
    else f->roads[f->n_roads++] = (road){ classes, state };
}

static void add_end(middle *m, int state)
{
    for (int i = 0; i < m->n; i++)
        if (m->to[i] == state) return;
    if (m->n == MOST_ENDS) m->good = 0;  /* too many to follow */
    else m->to[m->n++] = state;
}

static const middle none = { 0 };

/* Three deep at most: tail falls. */
static const middle *look_within(finder *f, int state, int tail, int lo, int hi)
{
    for (int i = 0; i < f->n_middles; i++) {
        const middle *m = &f->middles[i];
        if (m->state == state && m->tail == tail && m->lo == lo && m->hi == hi) return m;
    }
    if (f->n_middles == MOST_MIDDLES) return &none;
    middle *m = &f->middles[f->n_middles++];
    *m = (middle){ .state = state, .tail = tail, .lo = lo, .hi = hi, .good = 1 };
    for (int b = lo, last = GOSS_DEAD; b <= hi && m->good && !f->later; b++) {
        const int to = step(f, state, b);
        if (to < 0) m->good = 0;
        else if (to != last && tail == 1) add_end(m, to);
        else if (to != last) {
            const middle *below = look_within(f, to, tail - 1, 0x80, 0xBF);
            m->good &= below->good;
            for (int i = 0; i < below->n; i++) add_end(m, below->to[i]);
        }
        last = to;
    }
    return m;
}

/* A first byte leads to a state: whether all of its characters lead on. */
static int look_behind(finder *f, place *p, uint64_t bit, int to, int byte)
{
    int lo, hi;
    const int tail = goss_char_tail((uint8_t)byte, &lo, &hi);
    if (!tail) add_road(f, p, to, bit);
    if (tail <= 0) return tail == 0;
    const middle *m = look_within(f, to, tail, lo, hi);
    for (int i = 0; i < m->n; i++) add_road(f, p, m->to[i], bit);
    return m->good;
}

/* The number of the place; -1: there is no room, or GOSS_LATER. */
static int place_of(finder *f, int state)
{
    for (int i = 0; i < f->n_places; i++)
        if (f->places[i].state == state) return i;
    if (f->n_places == MOST_PLACES) return -1;
    place *p = &f->places[f->n_places];
    *p = (place){ .state = state, .from = f->n_roads, .live = GOSS_CLASSES_TEXT, .dead = GOSS_CLASSES_ALL };
    f->n_middles = 0;
    for (int b = 0; b < 256 && !f->later && !f->full; b++) {
        const uint64_t bit = GOSS_CLASS_BIT(goss_char_class((uint8_t)b));
        const int to = step(f, state, b);
        if (to >= 0) p->dead &= ~bit;
        if (to < 0 || !look_behind(f, p, bit, to, b)) p->live &= ~bit;
    }
    p->to = f->n_roads;
    return f->later || f->full ? -1 : f->n_places++;
}

/* ---- following a set of classes ------------------------------------------------------------------------ */
typedef struct front { int at[MOST_PLACES], n; } front;

/* The places that a front leads to, new ones only. 1; 0: there are too many, or GOSS_LATER. *again: one was
 * met at a level before. */
static int move(finder *f, const front *from, front *to, uint64_t classes, int level, int *again)
{
    to->n = 0;
    for (int i = 0; i < from->n; i++)
        for (int r = f->places[from->at[i]].from; r < f->places[from->at[i]].to; r++) {
            if (!(f->roads[r].classes & classes)) continue;
            const int k = place_of(f, f->roads[r].state);
            if (k < 0) return 0;
            if (f->places[k].level) *again |= f->places[k].level < level;
            else to->at[to->n++] = k;
            if (!f->places[k].level) f->places[k].level = level;
        }
    return 1;
}

static int weigh(const goss_class_sizes *sizes, uint64_t classes)
{
    int n = 0;
    for (int c = 0; classes; c++, classes >>= 1) n += classes & 1 ? sizes->n[c] : 0;
    return n;
}

/* The classes of a set that lead from a front to a place. */
static uint64_t roads_to(const finder *f, const front *from, const place *to, uint64_t classes)
{
    uint64_t out = 0;
    for (int i = 0; i < from->n; i++) {
        const place *p = &f->places[from->at[i]];
        for (int r = p->from; r < p->to; r++)
            if (f->roads[r].state == to->state) out |= f->roads[r].classes & classes;
    }
    return out;
}

/* For each place where some of the set is dead either that goes, or what leads there: that of fewer words. */
static uint64_t lessen(const finder *f, const front *from, const front *at, uint64_t classes)
{
    for (int i = 0; i < at->n; i++) {
        const place *p = &f->places[at->at[i]];
        const uint64_t dead = classes & ~p->live, roads = roads_to(f, from, p, classes);
        classes &= ~(weigh(f->sizes, dead) <= weigh(f->sizes, roads) ? dead : roads);
    }
    return classes;
}

/* The set that is to be followed instead (out->live: this was it); 0: nothing is known. */
static uint64_t follow(finder *f, int first, uint64_t classes, goss_outlook *out)
{
    front before = { .n = 0 }, now = { { first }, 1 }, next;
    int again = 0;
    for (int i = 0; i < f->n_places; i++) f->places[i].level = 0;
    f->places[first].level = 1;
    *out = (goss_outlook){ classes, GOSS_CLASSES_ALL, 0, 0 };
    for (;; out->n++) {
        uint64_t live = classes, dead = classes;
        for (int i = 0; i < now.n; i++) {
            const place *p = &f->places[now.at[i]];
            live &= p->live;
            dead &= p->dead;
            out->dead &= p->dead;
        }
        if (weigh(f->sizes, GOSS_CLASSES_ALL & ~(classes | out->dead)) > f->sizes->most) return 0;
        out->only_n = dead == classes && !again;
        if (out->n == GOSS_OUTLOOK_MOST || out->only_n) return classes;
        if (live != classes) return lessen(f, &before, &now, classes);
        if (!move(f, &now, &next, classes, out->n + 2, &again)) return 0;
        before = now;
        now = next;
        if (now.n) continue;
        out->n = GOSS_OUTLOOK_ENDLESS;
        return classes;
    }
}

/* What the graph says of a state where characters follow whatever they are (goss_node.text). */
static int promised(const goss_dfa *d, int state, goss_outlook *out)
{
    int no_more;
    const int n = goss_dfa_text(d, state, &no_more);
    const uint64_t dead = GOSS_CLASS_BIT(GOSS_CLASS_CONTROL) | GOSS_CLASS_BIT(GOSS_CLASS_BROKEN);
    *out = (goss_outlook){ GOSS_CLASSES_TEXT, dead, n, no_more };
    if (n > GOSS_OUTLOOK_MOST) out->n = n == GOSS_TEXT_ENDLESS ? GOSS_OUTLOOK_ENDLESS : GOSS_OUTLOOK_MOST;
    if (n > GOSS_OUTLOOK_MOST) out->only_n = 0;
    return n >= GOSS_OUTLOOK_MOST || no_more;
}

int goss_outlook_find(goss_dfa *d, int state, const goss_class_sizes *sizes, goss_outlook *out)
{
    if (promised(d, state, out)) return 1;
    finder f;
    f.d = d;
    f.sizes = sizes;
    f.n_places = f.n_middles = f.n_roads = f.later = f.full = 0;
    const int first = place_of(&f, state);
    uint64_t classes = first < 0 ? 0 : f.places[first].live, was = 0;
    *out = (goss_outlook){ 0 };
    while (classes && classes != was) {
        was = classes;
        classes = follow(&f, first, classes, out);
    }
    if (!classes) *out = (goss_outlook){ 0 };
    return f.later ? GOSS_LATER : 1;
}
