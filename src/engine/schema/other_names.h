/* other_names.h - the names of members that a schema doesn't declare. */
#ifndef GOSS_SCHEMA_OTHER_NAMES_H
#define GOSS_SCHEMA_OTHER_NAMES_H
#include "format/gguf.h"
#include "compile_job.h"
/* A name that is none of the n names, from its opening quote on, then next. -2: one of them is not plain
 * ASCII; sort them out with strings.h. The names are put in order. */
int goss_other_names(goss_job *job, goss_str *names, int n, int next);
#endif
