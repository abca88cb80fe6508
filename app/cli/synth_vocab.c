/* synth_vocab.c - tokens that need no download: every single byte, the words that Harmony's headers need,
 * numbers, and all sequences of one, two, three and four letters with and without a space before them, until
 * the vocabulary is full.
 *
 * A token of more than one symbol is only added after the token without its last symbol, and its merge is
 * (that, last symbol): so every token is reachable, both for tokenizers that rank by id and for those that
 * rank by the merges list. */
#include "synth_vocab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_A_TOKEN = 64, FIRST_SPECIAL = 199998 };
static const char space[] = "\xC4\xA0",
                  newline[] = "\xC4\x8A"; /* U+0120, U+010A: how a space and a line end are spelt */

typedef struct maker { goss_synth_vocab *v; int32_t *slots; uint32_t n_slots; int limit; } maker;

static char *store(goss_synth_vocab *v, const char *a, size_t n_a, const char *b, size_t n_b)
{
    char *at = v->text + v->n_text;
    memcpy(at, a, n_a);
    memcpy(at + n_a, b, n_b);
    v->n_text += n_a + n_b;
    return at;
}

/* The slot where the string is or would be. */
static int32_t *slot_of(const maker *m, const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 16777619u;
    for (uint32_t i = h & (m->n_slots - 1);; i = (i + 1) & (m->n_slots - 1)) {
        const int32_t id = m->slots[i];
        if (id < 0 || (m->v->tokens[id].n == n && !memcmp(m->v->tokens[id].s, s, n))) return &m->slots[i];
    }
}

static size_t symbol_bytes(const char *s)
{
    return ((uint8_t)*s & 0xE0) == 0xC0 ? 2 : 1; /* spellings of bytes are below U+0800 */
}

/* Adds the string and, before it, whatever of its beginnings is not there yet. */
static void add(maker *m, const char *s, size_t n)
{
    goss_synth_vocab *v = m->v;
    size_t have = 0;
    while (have < n) {
        const size_t symbol = symbol_bytes(s + have), end = have + symbol;
        int32_t *slot = slot_of(m, s, end);
        if (*slot < 0) {
            if (v->n >= m->limit) return;
            const char *copy = store(v, s, end, "", 0);
            *slot = v->n;
            v->types[v->n] = 1;
            v->tokens[v->n++] = (goss_str){ copy, end };
            if (have) {
                char right[3] = " ";
                memcpy(right + 1, s + have, symbol);
                v->merges[v->n_merges++] = (goss_str){ store(v, s, have, right, symbol + 1), end + 1 };
            }
        }
        have = end;
    }
}

static void add_str(maker *m, const char *s)
{
    add(m, s, strlen(s));
}

/* GPT-2's order: printable bytes first, then the others as U+0100 and on. */
static void add_bytes(maker *m)
{
    char s[3] = "";
    int other = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < 256; b++) {
            const int printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            if (printable == pass) continue;
            const int cp = printable ? b : 0x100 + other++;
            s[0] = (char)(cp < 0x80 ? cp : 0xC0 | cp >> 6);
            s[1] = (char)(cp < 0x80 ? 0 : 0x80 | (cp & 0x3F));
            add_str(m, s);
        }
}

static void add_words(maker *m)
{
    static const char *const words[] = {
        "system",    "user",     "assistant", "developer", "tool",   "analysis", "commentary",   "final",
        "message",   "channel",  "functions", "json",      "code",   "You",      "are",          "ChatGPT",
        "large",     "language", "model",     "trained",   "by",     "OpenAI",   "Knowledge",    "cutoff",
        "Current",   "date",     "Reasoning", "low",       "medium", "high",     "Valid",        "channels",
        "Channel",   "must",     "be",        "included",  "for",    "every",    "Instructions", "Tools",
        "namespace", "type",     "string",    "number",    "the",    "of",       "and",          "to",
        "in",        "is",       "that",      "it",        "was",    "with",     "as",           "on",
        "What",      "Which",    "Hello",     "world",     "once",   "upon",     "time",         "month",
        "after",     "June"
    };
    char s[40];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        add_str(m, words[i]);
        snprintf(s, sizeof s, "%s%s", space, words[i]);
        add_str(m, s);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(s, sizeof s, "%d", i);
        add_str(m, s);
    }
    snprintf(s, sizeof s, "%s%s", newline, newline);
    add_str(m, s);
}

/* All sequences of `length` letters in order, until the vocabulary is full. */
static void add_letters(maker *m, int length)
{
    int total = 1;
    for (int i = 0; i < length; i++) total *= 26;
    for (int n = 0; n < total && m->v->n < m->limit; n++) {
        char s[8] = "", spaced[12];
        for (int i = length - 1, rest = n; i >= 0; i--, rest /= 26) s[i] = (char)('a' + rest % 26);
        add(m, s, (size_t)length);
        snprintf(spaced, sizeof spaced, "%s%s", space, s);
        add_str(m, spaced);
    }
}

static void add_special(goss_synth_vocab *v, const char *name, int type)
{
    const size_t n = strlen(name);
    v->types[v->n] = type;
    v->tokens[v->n++] = (goss_str){ store(v, name, n, "", 0), n };
}

static void add_specials(goss_synth_vocab *v, int n)
{
    static const char *const names[GOSS_SYNTH_SPECIALS] = { "<|startoftext|>",
                                                            "<|endoftext|>",
                                                            NULL,
                                                            NULL,
                                                            "<|return|>",
                                                            "<|constrain|>",
                                                            NULL,
                                                            "<|channel|>",
                                                            "<|start|>",
                                                            "<|end|>",
                                                            "<|message|>",
                                                            NULL,
                                                            NULL,
                                                            NULL,
                                                            "<|call|>",
                                                            NULL,
                                                            NULL,
                                                            NULL,
                                                            NULL,
                                                            NULL,
                                                            "<|endofprompt|>" };
    char reserved[40];
    for (int i = 0; i < GOSS_SYNTH_SPECIALS; i++) {
        snprintf(reserved, sizeof reserved, "<|reserved_%d|>", FIRST_SPECIAL + i);
        add_special(v, names[i] ? names[i] : reserved, 3);
    }
    while (v->n < n) {
        snprintf(reserved, sizeof reserved, "[PAD%d]", v->n);
        add_special(v, reserved, 5);
    }
}

int goss_synth_vocab_make(goss_synth_vocab *v, int n)
{
    maker m = { .v = v, .n_slots = 1u << 19 };
    const int last = n - GOSS_SYNTH_SPECIALS;
    *v = (goss_synth_vocab){ .first_special = last < FIRST_SPECIAL ? last : FIRST_SPECIAL };
    v->room = (size_t)n * TEXT_A_TOKEN;
    v->text = malloc(v->room);
    v->tokens = calloc((size_t)n, sizeof *v->tokens);
    v->merges = calloc((size_t)n, sizeof *v->merges);
    v->types = calloc((size_t)n, sizeof *v->types);
    m.slots = malloc(m.n_slots * sizeof *m.slots);
    m.limit = v->first_special;
    if (!v->text || !v->tokens || !v->merges || !v->types || !m.slots) {
        free(m.slots);
        goss_synth_vocab_free(v);
        return GOSS_ENOMEM;
    }
    memset(m.slots, -1, m.n_slots * sizeof *m.slots);
    add_bytes(&m);
    add_words(&m);
    for (int length = 1; length <= 4; length++) add_letters(&m, length);
    free(m.slots);
    add_specials(v, n);
    return 0;
}

void goss_synth_vocab_free(goss_synth_vocab *v)
{
    free(v->text);
    free(v->tokens);
    free(v->merges);
    free(v->types);
    *v = (goss_synth_vocab){ 0 };
}

void goss_synth_vocab_put(const goss_synth_vocab *v, goss_gguf_writer *w)
{
    goss_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    goss_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-4o", 6);
    goss_gguf_put_strs(w, "tokenizer.ggml.tokens", v->tokens, (uint64_t)v->n);
    goss_gguf_put_i32s(w, "tokenizer.ggml.token_type", v->types, (uint64_t)v->n);
    goss_gguf_put_strs(w, "tokenizer.ggml.merges", v->merges, (uint64_t)v->n_merges);
    goss_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)v->first_special);
    goss_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)v->first_special + 4);
    goss_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)v->first_special + 1);
    goss_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", 0);
}
