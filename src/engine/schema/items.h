/* items.h - what facts say of arrays. */
#ifndef GOSS_SCHEMA_ITEMS_H
#define GOSS_SCHEMA_ITEMS_H
#include "expand.h"
/* The node of the text, then next; GOSS_NONE: there is none, or the job has failed. */
int goss_items_compile(goss_job *job, const goss_facts *facts, int next);
#endif
