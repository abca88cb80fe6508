/* sampling_options.c - the options that run and chat share: common/params.h's rows, and texts that only a
 * command line has. */
#include "sampling_options.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void goss_sampling_options_init(goss_sampling_options *o)
{
    *o = (goss_sampling_options){ .params = goss_params_default() };
    const int n =
        goss_options_bind(o->table, goss_param_rows, GOSS_PARAM_ROWS, &o->params, GOSS_FOR_COMMANDS);
    o->table[n] = (goss_option){ "--stop", GOSS_OPT_LIST, &o->stop, .arg = "TEXT",
                                 .help = "end before this text; may be given several times" };
    o->table[n + 1] = (goss_option){ "--json-schema", GOSS_OPT_STR, &o->params.json_schema, .arg = "FILE",
                                     .help = "the answer must follow this schema (or its text: {...})" };
    o->table[n + 2] = (goss_option){ 0 };
}

/* A schema's text begins with a brace; anything else names a file that holds one. */
static int read_schema(goss_sampling_options *o, const char *command)
{
    enum { MOST = 1 << 20 };
    const char *path = o->params.json_schema;
    if (!path || path[strspn(path, " \t\r\n")] == '{') return 0;
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    o->schema = calloc(1, MOST + 1);
    if (f && o->schema) n = fread(o->schema, 1, MOST, f);
    const int bad = !f || ferror(f) || !n || n == MOST;
    const int why = errno;
    if (f) fclose(f);
    if (bad)
        fprintf(stderr, "gossamer %s: --json-schema %s: %s.\n", command, path,
                !f ? strerror(why) : n ? "a schema of more than 1 MB" : "no schema can be read from it");
    o->params.json_schema = o->schema;
    return bad ? 2 : 0;
}

int goss_sampling_options_finish(goss_sampling_options *o, const char *command)
{
    o->params.stop = o->stop.n ? o->stop.item : NULL;
    o->params.n_stop = o->stop.n;
    goss_params_settle(&o->params);
    return read_schema(o, command);
}
