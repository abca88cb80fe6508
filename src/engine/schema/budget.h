/* budget.h - how much memory compiled schemas may take, counted for one request and for all together; and,
 * while they are compiled, how much time. Counts are atomic: schemas are compiled beside the engine's
 * thread. */
#ifndef GOSS_SCHEMA_BUDGET_H
#define GOSS_SCHEMA_BUDGET_H
#include <stdatomic.h>
#include <stdint.h>

typedef struct goss_budget goss_budget;
struct goss_budget {
    goss_budget *all;            /* what is taken here is taken there, too; NULL: nowhere else */
    uint64_t most;               /* bytes; 0: no bound */
    atomic_ullong used;
    double until_ms;             /* of the compiling thread's time (goss_os_thread_ms); 0: no bound */
    int late;                    /* 1: that time has come: nothing more is given */
    int refused;                 /* GOSS_ELIMIT or GOSS_EFULL, as goss_budget_take said last; 0: never yet */
};
/* Looks at the clock: whoever works long without taking memory asks. NULL: never late. */
int goss_budget_late(goss_budget *b);
/* Counts n bytes more. 0; or GOSS_ELIMIT, they are too many here or it is late, or GOSS_EFULL, too many
 * for all together: then nothing is counted. A NULL budget takes all. */
int goss_budget_take(goss_budget *b, uint64_t n);
void goss_budget_give(goss_budget *b, uint64_t n);
/* Zeroed memory that is counted; NULL: none, or too much (then *failed says which). */
void *goss_budget_alloc(goss_budget *b, uint64_t n, int *failed);
void goss_budget_free(goss_budget *b, void *p, uint64_t n);
#endif
