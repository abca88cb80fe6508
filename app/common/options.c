/* options.c - the option parser. Rows of the tables are the only knowledge of options there is. Environment
 * variables are applied first, so that flags win. */
#include "options.h"
#include "base/fmt.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------- */
/* Is name (n bytes) one of the comma-separated names? */
static int has_name(const char *names, const char *name, size_t n)
{
    while (*names) {
        const size_t k = strcspn(names, ",");
        if (k == n && !strncmp(names, name, n))
            return 1;
        names += k + (names[k] == ',');
    }
    return 0;
}

static const goss_option *find(const goss_usage *u, const char *name, size_t n)
{
    for (int g = 0; g < GOSS_USAGE_GROUPS && u->groups[g]; g++)
        for (const goss_option *o = u->groups[g]; o->names; o++)
            if (has_name(o->names, name, n))
                return o;
    return NULL;
}

/* Edits (insert, delete, replace) from a to b, for "did you mean". */
static int distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    int row[64];
    if (n_b >= 64 || n_a >= 64)
        return 99;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n_b];
}

static int unknown(const goss_usage *u, const char *name, size_t n)
{
    const char *near = NULL;
    size_t n_near = 0;
    int best = n > 6 ? 4 : 3;
    for (int g = 0; g < GOSS_USAGE_GROUPS && u->groups[g]; g++)
        for (const goss_option *o = u->groups[g]; o->names; o++) {
            const size_t k = strcspn(o->names, ",");
            const int d = distance(name, n, o->names, k);
            if (d < best) {
                best = d;
                near = o->names;
                n_near = k;
            }
        }
    fprintf(stderr, "gossamer %s: there is no option %.*s", u->command, (int)n, name);
    if (near)
        fprintf(stderr, "; did you mean %.*s?\n", (int)n_near, near);
    else
        fprintf(stderr, "; gossamer %s --help lists them.\n", u->command);
    return ~2;
}

/* ---- values -------------------------------------------------------------------------------------- */
/* How a value's place is called in messages: the option, or the variable. */
struct place { const goss_usage *u; const goss_option *o; const char *name; };

static int refuse(const struct place *p, const char *value, const char *wanted)
{
    fprintf(stderr, "gossamer %s: %s does not understand '%s': it should be %s.\n", p->u->command, p->name,
            value, wanted);
    return ~2;
}

static int out_of_range(const struct place *p, const char *value)
{
    char wanted[80];
    goss_fmt(wanted, sizeof wanted, "from %.10g to %.10g", p->o->min, p->o->max);
    return refuse(p, value, wanted);
}

static int limited(const goss_option *o, double v)
{
    return (o->min != 0 || o->max != 0) && (v < o->min || v > o->max);
}

static int set_int(const struct place *p, const char *value)
{
    char *end;
    errno = 0;
    const long v = strtol(value, &end, 10);
    if (*end || end == value)
        return refuse(p, value, "a whole number");
    if (errno || v > INT32_MAX || v < INT32_MIN || limited(p->o, (double)v))
        return p->o->min != 0 || p->o->max != 0 ? out_of_range(p, value)
                                                : refuse(p, value, "a number of 32 bits");
    *(int *)p->o->to = (int)v;
    return 0;
}

static int set_u64(const struct place *p, const char *value)
{
    char *end;
    errno = 0;
    const uint64_t v = strtoull(value, &end, 0);
    if (value[0] < '0' || value[0] > '9' || errno || *end)
        return refuse(p, value, "a whole number, not negative");
    if (limited(p->o, (double)v))
        return out_of_range(p, value);
    *(uint64_t *)p->o->to = v;
    return 0;
}

/* "1.5G", "512M", "4GiB", "4096". */
static int set_size(const struct place *p, const char *value)
{
    static const char units[] = "KMGT", wanted[] = "a number of bytes such as 512M or 4G";
    double v;
    size_t n = goss_read_double(value, strlen(value), &v);
    const char *unit = value[n] >= 'A' ? strchr(units, value[n] & ~0x20) : NULL;
    if (!n || v < 0 || (value[n] && !unit))
        return refuse(p, value, wanted);
    if (unit) {
        v *= (double)((uint64_t)1 << 10 * (unit - units + 1));
        n++;
        n += (value[n] == 'i') + (value[n + (value[n] == 'i')] == 'B');
    }
    if (value[n] || v > 9e18)
        return refuse(p, value, wanted);
    *(uint64_t *)p->o->to = (uint64_t)v;
    return 0;
}

/* A number as float, or as double for seconds. */
static int set_real(const struct place *p, const char *value)
{
    double v;
    const int seconds = p->o->kind == GOSS_OPT_SECONDS;
    const char *from = value[0] == '.' ? NULL : value;
    const size_t n = from ? goss_read_double(from, strlen(from), &v) : 0;
    if (n == 0 || value[n] || (seconds && v < 0))
        return refuse(p, value, seconds ? "a number of seconds" : "a number");
    if (limited(p->o, v))
        return out_of_range(p, value);
    if (seconds)
        *(double *)p->o->to = v;
    else
        *(float *)p->o->to = (float)v;
    return 0;
}

/* "all" or how many. */
static int set_layers(const struct place *p, const char *value)
{
    char *end;
    const long v = strtol(value, &end, 10);
    const int all = !strcmp(value, "all");
    if (!all && (*end || end == value || v < 0 || v > (long)p->o->max))
        return refuse(p, value, "a number of layers or all");
    *(int *)p->o->to = all ? 0 : v == 0 ? -1 : (int)v;
    return 0;
}

/* Which of the choices the value is, -1: none. */
static int choice_of(const char *choices, const char *value)
{
    int i = 0;
    for (const char *at = choices; *at; i++) {
        const size_t k = strcspn(at, "|");
        if (strlen(value) == k && !strncmp(at, value, k))
            return i;
        at += k + (at[k] == '|');
    }
    return -1;
}

/* A text, or which of the choices it is. */
static int set_str(const struct place *p, const char *value)
{
    const int i = p->o->choices ? choice_of(p->o->choices, value) : 0;
    if (i < 0) {
        char wanted[120];
        const size_t n = goss_fmt(wanted, sizeof wanted, "one of %s", p->o->choices);
        for (size_t k = 0; k < n && wanted[k]; k++)
            if (wanted[k] == '|')
                wanted[k] = ' ';
        return refuse(p, value, wanted);
    }
    if (p->o->kind == GOSS_OPT_CHOICE)
        *(int *)p->o->to = i;
    else
        *(const char **)p->o->to = value;
    return 0;
}

static int set_list(const struct place *p, const char *value)
{
    goss_option_list *list = p->o->to;
    if (!*value)
        return 0;
    if (list->n == GOSS_LIST_MAX) {
        fprintf(stderr, "gossamer %s: %s can be given at most %d times.\n", p->u->command, p->name,
                GOSS_LIST_MAX);
        return ~2;
    }
    list->item[list->n++] = value;
    return 0;
}

/* A flag's value from the environment, or behind "=". */
static int set_flag(const struct place *p, const char *value)
{
    static const char *const words[] = { "0", "1", "false", "true", "no", "yes", "off", "on" };
    for (int i = 0; i < 8; i++)
        if (!strcmp(value, words[i])) {
            *(int *)p->o->to = i % 2;
            return 0;
        }
    return refuse(p, value, "1, true, yes, on or 0, false, no, off");
}

static int set(const struct place *p, const char *value)
{
    switch (p->o->kind) {
    case GOSS_OPT_FLAG: return set_flag(p, value);
    case GOSS_OPT_INT: return set_int(p, value);
    case GOSS_OPT_U64: return set_u64(p, value);
    case GOSS_OPT_SIZE: return set_size(p, value);
    case GOSS_OPT_FLOAT:
    case GOSS_OPT_SECONDS: return set_real(p, value);
    case GOSS_OPT_LAYERS: return set_layers(p, value);
    case GOSS_OPT_LIST: return set_list(p, value);
    default: return set_str(p, value);
    }
}

/* ---- help ---------------------------------------------------------------------------------------- */
static void show_option(const goss_option *o)
{
    char left[80], names[60];
    goss_fmt(names, sizeof names, "%s", o->names);
    for (char *c = names; *c; c++)
        if (*c == ',')
            *c = ' ';
    goss_fmt(left, sizeof left, "%s%s%s", names, o->arg && *o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-27s %s", left, o->help);
    if (o->choices)
        printf(": %s", o->choices);
    if (o->absent && *o->absent && o->kind != GOSS_OPT_FLAG)
        printf(" (%s)", o->absent);
    for (const char *at = o->env; at && *at;) {
        const size_t k = strcspn(at, ",");
        printf("; variable %.*s", (int)k, at);
        at += k + (at[k] == ',');
    }
    printf("\n");
}

static void show_help(const goss_usage *u)
{
    printf("usage: gossamer %s%s%s [OPTIONS]\n\n%s\n", u->command, *u->args ? " " : "", u->args, u->about);
    for (int g = 0; g < GOSS_USAGE_GROUPS && u->groups[g]; g++) {
        printf("\n");
        for (const goss_option *o = u->groups[g]; o->names; o++)
            show_option(o);
    }
}

/* ---- tables -------------------------------------------------------------------------------------- */
int goss_options_bind(goss_option *out, const goss_option *rows, int n_rows, void *base, unsigned takers)
{
    int n = 0;
    for (int i = 0; i < n_rows; i++) {
        if (!rows[i].names || (rows[i].takers && !(rows[i].takers & takers)))
            continue;
        out[n] = rows[i];
        out[n++].to = (char *)base + rows[i].at;
    }
    out[n] = (goss_option){ 0 };
    return n;
}

void goss_options_defaults(const goss_option *table)
{
    for (const goss_option *o = table; o->names; o++) {
        const goss_usage none = { .command = "" };
        const struct place p = { &none, o, o->names };
        if (o->absent)
            set(&p, o->absent);
    }
}

/* ---- reading ------------------------------------------------------------------------------------- */
/* The first of the option's variables that is set; 0, or what set() says. */
static int read_variable(const goss_usage *u, const goss_option *o)
{
    for (const char *at = o->env; at && *at;) {
        char name[64];
        const size_t k = strcspn(at, ",");
        goss_fmt(name, sizeof name, "%.*s", (int)k, at);
        const char *value = getenv(name);
        const struct place p = { u, o, name };
        if (value && *value)
            return set(&p, value);
        at += k + (at[k] == ',');
    }
    return 0;
}

static int read_environment(const goss_usage *u)
{
    int rc = 0;
    for (int g = 0; g < GOSS_USAGE_GROUPS && u->groups[g]; g++)
        for (const goss_option *o = u->groups[g]; o->names && !rc; o++)
            rc = read_variable(u, o);
    return rc;
}

/* The option at argv[*i]; moves *i over its value. */
static int read_option(const goss_usage *u, int argc, char **argv, int *i)
{
    const char *name = argv[*i];
    const size_t n = strcspn(name, "=");
    const goss_option *o = find(u, name, n);
    char shown[64];
    if (!o)
        return unknown(u, name, n);
    goss_fmt(shown, sizeof shown, "%.*s", (int)n, name);
    const struct place p = { u, o, shown };
    if (name[n] == '=')
        return set(&p, name + n + 1);
    if (o->kind == GOSS_OPT_FLAG) {
        *(int *)o->to = 1;
        return 0;
    }
    if (*i + 1 >= argc) {
        fprintf(stderr, "gossamer %s: %s wants a value (%s).\n", u->command, shown, o->arg ? o->arg : "TEXT");
        return ~2;
    }
    return set(&p, argv[++*i]);
}

int goss_options_read(const goss_usage *u, int argc, char **argv, const char **args)
{
    int n = 0, only_args = 0, rc = read_environment(u);
    for (int i = 1; i < argc && rc == 0; i++) {
        const char *a = argv[i];
        if (!only_args && (!strcmp(a, "--help") || !strcmp(a, "-h"))) {
            show_help(u);
            return ~0;
        }
        if (!only_args && !strcmp(a, "--")) {
            only_args = 1;
        } else if (!only_args && a[0] == '-' && a[1]) {
            rc = read_option(u, argc, argv, &i);
        } else if (n < u->max_args) {
            args[n++] = a;
        } else {
            fprintf(stderr, "gossamer %s: \"%s\" is one argument too many; usage: gossamer %s %s [OPTIONS]\n",
                    u->command, a, u->command, u->args);
            rc = ~2;
        }
    }
    if (rc == 0 && n < u->min_args) {
        fprintf(stderr, "gossamer %s: an argument is missing; usage: gossamer %s %s [OPTIONS]\n", u->command,
                u->command, u->args);
        rc = ~2;
    }
    return rc ? rc : n;
}

int goss_cli_fail(const char *command, int status, const goss_error *err)
{
    fprintf(stderr, "gossamer %s: %s\n", command, err->text);
    return status;
}
