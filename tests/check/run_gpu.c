/* run_gpu.c - runs the cases of check_gpu.h, one at a time:
 *   MAKE -> COMPILE -> (submit both runs) READ -> compare -> the next case; after the last, the mutants.
 * A mutant is a kernel that is wrong on purpose: its case must fail, on the first seed or on one of the next
 * MUTANT_SEEDS - 1. A third of the seeds doesn't see the worst seen of them. */
#include "check_gpu.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "format/quant.h"
#include "gpu/kernels/shader.h"
#include <math.h>
#include <string.h>

enum { MUTANT_SEEDS = 12 };

enum { MAKE, COMPILE, READ };
enum { RW = GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST };

int gc_open(gc *g, const goss_gpu_options *o, const char *level, goss_error *err)
{
    memset(g, 0, sizeof *g);
    goss_fmt(g->level, sizeof g->level, "%s", level);
    g->c.defines = GOSS_BUF(1024);
    g->seed = 1;
    return goss_gpu_open(&g->gpu, o, err);
}

int gc_ready(gc *g, goss_error *err)
{
    const int r = goss_gpu_ready(g->gpu, err);
    if (!r) g->limits = goss_gpu_get_limits(g->gpu);
    return r;
}

/* ---- a case's life ------------------------------------------------------------------------------------- */
static void clear_case(gc *g)
{
    for (int k = 0; k < 2; k++) {
        if (g->group[k] > 0) goss_gpu_group_free(g->gpu, g->group[k]);
        g->group[k] = 0;
        for (int i = 0; i < GC_BUFFERS; i++) {
            if (g->ids[k][i] > 0) goss_gpu_buffer_free(g->gpu, g->ids[k][i]);
            g->ids[k][i] = 0;
        }
    }
    if (g->back > 0) goss_gpu_buffer_free(g->gpu, g->back);
    g->back = 0;
    if (g->in_mutants && g->pipeline > 0) goss_gpu_pipeline_free(g->gpu, g->pipeline);
    g->pipeline = 0;
    while (g->n_blocks) goss_mem_free(g->blocks[--g->n_blocks]);
    goss_buf defines = g->c.defines;
    goss_buf_clear(&defines);
    memset(&g->c, 0, sizeof g->c);
    g->c.defines = defines;
}

void gc_fail(gc *g, const char *why)
{
    char line[900];
    if (g->broken++ || g->quiet) return;
    goss_fmt(line, sizeof line, "  gpu %s %s: %s (case %d: %s; %s; seed %llu)", g->level,
             gc_tests[g->test].name, why, g->i, g->c.what, g->key, (unsigned long long)g->seed);
    gc_say(g, line);
}

static void fail_gpu(gc *g, const char *what, int code)
{
    goss_error e = { 0 };
    char why[400];
    goss_gpu_error(g->gpu, &e);
    goss_fmt(why, sizeof why, "%s (%s): %s", what, goss_error_name(code), e.text);
    gc_fail(g, why);
}

static void next(gc *g, int skipped)
{
    if (g->in_mutants) {
        const gc_mutant *m = &gc_mutants[g->mutant];
        int again = 0;
        if (g->broken) g->caught++;
        else if (skipped) g->skipped++;
        else if ((again = g->tries + 1 < MUTANT_SEEDS)) g->seed++;
        else {
            char line[300];
            g->missed++;
            goss_fmt(line, sizeof line,
                     "  gpu %s: the mutant \"%s\" of %s passed: the checker is blind to it", g->level, m->to,
                     m->test);
            gc_say(g, line);
        }
        g->tries = again ? g->tries + 1 : 0;
        g->mutant += !again;
    } else {
        if (g->broken) g->failed++;
        else if (skipped) g->skipped++;
        else g->passed++;
        g->i++;
    }
    clear_case(g);
    if (!g->test && !g->in_mutants) { /* the probe is the first test */
        g->subgroup = g->found_subgroup;
        g->half_ok = g->found_half && !g->exact_halves;
    }
    g->broken = 0;
    g->phase = MAKE;
}

/* The kernel's text with every `from` replaced; 0 when there is none. */
static int mutate(goss_buf *text, const char *from, const char *to)
{
    goss_buf out = GOSS_BUF(1 << 20);
    const char *s = goss_buf_cstr(text), *at;
    int n = 0;
    while ((at = strstr(s, from))) {
        goss_buf_append(&out, s, (size_t)(at - s));
        goss_buf_str(&out, to);
        s = at + strlen(from);
        n++;
    }
    goss_buf_str(&out, s);
    goss_buf_free(text);
    *text = out;
    return n;
}

static int compile(gc *g, const char *bindings)
{
    gc_case *c = &g->c;
    for (int i = 0; i < g->n_pipelines && !g->in_mutants; i++)
        if (!strcmp(g->pipelines[i].key, g->key)) return g->pipelines[i].id;
    goss_buf text = GOSS_BUF(1 << 20);
    goss_error e = { 0 };
    int id = goss_shader_text(&text, c->file, g->key + strlen(c->file) + 1, &e);
    if (!id && g->in_mutants && !mutate(&text, gc_mutants[g->mutant].from, gc_mutants[g->mutant].to)) {
        g->quiet = 0;
        gc_fail(g, "the text that a mutant changes is not in the kernel");
        g->quiet = 1;
        g->failed++;
    }
    if (!id) id = goss_gpu_pipeline(g->gpu, g->key, goss_buf_cstr(&text), text.len, bindings);
    else gc_fail(g, e.text);
    goss_buf_free(&text);
    if (id > 0 && !g->in_mutants && g->n_pipelines < GC_PIPELINES) {
        char *key = goss_mem_alloc(strlen(g->key) + 1);
        if (key) {
            memcpy(key, g->key, strlen(g->key) + 1);
            g->pipelines[g->n_pipelines].key = key;
            g->pipelines[g->n_pipelines++].id = id;
        }
    }
    return id;
}

/* Where buffer k lies in run 1, and how large it is. */
static size_t offset_of(const gc_buffer *b, int run) { return run ? b->use == 'u' ? 256 : GC_MARGIN : 0; }
static size_t size_of(const gc_buffer *b, int run)
{
    return run ? b->use == 'u' ? 1024 : (b->n + 15) / 16 * 16 + 2 * GC_MARGIN : b->n;
}

static int fill(gc *g, int run, int k)
{
    const gc_buffer *b = &g->c.buffer[k];
    const size_t size = size_of(b, run), offset = offset_of(b, run);
    const int id =
        goss_gpu_buffer(g->gpu, size, b->use == 'u' ? GOSS_GPU_UNIFORM | GOSS_GPU_COPY_DST : RW, g->c.file);
    if (id <= 0) return id;
    g->ids[run][k] = id;
    if (run) {
        static uint8_t canaries[GC_MARGIN + 16];
        memset(canaries, 0xff, sizeof canaries);
        goss_gpu_write(g->gpu, id, 0, canaries, offset);
        goss_gpu_write(g->gpu, id, offset + b->n, canaries, size - offset - b->n);
    }
    return goss_gpu_write(g->gpu, id, offset, b->data, b->n);
}

static int submit(gc *g)
{
    gc_case *c = &g->c;
    uint32_t w[64 + 2 * 6 * GC_BUFFERS], n = 0, at = 0;
    int r = 0;
    for (int run = 0; run < 2 && !r; run++) {
        goss_gpu_binding b[GC_BUFFERS];
        int dynamic = 0;
        for (int k = 0; k < c->n_buffers && !r; k++) {
            const size_t whole = size_of(&c->buffer[k], run), offset = offset_of(&c->buffer[k], run);
            r = fill(g, run, k);
            if (r < 0) return r;
            const int uniform = c->buffer[k].use == 'u';
            b[k] = (goss_gpu_binding){ g->ids[run][k], uniform ? 0 : offset, uniform ? 0 : whole - offset };
            dynamic |= uniform;
        }
        g->group[run] = goss_gpu_group(g->gpu, g->pipeline, b, c->n_buffers);
        if (g->group[run] < 0) return g->group[run];
        const uint32_t pass[] = { GOSS_GPU_OP_PASS,
                                  GOSS_GPU_NONE,
                                  GOSS_GPU_OP_DISPATCH,
                                  (uint32_t)g->pipeline,
                                  (uint32_t)g->group[run],
                                  dynamic ? run ? 256 : 0 : GOSS_GPU_NONE,
                                  c->grid[0],
                                  c->grid[1],
                                  c->grid[2],
                                  GOSS_GPU_OP_END };
        memcpy(w + n, pass, sizeof pass);
        n += sizeof pass / 4;
    }
    for (int run = 0; run < 2; run++)
        for (int k = 0; k < c->n_buffers; k++)
            if (c->buffer[k].use == 'w') at += (uint32_t)size_of(&c->buffer[k], run) / 4;
    g->back = goss_gpu_buffer(g->gpu, at * 4ull, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "back");
    if (g->back < 0) return g->back;
    at = 0;
    for (int run = 0; run < 2; run++)
        for (int k = 0; k < c->n_buffers; k++) {
            if (c->buffer[k].use != 'w') continue;
            const uint32_t words = (uint32_t)size_of(&c->buffer[k], run) / 4;
            const uint32_t copy[] = {
                GOSS_GPU_OP_COPY, (uint32_t)g->ids[run][k], 0, (uint32_t)g->back, at, words
            };
            memcpy(w + n, copy, sizeof copy);
            n += 6;
            at += words;
        }
    g->c.keep[15] = at;
    r = goss_gpu_submit(g->gpu, w, n);
    return r ? r : goss_gpu_read(g->gpu, g->back, 0, at * 4ull);
}

/* ---- comparing ----------------------------------------------------------------------------------------- */
static void wrong(gc *g, int run, int k, size_t i, const char *what, double got, double want)
{
    char why[200];
    goss_fmt(why, sizeof why, "buffer %d%s, element %llu %s: got %.9g, should be %.9g", k,
             run ? " (oversized)" : "", (unsigned long long)i, what, got, want);
    gc_fail(g, why);
}

static double element(const gc_buffer *b, const void *p, size_t i)
{
    uint32_t u;
    uint16_t h;
    float f;
    switch (b->type) {
    case GC_HALF: memcpy(&h, (const char *)p + 2 * i, 2); return (double)goss_f16_to_f32(h);
    case GC_FLOAT: memcpy(&f, (const char *)p + 4 * i, 4); return (double)f;
    default: memcpy(&u, (const char *)p + 4 * i, 4); return (double)u;
    }
}

static void compare_buffer(gc *g, int run, int k, const uint8_t *out)
{
    const gc_buffer *b = &g->c.buffer[k];
    const size_t size = b->type == GC_HALF ? 2 : 4, n = b->n / size;
    for (size_t i = 0; i < n && !g->broken; i++) {
        const double bound = b->bound[i];
        if (bound == GC_ANY) continue;
        if (bound == GC_UNTOUCHED) {
            if (memcmp(out + i * size, (const uint8_t *)b->data + i * size, size))
                wrong(g, run, k, i, "must not be written", element(b, out, i), element(b, b->data, i));
            continue;
        }
        const double got = element(b, out, i), error = fabs(got - b->want[i]);
        g->n_compared++;
        if (bound > 0 && !g->in_mutants && error / bound > g->worst) g->worst = error / bound;
        if (!(error <= bound)) wrong(g, run, k, i, "outside its bound", got, b->want[i]);
    }
}

static void compare(gc *g, const uint8_t *back)
{
    gc_case *c = &g->c;
    for (int run = 0; run < 2 && !g->broken; run++) {
        void *out[GC_BUFFERS] = { 0 };
        const uint8_t *start = back;
        for (int k = 0; k < c->n_buffers; k++) {
            if (c->buffer[k].use != 'w') continue;
            out[k] = (void *)(uintptr_t)(start + offset_of(&c->buffer[k], run));
            start += size_of(&c->buffer[k], run);
        }
        if (c->settle) c->settle(g, c, out);
        for (int k = 0; k < c->n_buffers; k++) {
            if (c->buffer[k].use != 'w') continue;
            const size_t offset = offset_of(&c->buffer[k], run), size = size_of(&c->buffer[k], run);
            compare_buffer(g, run, k, out[k]);
            for (size_t i = 0; i < size && !g->broken; i++)
                if ((i < offset || i >= offset + c->buffer[k].n) && back[i] != 0xff)
                    wrong(g, run, k, i, "(a byte of the canaries) was written", back[i], 255);
            back += size;
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------ */
static void begin_random(gc *g)
{
    g->rng = g->seed * 0x9e3779b97f4a7c15ull + (uint64_t)g->i * 0x2545f4914f6cdd1dull + 1;
    for (const char *s = gc_tests[g->test].name; *s; s++) g->rng = (g->rng ^ (uint8_t)*s) * 0x100000001b3ull;
    if (!g->rng) g->rng = 1;
    for (int i = 0; i < 8; i++) gc_rand(g);
}

/* Moves to the next case that is wanted: 0 when there is none. The probe is always. */
static int seek(gc *g)
{
    for (; !g->in_mutants && gc_tests[g->test].name; g->test++, g->i = 0) {
        const gc_test *t = &gc_tests[g->test];
        const int n = g->full ? t->n : t->n_quick, first = g->rest && g->test ? t->n_quick : 0;
        if (g->i < first) g->i = first;
        if (g->i < (g->most && g->most < n ? g->most : n) &&
            (!g->only || !strcmp(g->only, t->name) || !strcmp(t->name, "probe")))
            return 1;
    }
    if (g->no_mutants) return 0;
    g->in_mutants = g->quiet = 1;
    for (; gc_mutants[g->mutant].test; g->mutant++) {
        const gc_mutant *m = &gc_mutants[g->mutant];
        if (g->only && strcmp(g->only, m->test)) continue;
        for (g->test = 0; strcmp(gc_tests[g->test].name, m->test); g->test++) {}
        g->i = m->i;
        return 1;
    }
    g->quiet = 0;
    return 0;
}

static void make(gc *g)
{
    gc_case *c = &g->c;
    char bindings[GC_BUFFERS + 1] = "";
    begin_random(g);
    const int skip = gc_tests[g->test].make(g, c, g->i);
    if (skip || g->broken) {
        next(g, skip);
        return;
    }
    goss_fmt(g->key, sizeof g->key, "%s %s%s%s", c->file, g->half_ok ? "HALF_OK " : "",
             g->subgroup ? "SUBGROUPS " : "", goss_buf_cstr(&c->defines));
    for (int k = 0; k < c->n_buffers; k++) bindings[k] = c->buffer[k].use;
    g->pipeline = compile(g, bindings);
    if (g->pipeline < 0) {
        fail_gpu(g, "the kernel was refused", g->pipeline);
        next(g, 0);
        return;
    }
    g->phase = COMPILE;
}

static void await_pipeline(gc *g)
{
    goss_error e = { 0 };
    int r = goss_gpu_pipeline_ready(g->gpu, g->pipeline, &e);
    if (r == GOSS_EAGAIN) {
        goss_gpu_poll(g->gpu, 1);
        return;
    }
    if (r) gc_fail(g, e.text);
    else if ((r = submit(g)) < 0) fail_gpu(g, "the device refused", r);
    if (r) {
        next(g, 0);
        return;
    }
    g->phase = READ;
}

static void await_result(gc *g)
{
    const uint64_t n = g->c.keep[15] * 4ull;
    uint8_t *back = goss_mem_alloc((size_t)n);
    goss_error e = { 0 };
    if (!back) {
        gc_fail(g, "no memory");
        next(g, 0);
        return;
    }
    int r = goss_gpu_read_poll(g->gpu, g->back, back, n);
    if (r == GOSS_EAGAIN) {
        r = goss_gpu_poll(g->gpu, 200);
        goss_mem_free(back);
        if (r) {
            fail_gpu(g, "the device was lost", r);
            next(g, 0);
        }
        return;
    }
    if (r) fail_gpu(g, "reading back failed", r);
    else if (goss_gpu_error(g->gpu, &e)) gc_fail(g, e.text);
    else compare(g, back);
    goss_mem_free(back);
    next(g, 0);
}

int gc_advance(gc *g)
{
    if (g->phase == MAKE) {
        if (!seek(g)) return 0;
        make(g);
    } else if (g->phase == COMPILE) await_pipeline(g);
    else await_result(g);
    return 1;
}

void gc_close(gc *g)
{
    if (g->gpu) clear_case(g);
    for (int i = 0; i < g->n_pipelines; i++) goss_mem_free(g->pipelines[i].key);
    goss_buf_free(&g->c.defines);
    goss_gpu_close(&g->gpu);
}
