/* list_gpu.c - which kernels are checked with how many cases, and the mutants that must be seen. */
#include "tests_gpu.h"

/* The demo's and edge sizes come first; the real layers' shapes are the last of each. */
const gc_test gc_tests[] = {
    { "probe", 1, 1, gc_make_probe },
    { "repack", 64, 48, gc_make_repack },
    { "embed", 24, 12, gc_make_embed },
    { "norm", 10, 10, gc_make_norm },
    { "quantize", 16, 8, gc_make_quantize },
    { "qkv_rows", 16, 8, gc_make_qkv_rows },
    { "moe_sum", 8, 4, gc_make_moe_sum },
    { "group", 25, 10, gc_make_group },
    { "route", 12, 8, gc_make_route },
    { "moe_up", 28, 6, gc_make_moe_up },
    { "moe_down", 28, 6, gc_make_moe_down },
    { "matvec", GC_MATVEC_CASES, 12, gc_make_matvec },
    { "matmul", GC_MATMUL_CASES, 6, gc_make_matmul },
    { "attend", GC_ATTEND_CASES, 16, gc_make_attend },
    { "merge", GC_ATTEND_CASES, 16, gc_make_merge },
    { "sample_scan", 20, 18, gc_make_scan },
    { "sample_pick", 20, 18, gc_make_pick },
    { 0 },
};

const gc_mutant gc_mutants[] = {
    { "repack", "p.row0 + r;", "p.row0 + r + 1u;", 0 },
    { "embed", "u >= p.n_units", "u + 1u >= p.n_units", 3 },
    { "norm", "+ p.eps)", "+ 0.01)", 2 },
    { "quantize", "127.0 / top", "126.0 / top", 0 },
    { "qkv_rows", "* c - ", "* c + ", 0 },
    { "moe_sum", "x[id.y * p.n + id.x] += v", "x[id.y * p.n + id.x] = v", 0 },
    { "group", "min(c - done, 64u)", "64u", 5 },
    { "route", "&& j < e)", "&& j > e)", 2 },
    { "moe_up", "(up + 1.0)", "up", 0 },
    { "moe_down", "p.n_out - 1u", "p.n_out - 2u", 1 },
    { "matvec", "b < rows && r < p.n", "b + 1u < rows && r < p.n", 0 },
    { "matmul", "if (r < count)", "if (r + 1u < count)", 0 },
    { "attend", "page * 64u + key <= pos", "page * 64u + key < pos", 2 },
    { "merge", "total = exp(sink - m)", "total = 0.0", 1 },
    { "sample_scan", "first + i", "first + i + 1u", 1 },
    { "sample_pick", "found[1] = i; break;", "found[1] = i + 1u; break;", 1 },
    { 0 },
};
