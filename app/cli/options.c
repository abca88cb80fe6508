/* options.c - the option parser. Rows of the tables are the only knowledge of options there is. Environment
 * variables are applied first, so that flags win. */
#include "options.h"
#include "../../src/base/fmt.h"
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
    fprintf(stderr, "gossamer %s: %s should be %s, not \"%s\".\n", p->u->command, p->name, wanted, value);
    return ~2;
}

static int out_of_range(const struct place *p, const char *value)
{
    char wanted[80];
    goss_fmt(wanted, sizeof wanted, "from %g to %g", p->o->min, p->o->max);
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
        return p->o->min != 0 || p->o->max != 0 ? out_of_range(p, value) : refuse(p, value, "a number of 32 bits");
    *(int *)p->o->to = (int)v;
    return 0;
}

static int set_u64(const struct place *p, const char *value)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(value, &end, 0);
    if (value[0] < '0' || value[0] > '9' || errno)
        return refuse(p, value, "a whole number, not negative");
    if (p->o->kind == GOSS_OPT_SIZE && *end) {
        static const char units[] = "KMGT";
        const char *unit = strchr(units, *end >= 'a' ? *end - 32 : *end);
        const int shift = unit ? 10 * (int)(unit - units + 1) : 64;
        if (shift == 64 || v > UINT64_MAX >> shift)
            return refuse(p, value, "a number of bytes such as 512M or 4G");
        v <<= shift;
        end++;
        end += (*end == 'i') + (end[*end == 'i'] == 'B');
    }
    if (*end)
        return refuse(p, value,
                      p->o->kind == GOSS_OPT_SIZE ? "a number of bytes such as 512M or 4G"
                                                  : "a whole number, not negative");
    if (limited(p->o, (double)v))
        return out_of_range(p, value);
    *(uint64_t *)p->o->to = v;
    return 0;
}

static int set_float(const struct place *p, const char *value)
{
    double v;
    const char *from = value[0] == '.' ? NULL : value;
    const size_t n = from ? goss_read_double(from, strlen(from), &v) : 0;
    if (n == 0 || value[n])
        return refuse(p, value, "a number");
    if (limited(p->o, v))
        return out_of_range(p, value);
    *(float *)p->o->to = (float)v;
    return 0;
}

static int set_str(const struct place *p, const char *value)
{
    const char *at = p->o->choices;
    while (at && *at) {
        const size_t k = strcspn(at, "|");
        if (strlen(value) == k && !strncmp(at, value, k))
            break;
        at += k + (at[k] == '|');
    }
    if (at && !*at) {
        char wanted[120];
        goss_fmt(wanted, sizeof wanted, "one of %s", p->o->choices);
        return refuse(p, value, wanted);
    }
    *(const char **)p->o->to = value;
    return 0;
}

static int set_list(const struct place *p, const char *value)
{
    goss_option_list *list = p->o->to;
    if (list->n == GOSS_LIST_MAX) {
        fprintf(stderr, "gossamer %s: %s can be given at most %d times.\n", p->u->command, p->name, GOSS_LIST_MAX);
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
    case GOSS_OPT_U64:
    case GOSS_OPT_SIZE: return set_u64(p, value);
    case GOSS_OPT_FLOAT: return set_float(p, value);
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
    goss_fmt(left, sizeof left, "%s%s%s", names, o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-27s %s", left, o->help);
    if (o->choices)
        printf(": %s", o->choices);
    if (o->env)
        printf(" [%s]", o->env);
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

/* ---- reading ------------------------------------------------------------------------------------- */
static int read_environment(const goss_usage *u)
{
    for (int g = 0; g < GOSS_USAGE_GROUPS && u->groups[g]; g++)
        for (const goss_option *o = u->groups[g]; o->names; o++) {
            const char *value = o->env ? getenv(o->env) : NULL;
            const struct place p = { u, o, o->env };
            int rc;
            if (value && *value && (rc = set(&p, value)))
                return rc;
        }
    return 0;
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
        fprintf(stderr, "gossamer %s: %s needs a value (%s).\n", u->command, shown, o->arg ? o->arg : "TEXT");
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
