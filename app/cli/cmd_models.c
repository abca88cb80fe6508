/* cmd_models.c - gossamer models: the GGUF files found, with what they are. */
#include "commands.h"
#include "common/engine_options.h"
#include "common/share.h"
#include "base/buf.h"
#include "net/model_cache.h"
#include "progress.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lister { int json, n; } lister;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void show_as(lister *l, const char *file, int id, const char *path, const goss_model_info *m)
{
    char size[16];
    if (l->json) {
        goss_buf b = GOSS_BUF(8192);
        goss_buf_json_string(&b, path, strlen(path));
        goss_buf_str(&b, ",\"id\":");
        goss_buf_json_string(&b, file, (size_t)id);
        goss_buf_str(&b, ",\"name\":");
        goss_buf_json_string(&b, m->name, strlen(m->name));
        printf("%s{\"path\":%s,\"arch\":\"%s\",\"type\":\"%s\",\"params\":%lld,\"bytes\":%llu,\"context_"
               "length\":%d}",
               l->n ? ",\n " : "[", goss_buf_cstr(&b), m->arch, m->type, (long long)m->n_params,
               (unsigned long long)m->file_bytes, m->n_ctx);
        goss_buf_free(&b);
    } else {
        if (!l->n) printf("%-28s %-8s %-7s %9s %9s  %s\n", "id", "arch", "type", "size", "context", "path");
        goss_human_bytes(size, (double)m->file_bytes);
        printf("%-28.*s %-8s %-7s %9s %9d  %s\n", id, file, m->arch, m->type, size, m->n_ctx, path);
    }
    l->n++;
}

static void show(void *ctx, const char *path, const goss_model_info *m)
{
    const char *file = base_name(path);
    show_as(ctx, file, (int)(strlen(file) - strlen(".gguf")), path, m);
}

/* A kept model has its whole name, by which it is run. */
static void show_kept(void *ctx, const char *name, const char *path)
{
    goss_model_info m;
    const goss_engine_config config = { .model_path = path };
    const int id = (int)strlen(name), cut = strncmp(name, "hf:", 3) ? (int)strlen(".gguf") : 0;
    if (!goss_plan(&config, &m, NULL, NULL)) show_as(ctx, name, id - cut, path, &m);
}

/* The folder of a file's path, into `out`. */
static int folder_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, cap, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return 1;
}

int goss_cmd_models(int argc, char **argv)
{
    lister l = { 0 };
    const char *args[16];
    const char *cache = NULL;
    const goss_option options[] = { { "--json", GOSS_OPT_FLAG, &l.json, .help = "as JSON" },
                                    { "--model-cache", GOSS_OPT_STR, &cache, .arg = "DIR",
                                      .help = "where fetched models are kept (~/.cache/gossamer/models)" },
                                    { 0 } };
    const goss_usage usage = {
        "models",
        "[FOLDER...]",
        "Lists the models in folders: those given, else that of GPT_OSS_GGUF_PATH, the demo models' and those "
        "that were fetched.",
        0,
        16,
        { options }
    };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    char own[1024], demo[1024], folder[1024];
    int n_folders = n, status = 0;
    const char *env = getenv("GPT_OSS_GGUF_PATH");
    if (!n && env && *env && folder_of(env, own, sizeof own)) args[n_folders++] = own;
    if (!n && goss_demo_model(demo, sizeof demo) && folder_of(demo, folder, sizeof folder) &&
        (n_folders == 0 || strcmp(folder, own) != 0))
        args[n_folders++] = folder;
    for (int i = 0; i < n_folders; i++) {
        goss_error err;
        if (goss_list(args[i], show, &l, &err) < 0) status = goss_cli_fail("models", 1, &err);
    }
    if (!n) goss_model_each(cache, show_kept, &l);
    if (l.json) puts(l.n ? "]" : "[]");
    else if (!l.n && !status) fputs("no GGUF models found\n", stderr);
    return status;
}
