/* fuzz_json.c - any bytes as JSON: what is accepted can be walked, and written back is accepted again and
 * means the same. */
#include "base/mem.h"
#include "base/utf8.h"
#include "format/json.h"
#include "fuzz.h"
#include <string.h>

/* Every node can be asked everything. */
static void walk(const goss_json *j)
{
    goss_buf text = GOSS_BUF(1 << 20);
    for (int i = 0; i < (int)j->n_nodes; i++) {
        const goss_json_node *x = &j->nodes[i];
        FUZZ_CHECK(x->start <= x->end && x->end <= j->n_text && (x->next == 0 || (int)x->next > i) &&
                   (x->child == 0 || (int)x->child == i + 1));
        uint32_t n = 0;
        for (int k = goss_json_first(j, i); k >= 0; k = goss_json_next(j, k))
            n++;
        FUZZ_CHECK(x->kind != GOSS_JSON_ARRAY || n == x->n);
        FUZZ_CHECK(x->kind != GOSS_JSON_OBJECT || n == 2 * x->n);
        goss_buf_clear(&text);
        if (goss_json_string(j, i, &text) == 0)
            FUZZ_CHECK(goss_utf8_valid(text.data, text.len));
        goss_json_get(j, i, "a");
        goss_json_is(j, i, "abc");
    }
    goss_buf_free(&text);
}

static void check_again(const goss_json *j)
{
    goss_json again;
    goss_error e;
    goss_buf once = GOSS_BUF(1 << 24), twice = GOSS_BUF(1 << 24), spaced = GOSS_BUF(1 << 24);
    FUZZ_CHECK(goss_json_write(j, 0, &once) == 0);
    FUZZ_CHECK(goss_json_parse(&again, (const char *)once.data, once.len, NULL, &e) == 0);
    FUZZ_CHECK(again.n_nodes == j->n_nodes);
    FUZZ_CHECK(goss_json_write(&again, 0, &twice) == 0);
    FUZZ_CHECK(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
    for (uint32_t i = 0; i < again.n_nodes; i++)
        FUZZ_CHECK(again.nodes[i].kind == j->nodes[i].kind && again.nodes[i].next == j->nodes[i].next);
    goss_json_free(&again);
    FUZZ_CHECK(goss_json_write_spaced(j, 0, &spaced) == 0);
    FUZZ_CHECK(goss_json_parse(&again, (const char *)spaced.data, spaced.len, NULL, &e) == 0);
    goss_json_free(&again);
    goss_buf_free(&once);
    goss_buf_free(&twice);
    goss_buf_free(&spaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    goss_json j;
    goss_error e;
    memset(&e, 0, sizeof e);
    const int rc = goss_json_parse(&j, (const char *)bytes, n, NULL, &e);
    FUZZ_CHECK(rc == 0 || rc == GOSS_EFORMAT || rc == GOSS_ELIMIT);
    if (rc == 0) {
        walk(&j);
        check_again(&j);
        goss_json_free(&j);
    } else {
        FUZZ_CHECK(e.position >= 0 && (size_t)e.position <= n && e.text[0]);
    }
    FUZZ_CHECK(goss_mem_get_stats().n_live == 0);
    return 0;
}
