/* ring_join.c - see ring_join.h. The module is loaded at run time, and only here. */
#include "ring_join.h"
#include "base/fmt.h"
#include "base/os.h"
#include "ring_model.h"
#include "ring_module.h"
#include "share.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static goss_ring_module module;
static int joined;
static pid_t self; /* children leave nothing */

/* ---- the module ---------------------------------------------------------------------------------------- */
static void *open_module(char *why, size_t cap)
{
    static const char *const places[] = { "%s/gossamer_mpi.so", "%s/../lib/gossamer/gossamer_mpi.so" };
    char here[512], path[600];
    void *lib = NULL;
    goss_os_program_folder(here, sizeof here);
    snprintf(why, cap, "gossamer_mpi.so is not beside the program");
    for (size_t i = 0; i < sizeof places / sizeof *places && !lib; i++) {
        goss_fmt(path, sizeof path, places[i], here);
        /* global: OpenMPI's own plugins look for its symbols there */
        if (!access(path, R_OK) && !(lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL)))
            snprintf(why, cap, "%s", dlerror());
    }
    return lib;
}

static int is_started(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

static void say(void *ctx, const char *sentence)
{
    (void)ctx;
    fprintf(stderr, "gossamer: %s\n", sentence);
}

/* 0, or the exit status after an explanation. */
static int load_module(const char *command)
{
    char why[400];
    goss_error err = { .position = -1 };
    if (!is_started()) {
        fprintf(stderr,
                "gossamer %s: --pipeline is for processes that mpirun starts: mpirun -n 2 gossamer %s ...\n",
                command, command);
        return 2;
    }
    void *lib = open_module(why, sizeof why), *symbol = lib ? dlsym(lib, "goss_ring_mpi") : NULL;
    goss_ring_module_fn open_ring;
    if (!symbol) {
        fprintf(stderr,
                "gossamer %s: --pipeline needs OpenMPI (apt install libopenmpi-dev openmpi-bin, then make): "
                "%s.\n",
                command, why);
        return 1;
    }
    memcpy(&open_ring, &symbol, sizeof open_ring);
    if (open_ring(GOSS_RING_MODULE, &module, &err)) return goss_cli_fail(command, 1, &err);
    module.ring.say = say;
    module.ring.find = goss_ring_model_find;
    joined = 1;
    self = getpid();
    return 0;
}

/* ---- the ring ------------------------------------------------------------------------------------------ */
static void leave(void)
{
    goss_error err = { .position = -1 };
    if (getpid() != self || goss_ring_check(&err) || (!module.ring.rank && goss_ring_end(&module.ring, &err)))
        return;
    module.close(module.ring.ctx);
}

static void on_term(int number)
{
    (void)number;
    module.ending(module.ring.ctx, 1);
}

/* Rank 0 is told of a rank's death by a signal to all ranks, and must live on to say so; the others wait for
 * what it decides. */
static void take_signals(void)
{
    struct sigaction a = { .sa_handler = module.ring.rank ? SIG_IGN : on_term };
    sigemptyset(&a.sa_mask);
    a.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &a, NULL);
    if (module.ring.rank) signal(SIGINT, SIG_IGN);
}

static int work(const goss_engine_options *o, const char *command)
{
    goss_error err = { .position = -1 };
    goss_engine_config config = o->config;
    config.ring = &module.ring;
    const int rc = goss_ring_work(&config, &err);
    if (rc) return goss_cli_fail(command, 1, &err);
    module.close(module.ring.ctx);
    return 0;
}

int goss_ring_join(goss_engine_options *o, const char *command)
{
    if (!o->pipeline && !o->config.ring_split) return -1;
    const int status = load_module(command);
    if (status) return status;
    goss_ring_model_begin(&module.ring, o->model_cache);
    take_signals();
    if (module.ring.rank) return work(o, command);
    atexit(leave);
    if (module.ring.n > 1) o->config.ring = &module.ring;
    return -1;
}

int goss_ring_check(goss_error *err) { return joined ? module.check(module.ring.ctx, err) : 0; }

void goss_ring_ending(void)
{
    if (joined) module.ending(module.ring.ctx, 0);
}
