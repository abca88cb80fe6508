/* model_files.h - the GGUF files under /models/, sent by the kernel (sendfile). */
#ifndef GOSS_SERVER_MODEL_FILES_H
#define GOSS_SERVER_MODEL_FILES_H
#include "config.h"
#include <microhttpd.h>

typedef struct goss_srv_model_files {
    /* the default model, served from wherever it lies; borrowed from the configuration */
    const char *model;
    char name[256];       /* its base name */
    char folder[1024];    /* the folder of models, resolved; "" when there is none */
} goss_srv_model_files;
void goss_srv_model_files_find(goss_srv_model_files *f, const goss_srv_config *c);
/* Queues a response and says what it sent. name is decoded and checked (access.h). Returns the status, 0 when
 * the connection is to be closed. */
int goss_srv_model_files_send(const goss_srv_model_files *f, struct MHD_Connection *conn, const char *method,
                              const char *name, uint64_t *bytes);
#endif
