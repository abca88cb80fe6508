/* options.h - options as tables: parsing, environment variables, limits, errors and --help all come from the same rows.
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
#ifndef GOSS_CLI_OPTIONS_H
#define GOSS_CLI_OPTIONS_H
#include <gossamer.h>

enum { /* what `to` points at */
    /* int: 1 when given (no argument); from the environment 1, true, yes, on or 0, false, no, off */
    GOSS_OPT_FLAG = 1,
    GOSS_OPT_INT,       /* int */
    GOSS_OPT_U64,       /* uint64_t */
    GOSS_OPT_SIZE,      /* uint64_t: bytes, with K, M, G or T (of 1024) behind */
    GOSS_OPT_FLOAT,     /* float */
    GOSS_OPT_STR,       /* const char * */
    GOSS_OPT_LIST       /* goss_option_list: may be given several times */
};
enum { GOSS_LIST_MAX = 32 };
typedef struct goss_option_list { const char *item[GOSS_LIST_MAX]; int n; } goss_option_list;

typedef struct goss_option {
    const char *names;    /* "--max-tokens,-n"; the first is the one in messages */
    int kind;
    void *to;             /* keeps its value when the option is not given: the default */
    const char *arg;      /* "N", "TEXT": for --help */
    const char *help;
    const char *env;      /* a variable that gives the value when the option does not, or NULL */
    const char *choices;  /* STR: "f16|q8|q4|f32", or NULL */
    double min, max;      /* numbers; both 0: no limits */
} goss_option;

enum { GOSS_USAGE_GROUPS = 6 };
typedef struct goss_usage {
    const char *command, *args, *about; /* "dump", "PATH|URL", one or more sentences */
    int min_args, max_args;
    const goss_option *groups[GOSS_USAGE_GROUPS]; /* tables that end with names NULL; NULL: no more */
} goss_usage;

/* Reads environment and argv (argv[0] is the command). Returns how many plain arguments there are, in args
 * (max_args of room),
 * or ~status when the program should exit with that status: ~0 after --help, ~2 after an error that was explained. */
int goss_options_read(const goss_usage *u, int argc, char **argv, const char **args);

/* "gossamer COMMAND: sentence" on standard error; returns status. */
int goss_cli_fail(const char *command, int status, const goss_error *err);

/* ---- options that several commands share --------------------------------------------------------- */
typedef struct goss_engine_options {
    goss_engine_config config;      /* filled */
    const char *gguf, *telemetry;   /* --gguf; --telemetry FILE */
    const char *layers, *yarn, *gpu_limits;
    const char *prefix_cache, *model_cache; /* --prefix-cache DIR, --model-cache DIR */
    char found[1024];               /* the model, when none was named */
    goss_option table[32];
} goss_engine_options;

/* Sets defaults and fills o->table for goss_usage.groups. */
void goss_engine_options_init(goss_engine_options *o);
/* After reading: sets config.model_path (argument, else --gguf, else GPT_OSS_GGUF_PATH, else the demo
 * model) and what depends
 * on several options. `model` may be NULL. 0, or the exit status after an explanation. */
int goss_engine_options_finish(goss_engine_options *o, const char *command, const char *model);

/* Sampling options over *p (set to its defaults). */
typedef struct goss_sampling_options {
    goss_params params;
    goss_option_list stop;
    char *schema;                   /* read from the file that --json-schema names; as long as the program lives */
    goss_option table[20];
} goss_sampling_options;
void goss_sampling_options_init(goss_sampling_options *o);
int goss_sampling_options_finish(goss_sampling_options *o, const char *command); /* 0, or the exit status, explained */

/* For commands that only read a model's bytes: the argument, else `gguf` (the value of their --gguf), else
 * the demo model, put into room. NULL after an explanation when there is none. */
const char *goss_model_argument(const char *command, const char *argument, const char *gguf, char *room, size_t cap);

/* The demo model shipped with the program: beside the build, or installed. 1 found, 0 not. */
int goss_demo_model(char *path, size_t cap);
#endif
