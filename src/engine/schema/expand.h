/* expand.h - a set of claims as alternatives without applicators: what $ref, allOf, anyOf, oneOf, not, if
 * and dependencies say is spread out, so that each alternative is a list of facts about one value, all of
 * which hold.
 *
 * oneOf is exact where its branches can't hold together, or where what one says can be turned round; where
 * that makes too many alternatives, a member that only one of two branches requires tells them apart;
 * otherwise it is anyOf. What can't be turned round under a "not" is left out: less may be written then,
 * never more. */
#ifndef GOSS_SCHEMA_EXPAND_H
#define GOSS_SCHEMA_EXPAND_H
#include "compile_job.h"

enum {
    GOSS_FACT_KEYWORDS = 1, /* all keywords of node but the applicators */
    GOSS_FACT_NOT,          /* the keyword `key` of node does not hold */
    GOSS_FACT_REQUIRE,      /* the member named by the string `key` stands; */
    GOSS_FACT_FORBID,       /* doesn't stand; */
    GOSS_FACT_MEMBER,       /* has a value for which (node, not) holds, if it stands */
    GOSS_FACT_HAS_MATCHING, /* some member's name matches the pattern `key`, and (node, not) holds for it; */
    GOSS_FACT_HAS_OTHER, /* is not declared by the schema `node`, and additionalProperties fails for it; */
    GOSS_FACT_HAS_NAME, /* fails the schema `node` */
    GOSS_FACT_ITEMS,    /* (node, not) holds for every item; */
    GOSS_FACT_CONTAINS  /* for one at least */
};
/* the claims that led to a schema, the schema's own first */
typedef struct goss_trail {
    int node, not, depth;
    const struct goss_trail *up;
} goss_trail;
typedef struct goss_fact {
    int kind, node, not, key;
    const goss_trail *via;
} goss_fact;
/* no_lists: enum and const are left out */
typedef struct goss_facts {
    goss_fact *at;
    int n, types, no_lists;
} goss_facts;
typedef struct goss_alternatives {
    goss_facts *at;
    int n;
} goss_alternatives;
/* The memory is the job's. None: nothing fulfils the claims. */
/* Whether `other` speaks for `schema` (both KEYWORDS) where that asks what was evaluated: it is the schema
 * itself, or one that it applies in place, not under a "not". */
int goss_fact_speaks_for(const goss_fact *other, const goss_fact *schema);
goss_alternatives goss_expand(goss_job *job, const goss_claims *claims);
#endif
