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
 * Ranks: RANKED: the id of the token that the pair makes. MERGES: the position in the list of merges. SPM:
 * the order of scores. Pieces of up to STACK_NODES symbols need no memory; longer ones take and free one
 * block. */
#include "../base/mem.h"
#include "vocab_impl.h"
#include <assert.h>

enum { WALK_NODES = 40, STACK_NODES = 384 };
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

static const goss_merge_slot *find_merge(const goss_vocab *v, int32_t left, int32_t right) {
    for (uint32_t i = goss_merge_hash(left, right) & v->merge_mask;; i = (i + 1) & v->merge_mask) {
        const goss_merge_slot *m = &v->merges[i];
        if (m->id < 0) return NULL;
        if (m->left == left && m->right == right) return m;
    }
}

/* What nodes a and b make together: the token's id and its rank; -1 and GOSS_RANK_NONE when nothing. */
static int32_t pair_of(const merger *m, const node *a, const node *b, uint32_t *rank) {
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

static void rank_pair(merger *m, uint32_t i) {
    node *a = &m->node[i];
    if (a->next == m->n_nodes)
        a->rank = (uint32_t)GOSS_RANK_NONE;
    else
        pair_of(m, a, &m->node[a->next], &a->rank);
}

/* Joins node i with the next one. The caller ranks the pairs that changed: i and the one before it. */
static void join(merger *m, uint32_t i) {
    node *a = &m->node[i], *b = &m->node[a->next];
    uint32_t rank;
    a->id = pair_of(m, a, b, &rank);
    b->rank = (uint32_t)GOSS_RANK_NONE;
    a->next = b->next;
    m->node[a->next].prev = i;
}

static void merge_walking(merger *m) {
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

static void sift_down(merger *m, uint32_t i) {
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

static void push(merger *m, uint32_t i) {
    const uint32_t rank = m->node[i].rank;
    if (rank == (uint32_t)GOSS_RANK_NONE) return;
    const uint64_t x = (uint64_t)rank << 32 | i;
    uint32_t h = m->n_heap++;
    for (; h && m->heap[(h - 1) / 2] > x; h = (h - 1) / 2) m->heap[h] = m->heap[(h - 1) / 2];
    m->heap[h] = x;
}

static void merge_by_heap(merger *m) {
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
static size_t spm_char(const uint8_t *s, size_t n) {
    const size_t len = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF8 ? 4 : 1;
    if (len > n) return 1;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 1;
    return len;
}

static void cut(merger *m, size_t n) {
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
    m->node[k] = (node){ .start = (uint32_t)n };
}

static void append(const merger *m, goss_buf *ids) {
    for (uint32_t i = 0; i != m->n_nodes; i = m->node[i].next) {
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

int goss_merge(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids) {
    assert(n < (size_t)1 << 31);
    node on_stack[STACK_NODES + 1];
    uint64_t heap[2 * STACK_NODES];
    merger m = { .v = v, .s = s, .node = on_stack, .heap = heap };
    void *block = NULL;
    if (n > STACK_NODES) {
        block = goss_mem_alloc((n + 1) * sizeof(node) + 2 * n * sizeof(uint64_t) + 8);
        if (!block) return GOSS_ENOMEM;
        m.heap = block;
        m.node = (node *)((uint64_t *)block + 2 * n);
    }
    cut(&m, n);
    for (uint32_t i = 0; i < m.n_nodes; i++) rank_pair(&m, i);
    if (m.n_nodes <= WALK_NODES)
        merge_walking(&m);
    else
        merge_by_heap(&m);
    append(&m, ids);
    goss_mem_free(block);
    return ids->failed;
}
