/* kernels.c - the kernels' variants: which text a set of defines gives, compiled once each; and what the
 * device is asked before any of them is chosen (subnormal halves, the order of lanes in subgroups). */
#include "kernels.h"
#include "layout.h"
#include "shader.h"
#include "base/error.h"
#include "base/fmt.h"
#include <string.h>

/* While experts are paged, every kernel of a step but the router returns at once when the mark is set: it
 * gets the mark as one more binding, and the test as the first statement of main. */
static int is_marked(const goss_kernels *ks, const char *file)
{
    return ks->paged && strcmp(file, "route.wgsl") && strcmp(file, "repack.wgsl")
        && strcmp(file, "probe.wgsl");
}

static void add_mark(goss_buf *text, goss_buf *out, size_t binding)
{
    const char *code = goss_buf_cstr(text), *main = strstr(code, "fn main("), *body = main
        ? strchr(main, '{') : NULL;
    if (!body) { out->failed = 1; return; }
    goss_buf_append(out, code, (size_t)(body + 1 - code));
    goss_buf_str(out, "\n    if (stop_mark[0] != 0u) { return; }");
    goss_buf_str(out, body + 1);
    goss_buf_printf(out, "\n@group(0) @binding(%u) var<storage, read> stop_mark: array<u32>;\n",
                    (unsigned)binding);
}

static int make_pipeline(goss_kernels *ks, goss_kernel *k, const char *file, const char *bindings,
                         const char *defines,
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
        r = goss_gpu_pipeline(ks->gpu, k->key, (const char *)from->data, from->len, all);
        if (r < 0) goss_fail(err, r, -1, "kernel %s was refused", k->key);
    }
    goss_buf_free(&text);
    goss_buf_free(&marked);
    return r;
}

int goss_kernels_get(goss_kernels *ks, const char *file, const char *bindings, const char *defines,
                     goss_error *err)
{
    char key[sizeof ks->list[0].key];
    const int marked = is_marked(ks, file), paged = ks->paged && strcmp(file, "repack.wgsl");
    goss_fmt(key, sizeof key, "%s %s%s%s%s", file, paged ? "PAGED " : "", ks->facts->half_ok ? "HALF_OK "
             : "",
             ks->facts->subgroup ? "SUBGROUPS " : "", defines);
    for (int i = 0; i < ks->n; i++) if (!strcmp(ks->list[i].key, key)) return i;
    if (ks->n == GOSS_MAX_KERNELS) return goss_fail(err, GOSS_EFULL, -1, "too many kernel variants");
    goss_kernel *k = &ks->list[ks->n];
    memset(k, 0, sizeof *k);
    k->marked = marked;
    goss_fmt(k->key, sizeof k->key, "%s", key);
    goss_fmt(k->name, sizeof k->name, "%.*s", (int)(strchr(file, '.') - file), file);
    const int r = make_pipeline(ks, k, file, bindings, key + strlen(file) + 1, err);
    ks->failed = r < 0;
    if (r < 0) return r;
    k->pipeline = r;
    return ks->n++;
}

int goss_kernels_ready(goss_kernels *ks, goss_error *err)
{
    for (; ks->n_ready < ks->n; ks->n_ready++) {
        const int r = goss_gpu_pipeline_ready(ks->gpu, ks->list[ks->n_ready].pipeline, err);
        ks->failed = r && r != GOSS_EAGAIN && r != GOSS_ELOST;
        if (r) return r;
    }
    return 0;
}

void goss_reduce_defines(const goss_gpu_facts *f, goss_buf *out, uint32_t wg, uint32_t lanes, uint32_t values)
{
    const uint32_t groups = wg / lanes;
    goss_buf_printf(out, "WG=%u LANES=%u GROUPS=%u VALUES=%u TOTALS=%u", wg, lanes, groups, values,
                    groups * values);
    if (f->subgroup) goss_buf_printf(out, " SG=%d PARTIALS=%u", f->subgroup,
                                     values * wg / (uint32_t)f->subgroup);
    if (f->subgroup == (int)lanes) goss_buf_str(out, " SOLO");
}

void goss_layout_defines(goss_buf *d, int layout)
{
    const goss_layout_info *l = goss_layout_get(layout);
    goss_buf_printf(d, " %s WQ=%s WS=%s ", l->define, l->wq, l->ws);
}

uint32_t goss_kv_size(const goss_gpu_facts *f) { return f->kv_half ? 2 : 4; }

const char *goss_kv_defines(const goss_gpu_facts *f)
{
    return f->kv_half ? "KV_HALF KV2=u32 KV4=vec2<u32>" : "KV2=vec2<f32> KV4=vec4<f32>";
}

void goss_fragment_defines(goss_buf *d, const goss_gpu_limits *lim, int subgroup, int layout,
                           const uint32_t tile[4], uint32_t depth, uint32_t planes)
{
    const uint32_t subgroups = tile[0] / tile[2] * (tile[1] / tile[3]),
                   threads = subgroups * (uint32_t)subgroup, x_parts = tile[0] * depth / 8,
                   w_parts = tile[1] * depth / 8;
    const int quarter = layout == GOSS_LAYOUT_Q8 || layout == GOSS_LAYOUT_I8;
    goss_buf_printf(d,
                    "FRAGMENTS FM=%u FN=%u FK=%u SG=%d N_SUB=%u TILE=%u NT=%u SM=%u SN=%u TK=%u PLANES=%u ",
                    lim->fragment.m, lim->fragment.n, lim->fragment.k, subgroup, subgroups, tile[0], tile[1],
                    tile[2], tile[3], depth, planes);
    goss_buf_printf(d, "MI=%u NJ=%u XV=%u WV=%u WWHOLE=%s ", tile[2] / lim->fragment.m,
                    tile[3] / lim->fragment.n, goss_ceil_div(x_parts, threads),
                    goss_ceil_div(w_parts, threads), w_parts % threads ? "false" : "true");
    goss_buf_printf(d, "SCALE=%s FACTOR=%s %s",
                    layout == GOSS_LAYOUT_MX4 ? "8.0"
                    : quarter                 ? "0.015625"
                                              : "1.0",
                    quarter ? "64.0" : "1.0",
                    layout == GOSS_LAYOUT_F16  ? ""
                    : layout == GOSS_LAYOUT_I8 ? "BEYOND=.x "
                                               : "BEYOND= ");
}

uint32_t goss_attend_fragment_bytes(const goss_gpu_limits *lim, uint32_t head_dim)
{
    const uint32_t queries = GOSS_ATTEND_SUBGROUPS * lim->fragment.m,
                   row = head_dim + 8 > 72 ? head_dim + 8 : 72;
    return (head_dim * 72 + 64 * (head_dim + 8) + queries * row) * 2 + queries * (lim->fragment.n + 4) * 4 +
           32;
}

void goss_attend_fragment_defines(goss_buf *d, const goss_gpu_limits *lim, int subgroup, uint32_t heads,
                                  uint32_t head_dim)
{
    const uint32_t fm = lim->fragment.m, fn = lim->fragment.n, fk = lim->fragment.k,
                   sharers = (uint32_t)subgroup / fm;
    uint32_t hops = 0;
    while (1u << hops < sharers) hops++;
    goss_buf_printf(
        d,
        " FRAGMENTS FM=%u FN=%u FK=%u SG=%d N_SUB=%d LPR=%u HOPS=%u CPL=%u HEADS=%u HD=%u R=%u KD=%u "
        "ND=%u NK=%u KP=%u ROOM=5.5",
        fm, fn, fk, subgroup, GOSS_ATTEND_SUBGROUPS, sharers, hops, fn / sharers, heads, head_dim,
        GOSS_ATTEND_SUBGROUPS * fm / heads, head_dim / fk, head_dim / fn, 64 / fn, 64 / fk);
}

void goss_attend_defines(goss_buf *d, const goss_gpu_limits *lim, int software, int subgroup, uint32_t heads,
                         uint32_t head_dim)
{
    const uint32_t outs = heads * head_dim / 4, most = software ? 64 : lim->max_invocations < 512 ? 256 : 512;
    uint32_t wg = 64, kg = 1;
    while (wg * 2 <= most && wg * 2 <= heads * 64) wg *= 2;
    while (kg * 2 * outs <= wg && kg < 16) kg *= 2;
    const int waves = !software && subgroup && 64 % subgroup == 0 && heads * 64 % wg == 0,
              ahead = !software && 64 / kg <= 16 && outs <= wg;
    goss_buf_printf(d, "%s HEADS=%u HD=%u WG=%u HP=%u AP=%u KG=%u KG_MANY=%d KU=%d VS=%u%s",
                    waves ? " WAVES" : "", heads, head_dim, wg, goss_ceil_div(heads * 64, wg),
                    goss_ceil_div(outs, wg), kg, kg > 1, software || head_dim % 64 ? 4 : 16,
                    ahead || 64 / kg < 8 ? 64 / kg : 8, ahead ? " AHEAD" : "");
    if (waves) goss_buf_printf(d, " SG=%d", subgroup);
}

/* A thread scores a key for four heads, and sums head_dim / heads keys of one page for all. */
int goss_attend_group_fits(const goss_gpu_limits *lim, int subgroup, uint32_t heads, uint32_t head_dim)
{
    const uint32_t keys = GOSS_GROUP_PAGES * 64, wg = keys * heads / 4, sg = (uint32_t)subgroup;
    return subgroup && keys % sg == 0 && (heads == 4 || heads == 8) && head_dim % (8 * heads) == 0 &&
           64 % (head_dim / heads) == 0 && wg % (head_dim / 4) == 0 && wg <= lim->max_invocations &&
           (heads * head_dim / 4 + 3 * wg + 2 * wg / sg) * 16 <= lim->max_workgroup_bytes;
}

void goss_attend_group_defines(goss_buf *d, int subgroup, uint32_t heads, uint32_t head_dim, int long_pages)
{
    goss_buf_printf(d, " HEADS=%u HD=%u WG=%u SG=%d PAGES=%d V4=%u EACH=%u KU=%d FROM=%d%s", heads, head_dim,
                    GOSS_GROUP_PAGES * 16 * heads, subgroup, GOSS_GROUP_PAGES, heads / 4, head_dim / heads,
                    head_dim % 64 ? 8 : 16, long_pages, head_dim / heads > 8 ? " MORE" : "");
}

/* One thread looks at a subnormal half; with subgroups, 64 threads tell their lane and their subgroup's
 * sum. */
int goss_kernels_probe(goss_kernels *ks, goss_error *err)
{
    uint32_t got[132];
    int r;
    if (!ks->back) {
        const int with_subgroups = (goss_gpu_get_limits(ks->gpu)->features & GOSS_GPU_SUBGROUPS) != 0;
        ks->facts->subgroup = with_subgroups;
        const int k = goss_kernels_get(ks, "probe.wgsl", "w", "", err);
        ks->facts->subgroup = 0;
        if (k < 0) return k;
        ks->spare = goss_gpu_buffer(ks->gpu, 1024, GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST,
                                    "probe");
        ks->back = goss_gpu_buffer(ks->gpu, 1024, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "probe back");
        if (ks->spare < 0 || ks->back < 0) return goss_fail(err, GOSS_ENOMEM, -1,
                                                            "the GPU has no memory at all");
        const uint32_t input[2] = { 0x00010200u, 0x83ff7bffu };
        goss_gpu_write(ks->gpu, ks->spare, 0, input, sizeof input);
    }
    if (!ks->probing) {
        r = goss_kernels_ready(ks, err);
        if (r) return r;
        const goss_gpu_binding b = { ks->spare, 0, 0 };
        const int group = goss_gpu_group(ks->gpu, ks->list[0].pipeline, &b, 1);
        if (group < 0) return goss_fail(err, group, -1, "the GPU refused the probe");
        const uint32_t w[] = { GOSS_GPU_OP_PASS,
                               GOSS_GPU_NONE,
                               GOSS_GPU_OP_DISPATCH,
                               (uint32_t)ks->list[0].pipeline,
                               (uint32_t)group,
                               GOSS_GPU_NONE,
                               1,
                               1,
                               1,
                               GOSS_GPU_OP_END,
                               GOSS_GPU_OP_COPY,
                               (uint32_t)ks->spare,
                               0,
                               (uint32_t)ks->back,
                               0,
                               sizeof got / 4 };
        r = goss_gpu_submit(ks->gpu, w, sizeof w / 4);
        if (!r) r = goss_gpu_read(ks->gpu, ks->back, 0, sizeof got);
        if (r) return goss_fail(err, r, -1, "the GPU refused the probe");
        ks->probing = 1;
    }
    goss_gpu_poll(ks->gpu, 20);
    r = goss_gpu_read_poll(ks->gpu, ks->back, got, sizeof got);
    if (r == GOSS_EAGAIN) return r;
    ks->probing = 0;
    if (r) return goss_fail(err, r, -1, "the GPU did not answer the probe");
    ks->facts->half_ok = got[2] == 1;
    const uint32_t size = got[3];
    int in_order = size >= 4 && size <= 128 && (size & (size - 1)) == 0;
    for (uint32_t i = 0; i < 64 && in_order; i++)
        in_order = got[4 + i] == i % size && got[68 + i] == (i / size) * size;
    ks->facts->subgroup = in_order ? (int)size : 0;
    return 0;
}
