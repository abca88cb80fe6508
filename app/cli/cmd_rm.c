/* cmd_rm.c - gossamer rm: models out of the model cache. */
#include "commands.h"
#include "common/engine_options.h"
#include "net/model_cache.h"
#include <stdio.h>

int goss_cmd_rm(int argc, char **argv)
{
    const char *args[16], *folder = NULL;
    int status = 0;
    const goss_option options[] = { { "--model-cache", GOSS_OPT_STR, &folder, .arg = "DIR",
                                      .help = "where models are kept (~/.cache/gossamer/models)" },
                                    { 0 } };
    const goss_usage usage = { "rm", "NAME|URL...",
                               "Removes models that were pulled, or came while they ran, with what is there of "
                               "unfinished ones.", 1, 16, { options } };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    for (int i = 0; i < n; i++) {
        goss_error err = { .position = -1 };
        const int rc = goss_model_remove(args[i], folder, &err);
        if (rc) status = goss_cli_fail("rm", rc == GOSS_EINVAL ? 2 : 1, &err);
        else printf("removed %s\n", args[i]);
    }
    return status;
}
