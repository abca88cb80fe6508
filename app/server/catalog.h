/* catalog.h - which models can be asked for: the one named on the command line, those of --models-dir, and
 * with --pull those of the model cache. gpt-oss:20b and gpt-oss:120b are further names of models of that
 * shape. Thread-safe. */
#ifndef GOSS_SERVER_CATALOG_H
#define GOSS_SERVER_CATALOG_H
#include "base/buf.h"
#include "config.h"

/* own: the operator's file; kept: of the model cache; linked: a further name of a file (net/model_links.h);
 * alias: Ollama's name of its shape */
enum { GOSS_SRV_OWN, GOSS_SRV_KEPT, GOSS_SRV_LINKED, GOSS_SRV_ALIAS };
typedef struct goss_srv_model {
    char id[GOSS_SRV_ID], path[1024];
    char kept[GOSS_SRV_ID];     /* "hf:OWNER/REPO:FILE" of a file in the model cache, else "" */
    int origin;
    uint64_t bytes;
    int64_t mtime;
    goss_model_info info;
} goss_srv_model;

/* fills or refreshes it; an error when nothing can be served */
int goss_srv_catalog_scan(const goss_srv_config *c, goss_error *err);
void goss_srv_catalog_close(void);
int goss_srv_cache_folder(const goss_srv_config *c, char *out, size_t cap); /* of the model cache; 1: none */
/* The model that a request means: "" is the default; with one model alone any name means it. 0, or
 * GOSS_ENOENT. */
int goss_srv_catalog_find(const char *name, goss_srv_model *out);
/* The entry that has just this name; 0 or GOSS_ENOENT. */
int goss_srv_catalog_find_named(const char *name, goss_srv_model *out);
int goss_srv_catalog_names(const char *path); /* how many kept or linked names the file has */
enum { GOSS_SRV_LIST_OPENAI, GOSS_SRV_LIST_OLLAMA };
void goss_srv_catalog_write(goss_buf *b, int style);
/* Ollama's "digest" (a name for this version of the file, not a hash of its bytes) and "details", joined by a
 * comma */
void goss_srv_catalog_write_details(goss_buf *b, const goss_srv_model *m);
void goss_srv_catalog_time(char to[40], int64_t unix_time); /* as JSON APIs write it */
/* OpenAI's object of the model that this name means; 1, or 0 when there is none */
int goss_srv_catalog_write_one(goss_buf *b, const char *id);
#endif
