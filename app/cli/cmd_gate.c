/* cmd_gate.c - gossamer gate MODEL [A..G]: runs gates in turn and prints PASS, FAIL or SKIP with what was
 * seen (docs/gates.md). The exit status is 1 when one failed. */
#include "commands.h"
#include "model_cli.h"
#include "gates.h"
#include "session_cli.h"
#include "common/engine_options.h"
#include <stdio.h>
#include <string.h>

static const struct { char letter; const char *what; int (*run)(goss_gate *g); } gates[] = {
    { 'A', "the file parses", goss_gate_a },
    { 'B', "range reads agree", goss_gate_b },
    { 'C', "a matrix product on the GPU", goss_gate_c },
    { 'D', "every kernel against ref", goss_gate_d },
    { 'E', "WebGPU's default limits", goss_gate_e },
    { 'F', "one prompt through all layers", goss_gate_f },
    { 'G', "a whole answer", goss_gate_g } };
enum { N_GATES = sizeof gates / sizeof *gates };

/* "AC", "a", "F": marks which gates were asked for. 0 when a letter is none. */
static int mark(const char *letters, int *wanted)
{
    for (; *letters; letters++) {
        int i = 0;
        while (i < N_GATES && gates[i].letter != (*letters & ~0x20)) i++;
        if (i == N_GATES) return 0;
        wanted[i] = 1;
    }
    return 1;
}

static int only_letters(const char *s)
{
    int wanted[N_GATES] = { 0 };
    return *s && strlen(s) <= N_GATES && mark(s, wanted);
}

static int run_gates(goss_gate *g, const int *wanted)
{
    static const char *const words[] = { "FAIL", "PASS", "SKIP" };
    int status = 0;
    for (int i = 0; i < N_GATES; i++) {
        if (!wanted[i]) continue;
        g->figure[0] = 0;
        const int state = gates[i].run(g);
        printf("%c %s  %-30s %s\n", gates[i].letter, words[state], gates[i].what, g->figure);
        fflush(stdout);
        if (state == GOSS_GATE_FAIL) status = 1;
    }
    return status;
}

int goss_cmd_gate(int argc, char **argv)
{
    goss_gate g = { .repeat = 4,
                    .text =
                        "Once upon a time there was a small crow named Theo who lived near a deep forest." };
    goss_engine_options engine;
    const goss_option options[] = {
        { "--tensor", GOSS_OPT_STR, &g.tensor, .arg = "NAME", .help = "B: which tensor (the largest)" },
        { "--repeat", GOSS_OPT_INT, &g.repeat, .arg = "N", .help = "B: how many reads (4)", .min = 2,
          .max = 1000 },
        { "--n", GOSS_OPT_INT, &g.n, .arg = "N", .help = "C: how many rows of the product (all)", .min = 1,
          .max = 1e9 },
        { "--k", GOSS_OPT_INT, &g.k, .arg = "N", .help = "C: how many columns of the product (all)", .min = 1,
          .max = 1e9 },
        { "--tolerance", GOSS_OPT_FLOAT, &g.tolerance, .arg = "X",
          .help = "C, D: largest difference relative to the root mean square (0.02, 0.05)", .min = 0,
          .max = 1e6 },
        { "--text,-p,--prompt", GOSS_OPT_STR, &g.text, .arg = "TEXT", .help = "C, D, F: what goes in" },
        { 0 }
    };
    const char *args[9] = { NULL }, *model = NULL;
    int wanted[N_GATES] = { 0 }, any = 0;
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    const goss_usage usage = {
        "gate",
        "[MODEL] [A B C D E F G]",
        "Runs the gates that are named, or all: A parse, B range reads, C a matrix product "
        "on the GPU, D every kernel against the reference, E default GPU limits, F all layers, G a whole answer.",
        0,
        9,
        { options, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    for (int i = 0; i < n; i++) {
        if (only_letters(args[i])) any = mark(args[i], wanted);
        else if (i == 0) model = args[i];
        else {
            fprintf(stderr, "gossamer gate: \"%s\" is no gate: A, B, C, D, E, F and G are.\n", args[i]);
            return 2;
        }
    }
    for (int i = 0; i < N_GATES && !any; i++) wanted[i] = 1;
    const int status = goss_cli_model(&engine, "gate", model);
    g.config = &engine.config;
    goss_cli_engine files = { 0 };
    if (status || goss_cli_telemetry(&files, &engine, "gate", 0)) return status ? status : 1;
    const int failed = run_gates(&g, wanted);
    return goss_cli_close(&files, "gate") ? 1 : failed;
}
