/* ring_module.h - what gossamer_mpi.so gives the program (app/ring/ring_mpi.c). The program itself knows
 * nothing of MPI, and runs where there is none. */
#ifndef GOSS_COMMON_RING_MODULE_H
#define GOSS_COMMON_RING_MODULE_H
#include <gossamer.h>

typedef struct goss_ring_module {
    goss_ring ring;
    /* From any thread, at any time: 0, or GOSS_ELOST and which rank it is. */
    int (*check)(void *ctx, goss_error *err);
    /* From any thread or signal handler: the job is being ended, perhaps because a rank died: a rank that is
     * silent is lost sooner from now on. must: when none is, the ring is lost nevertheless. */
    void (*ending)(void *ctx, int must);
    void (*close)(void *ctx); /* of a ring that is not lost; all ranks do it */
} goss_ring_module;

enum { GOSS_RING_MODULE = 1 }; /* raised when the struct changes; the module refuses another */
/* "goss_ring_mpi", the module's one symbol. Blocks until all ranks are there. */
typedef int (*goss_ring_module_fn)(int version, goss_ring_module *out, goss_error *err);
#endif
