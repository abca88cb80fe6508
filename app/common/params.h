/* params.h - the parameters of a request, in one table: their names in JSON and on the command line, their
 * ranges, their places in goss_params. */
#ifndef GOSS_COMMON_PARAMS_H
#define GOSS_COMMON_PARAMS_H
#include "reading.h"

enum {
    GOSS_PARAM_ROWS = 14,
    GOSS_PARAM_TOKENS = 1 << 30,    /* most that may be asked for */
    GOSS_PARAM_BIASES = 300,        /* most tokens in logit_bias, as in the sampler */
    GOSS_PARAM_STOP_BYTES = 256,    /* longest stop text */
    GOSS_PARAM_TOP = 20             /* most alternatives of a token */
};
extern const goss_option goss_param_rows[GOSS_PARAM_ROWS];  /* `at` lies in goss_params */

/* What an object says of sampling: the rows of `taker`, logit_bias, and sample: false, which is
 * temperature 0. 0, or -1 refused. */
int goss_params_read(goss_reading *r, int o, goss_params *p, unsigned taker);
/* Stop texts: one, or an array of at most `most`; empty ones are left out. 0, or -1 refused. */
int goss_params_read_stops(goss_reading *r, int o, const char *key, int most, goss_params *p);
/* top_p 0 stands for "only the best": every protocol accepts it. */
void goss_params_settle(goss_params *p);
#endif
