/* word_list.h - a vocabulary in the order of its bytes, so that an automaton can be walked over all of it:
 * each token from the byte where it differs from the one before (a trie without the trie), and only those
 * bytes are kept, one after the other: a walk reads memory forwards. One an engine; never changes. */
#ifndef GOSS_SCHEMA_WORD_LIST_H
#define GOSS_SCHEMA_WORD_LIST_H
#include "base/buf.h"
#include "outlook.h"
#include "text/vocab.h"

enum { GOSS_WORD_BYTES = 256 };   /* longer tokens are never let through */
typedef struct goss_word {
    int32_t id;
    int32_t skip;        /* the next word that shares fewer bytes with the one before it */
    uint32_t from;       /* where the bytes that it doesn't share begin */
    uint16_t n, shared;  /* how many they are, behind how many in common with the one before */
} goss_word;
typedef struct goss_words {
    int n;
    int32_t *ids;        /* (n) ascending by bytes; only while the list is made */
    goss_word *words;    /* (n) the same; NULL: a list that is longer than sizes.most is not kept */
    goss_buf bytes;
} goss_words;
/* Lists: of a class of characters (those that have one of it), of those that begin with more than
 * GOSS_OUTLOOK_MOST characters of text, and all. */
enum { GOSS_WORDS_LONG = GOSS_CLASSES, GOSS_WORDS_ALL, GOSS_WORD_LISTS };
typedef struct goss_word_list {
    const goss_vocab *vocab;
    int n_vocab;
    goss_class_sizes sizes;
    goss_words lists[GOSS_WORD_LISTS];
    /* (n_vocab bits) [n]: words that are text, the last character perhaps only begun, of n characters at
     * most; words that have one of a class; of one of eight classes */
    uint32_t *text[GOSS_OUTLOOK_ENDLESS + 1], *has[GOSS_CLASS_QUOTE], *has_any[GOSS_CLASS_QUOTE / 8];
    uint32_t *masks;     /* all of them */
    int32_t *stops; int n_stops;
} goss_word_list;

int goss_word_list_open(goss_word_list **out, const goss_vocab *v, int n_vocab);   /* v is kept */
void goss_word_list_close(goss_word_list **w);
/* Sets the bits of the words that are let through by what is live: all bits, (n_vocab + 31) / 32 words. */
void goss_word_list_give(const goss_word_list *w, const goss_outlook *o, uint32_t *bits);
/* The lists (bits) of the words that are to be walked besides; that of all, and nothing is given, where that
 * is cheaper. */
uint64_t goss_word_list_rest(const goss_word_list *w, const goss_outlook *o);
#endif
