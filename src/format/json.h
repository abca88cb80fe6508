/* json.h - JSON (RFC 8259) in: a strict parser into a flat array of nodes over the caller's bytes. No
 * recursion, bounded depth and node count, errors with byte positions, duplicate keys refused. The same code
 * reads requests, goldens and schemas. */
#ifndef GOSS_FORMAT_JSON_H
#define GOSS_FORMAT_JSON_H
#include "base/buf.h"
#include "base/owned.h"
#include <gossamer.h>
enum {
    GOSS_JSON_NULL = 1, GOSS_JSON_FALSE, GOSS_JSON_TRUE, GOSS_JSON_NUMBER, GOSS_JSON_STRING, GOSS_JSON_ARRAY,
    GOSS_JSON_OBJECT
};
typedef struct goss_json_node {
    int kind;
    uint32_t start, end;    /* the value's bytes in the text; strings: without the quotes, still escaped */
    /* index of the next sibling, 0: none. Objects: children alternate key (a STRING), value */
    uint32_t next;
    uint32_t child, n;      /* arrays and objects: index of the first child, number of elements or members */
    double number;
} goss_json_node;
typedef struct goss_json {
    const char *text;
    size_t n_text;
    goss_json_node *nodes;
    uint32_t n_nodes, cap;
} goss_json;

/* 0: 64 deep, 1 M nodes */
typedef struct goss_json_limits { uint32_t max_depth, max_nodes; } goss_json_limits;
/* text is kept; the root is node 0 */
int goss_json_parse(goss_json *j, const char *text, size_t n, const goss_json_limits *limits,
                    goss_error *err);
void goss_json_free(goss_json *j);
/* Nodes are named by index; -1 is "absent" and every call accepts it. */
int goss_json_get(const goss_json *j, int object, const char *key);     /* -1 */
int goss_json_at(const goss_json *j, int array, uint32_t i);            /* -1; walks */
/* first child (of an object: its first key) */
int goss_json_first(const goss_json *j, int container);
int goss_json_next(const goss_json *j, int node);
int goss_json_kind(const goss_json *j, int node);                       /* 0 when absent */
/* a string equal to text, escapes resolved */
int goss_json_is(const goss_json *j, int node, const char *text);
/* The unescaped bytes: where they stand in the text if they have no escapes, else a copy in `owned`. 0, or
 * GOSS_EINVAL: no string, GOSS_ENOMEM. */
int goss_json_str(const goss_json *j, int node, goss_owned **owned, goss_str *out);
/* The value's own bytes in the text (strings: without quotes); absent: none. */
goss_str goss_json_source(const goss_json *j, int node);
/* appends the unescaped bytes; 0 or an error */
int goss_json_string(const goss_json *j, int node, goss_buf *out);
/* order of two strings by their bytes, escapes resolved: < 0, 0, > 0 */
int goss_json_compare(const goss_json *j, int a, int b);
double goss_json_number(const goss_json *j, int node, double absent);
int goss_json_bool(const goss_json *j, int node, int absent);
/* appends the value compactly, members in order */
int goss_json_write(const goss_json *j, int node, goss_buf *out);
/* with ", " and ": " as Python's json.dumps */
int goss_json_write_spaced(const goss_json *j, int node, goss_buf *out);
#endif
