/* main.c - gossamer COMMAND ...: finds the command and runs it. Results go to standard output, all else to
 * standard error; the exit status is 0 done, 1 failed, 2 wrong usage. Output that could not be written is a
 * failure too. */
#include "commands.h"
#include <errno.h>
#include <gossamer.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct { const char *name, *help; int (*run)(int, char **); } commands[] = {
#define GOSS_X(name, help) { #name, help, goss_cmd_##name },
    GOSS_COMMANDS(GOSS_X)
#undef GOSS_X
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void show_commands(FILE *to)
{
    fprintf(to, "gossamer " GOSS_VERSION
                ": runs gpt-oss and llama GGUF models\n\nusage: gossamer COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n  gossamer COMMAND --help lists the options of one command.\n");
}

static int run(const char *name, int argc, char **argv)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return commands[i].run(argc, argv);
    fprintf(stderr, "gossamer: there is no command \"%s\"; gossamer --help lists them.\n", name);
    return 2;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        show_commands(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--version")) {
        printf("gossamer " GOSS_VERSION "\n");
        return 0;
    }
    const int help = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
    if (help && argc == 2) {
        show_commands(stdout);
        return 0;
    }
    if (help) { /* gossamer help COMMAND */
        char *swapped[] = { argv[2], "--help", NULL };
        return run(argv[2], 2, swapped);
    }
    return run(name, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a limit on a file's size is an error of write, as a full disk is */
    const int status = dispatch(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && status == 0) {
        fprintf(stderr, "gossamer: cannot write the output: %s.\n", strerror(errno));
        return 1;
    }
    return status;
}
