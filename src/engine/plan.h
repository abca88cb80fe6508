/* plan.h - says before loading what will be resident, what is paged, and what is left for KV. */
#ifndef GOSS_ENGINE_PLAN_H
#define GOSS_ENGINE_PLAN_H
#include "model/arch.h"

enum {
    GOSS_FILES = 256,                      /* shards of a model, at most */
    GOSS_SESSIONS = 16,                    /* where nobody asked for a number */
    GOSS_ROWS = 512, GOSS_MOST_ROWS = 2048 /* of a step: at first; what a GPU may come to */
};
/* Most rows of a step, where nobody asked for a number. */
int goss_plan_rows(const goss_model *m, const goss_engine_config *c, int gpu);
int goss_plan_make(const goss_model *m, const goss_engine_config *c, int gpu, goss_plan_info *p, int *kv_type,
                   goss_error *err);
/* Pages that all sessions together could use, where a GPU's KV may grow to them (p: the plan), and positions
 * of one; 0: it may not. */
int goss_plan_growth(const goss_model *m, const goss_engine_config *c, const goss_plan_info *p, int pages[2]);
/* Reads the header of what config names, and calls fn with the model in it: its result, or an error. */
int goss_plan_with(const goss_engine_config *config,
                   int (*fn)(void *ctx, const goss_model *m, uint64_t file_bytes, goss_error *err), void *ctx,
                   goss_error *err);
void goss_plan_describe(const goss_model *m, goss_model_info *out);
/* The KV's type as it is: asked for (NULL: none), by a backend of that name ("": none yet). */
const char *goss_plan_kv_name(const char *asked, const char *backend);
#endif
