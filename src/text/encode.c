/* encode.c - text to ids: splits off special tokens where asked, cuts what is between into pieces, merges
 * each. Nothing is allocated but the output, and one block for each piece of more than a few hundred symbols.
 */
#include "base/mem.h"
#include "vocab_impl.h"

enum { RUN_ON_STACK = 512 };

static int encode_bpe(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids)
{
    for (size_t p = 0, e; p < n; p = e) {
        e = goss_pretok_next(v->pretok, s, n, p);
        int32_t id = v->whole_first ? goss_vocab_lookup(v, s + p, e - p) : -1;
        int r = id >= 0 ? goss_buf_i32(ids, id) : goss_merge(v, s + p, e - p, ids);
        if (r) return r;
    }
    return 0;
}

/* One run that merges on its own. `prefix`: a space before it that the text does not have. U+2581 is how SPM
 * writes a space. */
static int encode_spm_run(const goss_vocab *v, const uint8_t *s, size_t n, int prefix, goss_buf *ids)
{
    size_t plain = 0;
    while (plain < n && s[plain] != 0xE2) plain++;
    if (!prefix && plain == n) return goss_merge(v, s, n, ids);
    uint8_t on_stack[RUN_ON_STACK], *d = on_stack;
    void *block = NULL;
    if (n + 1 > sizeof on_stack && !(d = block = goss_mem_alloc(n + 1))) return GOSS_ENOMEM;
    size_t k = 0;
    if (prefix) d[k++] = ' ';
    for (size_t i = 0; i < n;) {
        if (n - i >= 3 && !memcmp(s + i, "\xE2\x96\x81", 3)) {
            d[k++] = ' ';
            i += 3;
        } else
            d[k++] = s[i++];
    }
    int r = goss_merge(v, d, k, ids);
    goss_mem_free(block);
    return r;
}

/* Where the next run of spaces begins, behind something else than a space as SPM writes it (which belongs
 * to the same run). */
static size_t next_word(const uint8_t *s, size_t from, size_t e, size_t n)
{
    for (; e < n; e++) {
        if (s[e] != ' ') continue;
        if (e < from + 3 || memcmp(s + e - 3, "\xE2\x96\x81", 3) != 0) break;
        while (e + 1 < n && s[e + 1] == ' ') e++;
    }
    return e;
}

/* Where no token has a space behind another character no merge crosses such a place: the text is cut there,
 * and pieces stay short. Else all of it is one run. */
static int encode_spm(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids)
{
    int prefix = v->space_prefix;
    for (size_t p = 0, e; p < n; p = e) {
        e = v->spm_words ? p : n;
        while (e < n && s[e] == ' ') e++;
        e = next_word(s, p, e, n);
        int r = encode_spm_run(v, s + p, e - p, prefix, ids);
        if (r) return r;
        prefix = 0;
    }
    return 0;
}

static int encode_text(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids)
{
    return v->model == GOSS_VOCAB_SPM ? encode_spm(v, s, n, ids) : encode_bpe(v, s, n, ids);
}

/* User-defined tokens are part of any text, unless they look like control tokens: users must not be able to
 * type those. */
static int may_split(const goss_vocab *v, int32_t id, unsigned flags)
{
    if (flags & GOSS_TOKENIZE_SPECIAL) return 1;
    const goss_str t = goss_vocab_raw(v, id);
    return v->kind[id] == GOSS_TOKEN_USER &&
           !(t.n > 4 && !memcmp(t.s, "<|", 2) && !memcmp(t.s + t.n - 2, "|>", 2));
}

/* The longest special token at s[0..n), -1: none. */
static int32_t special_at(const goss_vocab *v, const uint8_t *s, size_t n, unsigned flags)
{
    if (!v->special_first[s[0]]) return -1;
    for (int i = 0; i < v->n_special; i++) {
        const goss_str t = goss_vocab_raw(v, v->special[i]);
        if (t.n <= n && !memcmp(t.s, s, (size_t)t.n) && may_split(v, v->special[i], flags))
            return v->special[i];
    }
    return -1;
}

int goss_vocab_encode(const goss_vocab *v, const char *text, size_t n, unsigned flags, goss_buf *ids)
{
    const uint8_t *s = (const uint8_t *)text;
    if (n >= (size_t)1 << 29) return GOSS_ELIMIT;
    if (flags & GOSS_TOKENIZE_BOS && v->adds_bos && v->bos >= 0) goss_buf_i32(ids, v->bos);
    size_t from = 0;
    for (size_t p = 0; p < n; p++) {
        const int32_t id = special_at(v, s + p, n - p, flags);
        if (id < 0) continue;
        int r = encode_text(v, s + from, p - from, ids);
        if (r || (r = goss_buf_i32(ids, id))) return r;
        from = p + (size_t)goss_vocab_raw(v, id).n;
        p = from - 1;
    }
    int r = encode_text(v, s + from, n - from, ids);
    return r ? r : ids->failed;
}
