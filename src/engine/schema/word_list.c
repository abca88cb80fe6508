/* word_list.c - see word_list.h. */
#include "word_list.h"
#include "base/mem.h"
#include <gossamer.h>
#include <string.h>

static int compare(const goss_vocab *v, int32_t a, int32_t b)
{
    const goss_str x = goss_vocab_bytes(v, a, 0), y = goss_vocab_bytes(v, b, 0);
    const int c = memcmp(x.s, y.s, (size_t)(x.n < y.n ? x.n : y.n));
    return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

/* Merge sort, bottom up. */
static void sort_ids(const goss_vocab *v, int32_t *ids, int32_t *other, int n)
{
    for (int width = 1; width < n; width *= 2) {
        for (int from = 0; from < n; from += 2 * width) {
            const int mid = from + width < n ? from + width : n,
                      end = from + 2 * width < n ? from + 2 * width : n;
            int a = from, b = mid;
            for (int i = from; i < end; i++)
                other[i] = a < mid && (b >= end || compare(v, ids[a], ids[b]) <= 0) ? ids[a++] : ids[b++];
        }
        memcpy(ids, other, (size_t)n * sizeof *ids);
    }
}

/* How many characters of text a word begins with, one that it only begins counted; *end: the byte behind. */
static int text_length(goss_str t, uint64_t *end)
{
    const uint8_t *s = (const uint8_t *)t.s;
    int n = 0;
    for (*end = 0; *end < t.n; n++) {
        const uint64_t len = goss_char_bytes(s + *end, t.n - *end);
        if (!len || goss_char_class(s[*end]) >= GOSS_CLASS_QUOTE) break;
        *end += len;
    }
    return n;
}

static uint64_t classes_of(goss_str t)
{
    uint64_t out = 0;
    for (uint64_t i = 0, len; i < t.n; i += len ? len : 1) {
        len = goss_char_bytes((const uint8_t *)t.s + i, t.n - i);
        out |= GOSS_CLASS_BIT(len ? goss_char_class((uint8_t)t.s[i]) : GOSS_CLASS_BROKEN);
    }
    return out;
}

/* What words in order share, and the bytes that they don't. */
static int index_words(const goss_vocab *v, goss_words *w)
{
    w->bytes = GOSS_BUF((size_t)1 << 31);
    w->words = goss_mem_array((size_t)w->n + 1, sizeof *w->words);
    if (!w->words) return GOSS_ENOMEM;
    goss_str before = { 0 };
    for (int i = 0; i < w->n; i++) {
        const goss_str t = goss_vocab_bytes(v, w->ids[i], 0);
        uint64_t same = 0;
        while (same < before.n && same < t.n && before.s[same] == t.s[same]) same++;
        w->words[i] = (goss_word){ .id = w->ids[i],
                              .from = (uint32_t)w->bytes.len,
                              .n = (uint16_t)(t.n - same),
                              .shared = (uint16_t)same };
        goss_buf_append(&w->bytes, t.s + same, (size_t)(t.n - same));
        before = t;
    }
    for (int i = w->n - 1; i >= 0; i--) {
        int next = i + 1;
        while (next < w->n && w->words[next].shared >= w->words[i].shared) next = w->words[next].skip;
        w->words[i].skip = next;
    }
    goss_mem_free(w->ids);
    w->ids = NULL;
    return w->bytes.failed;
}

static void free_words(goss_words *w)
{
    goss_mem_free(w->ids);
    goss_mem_free(w->words);
    goss_buf_free(&w->bytes);
}

static size_t mask_words(const goss_word_list *w) { return (size_t)(w->n_vocab + 31) / 32; }

static int take_room(goss_word_list *w, int n)
{
    enum { MASKS = GOSS_OUTLOOK_ENDLESS + 1 + GOSS_CLASS_QUOTE + GOSS_CLASS_QUOTE / 8 };
    const size_t size = mask_words(w);
    uint32_t *at = w->masks = goss_mem_array(MASKS * size, sizeof *at);
    w->stops = goss_mem_array((size_t)n, sizeof *w->stops);
    w->lists[GOSS_WORDS_ALL].ids = goss_mem_array((size_t)n, sizeof(int32_t));
    if (!at || !w->stops || !w->lists[GOSS_WORDS_ALL].ids) return GOSS_ENOMEM;
    for (int k = 0; k <= GOSS_OUTLOOK_ENDLESS; k++, at += size) w->text[k] = at;
    for (int k = 0; k < GOSS_CLASS_QUOTE; k++, at += size) w->has[k] = at;
    for (int k = 0; k < GOSS_CLASS_QUOTE / 8; k++, at += size) w->has_any[k] = at;
    return 0;
}

/* The words that may be let through, and the ids that end a generation. */
static void choose_words(goss_word_list *w)
{
    const goss_vocab *v = w->vocab;
    goss_words *all = &w->lists[GOSS_WORDS_ALL];
    for (int i = 0; i < goss_vocab_size(v); i++) {
        if (goss_vocab_is_stop(v, i)) w->stops[w->n_stops++] = i;
        const uint64_t bytes = goss_vocab_bytes(v, i, 0).n;
        if (bytes && bytes <= GOSS_WORD_BYTES && goss_vocab_kind(v, i) != GOSS_TOKEN_CONTROL &&
            goss_vocab_kind(v, i) != GOSS_TOKEN_UNUSED)
            all->ids[all->n++] = i;
    }
}

/* The lists (bits) that a word belongs to, besides that of all; and its bits in the masks. */
static uint64_t sort_out(goss_word_list *w, int32_t id)
{
    const goss_str t = goss_vocab_bytes(w->vocab, id, 0);
    const uint64_t classes = classes_of(t);
    const uint32_t bit = 1u << (id & 31);
    uint64_t end;
    const int n = text_length(t, &end), is_long = n > GOSS_OUTLOOK_MOST;
    for (int k = is_long ? GOSS_OUTLOOK_ENDLESS : n; k <= GOSS_OUTLOOK_ENDLESS && end == t.n; k++)
        w->text[k][id >> 5] |= bit;
    for (int c = 0; c < GOSS_CLASS_QUOTE; c++) {
        if (!(classes >> c & 1)) continue;
        w->has[c][id >> 5] |= bit;
        w->has_any[c / 8][id >> 5] |= bit;
    }
    return classes | (uint64_t)is_long << GOSS_WORDS_LONG;
}

static int make_lists(goss_word_list *w)
{
    const goss_words *all = &w->lists[GOSS_WORDS_ALL];
    uint64_t *in = goss_mem_array((size_t)all->n + 1, sizeof *in);
    if (!in) return GOSS_ENOMEM;
    for (int i = 0; i < all->n; i++) {
        in[i] = sort_out(w, all->ids[i]);
        for (int k = 0; k < GOSS_WORDS_ALL; k++) w->lists[k].n += (int)(in[i] >> k & 1);
    }
    int rc = 0;
    w->sizes.most = all->n / 3;
    for (int k = 0; k < GOSS_CLASSES; k++) w->sizes.n[k] = w->lists[k].n;
    for (int k = 0; k < GOSS_WORDS_ALL && !rc; k++) {
        goss_words *list = &w->lists[k];
        if (list->n > w->sizes.most) continue;
        list->ids = goss_mem_array((size_t)list->n + 1, sizeof *list->ids);
        if (!list->ids) rc = GOSS_ENOMEM;
        for (int i = 0, n = 0; i < all->n && !rc; i++)
            if (in[i] >> k & 1) list->ids[n++] = all->ids[i];
        if (!rc) rc = index_words(w->vocab, list);
    }
    goss_mem_free(in);
    return rc ? rc : index_words(w->vocab, &w->lists[GOSS_WORDS_ALL]);
}

int goss_word_list_open(goss_word_list **out, const goss_vocab *v, int n_vocab)
{
    *out = NULL;
    goss_word_list *w = goss_mem_alloc(sizeof *w);
    if (!w) return GOSS_ENOMEM;
    w->vocab = v;
    w->n_vocab = n_vocab;
    const int n = goss_vocab_size(v);
    int32_t *other = goss_mem_array((size_t)n, sizeof *other);
    int rc = other ? take_room(w, n) : GOSS_ENOMEM;
    if (!rc) {
        choose_words(w);
        sort_ids(v, w->lists[GOSS_WORDS_ALL].ids, other, w->lists[GOSS_WORDS_ALL].n);
    }
    goss_mem_free(other);
    if (!rc) rc = make_lists(w);
    if (rc) goss_word_list_close(&w);
    *out = w;
    return rc;
}

void goss_word_list_close(goss_word_list **words)
{
    goss_word_list *w = *words;
    if (!w) return;
    for (int k = 0; k < GOSS_WORD_LISTS; k++) free_words(&w->lists[k]);
    goss_mem_free(w->masks);
    goss_mem_free(w->stops);
    goss_mem_free(w);
    *words = NULL;
}

/* ---- by an outlook ------------------------------------------------------------------------------------- */
static void remove_words(uint32_t *bits, const uint32_t *which, size_t n)
{
    for (size_t i = 0; i < n; i++) bits[i] &= ~which[i];
}

void goss_word_list_give(const goss_word_list *w, const goss_outlook *o, uint32_t *bits)
{
    const size_t n = mask_words(w);
    memcpy(bits, w->text[o->n], n * sizeof *bits);
    for (int k = 0; k < GOSS_CLASS_QUOTE; k += 8) {
        const uint64_t eight = o->live >> k & 0xFF;
        if (!eight) remove_words(bits, w->has_any[k / 8], n);
        for (int c = k; c < k + 8 && eight; c++)
            if (!(o->live >> c & 1)) remove_words(bits, w->has[c], n);
    }
}

/* A word that is not given has a first character that is not live, or more of the live ones than o->n. Where
 * that character is of a dead class, or only o->n live ones are let through, it is kept out. */
uint64_t goss_word_list_rest(const goss_word_list *w, const goss_outlook *o)
{
    uint64_t lists = ~(o->live | o->dead) & GOSS_CLASSES_ALL;
    int n = o->live ? 0 : w->sizes.most + 1;
    if (o->n == GOSS_OUTLOOK_MOST && !o->only_n) lists |= GOSS_CLASS_BIT(GOSS_WORDS_LONG);
    for (int k = 0; k < GOSS_WORDS_ALL; k++) n += lists >> k & 1 ? w->lists[k].n : 0;
    return n <= w->sizes.most ? lists : GOSS_CLASS_BIT(GOSS_WORDS_ALL);
}
