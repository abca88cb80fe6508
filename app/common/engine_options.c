/* engine_options.c - the table for programs, and where the model is when none is named. */
#include "engine_options.h"
#include "gpus.h"
#include "ring_join.h"
#include "share.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void goss_engine_options_init(goss_engine_options *o, unsigned taker)
{
    *o = (goss_engine_options){ .gpu = -1 };
    goss_options_bind(o->table, goss_engine_rows, GOSS_ENGINE_ROWS, o, taker);
}

int goss_engine_options_finish(goss_engine_options *o, const char *command, const char *model)
{
    int status = goss_gpus_take(o, command);
    if (status) return status;
    status = goss_ring_join(o, command);
    if (status == 0) exit(0); /* a later rank has done its work */
    if (status > 0) return status;
    if (!model && o->repo) {
        snprintf(o->found, sizeof o->found, "hf:%s", o->repo);
        o->config.model_path = o->found;
        return 0;
    }
    o->config.model_path = goss_model_argument(command, model, o->gguf, o->found, sizeof o->found);
    return o->config.model_path ? 0 : 2;
}

const char *goss_model_argument(const char *command, const char *argument, const char *gguf, char *room,
                                size_t cap)
{
    if (argument || gguf)
        return argument ? argument : gguf;
    if (goss_demo_model(room, cap))
        return room;
    fprintf(stderr, "gossamer %s: no model: name a GGUF file, or set GPT_OSS_GGUF_PATH.\n", command);
    return NULL;
}
