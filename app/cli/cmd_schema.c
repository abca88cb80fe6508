/* cmd_schema.c - gossamer schema FILE: whether a JSON schema compiles, what it costs, and three texts that
 * it lets through. */
#include "base/buf.h"
#include "base/os.h"
#include "commands.h"
#include "common/options.h"
#include "common/share.h"
#include <stdio.h>

static void put_json(const goss_schema_report *r)
{
    goss_buf b = GOSS_BUF(1 << 16);
    goss_buf_printf(&b, "{\"compile_ms\": %.3f, \"first_mask_ms\": %.3f, ", r->compile_ms, r->first_mask_ms);
    goss_buf_printf(&b, "\"graph_bytes\": %llu, \"states\": %d, \"texts\": [",
                    (unsigned long long)r->graph_bytes, r->n_states);
    for (int i = 0; i < r->n_texts; i++) {
        goss_buf_str(&b, i ? ", " : "");
        goss_buf_str(&b, r->text[i]); /* JSON itself */
    }
    goss_buf_str(&b, "]}");
    printf("%s\n", goss_buf_cstr(&b));
    goss_buf_free(&b);
}

/* The model whose vocabulary masks are for; NULL: there is none, and nothing is said of masks. */
static goss_engine *open_model(const char *path, goss_error *err)
{
    char demo[1024];
    goss_engine *e = NULL;
    if (!path && !goss_demo_model(demo, sizeof demo)) return NULL;
    const goss_engine_config c = { .model_path = path ? path : demo, .backend = "cpu", .max_kv = 64,
                                   .max_sessions = 1 };
    int rc = goss_engine_open(&e, &c, err);
    while (!rc && goss_engine_state(e) == GOSS_ENGINE_LOADING) rc = goss_engine_poll(e, 100, err) < 0;
    if (rc) goss_engine_close(&e);
    return e;
}

int goss_cmd_schema(int argc, char **argv)
{
    int json = 0;
    const char *path = NULL, *model = NULL;
    const goss_option options[] = {
        { "--json", GOSS_OPT_FLAG, &json, .help = "as JSON" },
        { "--model", GOSS_OPT_STR, &model, "FILE",
          .help = "the model whose words masks are for; default: the demo" },
        { 0 }
    };
    const goss_usage usage = {
        "schema",
        "FILE",
        "Says whether a JSON schema can be held to while a model answers, what it costs, and "
        "shows texts that it lets through. docs/schemas.md lists the keywords.",
        1,
        1,
        { options }
    };
    const int n = goss_options_read(&usage, argc, argv, &path);
    if (n < 0) return ~n;
    goss_error err = { .position = -1 };
    goss_mapping m = { 0 };
    goss_schema_report r = { 0 };
    goss_engine *e = open_model(model, &err);
    if (model && !e) return goss_cli_fail("schema", 1, &err);
    int rc = goss_os_map(&m, path, &err);
    if (!rc) rc = goss_schema_check(e, m.data, (size_t)m.size, &r, &err);
    goss_os_unmap(&m);
    goss_engine_close(&e);
    if (rc) return goss_cli_fail("schema", 1, &err);
    if (json) {
        put_json(&r);
        return 0;
    }
    printf("It can be held to. Compiled in %.2f ms into %llu bytes;", r.compile_ms,
           (unsigned long long)r.graph_bytes);
    if (r.first_mask_ms > 0) printf(" the first mask takes %.2f ms;", r.first_mask_ms);
    printf(" these texts reach %d states:\n", r.n_states);
    for (int i = 0; i < r.n_texts; i++) printf("%s\n", r.text[i]);
    return 0;
}
