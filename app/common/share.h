/* share.h - what ships with the program: the page, the demo models. In the build tree, or installed. */
#ifndef GOSS_COMMON_SHARE_H
#define GOSS_COMMON_SHARE_H
#include <stddef.h>

/* The folder or file `name` ("web", "models/demo-gptoss.gguf") that belongs to this program: 0, or -1. */
int goss_share_find(const char *name, char *out, size_t cap);
/* The demo model: that of this program, else models/ in the current folder. 1 found, 0 not. */
int goss_demo_model(char *path, size_t cap);
#endif
