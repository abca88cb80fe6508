/* sampling_options.h - how run and chat are told what to sample. */
#ifndef GOSS_CLI_SAMPLING_OPTIONS_H
#define GOSS_CLI_SAMPLING_OPTIONS_H
#include "common/params.h"

typedef struct goss_sampling_options {
    goss_params params;
    goss_option_list stop;
    /* read from the file that --json-schema names; as long as the program lives */
    char *schema;
    goss_option table[GOSS_PARAM_ROWS + 3];
} goss_sampling_options;
void goss_sampling_options_init(goss_sampling_options *o);           /* params are the defaults then */
/* 0, or the exit status, explained */
int goss_sampling_options_finish(goss_sampling_options *o, const char *command);
#endif
