/* merge.c - byte-pair merging of one piece: repeatedly joins the adjacent pair of lowest rank, the leftmost
 * among equals.
 *
 * Symbols are a linked list in an array, one node a byte (BPE) or character (SPM) at first. A node knows the
 * rank of the pair that it makes with the next one. Short pieces look for the minimum by walking the list;
 * long ones keep pairs in a binary heap of (rank, node), so that n bytes take O(n log n): a megabyte of one
 * letter is as good as any. Entries of the heap are never removed early: one is stale when its node's rank
 * has changed since. A stale entry whose node has come to the same rank again is as good as the fresh one, as
 * equal keys stand for the same merge. Both ways do the same merges in the same order. At most 2n entries are
 * alive: n - 1 at first, and every merge takes one out and puts two in.
 *
 * Pieces of more than WINDOW bytes are merged window by window: in one go they take n log n steps through
 * memory that no cache holds. A window that equals the one before is as that was, so that runs of spaces or
 * of one letter cost next to nothing. Windows are exact. Let a be the last token of
 * what was merged so far and b the first of what follows, each merged on its own, and let the bytes of a and
 * b together merge to a and b again. Then no merge of the whole crosses the cut: the first one that did would
 * join an earlier state of a with one of b; within their bytes the merges come in the same order in the
 * whole, in each part and in the two together, so that it would have happened in the two together as well.
 * Where the test fails all is done again in windows four times as large.
 *
 * Ranks: RANKED: the id of the token that the pair makes. MERGES: the position in the list of merges. SPM:
 * the order of scores. Pieces of up to STACK_NODES symbols need no memory; longer ones take and free one
 * block. */
#include "base/mem.h"
#include "vocab_impl.h"
#include <assert.h>

enum { WALK_NODES = 40, STACK_NODES = 384, WINDOW = 1 << 13 };
typedef struct node {
    uint32_t start, prev, next, rank;
    int32_t id;
} node;
typedef struct merger {
    const goss_vocab *v;
    const uint8_t *s;
    node *node;
    uint32_t n_nodes; /* node[n_nodes].start is the end of the piece */
    uint64_t *heap;
    uint32_t n_heap;
} merger;

static const goss_merge_slot *find_merge(const goss_vocab *v, int32_t left, int32_t right)
{
    for (uint32_t i = goss_merge_hash(left, right) & v->merge_mask;; i = (i + 1) & v->merge_mask) {
        const goss_merge_slot *m = &v->merges[i];
        if (m->id < 0) return NULL;
        if (m->left == left && m->right == right) return m;
    }
}

/* What nodes a and b make together: the token's id and its rank; -1 and GOSS_RANK_NONE when nothing. */
static int32_t pair_of(const merger *m, const node *a, const node *b, uint32_t *rank)
{
    const goss_vocab *v = m->v;
    *rank = (uint32_t)GOSS_RANK_NONE;
    if (v->model == GOSS_VOCAB_MERGES) {
        const goss_merge_slot *found = a->id < 0 || b->id < 0 ? NULL : find_merge(v, a->id, b->id);
        if (!found) return -1;
        *rank = found->rank;
        return found->id;
    }
    const uint8_t *s = m->s + a->start;
    const uint32_t n = m->node[b->next].start - a->start;
    const int32_t id = n == 2 ? v->pair[s[0] << 8 | s[1]] : goss_vocab_lookup(v, s, n);
    if (id >= 0) *rank = v->model == GOSS_VOCAB_SPM ? v->rank[id] : (uint32_t)id;
    return id;
}

static void rank_pair(merger *m, uint32_t i)
{
    node *a = &m->node[i];
    if (a->next == m->n_nodes)
        a->rank = (uint32_t)GOSS_RANK_NONE;
    else
        pair_of(m, a, &m->node[a->next], &a->rank);
}

/* Joins node i with the next one. The caller ranks the pairs that changed: i and the one before it. */
static void join(merger *m, uint32_t i)
{
    node *a = &m->node[i], *b = &m->node[a->next];
    uint32_t rank;
    a->id = pair_of(m, a, b, &rank);
    b->rank = (uint32_t)GOSS_RANK_NONE;
    a->next = b->next;
    m->node[a->next].prev = i;
}

static void merge_walking(merger *m)
{
    for (;;) {
        uint32_t best = 0, rank = (uint32_t)GOSS_RANK_NONE;
        for (uint32_t i = 0; i != m->n_nodes; i = m->node[i].next)
            if (m->node[i].rank < rank) {
                rank = m->node[i].rank;
                best = i;
            }
        if (rank == (uint32_t)GOSS_RANK_NONE) return;
        join(m, best);
        rank_pair(m, best);
        if (best) rank_pair(m, m->node[best].prev);
    }
}

static void sift_down(merger *m, uint32_t i)
{
    const uint64_t x = m->heap[i];
    for (;;) {
        uint32_t c = 2 * i + 1;
        if (c >= m->n_heap) break;
        if (c + 1 < m->n_heap && m->heap[c + 1] < m->heap[c]) c++;
        if (m->heap[c] >= x) break;
        m->heap[i] = m->heap[c];
        i = c;
    }
    m->heap[i] = x;
}

static void push(merger *m, uint32_t i)
{
    const uint32_t rank = m->node[i].rank;
    if (rank == (uint32_t)GOSS_RANK_NONE) return;
    const uint64_t x = (uint64_t)rank << 32 | i;
    uint32_t h = m->n_heap++;
    for (; h && m->heap[(h - 1) / 2] > x; h = (h - 1) / 2) m->heap[h] = m->heap[(h - 1) / 2];
    m->heap[h] = x;
}

static void merge_by_heap(merger *m)
{
    m->n_heap = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].rank != (uint32_t)GOSS_RANK_NONE)
            m->heap[m->n_heap++] = (uint64_t)m->node[i].rank << 32 | i;
    for (uint32_t i = m->n_heap / 2; i-- > 0;) sift_down(m, i);
    while (m->n_heap) {
        const uint32_t i = (uint32_t)m->heap[0], rank = (uint32_t)(m->heap[0] >> 32);
        m->heap[0] = m->heap[--m->n_heap];
        if (m->n_heap) sift_down(m, 0);
        if (m->node[i].rank != rank) continue;
        join(m, i);
        rank_pair(m, i);
        push(m, i);
        if (i) {
            rank_pair(m, m->node[i].prev);
            push(m, m->node[i].prev);
        }
    }
}

/* Length of the character at s as SPM sees it; bytes that start none stand alone. */
static size_t spm_char(const uint8_t *s, size_t n)
{
    const size_t len = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF8 ? 4 : 1;
    if (len > n) return 1;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 1;
    return len;
}

static void cut(merger *m, size_t n)
{
    const int spm = m->v->model == GOSS_VOCAB_SPM;
    uint32_t k = 0;
    for (size_t p = 0, len; p < n; p += len, k++) {
        len = spm ? spm_char(m->s + p, n - p) : 1;
        m->node[k] = (node){ .start = (uint32_t)p,
                             .prev = k - 1,
                             .next = k + 1,
                             .id = spm ? goss_vocab_lookup(m->v, m->s + p, len) : m->v->byte_id[m->s[p]] };
    }
    m->n_nodes = k;
    m->node[k] = (node){ .start = (uint32_t)n, .prev = k - 1 };
}

/* Appends the ids of all nodes that begin before `end`. */
static void append(const merger *m, uint32_t end, goss_buf *ids)
{
    for (uint32_t i = 0; i != m->n_nodes && m->node[i].start < end; i = m->node[i].next) {
        const node *a = &m->node[i];
        if (a->id >= 0) {
            goss_buf_i32(ids, a->id);
            continue;
        }
        for (uint32_t p = a->start; p < m->node[a->next].start; p++) {
            const int32_t id = m->v->byte_id[m->s[p]];
            if (id < 0) {
                if (m->v->unk >= 0) goss_buf_i32(ids, m->v->unk);
                break;
            }
            goss_buf_i32(ids, id);
        }
    }
}

static void merge(merger *m, size_t n)
{
    cut(m, n);
    for (uint32_t i = 0; i < m->n_nodes; i++) rank_pair(m, i);
    if (m->n_nodes <= WALK_NODES)
        merge_walking(m);
    else
        merge_by_heap(m);
}

/* Room for n symbols; to be freed. */
static void *take_room(merger *m, size_t n)
{
    void *block = goss_mem_alloc((n + 1) * sizeof(node) + 2 * n * sizeof(uint64_t) + 8);
    m->heap = block;
    m->node = block ? (node *)((uint64_t *)block + 2 * n) : NULL;
    return block;
}

/* Whether s[0..a + b), merged, is one token of a bytes and one of b. */
static int stay_apart(const goss_vocab *v, const uint8_t *s, uint32_t a, uint32_t b)
{
    node nodes[STACK_NODES + 1];
    uint64_t heap[2 * STACK_NODES];
    merger m = { .v = v, .s = s, .node = nodes, .heap = heap };
    if (a + b > STACK_NODES) return 0;
    merge(&m, a + b);
    const uint32_t second = m.node[0].next;
    return second != m.n_nodes && m.node[second].start == a && m.node[second].next == m.n_nodes;
}

/* The cut behind a window: some tokens before its end, so that what follows the window does not matter to the
 * last token before the cut, as a rule. */
typedef struct border {
    uint32_t at, last, next;       /* from the window's start; bytes of the token before it and behind it */
} border;

static int find_border(const merger *m, border *b)
{
    enum { BACK = 8 };
    uint32_t i = m->node[m->n_nodes].prev;
    for (int k = 0; k < BACK && i; k++) i = m->node[i].prev;
    const node *x = &m->node[i];
    *b = (border){ x->start, i ? x->start - m->node[x->prev].start : 0, m->node[x->next].start - x->start };
    return i != 0;
}

/* 1: done; 0: a larger window is needed. */
static int merge_windows(merger *m, const uint8_t *s, size_t n, size_t window, goss_buf *ids)
{
    border b = { 0 };
    for (size_t p = 0; p < n; p += b.at) {
        const size_t rest = n - p;
        const int again = p && rest >= window && !memcmp(s + p, m->s, window); /* as in runs of one letter */
        m->s = s + p;
        if (!again) merge(m, rest < window ? rest : window);
        const uint32_t first = m->node[m->node[0].next].start;
        if (p && first != b.next && !stay_apart(m->v, s + p - b.last, b.last, first)) return 0;
        if (rest <= window) { append(m, (uint32_t)rest, ids); return 1; }
        if (!find_border(m, &b)) return 0;
        append(m, b.at, ids);
    }
    return 1;
}

static int merge_long(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids)
{
    const size_t from = ids->len;
    int done = 0;
    for (size_t window = WINDOW; !done; window *= 4) {
        merger m = { .v = v };
        void *block = take_room(&m, window < n ? window : n);
        if (!block) return GOSS_ENOMEM;
        ids->len = from;
        done = merge_windows(&m, s, n, window, ids);
        goss_mem_free(block);
    }
    return ids->failed;
}

int goss_merge(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids)
{
    assert(n < (size_t)1 << 31);
    if (n > WINDOW) return merge_long(v, s, n, ids);
    node on_stack[STACK_NODES + 1];
    uint64_t heap[2 * STACK_NODES];
    merger m = { .v = v, .s = s, .node = on_stack, .heap = heap };
    void *block = NULL;
    if (n > STACK_NODES && !(block = take_room(&m, n))) return GOSS_ENOMEM;
    merge(&m, n);
    append(&m, (uint32_t)n, ids);
    goss_mem_free(block);
    return ids->failed;
}
