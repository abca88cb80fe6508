/* parts.h - small parts of graphs that every schema is made of. Each maker takes the node that follows.
 * GOSS_NONE stands for the empty language: a part in front of it is empty too. */
#ifndef GOSS_SCHEMA_PARTS_H
#define GOSS_SCHEMA_PARTS_H
#include "automaton.h"

enum { GOSS_NONE = -1 };
/* rules that are made once and called; -1: not made yet */
typedef struct goss_parts {
    goss_graph *g;
    int space, character, plain, value;
} goss_parts;
goss_parts goss_parts_for(goss_graph *g);

int goss_part_either(goss_parts *p, int a, int b); /* either may be GOSS_NONE */
int goss_part_text(goss_parts *p, const char *s, int next);
int goss_part_bytes(goss_parts *p, int lo, int hi, int next);
int goss_part_space(goss_parts *p, int next); /* (nothing | a space | a line break, 0 to 32 spaces) */
/* One character of a string: in every way that JSON may write it, and in the one way that we write. */
int goss_part_character(goss_parts *p);
int goss_part_plain(goss_parts *p);
/* Every call of them is made so: `left` characters may stand from here on, this one counted. */
int goss_part_call(goss_parts *p, int character, uint64_t left, int next);
int goss_part_loop(goss_parts *p, int character, int next); /* any number of them */
int goss_part_string(goss_parts *p, int next);         /* any string */
int goss_part_digits(goss_parts *p, int min, int max, int next);
enum { GOSS_SIGN_ANY, GOSS_SIGN_NOT_NEGATIVE, GOSS_SIGN_NOT_POSITIVE };
int goss_part_integer(goss_parts *p, int sign, int next);
int goss_part_number(goss_parts *p, int sign, int next); /* with fraction and exponent, finite as a double */
int goss_part_array(goss_parts *p, int next);            /* any array */
int goss_part_object(goss_parts *p, int next);           /* any object */
int goss_part_value(goss_parts *p);                      /* the rule of any value */
#endif
