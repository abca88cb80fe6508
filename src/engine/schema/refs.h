/* refs.h - where a $ref leads: pointers, anchors, and the $ids of the schema and of those in it. Nothing
 * is fetched. */
#ifndef GOSS_SCHEMA_REFS_H
#define GOSS_SCHEMA_REFS_H
#include "compile_job.h"
/* The node that the string `ref` means where it stands; -1: none in this schema. */
int goss_refs_target(goss_job *job, int ref);
#endif
