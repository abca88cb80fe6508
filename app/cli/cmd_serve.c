/* cmd_serve.c - `gossamer serve`: see app/server/. */
#include "common/gpus.h"
#include "common/ring_join.h"
#include "common/share.h"
#include "server/config.h"
#include "server/server.h"
#include "commands.h"
#include "model_cli.h"
#include <stdio.h>

int goss_cmd_serve(int argc, char **argv)
{
    goss_srv_config c;
    char path[1100], room[1500];
    int rc = goss_srv_config_read(&c, argc, argv);
    if (rc) return rc > 0 ? 0 : 2;
    rc = goss_gpus_take(&c.engine, "serve");
    if (rc) return rc;
    rc = goss_ring_join(&c.engine, "serve");
    if (rc >= 0) return rc;
    if (c.engine.config.ring) c.max_models = 1;
    if (!*c.model && !*c.models_dir) { /* the demo that ships with the program */
        if (!goss_demo_model(path, sizeof path)) {
            fprintf(stderr,
                    "gossamer serve: no model named, and the demo model was not found beside the program\n");
            return 1;
        }
        c.model = path;
    }
    if ((*c.model && goss_cli_bring_model(&c.model, &c.engine, "serve", room, sizeof room)) ||
        goss_cli_bring(&c.engine.config.draft_path, c.engine.model_cache, "serve", c.engine.draft,
                       sizeof c.engine.draft))
        return 1;
    return goss_srv_main(&c);
}
