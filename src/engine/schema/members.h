/* members.h - what facts say of objects. Declared members come in the order in which the schema names
 * them, the others behind them. */
#ifndef GOSS_SCHEMA_MEMBERS_H
#define GOSS_SCHEMA_MEMBERS_H
#include "expand.h"
/* The node of the text, then next; GOSS_NONE: there is none, or the job has failed. */
int goss_members_compile(goss_job *job, const goss_facts *facts, int next);
#endif
