/* gpu_kernels.c - the kernels' variants: which text a set of defines gives, compiled once each; and what the
 * device is asked
 * before any of them is chosen (subnormal halves, the order of lanes in subgroups). */
#include "gpu_state.h"
#include "shader.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include <string.h>

/* While experts are paged, every kernel of a step but the router returns at once when the mark is set: it gets the mark
 * as one more binding, and the test as the first statement of main. */
static int is_marked(const goss_gpu_state *s, const char *file)
{
    return s->pages.on && strcmp(file, "route.wgsl") && strcmp(file, "repack.wgsl") && strcmp(file, "probe.wgsl");
}

static void add_mark(goss_buf *text, goss_buf *out, size_t binding)
{
    const char *code = goss_buf_cstr(text), *main = strstr(code, "fn main("), *body = main ? strchr(main, '{') : NULL;
    if (!body) { out->failed = 1; return; }
    goss_buf_append(out, code, (size_t)(body + 1 - code));
    goss_buf_str(out, "\n    if (stop_mark[0] != 0u) { return; }");
    goss_buf_str(out, body + 1);
    goss_buf_printf(out, "\n@group(0) @binding(%u) var<storage, read> stop_mark: array<u32>;\n", (unsigned)binding);
}

static int make_pipeline(goss_gpu_state *s, goss_kernel *k, const char *file, const char *bindings, const char *defines,
                         goss_error *err)
{
    goss_buf text = GOSS_BUF(1 << 20), marked = GOSS_BUF(1 << 20);
    char all[GOSS_GPU_MAX_BINDINGS + 2];
    goss_fmt(all, sizeof all, "%s%s", bindings, k->marked ? "r" : "");
    int r = goss_shader_text(&text, file, defines, err);
    if (!r && k->marked) add_mark(&text, &marked, strlen(bindings));
    const goss_buf *from = k->marked ? &marked : &text;
    if (!r && from->failed) r = goss_fail(err, GOSS_ENOMEM, -1, "no memory for kernel %s", file);
    if (!r) {
        r = goss_gpu_pipeline(s->gpu, k->key, (const char *)from->data, from->len, all, NULL, 0);
        if (r < 0) goss_fail(err, r, -1, "kernel %s was refused", k->key);
    }
    goss_buf_free(&text);
    goss_buf_free(&marked);
    return r;
}

int goss_gpu_kernel(goss_gpu_state *s, const char *file, const char *bindings, const char *defines, goss_error *err)
{
    char key[sizeof s->kernels[0].key];
    const int marked = is_marked(s, file), paged = s->pages.on && strcmp(file, "repack.wgsl");
    goss_fmt(key, sizeof key, "%s %s%s%s%s", file, paged ? "PAGED " : "", s->half_ok ? "HALF_OK " : "",
             s->subgroup ? "SUBGROUPS " : "", defines);
    for (int i = 0; i < s->n_kernels; i++) if (!strcmp(s->kernels[i].key, key)) return i;
    if (s->n_kernels == GOSS_MAX_KERNELS) return goss_fail(err, GOSS_EFULL, -1, "too many kernel variants");
    goss_kernel *k = &s->kernels[s->n_kernels];
    memset(k, 0, sizeof *k);
    k->marked = marked;
    goss_fmt(k->key, sizeof k->key, "%s", key);
    goss_fmt(k->name, sizeof k->name, "%.*s", (int)(strchr(file, '.') - file), file);
    const int r = make_pipeline(s, k, file, bindings, key + strlen(file) + 1, err);
    s->kernel_failed = r < 0;
    if (r < 0) return r;
    k->pipeline = r;
    return s->n_kernels++;
}

int goss_gpu_kernels_ready(goss_gpu_state *s, goss_error *err)
{
    for (; s->n_ready < s->n_kernels; s->n_ready++) {
        const int r = goss_gpu_pipeline_ready(s->gpu, s->kernels[s->n_ready].pipeline, err);
        s->kernel_failed = r && r != GOSS_EAGAIN && r != GOSS_ELOST;
        if (r) return r;
    }
    return 0;
}

void goss_gpu_reduce_defines(const goss_gpu_state *s, goss_buf *out, uint32_t wg, uint32_t lanes, uint32_t values)
{
    const uint32_t groups = wg / lanes;
    goss_buf_printf(out, "WG=%u LANES=%u GROUPS=%u VALUES=%u TOTALS=%u", wg, lanes, groups, values, groups * values);
    if (s->subgroup) goss_buf_printf(out, " SG=%d PARTIALS=%u", s->subgroup, values * wg / (uint32_t)s->subgroup);
    if (s->subgroup == (int)lanes) goss_buf_str(out, " SOLO");
}

/* One thread looks at a subnormal half; with subgroups, 64 threads tell their lane and their subgroup's sum. */
int goss_gpu_probe(goss_gpu_state *s, goss_error *err)
{
    uint32_t got[132];
    int r;
    if (!s->staging_back) {
        const int with_subgroups = (goss_gpu_get_limits(s->gpu)->features & GOSS_GPU_SUBGROUPS) != 0;
        s->subgroup = with_subgroups;
        const int k = goss_gpu_kernel(s, "probe.wgsl", "w", "", err);
        s->subgroup = 0;
        if (k < 0) return k;
        s->dummy = goss_gpu_buffer(s->gpu, 1024, GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST, "probe");
        s->staging_back = goss_gpu_buffer(s->gpu, 1024, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "probe back");
        if (s->dummy < 0 || s->staging_back < 0) return goss_fail(err, GOSS_ENOMEM, -1, "the GPU has no memory at all");
        const uint32_t input[2] = { 0x00010200u, 0x83ff7bffu };
        goss_gpu_write(s->gpu, s->dummy, 0, input, sizeof input);
    }
    if (!s->fence) {
        r = goss_gpu_kernels_ready(s, err);
        if (r) return r;
        const goss_gpu_binding b = { s->dummy, 0, 0 };
        const int group = goss_gpu_group(s->gpu, s->kernels[0].pipeline, &b, 1);
        if (group < 0) return goss_fail(err, group, -1, "the GPU refused the probe");
        const uint32_t w[] = { GOSS_GPU_OP_PASS,
                               GOSS_GPU_NONE,
                               GOSS_GPU_OP_DISPATCH,
                               (uint32_t)s->kernels[0].pipeline,
                               (uint32_t)group,
                               GOSS_GPU_NONE,
                               1,
                               1,
                               1,
                               GOSS_GPU_OP_END,
                               GOSS_GPU_OP_COPY,
                               (uint32_t)s->dummy,
                               0,
                               (uint32_t)s->staging_back,
                               0,
                               sizeof got / 4 };
        r = goss_gpu_submit(s->gpu, w, sizeof w / 4);
        if (!r) r = goss_gpu_read(s->gpu, s->staging_back, 0, sizeof got);
        if (r) return goss_fail(err, r, -1, "the GPU refused the probe");
        s->fence = 1;
    }
    goss_gpu_poll(s->gpu, 20);
    r = goss_gpu_read_poll(s->gpu, s->staging_back, got, sizeof got);
    if (r == GOSS_EAGAIN) return r;
    s->fence = 0;
    if (r) return goss_fail(err, r, -1, "the GPU did not answer the probe");
    s->half_ok = got[2] == 1;
    const uint32_t size = got[3];
    int in_order = size >= 4 && size <= 128 && (size & (size - 1)) == 0;
    for (uint32_t i = 0; i < 64 && in_order; i++)
        in_order = got[4 + i] == i % size && got[68 + i] == (i / size) * size;
    s->subgroup = in_order ? (int)size : 0;
    return 0;
}
