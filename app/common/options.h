/* options.h - options as tables: parsing, environment variables, limits, errors and --help all come from the
 * same rows.
 *
 *     int limit = 32, json = 0;
 *     const goss_option options[] = {
 *         { "--limit", GOSS_OPT_INT, &limit, .arg = "N", .help = "show at most N tensors", .min = 0, .max = 1e6 },
 *         { "--json", GOSS_OPT_FLAG, &json, .help = "as JSON" },
 *         { 0 } };
 *     const char *args[1];
 *     const goss_usage usage = { "dump", "PATH|URL", "what it does", 1, 1, { options } };
 *     const int n = goss_options_read(&usage, argc, argv, args);
 *     if (n < 0) return ~n;
 */
#ifndef GOSS_COMMON_OPTIONS_H
#define GOSS_COMMON_OPTIONS_H
#include <gossamer.h>

enum { /* what `to` points at */
    /* int: 1 when given (no argument); from the environment 1, true, yes, on or 0, false, no, off */
    GOSS_OPT_FLAG = 1,
    GOSS_OPT_INT,       /* int */
    GOSS_OPT_U64,       /* uint64_t */
    GOSS_OPT_SIZE,      /* uint64_t: bytes, with K, M, G or T (of 1024) behind */
    GOSS_OPT_FLOAT,     /* float */
    GOSS_OPT_SECONDS,   /* double, not negative */
    GOSS_OPT_STR,       /* const char * */
    GOSS_OPT_CHOICE,    /* int: which of the choices, from 0 */
    GOSS_OPT_LAYERS,    /* int: "all" is 0, "0" is -1, else the number: goss_engine_config.n_layers */
    GOSS_OPT_LIST       /* goss_option_list: may be given several times */
};
/* The part of a constant table's row that only programs need: the browser's module, which a page
 * downloads, goes without. */
#if defined(__wasm__)
#define GOSS_IN_PROGRAMS(...)
#else
#define GOSS_IN_PROGRAMS(...) __VA_ARGS__
#endif
#define GOSS_PROGRAM(Names, Arg, Env, Help) \
    GOSS_IN_PROGRAMS(.names = Names, .arg = Arg, .env = Env, .help = Help)

enum { GOSS_FOR_COMMANDS = 1, GOSS_FOR_SERVER = 2, GOSS_FOR_BROWSER = 4 }; /* bits of goss_option.takers */
enum { GOSS_LIST_MAX = 32 };
typedef struct goss_option_list { const char *item[GOSS_LIST_MAX]; int n; } goss_option_list;

typedef struct goss_option {
    const char *names;    /* "--max-tokens,-n"; the first is the one in messages; NULL: the browser's only */
    int kind;
    void *to;             /* keeps its value when the option is not given: the default */
    const char *arg;      /* "N", "TEXT": for --help */
    const char *help;
    const char *env; /* a variable (or several, "A,B": the first that is set) that gives the value when the
                           * option does not, or NULL */
    const char *choices;  /* STR, CHOICE: "f16|q8|q4|f32", or NULL */
    double min, max;      /* numbers; both 0: no limits */
    /* Of tables that are constant: */
    size_t at;            /* `to` lies here in a struct: see goss_options_bind */
    unsigned takers;      /* who takes it: GOSS_FOR bits; 0: everybody */
    const char *key;      /* the member of a JSON object that gives the value, or NULL */
    const char *absent;   /* the default as a text of the same kind; NULL: what is there */
} goss_option;

enum { GOSS_USAGE_GROUPS = 6 };
typedef struct goss_usage {
    const char *command, *args, *about; /* "dump", "PATH|URL", one or more sentences */
    int min_args, max_args;
    const goss_option *groups[GOSS_USAGE_GROUPS]; /* tables that end with names NULL; NULL: no more */
} goss_usage;

/* Fills `out` (room for n_rows + 1) with the rows that one of `takers` takes and that have names, over the
 * struct at `base`; ends it. Returns how many. */
int goss_options_bind(goss_option *out, const goss_option *rows, int n_rows, void *base, unsigned takers);

/* Sets what has an `absent`. */
void goss_options_defaults(const goss_option *table);

/* Reads environment and argv (argv[0] is the command). Returns how many plain arguments there are, in args
 * (max_args of room), or ~status when the program should exit with that status: ~0 after --help, ~2 after
 * an error that was explained. */
int goss_options_read(const goss_usage *u, int argc, char **argv, const char **args);

/* "gossamer COMMAND: sentence" on standard error; returns status. */
int goss_cli_fail(const char *command, int status, const goss_error *err);
#endif
