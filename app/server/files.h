/* files.h - the page's files: read once, compressed once (gzip), answered from memory. */
#ifndef GOSS_SERVER_FILES_H
#define GOSS_SERVER_FILES_H
#include "config.h"
#include <microhttpd.h>

typedef struct goss_srv_files goss_srv_files;
/* Reads the page's folder (--web, else found beside the program; a missing one is not an error). */
int goss_srv_files_open(goss_srv_files **out, const goss_srv_config *c);
void goss_srv_files_close(goss_srv_files **f);
int goss_srv_files_has_page(const goss_srv_files *f);
/* Queues a response and says what it sent. path is decoded and checked (access.h). Returns the status, 0 when
 * the connection is to be closed, -404 when the path is not the page's. */
int goss_srv_files_page(goss_srv_files *f, struct MHD_Connection *conn, const char *path, uint64_t *bytes);
#endif
