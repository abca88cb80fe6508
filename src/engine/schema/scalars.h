/* scalars.h - what facts say of numbers and of strings. */
#ifndef GOSS_SCHEMA_SCALARS_H
#define GOSS_SCHEMA_SCALARS_H
#include "expand.h"
/* The node of the text, then next; GOSS_NONE: there is none, or the job has failed. */
int goss_scalar_number(goss_job *job, const goss_facts *facts, int next);
int goss_scalar_string(goss_job *job, const goss_facts *facts, int next);
#endif
