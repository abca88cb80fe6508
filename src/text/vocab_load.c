/* vocab_load.c - makes a goss_vocab from a GGUF's tokenizer.ggml.* keys. Everything is copied; the tables are
 * sized once.
 *
 * The o200k vocabulary needs no merges: the id of a token is its rank (REFERENCE 8.3). That is assumed for
 * models with its pre-tokenizer whose merges list, where they have one, makes ascending ids (checked at 1,024
 * places: walking all of the 446,189 with three look-ups each would triple the time of loading). Other
 * byte-level models use their list. Control tokens are known by name too, whatever type the file gives them:
 * nothing a user types may become one. */
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "vocab_impl.h"

typedef struct loader {
    goss_vocab *v;
    const goss_gguf *g;
    goss_error *err;
} loader;

static const char *const control_names[] = {
    "<|startoftext|>",   "<|endoftext|>",   "<|return|>",          "<|constrain|>",     "<|channel|>",
    "<|start|>",         "<|end|>",         "<|message|>",         "<|call|>",          "<|endofprompt|>",
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|eom_id|>",        "<|python_tag|>",  "<|im_start|>",        "<|im_end|>",
};
static const char *const stop_names[] = {
    "<|return|>", "<|call|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end_of_text|>",
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- reading the keys ---- */

static const goss_kvpair *array_of(const loader *l, const char *key, int elem_type, uint64_t n)
{
    const goss_kvpair *kv = goss_gguf_find(l->g, key);
    return kv && kv->type == GOSS_KV_ARRAY && kv->elem_type == elem_type && (!n || kv->n == n) ? kv : NULL;
}

static int32_t token_id(const loader *l, const char *key, int32_t absent)
{
    uint64_t id;
    return goss_gguf_u64(l->g, key, &id, NULL) == 1 && id < (uint64_t)l->v->n ? (int32_t)id : absent;
}

static int key_is(goss_str s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.s, text, (size_t)s.n);
}

static int choose_model(loader *l)
{
    goss_vocab *v = l->v;
    goss_str model, pre = { "", 0 };
    if (goss_gguf_str(l->g, "tokenizer.ggml.model", &model, l->err) != 1)
        return goss_fail(l->err, GOSS_EFORMAT, -1, "the file has no tokenizer (key tokenizer.ggml.model)");
    if (key_is(model, "llama")) {
        v->model = GOSS_VOCAB_SPM;
        return 0;
    }
    if (!key_is(model, "gpt2"))
        return goss_fail(l->err, GOSS_EUNSUPPORTED, -1,
                         "tokenizer model \"%.*s\" is not supported, only gpt2 and llama", (int)model.n,
                         model.s);
    goss_gguf_str(l->g, "tokenizer.ggml.pre", &pre, NULL);
    if (goss_pretok_by_name(pre.s, (size_t)pre.n, &v->pretok))
        return goss_fail(l->err, GOSS_EUNSUPPORTED, -1, "pre-tokenizer \"%.*s\" is not supported", (int)pre.n,
                         pre.s);
    v->model = v->pretok == GOSS_PRETOK_O200K ? GOSS_VOCAB_RANKED : GOSS_VOCAB_MERGES;
    v->whole_first = v->pretok == GOSS_PRETOK_O200K || v->pretok == GOSS_PRETOK_LLAMA3;
    return 0;
}

/* ---- the tokens' bytes ---- */

/* GPT-2's letters for bytes: printable ones stand for themselves, the other 68 are U+0100 and on, in order.
 * -1: no such letter. */
static int byte_of_letter(uint32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143) return -1;
    const int i = (int)cp - 0x100;
    return i < 0x21 ? i : i < 0x21 + 34 ? i - 0x21 + 0x7F : 0xAD;
}

/* The bytes that s is spelled for; 0 when it is not spelled in those letters. */
static size_t unspell(goss_str s, uint8_t *dst)
{
    size_t k = 0;
    for (uint64_t i = 0; i < s.n;) {
        uint32_t cp;
        const int len = goss_utf8_decode((const uint8_t *)s.s + i, (size_t)(s.n - i), &cp);
        const int byte = len > 0 ? byte_of_letter(cp) : -1;
        if (byte < 0) return 0;
        dst[k++] = (uint8_t)byte;
        i += (uint64_t)len;
    }
    return k;
}

static size_t spaces_for_marks(goss_str s, uint8_t *dst)
{
    size_t k = 0;
    for (uint64_t i = 0; i < s.n;) {
        if (s.n - i >= 3 && !memcmp(s.s + i, "\xE2\x96\x81", 3)) {
            dst[k++] = ' ';
            i += 3;
        } else
            dst[k++] = (uint8_t)s.s[i++];
    }
    return k;
}

/* The byte that "<0xXX>" names, -1. */
static int named_byte(goss_str s)
{
    if (s.n != 6 || memcmp(s.s, "<0x", 3) || s.s[5] != '>') return -1;
    const int high = goss_hex_digit(s.s[3]), low = goss_hex_digit(s.s[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static int kind_of(const loader *l, const goss_kvpair *types, int32_t id, goss_str s)
{
    int kind = types ? (int)goss_gguf_elem(types, (uint64_t)id) : GOSS_TOKEN_NORMAL;
    if (kind < GOSS_TOKEN_NORMAL || kind > GOSS_TOKEN_BYTE) kind = GOSS_TOKEN_NORMAL;
    for (size_t i = 0; i < COUNT(control_names); i++)
        if (key_is(s, control_names[i])) return GOSS_TOKEN_CONTROL;
    if (l->v->model == GOSS_VOCAB_SPM && !types) {
        if (named_byte(s) >= 0) return GOSS_TOKEN_BYTE;
        if (key_is(s, "<unk>")) return GOSS_TOKEN_UNKNOWN;
        if (key_is(s, "<s>") || key_is(s, "</s>")) return GOSS_TOKEN_CONTROL;
    }
    return kind == GOSS_TOKEN_BYTE && named_byte(s) < 0 ? GOSS_TOKEN_NORMAL : kind;
}

static size_t store_token(loader *l, int kind, goss_str s, uint8_t *dst)
{
    size_t k = 0;
    if (kind == GOSS_TOKEN_BYTE) {
        *dst = (uint8_t)named_byte(s);
        return 1;
    }
    if (kind == GOSS_TOKEN_NORMAL)
        k = l->v->model == GOSS_VOCAB_SPM ? spaces_for_marks(s, dst) : unspell(s, dst);
    if (!k && s.n) {
        memcpy(dst, s.s, (size_t)s.n);
        k = (size_t)s.n;
    }
    return k;
}

static int load_tokens(loader *l)
{
    goss_vocab *v = l->v;
    const goss_kvpair *tokens = array_of(l, "tokenizer.ggml.tokens", GOSS_KV_STRING, 0);
    if (!tokens || !tokens->n || tokens->n > 1 << 28)
        return goss_fail(l->err, GOSS_EFORMAT, -1,
                         "the file has no list of tokens (key tokenizer.ggml.tokens)");
    v->n = (int)tokens->n;
    const goss_kvpair *types = array_of(l, "tokenizer.ggml.token_type", GOSS_KV_I32, tokens->n);
    uint64_t cursor = 0, total = 0;
    goss_str s;
    while (goss_gguf_next_str(tokens, &cursor, &s)) total += s.n;
    if (total >= UINT32_MAX)
        return goss_fail(l->err, GOSS_ELIMIT, -1, "the list of tokens has %llu bytes",
                         (unsigned long long)total);
    v->bytes = goss_mem_alloc((size_t)total + 1);
    v->offset = goss_mem_array((size_t)v->n + 1, sizeof *v->offset);
    v->kind = goss_mem_alloc((size_t)v->n);
    if (!v->bytes || !v->offset || !v->kind)
        return goss_fail(l->err, GOSS_ENOMEM, -1, "no memory for the vocabulary");
    cursor = 0;
    for (int32_t i = 0; i < v->n; i++) {
        if (!goss_gguf_next_str(tokens, &cursor, &s))
            return goss_fail(l->err, GOSS_EFORMAT, -1, "the list of tokens ends early");
        v->kind[i] = (uint8_t)kind_of(l, types, i, s);
        v->offset[i + 1] = v->offset[i] + (uint32_t)store_token(l, v->kind[i], s, v->bytes + v->offset[i]);
    }
    return 0;
}

/* ---- tables ---- */

static void insert(goss_vocab *v, int32_t id)
{
    const goss_str s = goss_vocab_raw(v, id);
    const uint8_t *b = (const uint8_t *)s.s;
    if (goss_vocab_lookup(v, b, (size_t)s.n) >= 0) return;
    const uint64_t h = goss_hash(b, (size_t)s.n);
    uint32_t i = (uint32_t)h & v->table_mask;
    while (v->table[i].id >= 0) i = (i + 1) & v->table_mask;
    v->table[i] = (goss_slot){ (uint32_t)(h >> 32), id };
    if (s.n == 1 && v->model != GOSS_VOCAB_SPM) v->byte_id[b[0]] = id;
    if (s.n == 2) v->pair[b[0] << 8 | b[1]] = id;
}

static int is_special(const goss_vocab *v, int32_t id)
{
    return v->kind[id] == GOSS_TOKEN_CONTROL || v->kind[id] == GOSS_TOKEN_USER;
}

/* Longest first (those beyond 255 bytes in any order), by counting. */
static void list_specials(goss_vocab *v)
{
    int at[257] = { 0 };
    for (int32_t i = 0; i < v->n; i++) {
        const uint64_t n = goss_vocab_raw(v, i).n;
        if (is_special(v, i) && n) at[256 - (n > 255 ? 255 : n)]++;
    }
    for (int k = 1; k < 257; k++) at[k] += at[k - 1];
    v->n_special = at[256];
    for (int32_t i = v->n; i-- > 0;) {
        const goss_str s = goss_vocab_raw(v, i);
        if (!is_special(v, i) || !s.n) continue;
        v->special[--at[256 - (s.n > 255 ? 255 : s.n)]] = i;
        v->special_first[(uint8_t)s.s[0]] = 1;
    }
}

static int index_tokens(loader *l)
{
    goss_vocab *v = l->v;
    uint32_t n_special = 0, cap = 64;
    while (cap < 2 * (uint32_t)v->n) cap *= 2;
    for (int32_t i = 0; i < v->n; i++) {
        const uint32_t n = v->offset[i + 1] - v->offset[i];
        if (v->kind[i] == GOSS_TOKEN_NORMAL && n > v->longest) v->longest = n;
        n_special += (uint32_t)is_special(v, i);
    }
    v->table = goss_mem_array(cap, sizeof *v->table);
    v->table_mask = cap - 1;
    v->pair = goss_mem_array(65536, sizeof *v->pair);
    v->special = goss_mem_array((size_t)n_special + 1, sizeof *v->special);
    if (!v->table || !v->pair || !v->special)
        return goss_fail(l->err, GOSS_ENOMEM, -1, "no memory for the vocabulary");
    for (uint32_t i = 0; i < cap; i++) v->table[i].id = -1;
    memset(v->pair, -1, 65536 * sizeof *v->pair);
    memset(v->byte_id, -1, sizeof v->byte_id);
    for (int32_t i = 0; i < v->n; i++) {
        const goss_str s = goss_vocab_raw(v, i);
        if (!s.n) continue;
        if (v->kind[i] == GOSS_TOKEN_NORMAL)
            insert(v, i);
        else if (v->kind[i] == GOSS_TOKEN_BYTE)
            v->byte_id[(uint8_t)s.s[0]] = i;
    }
    list_specials(v);
    return 0;
}

/* SPM: scores as ranks, so that the highest score is the lowest rank: the bits of a float, made monotonic and
 * turned round. */
static int load_scores(loader *l)
{
    goss_vocab *v = l->v;
    const goss_kvpair *scores = array_of(l, "tokenizer.ggml.scores", GOSS_KV_F32, (uint64_t)v->n);
    if (!scores)
        return goss_fail(l->err, GOSS_EFORMAT, -1,
                         "the tokenizer needs one score a token (key tokenizer.ggml.scores)");
    if (!(v->rank = goss_mem_array((size_t)v->n, sizeof *v->rank)))
        return goss_fail(l->err, GOSS_ENOMEM, -1, "no memory for the vocabulary");
    v->spm_words = 1;
    for (int32_t i = 0; i < v->n; i++) {
        const float score = (float)goss_gguf_elem(scores, (uint64_t)i) + 0.0f; /* -0 becomes 0 */
        uint32_t bits;
        memcpy(&bits, &score, 4);
        bits = bits >> 31 ? bits : ~(bits | 0x80000000u);
        v->rank[i] = bits == UINT32_MAX ? bits - 1 : bits;
        const goss_str s = goss_vocab_raw(v, i);
        for (uint64_t k = 1; v->kind[i] == GOSS_TOKEN_NORMAL && k < s.n; k++)
            if (s.s[k] == ' ' && s.s[k - 1] != ' ') v->spm_words = 0;
    }
    return 0;
}

typedef struct merge_rule {
    int32_t left, right, id;
} merge_rule;

/* Reads "left right" of the merges list; id -1 when it names no tokens. */
static merge_rule read_rule(const goss_vocab *v, goss_str s)
{
    merge_rule rule = { -1, -1, -1 };
    uint8_t b[1024];
    const char *space = s.n && s.n <= sizeof b / 2 ? memchr(s.s + 1, ' ', (size_t)s.n - 1) : NULL;
    if (!space) return rule;
    const uint64_t at = (uint64_t)(space - s.s);
    const size_t n = unspell((goss_str){ s.s, at }, b);
    const size_t k = unspell((goss_str){ space + 1, s.n - at - 1 }, b + n);
    rule.left = goss_vocab_lookup(v, b, n);
    rule.right = goss_vocab_lookup(v, b + n, k);
    rule.id = rule.left < 0 || rule.right < 0 ? -1 : goss_vocab_lookup(v, b, n + k);
    return rule;
}

static int merges_ascend(const goss_vocab *v, const goss_kvpair *list)
{
    const uint64_t stride = list->n / 1024 + 1;
    uint64_t cursor = 0;
    int32_t last = -1;
    goss_str s;
    for (uint64_t i = 0; goss_gguf_next_str(list, &cursor, &s); i++) {
        if (i % stride) continue;
        const int32_t id = read_rule(v, s).id;
        if (id < last) return 0;
        last = id;
    }
    return 1;
}

static int load_merges(loader *l)
{
    goss_vocab *v = l->v;
    const goss_kvpair *list = array_of(l, "tokenizer.ggml.merges", GOSS_KV_STRING, 0);
    if (v->model == GOSS_VOCAB_RANKED && (!list || merges_ascend(v, list))) return 0;
    if (!list || list->n > 1 << 28)
        return goss_fail(l->err, GOSS_EFORMAT, -1,
                         "the tokenizer needs its merges (key tokenizer.ggml.merges)");
    v->model = GOSS_VOCAB_MERGES;
    uint32_t cap = 64;
    while (cap < 2 * list->n) cap *= 2;
    if (!(v->merges = goss_mem_array(cap, sizeof *v->merges)))
        return goss_fail(l->err, GOSS_ENOMEM, -1, "no memory for the merges");
    v->merge_mask = cap - 1;
    for (uint32_t i = 0; i < cap; i++) v->merges[i].id = -1;
    uint64_t cursor = 0;
    goss_str s;
    for (uint32_t rank = 0; goss_gguf_next_str(list, &cursor, &s); rank++) {
        const merge_rule rule = read_rule(v, s);
        if (rule.id < 0) continue;
        uint32_t i = goss_merge_hash(rule.left, rule.right) & v->merge_mask;
        while (v->merges[i].id >= 0 && (v->merges[i].left != rule.left || v->merges[i].right != rule.right))
            i = (i + 1) & v->merge_mask;
        if (v->merges[i].id < 0) v->merges[i] = (goss_merge_slot){ rule.left, rule.right, rule.id, rank };
    }
    return 0;
}

/* ---- special ids ---- */

static void add_stop(goss_vocab *v, int32_t id)
{
    if (id >= 0 && !goss_vocab_is_stop(v, id) && v->n_stop < GOSS_STOPS_MAX) v->stop[v->n_stop++] = id;
}

static void find_special_ids(loader *l)
{
    goss_vocab *v = l->v;
    const int spm = v->model == GOSS_VOCAB_SPM;
    v->bos = token_id(l, "tokenizer.ggml.bos_token_id", spm && v->n > 2 ? 1 : -1);
    v->eos = token_id(l, "tokenizer.ggml.eos_token_id", spm && v->n > 2 ? 2 : -1);
    v->unk = token_id(l, "tokenizer.ggml.unknown_token_id", spm ? 0 : -1);
    v->adds_bos = spm || (v->model == GOSS_VOCAB_MERGES && v->pretok == GOSS_PRETOK_LLAMA3);
    goss_gguf_bool(l->g, "tokenizer.ggml.add_bos_token", &v->adds_bos, NULL);
    v->adds_bos = v->adds_bos && v->bos >= 0;
    v->space_prefix = spm;
    if (spm) goss_gguf_bool(l->g, "tokenizer.ggml.add_space_prefix", &v->space_prefix, NULL);

    const int32_t end = goss_vocab_find(v, "<|end|>"), call = goss_vocab_find(v, "<|call|>");
    const int harmony = end >= 0 && call >= 0;
    add_stop(v, harmony && v->eos == end ? -1 : v->eos);
    add_stop(v, token_id(l, "tokenizer.ggml.eot_token_id", -1) == end && harmony
                    ? -1
                    : token_id(l, "tokenizer.ggml.eot_token_id", -1));
    add_stop(v, token_id(l, "tokenizer.ggml.eom_token_id", -1));
    const goss_kvpair *ids = goss_gguf_find(l->g, "tokenizer.ggml.eos_token_ids");
    for (uint64_t i = 0; ids && ids->type == GOSS_KV_ARRAY && ids->elem_type < GOSS_KV_F32 && i < ids->n;
         i++) {
        const double id = goss_gguf_elem(ids, i);
        if (id >= 0 && id < v->n && !(harmony && (int32_t)id == end)) add_stop(v, (int32_t)id);
    }
    for (size_t i = 0; i < COUNT(stop_names); i++) add_stop(v, goss_vocab_find(v, stop_names[i]));
    if (!harmony) add_stop(v, end);
}

int goss_vocab_open(goss_vocab **out, const goss_gguf *g, goss_error *err)
{
    *out = NULL;
    loader l = { goss_mem_alloc(sizeof *l.v), g, err };
    if (!l.v) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the vocabulary");
    int r = choose_model(&l);
    if (!r) r = load_tokens(&l);
    if (!r) r = index_tokens(&l);
    if (!r) r = l.v->model == GOSS_VOCAB_SPM ? load_scores(&l) : load_merges(&l);
    if (r) {
        goss_vocab_close(&l.v);
        return r;
    }
    find_special_ids(&l);
    *out = l.v;
    return 0;
}

void goss_vocab_close(goss_vocab **v)
{
    if (!v || !*v) return;
    goss_vocab *d = *v;
    void *blocks[] = { d->bytes, d->kind, d->offset, d->rank, d->table, d->pair, d->merges, d->special };
    for (size_t i = 0; i < COUNT(blocks); i++) goss_mem_free(blocks[i]);
    goss_mem_free(d);
    *v = NULL;
}
