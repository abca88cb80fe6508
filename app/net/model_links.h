/* model_links.h - further names of models on this machine, as Ollama's clients give them: FOLDER/names.json,
 * {"my-copy": "/path/of/a/file.gguf"}. Written beside and renamed: whole or as it was. */
#ifndef GOSS_NET_MODEL_LINKS_H
#define GOSS_NET_MODEL_LINKS_H
#include <gossamer.h>

enum { GOSS_LINK_NAME = 120 };
/* 1: letters, digits and _.-:/ alone, at most GOSS_LINK_NAME - 1 of them. */
int goss_link_good_name(const char *name);
/* Each link whose file is there. */
void goss_links_each(const char *folder, void (*fn)(void *ctx, const char *name, const char *path),
                     void *ctx);
/* path NULL: the name goes. 0, or an error. */
int goss_links_set(const char *folder, const char *name, const char *path, goss_error *err);
#endif
