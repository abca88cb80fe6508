/* outlook.h - what may follow in a state of an automaton, by classes of characters: found by looking at the
 * states that whole classes lead to, so that masks need not try each word. */
#ifndef GOSS_SCHEMA_OUTLOOK_H
#define GOSS_SCHEMA_OUTLOOK_H
#include "automaton.h"
#include "char_class.h"

enum { GOSS_OUTLOOK_MOST = 16, GOSS_OUTLOOK_ENDLESS };
/* n characters of the classes `live` may follow, whatever they are (ENDLESS: any number), one that is only
 * begun counted. Behind up to n of them none of the classes `dead` can follow, and behind n, where only_n,
 * none of the live ones. No class is live where nothing is known. */
typedef struct goss_outlook {
    uint64_t live, dead;
    int n, only_n;
} goss_outlook;

/* How many words have a character of each class; and how many are too many to be walked class by class: where
 * that many are neither live nor dead, nothing is known. */
typedef struct goss_class_sizes {
    int n[GOSS_CLASSES], most;
} goss_class_sizes;

/* 1; or GOSS_LATER: see goss_dfa_allow. */
int goss_outlook_find(goss_dfa *d, int state, const goss_class_sizes *sizes, goss_outlook *out);
#endif
