/* try.c - schemas from outside: what compiles, what the automaton takes, and texts that it lets through.
 * Reads lines {"schema": ..., "texts": [...], "walks": N} and writes a line for each:
 *   {"error": "" or why it was refused, "ms": compiling, "work": basic blocks of that, where the library was
 *    built to count them (try_counted), "bytes": of the graph, "states": after all texts,
 *    "accepts": [1, 0, ...] in the order of the texts, "reads": [bytes that led on, ...], "walks": [...]}
 * A walk draws bytes from those that lead on, with the seed argv[1]; one that finds no end is left out. */
#include "engine/schema/drawn_text.h"
#include "engine/schema/schema.h"
#include <gossamer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 4000 };
static uint64_t seed, work;

/* What the compiler calls in each block of what is counted. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { work++; }

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int takes(goss_dfa *d, int start, const goss_json *j, int text, size_t *reads)
{
    goss_buf t = GOSS_BUF(1 << 24);
    goss_json_string(j, text, &t);
    int s = goss_dfa_start(d, start);
    *reads = 0;
    for (size_t i = 0; i < t.len && s != GOSS_DEAD; i++) {
        s = goss_dfa_next(d, s, t.data[i]);
        *reads += s != GOSS_DEAD;
    }
    goss_buf_free(&t);
    return goss_dfa_accepts(d, s);
}

static void texts_and_walks(goss_dfa *d, int start, const goss_json *j, goss_buf *out)
{
    goss_buf text = GOSS_BUF(MOST), reads = GOSS_BUF(1 << 24);
    size_t bytes;
    int n = 0;
    goss_buf_str(out, ",\"accepts\":[");
    for (int t = goss_json_first(j, goss_json_get(j, 0, "texts")); t >= 0; t = goss_json_next(j, t)) {
        goss_buf_printf(out, "%s%d", n ? "," : "", takes(d, start, j, t, &bytes));
        goss_buf_printf(&reads, "%s%zu", n++ ? "," : "", bytes);
    }
    goss_buf_printf(out, "],\"reads\":[%s],\"walks\":[", goss_buf_cstr(&reads));
    n = 0;
    for (int i = (int)goss_json_number(j, goss_json_get(j, 0, "walks"), 0); i > 0; i--)
        if (goss_drawn_text(d, start, &seed, 0, &text)) {
            if (n++) goss_buf_str(out, ",");
            goss_buf_json_string(out, (const char *)text.data, text.len);
        }
    goss_buf_printf(out, "],\"states\":%d", goss_dfa_states(d));
    goss_buf_free(&text);
    goss_buf_free(&reads);
}

static void line(const char *text, size_t n, goss_buf *out)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    goss_graph g;
    goss_dfa *d = NULL;
    int start = 0;
    goss_graph_init(&g);
    int rc = goss_json_parse(&j, text, n, NULL, &err);
    const int schema = rc ? -1 : goss_json_get(&j, 0, "schema");
    const double t0 = cpu_ms();
    work = 0;
    if (!rc) rc = goss_schema_compile(&g, &j, schema, schema, &start, &err);
    const double ms = cpu_ms() - t0;
    const uint64_t blocks = work;
    if (!rc) rc = goss_dfa_open(&d, &g);
    goss_buf_str(out, "{\"error\":");
    goss_buf_json_string(out, err.text, rc ? strlen(err.text) : 0);
    goss_buf_printf(out, ",\"code\":%d,\"ms\":%.3f,\"work\":%llu,\"bytes\":%zu", rc, ms,
                    (unsigned long long)blocks, g.nodes.len);
    if (!rc) texts_and_walks(d, start, &j, out);
    goss_buf_str(out, "}\n");
    goss_dfa_close(&d);
    goss_graph_free(&g);
    goss_json_free(&j);
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    goss_buf out = GOSS_BUF(1 << 28);
    while ((n = getline(&text, &cap, stdin)) > 0) {
        goss_buf_clear(&out);
        line(text, (size_t)n, &out);
        fwrite(out.data, 1, out.len, stdout);
    }
    free(text);
    goss_buf_free(&out);
    return 0;
}
