/* reading.c - see reading.h. */
#include "reading.h"
#include "base/buf.h"
#include "base/fmt.h"
#include <math.h>
#include <string.h>

static const double EXACT = 9007199254740992.0; /* 2^53: JSON's whole numbers end there */

int goss_reading_member(const goss_reading *r, int o, const char *key)
{
    const int node = goss_json_get(r->j, o, key);
    return goss_json_kind(r->j, node) == GOSS_JSON_NULL ? -1 : node;
}

int goss_reading_refuse(goss_reading *r, int node, const char *key, const char *why)
{
    r->node = node;
    goss_fmt(r->key, sizeof r->key, "%s", key);
    goss_fmt(r->why, sizeof r->why, "%s", why);
    return -1;
}

int goss_reading_number(goss_reading *r, int o, const char *key, double min, double max, int whole,
                        double *out)
{
    const int node = goss_reading_member(r, o, key);
    char why[96];
    if (node < 0) return 0;
    const double v = goss_json_number(r->j, node, NAN);
    if (goss_json_kind(r->j, node) == GOSS_JSON_NUMBER && v >= min && v <= max && (!whole || v == floor(v)))
        return *out = v, 1;
    goss_fmt(why, sizeof why, "must be a %snumber from %.10g to %.10g", whole ? "whole " : "", min, max);
    return goss_reading_refuse(r, node, key, why);
}

int goss_reading_flag(goss_reading *r, int o, const char *key, int *out)
{
    const int node = goss_reading_member(r, o, key), kind = goss_json_kind(r->j, node);
    if (node < 0) return 0;
    if (kind != GOSS_JSON_TRUE && kind != GOSS_JSON_FALSE)
        return goss_reading_refuse(r, node, key, "must be true or false");
    *out = kind == GOSS_JSON_TRUE;
    return 1;
}

int goss_reading_text(goss_reading *r, int node, const char *key, const char **out, size_t *n)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (goss_json_kind(r->j, node) != GOSS_JSON_STRING)
        return goss_reading_refuse(r, node, key, "must be a string");
    const char *text = goss_json_string(r->j, node, &b) < 0 ? NULL : goss_owned_text(r->owned, b.data, b.len);
    const int has_nul = text && strlen(text) != b.len;
    if (n) *n = b.len;
    goss_buf_free(&b);
    if (!text) return goss_reading_refuse(r, node, key, "");
    if (has_nul && !n) return goss_reading_refuse(r, node, key, "must not contain a NUL character");
    *out = text;
    return 1;
}

/* ---- by rows
 * ------------------------------------------------------------------------------------------------- */
/* Is the word one of "a|b|c"? Which, or -1. */
static int choice_of(const goss_reading *r, int node, const char *choices)
{
    char word[40];
    int i = 0;
    for (const char *at = choices; *at; i++) {
        const size_t k = strcspn(at, "|");
        goss_fmt(word, sizeof word, "%.*s", (int)k, at);
        if (goss_json_is(r->j, node, word)) return i;
        at += k + (at[k] == '|');
    }
    return -1;
}

static int read_word(goss_reading *r, int o, const char *key, const goss_option *row, void *to)
{
    const int node = goss_reading_member(r, o, key);
    char why[96];
    if (node < 0) return 0;
    const int i = row->choices ? choice_of(r, node, row->choices) : 0;
    if (i < 0) {
        goss_fmt(why, sizeof why, "must be one of %s", row->choices);
        return goss_reading_refuse(r, node, key, why);
    }
    if (row->kind == GOSS_OPT_CHOICE) return *(int *)to = i, 1;
    return goss_reading_text(r, node, key, to, NULL);
}

/* The first two choices may be said by false and true. */
static int read_choice(goss_reading *r, int o, const char *key, const goss_option *row, void *to)
{
    const int kind = goss_json_kind(r->j, goss_reading_member(r, o, key));
    return kind == GOSS_JSON_STRING ? read_word(r, o, key, row, to) : goss_reading_flag(r, o, key, to);
}

static void range_of(const goss_option *row, double *min, double *max)
{
    const int wide = row->kind == GOSS_OPT_U64 || row->kind == GOSS_OPT_SIZE;
    const int any = row->min == 0 && row->max == 0;
    *min = !any ? row->min : row->kind == GOSS_OPT_SIZE ? 0 : wide ? -EXACT : INT32_MIN;
    *max = !any ? row->max : wide ? EXACT : INT32_MAX;
}

static int read_value(goss_reading *r, int o, const char *key, const goss_option *row, void *to)
{
    double v, min, max;
    range_of(row, &min, &max);
    const int got = goss_reading_number(r, o, key, min, max, row->kind != GOSS_OPT_FLOAT, &v);
    if (got <= 0) return got;
    if (row->kind == GOSS_OPT_FLOAT) *(float *)to = (float)v;
    else if (row->kind == GOSS_OPT_U64 || row->kind == GOSS_OPT_SIZE)
        *(uint64_t *)to = (uint64_t)(int64_t)v; /* a negative seed is one, too */
    else *(int *)to = (int)v;
    return 1;
}

static int read_row(goss_reading *r, int o, const char *key, const goss_option *row, void *to)
{
    switch (row->kind) {
    case GOSS_OPT_FLAG: return goss_reading_flag(r, o, key, to);
    case GOSS_OPT_CHOICE: return read_choice(r, o, key, row, to);
    case GOSS_OPT_STR: return read_word(r, o, key, row, to);
    default: return read_value(r, o, key, row, to);
    }
}

int goss_reading_rows(goss_reading *r, int o, const goss_option *rows, int n_rows, void *base,
                      unsigned takers)
{
    for (int i = 0; i < n_rows; i++) {
        if (!rows[i].key || !(rows[i].takers & takers)) continue;
        for (const char *at = rows[i].key; *at;) {
            char key[40];
            const size_t k = strcspn(at, ",");
            goss_fmt(key, sizeof key, "%.*s", (int)k, at);
            if (read_row(r, o, key, &rows[i], (char *)base + rows[i].at) < 0) return -1;
            at += k + (at[k] == ',');
        }
    }
    return 0;
}
