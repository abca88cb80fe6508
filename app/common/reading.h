/* reading.h - members of JSON objects into structs, by tables of options (options.h) and one by one, with
 * refusals that name the member and its place. null is the same as absent. */
#ifndef GOSS_COMMON_READING_H
#define GOSS_COMMON_READING_H
#include "base/owned.h"
#include "format/json.h"
#include "options.h"

typedef struct goss_reading {
    const goss_json *j;
    goss_owned **owned;     /* where texts go */
    /* of what was refused: */
    int node;               /* -1: none */
    char key[40];           /* "top_p" */
    char why[120];          /* "must be a number from 0 to 1"; "" when memory ran out */
} goss_reading;

int goss_reading_member(const goss_reading *r, int o, const char *key); /* its node, -1: absent or null */
int goss_reading_refuse(goss_reading *r, int node, const char *key, const char *why); /* -1 */
/* Each: 1 read, 0 absent (*out untouched), -1 refused. */
int goss_reading_number(goss_reading *r, int o, const char *key, double min, double max, int whole,
                        double *out);
int goss_reading_flag(goss_reading *r, int o, const char *key, int *out);
/* The text at a node. n NULL: a NUL inside is refused. */
int goss_reading_text(goss_reading *r, int node, const char *key, const char **out, size_t *n);
/* Every member of `o` that a row of these takers names (key: "a" or "a,b", of which the last counts), into
 * the struct at base. 0, or -1 refused. */
int goss_reading_rows(goss_reading *r, int o, const goss_option *rows, int n_rows, void *base,
                      unsigned takers);
#endif
