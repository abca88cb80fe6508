/* share.c - see share.h. */
#include "share.h"
#include "base/os.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int goss_share_find(const char *name, char *out, size_t cap)
{
    static const char *const places[] = { "%s/%s", "%s/../%s", "%s/../../%s", "%s/../share/gossamer/%s" };
    char folder[PATH_MAX], path[PATH_MAX + 64], real[PATH_MAX];
    goss_os_program_folder(folder, sizeof folder);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, places[i], folder, name);
        if (!access(path, R_OK) && realpath(path, real) && strlen(real) < cap) return strcpy(out, real), 0;
    }
    return -1;
}

int goss_demo_model(char *path, size_t cap)
{
    if (!goss_share_find("models/demo-gptoss.gguf", path, cap)) return 1;
    snprintf(path, cap, "models/demo-gptoss.gguf");
    return access(path, R_OK) == 0;
}
