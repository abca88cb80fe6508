/* cmd_serve.c - `gossamer serve`: see app/server/. */
#include "../server/config.h"
#include "../server/server.h"
#include "commands.h"
#include <stdio.h>
#include <string.h>

int goss_cmd_serve(int argc, char **argv) {
    goss_srv_config c;
    char path[1100];
    int rc = goss_srv_config_read(&c, argc, argv);
    if (rc) return rc > 0 ? 0 : 2;
    if (!*c.model && !*c.models_dir) { /* the demo that ships with the program */
        if (goss_srv_find_share("models", path, 1024)) {
            fprintf(stderr, "gossamer serve: no model named, and the demo model was not found beside the program\n");
            return 1;
        }
        c.model = strcat(path, "/demo-gptoss.gguf");
    }
    return goss_srv_main(&c);
}
