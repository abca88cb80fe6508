/* other_names.c - see other_names.h. A tree of the names' beginnings, in which every byte that leaves the
 * tree leads to `tail`, the rest of any string. Built from the longest beginnings to the empty one, so
 * that a name's length costs no stack. The names are sorted; `same[i]`: how many bytes name i shares with
 * the one before it: names with one beginning of `depth` bytes stand together until same[i] < depth. */
#include "other_names.h"
#include <string.h>

typedef struct name_tree {
    goss_str *name;
    uint64_t *same;
    int *node;               /* of the name's beginning of depth + 1 bytes, where it has one */
    int n, tail, high, next; /* high: a code point above ASCII, then the tail */
} name_tree;

static int name_order(const goss_str *a, const goss_str *b)
{
    const int c = memcmp(a->s, b->s, (size_t)(a->n < b->n ? a->n : b->n));
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

static void sort_names(name_tree *t)
{
    for (int i = 1; i < t->n; i++)
        for (int k = i; k > 0 && name_order(&t->name[k - 1], &t->name[k]) > 0; k--) {
            const goss_str s = t->name[k];
            t->name[k] = t->name[k - 1];
            t->name[k - 1] = s;
        }
    for (int i = 1; i < t->n; i++) {
        const goss_str *a = &t->name[i - 1], *b = &t->name[i];
        while (t->same[i] < a->n && t->same[i] < b->n && a->s[t->same[i]] == b->s[t->same[i]]) t->same[i]++;
    }
}

/* Bytes that may stand in a string as they are, from..to, all to the tail. */
static int leaving(goss_parts *p, int from, int to, int tail, int out)
{
    for (int b = from; b <= to; b++) {
        int end = b;
        if (b == '"' || b == '\\') continue;
        while (end < to && end + 1 != '"' && end + 1 != '\\') end++;
        out = goss_part_either(p, out, goss_graph_bytes(p->g, b, end, tail));
        b = end;
    }
    return out;
}

/* The node of the beginning of `depth` bytes that names first..last share; those of that length are names
 * whole. */
static int name_beginning(goss_parts *p, const name_tree *t, int first, int last, uint64_t depth)
{
    int out = t->high, from = 0x20, ends = 0;
    for (int i = first; i <= last; i++) {
        if (t->name[i].n == depth) {
            ends = 1;
            continue;
        }
        const int b = (unsigned char)t->name[i].s[depth];
        if (b < from) continue; /* shares it with the name before */
        out = goss_part_either(p, leaving(p, from, b - 1, t->tail, out),
                               goss_graph_bytes(p->g, b, b, t->node[i]));
        from = b + 1;
    }
    out = leaving(p, from, 0x7F, t->tail, out);
    if (!ends) out = goss_part_either(p, out, goss_part_text(p, "\"", t->next));
    return goss_graph_promise(p->g, out, GOSS_TEXT_ENDLESS);
}

static int build(goss_parts *p, name_tree *t)
{
    uint64_t longest = 0;
    int out = 0;
    sort_names(t);
    for (int i = 0; i < t->n; i++)
        if (t->name[i].n > longest) longest = t->name[i].n;
    t->tail = goss_part_loop(p, goss_part_character(p), goss_part_text(p, "\"", t->next));
    t->high = goss_graph_codepoints(p->g, 0x80, 0x10FFFF, t->tail);
    for (uint64_t depth = longest + 1; depth-- && !p->g->failed;)
        for (int first = 0, last; first < t->n; first = last + 1) {
            for (last = first; last + 1 < t->n && t->same[last + 1] >= depth; last++) {}
            if (t->name[last].n < depth) continue; /* too short: it stands alone */
            out = name_beginning(p, t, first, last, depth);
            for (int i = first; i <= last; i++) t->node[i] = out;
        }
    return out;
}

int goss_other_names(goss_job *job, goss_str *names, int n, int next)
{
    name_tree t = { .name = names, .n = n, .next = next };
    for (int i = 0; i < n; i++)
        for (uint64_t b = 0; b < names[i].n; b++)
            if (names[i].s[b] == '\\' || names[i].s[b] == '"' || (uint8_t)names[i].s[b] < 0x20 ||
                (names[i].s[b] & 0x80))
                return -2;
    t.same = goss_job_take(job, ((size_t)n + 1) * sizeof *t.same);
    t.node = goss_job_take(job, ((size_t)n + 1) * sizeof *t.node);
    if (!t.same || !t.node || next == GOSS_NONE) return GOSS_NONE;
    if (!n) return goss_part_string(&job->parts, next);
    return goss_part_text(&job->parts, "\"", build(&job->parts, &t));
}
