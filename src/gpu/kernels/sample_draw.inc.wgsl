// sample_draw.inc.wgsl - what the sampler's kernels behind the scan share, in workgroups of 256: a row's best, how far a token is
// from it and what it weighs for that (model/sample.h), sums of 64 bits; and the bindings 0 to 4.
#block sample
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> xs: array<i32>;
@group(0) @binding(3) var<storage, read> exp2_table: array<u32>;
@group(0) @binding(4) var<storage, read_write> chunk: array<u32>;
#include step.inc.wgsl
#include sample.inc.wgsl

const WEIGHTLESS = 131072u;                          // tokens this far from the best have weight 0
const ALL_P14 = 16384u;                              // top-p of a row without
var<workgroup> sums: array<vec2<u32>, 256>;

// best_of_all of the row whose chunks start at chunks0. A vocabulary has 256 chunks at most.
fn find_best(chunks0: u32, t: u32) {
    best_x[t] = FORBIDDEN;
    best_i[t] = 0xffffffffu;
    sum_m[t] = -3.0e38;
    if (t < p.chunks) {
        best_x[t] = bitcast<i32>(chunk[chunks0 + t * CHUNK_WORDS + CHUNK_BEST]);
        best_i[t] = chunk[chunks0 + t * CHUNK_WORDS + CHUNK_TOKEN];
        sum_m[t] = bitcast<f32>(chunk[chunks0 + t * CHUNK_WORDS + CHUNK_TOP]);
    }
    best_of_all(t);
}
fn weight_of(d: u32) -> u32 { return select(0u, exp2_table[d & 4095u] >> min(d >> 12u, 31u), d < WEIGHTLESS); }
// How far token i is from the best x; WEIGHTLESS and above for forbidden ones.
fn distance_of(base: u32, i: u32, best: i32) -> u32 {
    let x = xs[base + i];
    return select(bitcast<u32>(best) - bitcast<u32>(x), 0xffffffffu, x == FORBIDDEN);
}
fn cuts(row: u32) -> bool { return sampler(row, SAMPLER_TOP_K) != 0u || sampler(row, SAMPLER_TOP_P14) < ALL_P14; }
// How far a token may be, after top-k, top-p (sample_limit) and min-p.
fn limit_of(row: u32, chunks0: u32) -> u32 {
    var limit = WEIGHTLESS - 1u;
    if (cuts(row)) { limit = chunk[chunks0 + CHUNK_LIMIT]; }
    return min(limit, sampler(row, SAMPLER_MIN_P_D));
}
fn kept(base: u32, i: u32, best: i32, limit: u32) -> vec2<u32> {
    let d = select(0xffffffffu, distance_of(base, min(i, p.n_vocab - 1u), best), i < p.n_vocab);
    return vec2<u32>(select(0u, weight_of(d), d <= limit), 0u);
}
// sums[t] becomes the sum of what thread 0 to thread t have.
fn prefix(own: vec2<u32>, t: u32) {
    workgroupBarrier();
    sums[t] = own;
    workgroupBarrier();
    for (var d = 1u; d < 256u; d *= 2u) {
        let earlier = sums[max(t, d) - d];
        workgroupBarrier();
        if (t >= d) { sums[t] = add64(sums[t], earlier); }
        workgroupBarrier();
    }
}
fn before(t: u32) -> vec2<u32> { return select(sums[max(t, 1u) - 1u], vec2<u32>(), t == 0u); }
