/* cmd_pull.c - gossamer pull: a model by name or address into the model cache. */
#include "base/buf.h"
#include "commands.h"
#include "model_cli.h"
#include <stdio.h>
#include <string.h>

static void print_json(const goss_model_pull *p)
{
    goss_buf b = GOSS_BUF(1 << 16);
    goss_buf_str(&b, "{\"name\":");
    goss_buf_json_string(&b, p->place.name, strlen(p->place.name));
    goss_buf_str(&b, ",\"path\":");
    goss_buf_json_string(&b, p->place.path, strlen(p->place.path));
    goss_buf_printf(&b, ",\"files\":%d,\"size\":%llu,\"sha256\":", p->place.n_parts,
                    (unsigned long long)p->size);
    if (*p->sha) goss_buf_printf(&b, "\"%s\"}", p->sha);
    else goss_buf_str(&b, "null}");
    puts(goss_buf_cstr(&b));
    goss_buf_free(&b);
}

int goss_cmd_pull(int argc, char **argv)
{
    const char *said = NULL, *folder = NULL;
    int json = 0;
    const goss_option options[] = {
        { "--model-cache", GOSS_OPT_STR, &folder, .arg = "DIR",
          .help = "where models are kept (~/.cache/gossamer/models)" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "print the result as JSON" },
        { 0 }
    };
    const goss_usage usage = { "pull", "NAME|URL",
                               "Brings a model that run, chat, serve and the others then find by its name, such as "
                               "hf:OWNER/REPO:FILE.gguf. Run again, it goes on, or brings what the host has now.",
                               1, 1, { options } };
    const int n = goss_options_read(&usage, argc, argv, &said);
    if (n < 0) return ~n;
    goss_model_pull p = { .said = said, .folder = folder, .update = 1 };
    const int status = goss_cli_pull(&p, "pull");
    if (status) return status;
    if (json) print_json(&p);
    else printf("%s\n", p.place.path);
    return 0;
}
