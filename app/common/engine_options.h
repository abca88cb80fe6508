/* engine_options.h - engine_table.h's rows for programs: the command line's and the server's. */
#ifndef GOSS_COMMON_ENGINE_OPTIONS_H
#define GOSS_COMMON_ENGINE_OPTIONS_H
#include "engine_table.h"

/* Sets defaults and fills o->table with the rows of one taker. */
void goss_engine_options_init(goss_engine_options *o, unsigned taker);
/* After reading: joins the ring where --pipeline is (all but rank 0 never return), then sets
 * config.model_path (argument, else -hf, else --gguf, else GPT_OSS_GGUF_PATH, else the demo model). `model`
 * may be NULL. 0, or the exit status after an explanation. */
int goss_engine_options_finish(goss_engine_options *o, const char *command, const char *model);

/* For commands that only read a model's bytes: the argument, else `gguf` (the value of their --gguf), else
 * the demo model, put into room. NULL after an explanation when there is none. */
const char *goss_model_argument(const char *command, const char *argument, const char *gguf, char *room,
                                size_t cap);
#endif
