/* bounds.c - numbers as an automaton over their digits, for each sign apart.
 *
 * What has been read of a number is a place: how many digits stand before the point or behind it, how the
 * digits so far compare with each bound's, and what they leave when divided. While the whole part is read,
 * the digits are compared with the bound's from the left; which number is larger is known when the part
 * ends: the longer one, and of equal lengths the one that compared larger. Places are explored from the
 * first; each is a node of the graph. */
#include "bounds.h"
#include "base/mem.h"
#include <gossamer.h>
#include <string.h>

enum { EXACT_DIGITS = 15 /* decimals of so many digits are different doubles */ };
enum { MAX_PLACES = 20000, MAX_DIVISOR = 100000, HASH = 4096, WHOLE_DIGITS = 21, FRACTION_DIGITS = 25 };
enum { FIRST, ZERO, WHOLE, POINT, FRACTION };

/* ---- decimals ------------------------------------------------------------------------------------------ */
/* The digits, and where the point stands among them: value = 0.d1d2d3... * 10^point. */
static int read_digits(const char *s, size_t n, char *digit, int *n_digits, int64_t *point)
{
    int64_t power = 0, behind = 0;
    int seen_point = 0, k = 0;
    size_t i = s[0] == '-';
    for (; i < n && (s[i] == '.' || (s[i] >= '0' && s[i] <= '9')); i++) {
        if (s[i] == '.') {
            seen_point = 1;
            continue;
        }
        behind += seen_point;
        if (!k && s[i] == '0') continue;
        if (k == GOSS_MAX_DIGITS) return 0;
        digit[k++] = s[i];
    }
    if (i < n) { /* e, a sign, digits */
        const int minus = s[++i] == '-';
        for (i += s[i] == '-' || s[i] == '+'; i < n; i++)
            if (power < 100000) power = power * 10 + (s[i] - '0');
        if (minus) power = -power;
    }
    *point = k - behind + power;
    while (k && digit[k - 1] == '0') k--;
    *n_digits = k;
    return 1;
}

int goss_decimal_read(goss_decimal_text *d, const char *s, size_t n)
{
    char digit[GOSS_MAX_DIGITS];
    int k;
    int64_t point;
    memset(d, 0, sizeof *d);
    if (!n || !read_digits(s, n, digit, &k, &point)) return 0;
    if (!k) return 1;
    if (point > GOSS_MAX_DIGITS || k - point > GOSS_MAX_DIGITS) return 0;
    d->negative = s[0] == '-';
    for (int64_t i = 0; i < point; i++) d->whole[d->n_whole++] = i < k ? digit[i] : '0';
    for (int64_t i = point; i < k; i++) d->fraction[d->n_fraction++] = i < 0 ? '0' : digit[i];
    return 1;
}

static int is_zero(const goss_decimal_text *d) { return !d->n_whole && !d->n_fraction; }

/* ---- places -------------------------------------------------------------------------------------------- */
typedef struct place {
    int16_t phase, whole;        /* whole: digits before the point, where they are counted with the others */
    int32_t digits;              /* digits: of the whole part, or of the fraction */
    int16_t used, fraction_used; /* a digit is not 0; one of the fraction */
    int32_t left[GOSS_MAX_MULTIPLES]; /* -1: a digit stands where no multiple has one */
    uint8_t order[GOSS_MAX_COMPARES];
} place;
typedef struct divisor {
    int64_t value;
    int shift, not ;
} divisor; /* value / 10^shift */
typedef struct machine {
    goss_parts *p;
    const goss_number_rules *rules;
    divisor div[GOSS_MAX_MULTIPLES];
    int negative, next, most_whole, most_fraction;
    int exact;                         /* a number must not become another one as a double */
    goss_buf places, nodes, same_hash; /* place, int32, int32 */
    int32_t hash[HASH];
    const char *why;
} machine;

static int n_places(const machine *m) { return (int)(m->places.len / sizeof(place)); }

/* The node of a place; new ones wait to be explored. */
static int node_of(machine *m, const place *at)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < sizeof *at; i += sizeof(uint32_t)) {
        uint32_t four;
        memcpy(&four, (const char *)at + i, sizeof four);
        h = (h ^ four) * 0x9E3779B1u ^ h >> 15;
    }
    h %= HASH;
    for (int i = m->hash[h]; i >= 0; i = ((int32_t *)(void *)m->same_hash.data)[i])
        if (!memcmp((place *)(void *)m->places.data + i, at, sizeof *at))
            return ((int32_t *)(void *)m->nodes.data)[i];
    const int i = n_places(m);
    if (i == MAX_PLACES) {
        m->why = "bounds and multiples of a number make too large an automaton";
        return 0;
    }
    const int node = goss_graph_either(m->p->g, 0, 0);
    if (goss_buf_append(&m->places, at, sizeof *at) || goss_buf_i32(&m->nodes, node) ||
        goss_buf_i32(&m->same_hash, m->hash[h]))
        m->why = "there is no memory";
    m->hash[h] = i;
    return node;
}

/* How the number compares with bound k, when it ends here. Both are taken without their signs. */
static int order_at_end(const machine *m, const place *at, int k)
{
    const goss_decimal_text *to = &m->rules->compare[k].to;
    if (at->phase != FRACTION) {
        const int n = at->phase == ZERO ? 0 : at->digits;
        if (n != to->n_whole) return n < to->n_whole ? GOSS_LESS : GOSS_MORE;
        return at->order[k] != GOSS_SAME ? at->order[k] : to->n_fraction ? GOSS_LESS : GOSS_SAME;
    }
    return at->order[k] == GOSS_SAME && at->digits < to->n_fraction ? GOSS_LESS : at->order[k];
}

static int flipped(int order) { return order == GOSS_SAME ? order : GOSS_LESS + GOSS_MORE - order; }

static int compares_well(const machine *m, const place *at)
{
    for (int k = 0; k < m->rules->n_compares; k++) {
        const goss_decimal_text *to = &m->rules->compare[k].to;
        int order = order_at_end(m, at, k);
        if (m->negative) order = is_zero(to) || !to->negative ? GOSS_LESS : flipped(order);
        else if (to->negative) order = GOSS_MORE;
        if (!(order & m->rules->compare[k].allowed)) return 0;
    }
    return 1;
}

static int divides_well(const machine *m, const place *at)
{
    for (int k = 0; k < m->rules->n_multiples; k++) {
        int64_t left = at->left[k];
        const int digits = at->phase == FRACTION ? at->digits : 0;
        for (int i = digits; i < m->div[k].shift && left > 0; i++) left = left * 10 % m->div[k].value;
        if ((left == 0) == m->div[k].not ) return 0;
    }
    return 1;
}

static int may_end(const machine *m, const place *at)
{
    if (at->phase == FIRST || at->phase == POINT) return 0;
    if (!(at->fraction_used ? m->rules->fractions : m->rules->integers)) return 0;
    if (m->negative && !at->used) return 0; /* -0 */
    return compares_well(m, at) && divides_well(m, at);
}

/* 0: whatever follows, it is no multiple. */
static int divide(const machine *m, const place *from, place *to, int digit)
{
    for (int k = 0; k < m->rules->n_multiples; k++) {
        const int beyond = to->phase == FRACTION && to->digits > m->div[k].shift;
        if (from->left[k] < 0 || (beyond && digit)) to->left[k] = -1;
        else if (!beyond) to->left[k] = (int32_t)((from->left[k] * (int64_t)10 + digit) % m->div[k].value);
        if (to->left[k] < 0 && !m->div[k].not ) return 0;
    }
    return 1;
}

static void compare_digit(const machine *m, const place *from, place *to, int digit)
{
    for (int k = 0; k < m->rules->n_compares; k++) {
        const goss_decimal_text *d = &m->rules->compare[k].to;
        const int fraction = to->phase == FRACTION, i = to->digits - 1,
                  n = fraction ? d->n_fraction : d->n_whole;
        const int other = i < n ? (fraction ? d->fraction : d->whole)[i] - '0' : 0;
        if (from->order[k] == GOSS_SAME && (fraction || i < n) && digit != other)
            to->order[k] = digit < other ? GOSS_LESS : GOSS_MORE;
    }
}

/* The place behind one more digit; 0: there is none. */
static int after_digit(const machine *m, const place *from, int digit, place *to)
{
    *to = *from;
    if (from->phase == ZERO) return 0;
    if (from->phase == FIRST) {
        to->phase = digit ? WHOLE : ZERO;
        to->digits = 1;
    } else if (from->phase == WHOLE) {
        if (++to->digits > m->most_whole) return 0;
    } else {
        to->digits = from->phase == POINT ? 1 : from->digits + 1;
        to->phase = FRACTION;
        to->fraction_used |= digit != 0;
        if (to->digits > m->most_fraction || (m->exact && to->whole + to->digits > EXACT_DIGITS)) return 0;
    }
    to->used |= digit != 0;
    if (to->phase == ZERO) to->digits = 0;
    else compare_digit(m, from, to, digit);
    return divide(m, from, to, digit);
}

/* The place behind the point: every order is settled. */
static void after_point(const machine *m, const place *from, place *to)
{
    *to = *from;
    to->phase = POINT;
    to->whole = (int16_t)(m->exact && from->phase == WHOLE ? from->digits : 0);
    to->digits = 0;
    for (int k = 0; k < m->rules->n_compares; k++) {
        const int n = from->phase == ZERO ? 0 : from->digits, other = m->rules->compare[k].to.n_whole;
        if (n != other) to->order[k] = n < other ? GOSS_LESS : GOSS_MORE;
    }
}

static void explore(machine *m, int i)
{
    const place at = ((place *)(void *)m->places.data)[i];
    const int node = ((int32_t *)(void *)m->nodes.data)[i];
    int out = may_end(m, &at) ? m->next : GOSS_NONE;
    place to;
    for (int digit = 0, end; digit < 10; digit = end) {
        place other;
        end = digit + 1;
        if (!after_digit(m, &at, digit, &to)) continue;
        while (end < 10 && after_digit(m, &at, end, &other) && !memcmp(&other, &to, sizeof to)) end++;
        out = goss_part_either(m->p, out, goss_part_bytes(m->p, '0' + digit, '0' + end - 1, node_of(m, &to)));
    }
    if ((at.phase == ZERO || at.phase == WHOLE) && m->most_fraction) {
        after_point(m, &at, &to);
        out = goss_part_either(m->p, out, goss_part_bytes(m->p, '.', '.', node_of(m, &to)));
    }
    if (out == GOSS_NONE) out = goss_graph_bytes(m->p->g, 1, 0, 0);
    goss_graph_set(m->p->g, node, out, out);
}

static int with_sign(machine *m, int negative)
{
    place first = { .phase = FIRST };
    m->negative = negative;
    for (int k = 0; k < m->rules->n_compares; k++) first.order[k] = GOSS_SAME;
    goss_buf_clear(&m->places);
    goss_buf_clear(&m->nodes);
    goss_buf_clear(&m->same_hash);
    memset(m->hash, -1, sizeof m->hash);
    const int start = node_of(m, &first);
    for (int i = 0; i < n_places(m) && !m->why && !m->p->g->failed; i++) explore(m, i);
    return negative ? goss_part_bytes(m->p, '-', '-', start) : start;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */
/* of = value / 10^shift, where value is a whole number of at most MAX_DIVISOR. */
static int read_divisor(divisor *d, const goss_decimal_text *of, int not )
{
    *d = (divisor){ 0, of->n_fraction, not };
    for (int i = 0; i < of->n_whole + of->n_fraction; i++) {
        const char c = i < of->n_whole ? of->whole[i] : of->fraction[i - of->n_whole];
        d->value = d->value * 10 + (c - '0');
        if (d->value > MAX_DIVISOR) return 0;
    }
    return d->value > 0;
}

/* What can be said of all numbers of a sign needs no digits: GOSS_SIGN_*, or -1. */
static int only_sign(const goss_number_rules *r)
{
    int may[3] = { 1, 1, 1 }; /* below, at and above zero */
    if (r->n_multiples) return -1;
    for (int k = 0; k < r->n_compares; k++) {
        const int a = r->compare[k].allowed;
        if (!is_zero(&r->compare[k].to)) return -1;
        for (int i = 0; i < 3; i++) may[i] &= (a >> i) & 1;
    }
    if (!may[1]) return -1;
    return may[0] && may[2] ? GOSS_SIGN_ANY
           : may[2]         ? GOSS_SIGN_NOT_NEGATIVE
           : may[0]         ? GOSS_SIGN_NOT_POSITIVE
                            : -1;
}

/* Whether rounding to a double could make what is right wrong: onto a bound that is excluded, or onto a
 * whole number or a multiple that it must not be. */
static int must_be_exact(const goss_number_rules *r)
{
    int exact = !r->integers;
    for (int k = 0; k < r->n_compares; k++)
        exact |= !(r->compare[k].allowed & GOSS_SAME) && !is_zero(&r->compare[k].to);
    for (int k = 0; k < r->n_multiples; k++) exact |= r->multiple[k].not ;
    return exact;
}

const char *goss_bounds_compile(goss_parts *p, const goss_number_rules *rules, int next, int *start)
{
    const int sign = only_sign(rules);
    *start = GOSS_NONE;
    if (sign >= 0 && rules->integers) {
        *start = rules->fractions ? goss_part_number(p, sign, next) : goss_part_integer(p, sign, next);
        return NULL;
    }
    machine *m = goss_mem_alloc(sizeof *m);
    if (!m) return "there is no memory";
    m->p = p;
    m->rules = rules;
    m->next = next;
    m->most_whole = WHOLE_DIGITS;
    m->most_fraction = rules->fractions ? FRACTION_DIGITS : 0;
    m->places = m->nodes = m->same_hash = GOSS_BUF(MAX_PLACES * sizeof(place));
    for (int k = 0; k < rules->n_compares; k++) {
        const goss_decimal_text *d = &rules->compare[k].to;
        if (d->n_whole > m->most_whole) m->most_whole = d->n_whole;
        if (m->most_fraction && d->n_fraction > m->most_fraction) m->most_fraction = d->n_fraction;
    }
    for (int k = 0; k < rules->n_multiples && !m->why; k++)
        if (!read_divisor(&m->div[k], &rules->multiple[k].of, rules->multiple[k].not ))
            m->why = "a multipleOf has too many digits";
    m->exact = must_be_exact(rules);
    if (!m->why) *start = with_sign(m, 0);
    if (!m->why) *start = goss_part_either(p, *start, with_sign(m, 1));
    const char *why = m->why;
    goss_buf_free(&m->places);
    goss_buf_free(&m->nodes);
    goss_buf_free(&m->same_hash);
    goss_mem_free(m);
    return why;
}
