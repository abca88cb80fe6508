/* compile_job.h - what all parts of the compiler share: the schema, the graph, memory that lives as long
 * as the job, the first error; and claims, the form in which the compiler thinks of schemas.
 *
 * A claim says that a schema holds, or that it doesn't. What may stand at one place is a set of claims,
 * all of which hold: that is how $ref beside other keywords, allOf, patternProperties beside properties
 * come together. expand.h makes alternatives of a set of claims. */
#ifndef GOSS_SCHEMA_COMPILE_JOB_H
#define GOSS_SCHEMA_COMPILE_JOB_H
#include "format/gguf.h"
#include "format/json.h"
#include "parts.h"

typedef struct goss_claim {
    int32_t node, not ;
} goss_claim;
typedef struct goss_claims {
    goss_claim *at;
    int n, room;
} goss_claims;

typedef struct goss_job goss_job;
struct goss_job {
    goss_graph *g;
    const goss_json *j;
    int root;     /* where $refs start */
    uint8_t *well_formed; /* (n_nodes) schemas that were looked at, and are */
    int *targets;         /* (n_nodes) of $refs that were resolved: the node + 2; 0: not yet */
    int old_refs; /* draft 7 and before: $ref hides what stands beside it */
    goss_parts parts;
    void *blocks;
    size_t left, taken; /* memory, counted by the budget */
    goss_budget *budget;
    goss_buf text;      /* scratch */
    struct {
        uint64_t min, max;
        int rule;
    } lengths[8];
    int n_lengths; /* strings of which only that is said */
    /* schema.c's, for the parts below it. The rule of values for which all claims hold; the text of one, then
     * next (GOSS_NONE: there is none); and the same in a graph of its own (0, or the job has failed). */
    int (*rule)(goss_job *, const goss_claims *);
    int (*value)(goss_job *, const goss_claims *, int next);
    int (*apart)(goss_job *, const goss_claims *, goss_graph *g, int *start);
    int rc;
    goss_error *err;
};

/* Zeroed, until the job ends; NULL: the job has failed. */
void *goss_job_take(goss_job *job, size_t n);
void goss_job_free(goss_job *job);
/* The first refusal stands; returns GOSS_NONE. The message names the place of node in the schema. */
int goss_job_refuse(goss_job *job, int node, const char *what);
int goss_job_limit(goss_job *job, int node, const char *what); /* the same with GOSS_ELIMIT */
/* The same with another's error; GOSS_ENOMEM has no place. */
int goss_job_pass(goss_job *job, int node, int rc, const char *what);
void goss_claims_add(goss_job *job, goss_claims *to, int node, int not );

/* ---- reading a schema ---------------------------------------------------------------------------------- */
/* Whether a schema's keywords have the values that the standard wants; refuses where not. */
int goss_job_well_formed(goss_job *job, int node);
int goss_job_constrains(const goss_job *job, int key); /* a keyword of values, no applicator, type or list */
int goss_job_same_text(const goss_job *job, int a, int b);    /* two strings */
int goss_job_find(const goss_job *job, int object, int name); /* a member's value by a string node; -1 */
int goss_job_lists(const goss_job *job, int array, int name); /* whether a string is in an array */
int goss_job_type_bit(const goss_job *job, int name);         /* 0: no type's name */
int goss_job_types_of(const goss_job *job, int node);         /* what the keyword "type" lets through */
int goss_job_kind_bits(const goss_job *job, int value);       /* the type of a value */
int goss_job_equal(const goss_job *job, int a, int b);        /* values, as JSON Schema compares them */
/* A string's content, unescaped, in job->text (until the next use). */
goss_str goss_job_string(goss_job *job, int node);
/* A value as we write it, compact, in job->text. */
goss_str goss_job_written(goss_job *job, int node);
uint64_t goss_job_count(const goss_job *job, int node, uint64_t absent);

enum {
    GOSS_TYPE_NULL = 1,
    GOSS_TYPE_BOOLEAN = 2,
    GOSS_TYPE_INTEGER = 4,
    GOSS_TYPE_FRACTION = 8, /* no integer */
    GOSS_TYPE_STRING = 16,
    GOSS_TYPE_ARRAY = 32,
    GOSS_TYPE_OBJECT = 64,
    GOSS_TYPE_NUMBER = 12,
    GOSS_TYPE_ANY = 127
};
#endif
