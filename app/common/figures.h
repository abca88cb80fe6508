/* figures.h - what an engine counts (goss_stats) and what it is (goss_model_info), in two lists from which
 * bench, the server's /metrics and the page print: a field that is added has one row here. */
#ifndef GOSS_COMMON_FIGURES_H
#define GOSS_COMMON_FIGURES_H
#include "base/buf.h"
#include <gossamer.h>

enum { GOSS_FIGURE_U64 = 1, GOSS_FIGURE_I64, GOSS_FIGURE_INT, GOSS_FIGURE_REAL, GOSS_FIGURE_TEXT };

typedef struct goss_figure {
    const char *name;       /* the field's; the page's too */
    const char *bench;      /* its name in `bench --json`, NULL: not there */
    const char *metric;     /* in /metrics behind gossamer_, NULL: not there; ..._total is a counter */
    const char *help;
    int kind;
    size_t at;
} goss_figure;

extern const goss_figure goss_stats_list[];   /* of goss_stats; ends with name NULL */
extern const goss_figure goss_info_list[];    /* of goss_model_info; ends so too */

double goss_figure_value(const goss_figure *f, const void *record); /* of numbers */
/* Appends ,"name":value for each of the list; `bench`: those that bench has, by its names. */
void goss_figures_json(goss_buf *b, const goss_figure *list, const void *record, int bench);
/* Adds another engine's counts. */
void goss_stats_add(goss_stats *sum, const goss_stats *one);
#endif
