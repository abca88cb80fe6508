/* schema_check.c - goss_schema_check: whether a schema can be held to, what it costs, and texts that it
 * lets through. */
#include "engine_state.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "schema/drawn_text.h"
#include "schema/grammar.h"
#include "schema/schema.h"
#include <string.h>

enum { TRIES = 40, TEXT = (int)sizeof(((goss_schema_report *)0)->text[0]) };

static void add_texts(goss_dfa *d, int start, goss_schema_report *r)
{
    goss_buf text = GOSS_BUF(TEXT - 1);
    uint64_t seed = 1;
    for (int i = 0; i < TRIES && r->n_texts < 3; i++) {
        if (!goss_drawn_text(d, start, &seed, 1, &text)) {
            text.failed = 0;
            continue;
        }
        memcpy(r->text[r->n_texts], text.data, text.len);
        r->text[r->n_texts][text.len] = 0;
        int same = 0;
        for (int k = 0; k < r->n_texts; k++) same |= !strcmp(r->text[k], r->text[r->n_texts]);
        /* of few texts the same one comes again; it is shown once */
        if (!same) r->n_texts++;
        else memset(r->text[r->n_texts], 0, TEXT);
    }
    r->n_states = goss_dfa_states(d);
    goss_buf_free(&text);
}

/* As a request would have it: compiled in the engine's room, then thought about until the mask is there. */
static int time_mask(goss_engine *e, const char *schema, size_t n, goss_schema_report *r, goss_error *err)
{
    char *text = goss_mem_alloc(n + 1);
    uint32_t *mask = goss_mem_array((size_t)(e->schemas.n_vocab + 31) / 32, sizeof *mask);
    goss_schemas *s = NULL;
    goss_grammar *g = NULL;
    int rc = text && mask ? 0 : goss_fail(err, GOSS_ENOMEM, -1, "no memory for a JSON schema");
    if (!rc) {
        memcpy(text, schema, n);
        rc = goss_schemas_compile(&s, &e->schemas, text, NULL, 0, err);
    }
    if (!rc && goss_grammar_open(&g, s)) rc = goss_fail(err, GOSS_ENOMEM, -1, "no memory for masks");
    const double t0 = goss_os_now_ms();
    while (!rc && (rc = goss_grammar_think(g, NULL, goss_os_now_ms() + 5, mask, err)) == 0) {}
    r->first_mask_ms = goss_os_now_ms() - t0;
    goss_grammar_close(&g);
    goss_schemas_release(&s);
    goss_mem_free(mask);
    goss_mem_free(text);
    return rc < 0 ? rc : 0;
}

int goss_schema_check(goss_engine *e, const char *schema, size_t n, goss_schema_report *report,
                      goss_error *err)
{
    goss_json j = { 0 };
    goss_graph g;
    goss_dfa *d = NULL;
    goss_schema_report r = { 0 };
    int start = 0;
    if (!schema) return goss_fail(err, GOSS_EINVAL, -1, "no JSON schema was given");
    goss_graph_init(&g);
    int rc = goss_json_parse(&j, schema, n, NULL, err);
    const double t0 = goss_os_now_ms();
    if (!rc) rc = goss_schema_compile(&g, &j, 0, 0, &start, err);
    r.compile_ms = goss_os_now_ms() - t0;
    r.graph_bytes = g.nodes.len;
    if (!rc && (rc = goss_dfa_open(&d, &g))) goss_fail(err, rc, -1, "no memory for a JSON schema");
    if (!rc) add_texts(d, start, &r);
    if (!rc && e && e->state == GOSS_ENGINE_READY) rc = time_mask(e, schema, n, &r, err);
    if (report) *report = r;
    goss_dfa_close(&d);
    goss_graph_free(&g);
    goss_json_free(&j);
    return rc;
}
