/* catalog.h - which models can be asked for: the one named on the command line and those of --models-dir.
 * Thread-safe. */
#ifndef GOSS_SERVER_CATALOG_H
#define GOSS_SERVER_CATALOG_H
#include "../../src/base/buf.h"
#include "config.h"

typedef struct goss_srv_model {
    char id[128], path[1024];
    uint64_t bytes;
    int64_t mtime;
    goss_model_info info;
} goss_srv_model;

/* fills or refreshes it; an error when nothing can be served */
int goss_srv_catalog_scan(const goss_srv_config *c, goss_error *err);
void goss_srv_catalog_close(void);
/* The model that a request means: "" is the default; with one model alone any name means it. 0, or GOSS_ENOENT. */
int goss_srv_catalog_find(const char *name, goss_srv_model *out);
enum { GOSS_SRV_LIST_OPENAI, GOSS_SRV_LIST_OLLAMA };
void goss_srv_catalog_write(goss_buf *b, int style);
/* Ollama's "digest" (a name for this version of the file, not a hash of its bytes) and "details", joined by a comma */
void goss_srv_catalog_write_details(goss_buf *b, const goss_srv_model *m);
void goss_srv_catalog_time(char to[40], int64_t unix_time); /* as JSON APIs write it */
/* OpenAI's object; 1, or 0 when there is none */
int goss_srv_catalog_write_one(goss_buf *b, const char *id);
#endif
