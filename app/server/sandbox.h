/* sandbox.h - what a server doesn't need is given up before its threads begin and its model is read: no new
 * privileges, no programs, no processes, no sockets but those that are open (seccomp); no files but those
 * that are named here and the system's, to be read (Landlock). */
#ifndef GOSS_SERVER_SANDBOX_H
#define GOSS_SERVER_SANDBOX_H
#include "config.h"

enum { GOSS_SRV_SANDBOX_PATHS = 64 };
typedef struct goss_srv_sandbox {
    char read[GOSS_SRV_SANDBOX_PATHS][1024]; /* files, and folders with all in them */
    char write[8][1024];
    int n_read, n_write;
    int device;                              /* a GPU's: drivers read and write what is in /dev */
} goss_srv_sandbox;

/* What `c` names: models and their folders, prefix cache, telemetry; for a GPU its libraries. Makes those
 * that are to be written. */
void goss_srv_sandbox_find(goss_srv_sandbox *s, const goss_srv_config *c);
/* A folder with all in it; or a file, with its folder. */
void goss_srv_sandbox_may_write(goss_srv_sandbox *s, const char *folder);
void goss_srv_sandbox_may_read(goss_srv_sandbox *s, const char *path);
/* For this thread and all that it begins; there is no way back. 0; GOSS_EUNSUPPORTED: the kernel lacks what
 * err says, the rest is in force. */
int goss_srv_sandbox_enter(const goss_srv_sandbox *s, goss_error *err);
#endif
