// sample_limit - how far from the best a token of a row with top-k or top-p may be, by histograms of the distance: LIMIT of the
// row's first chunk. One workgroup a row. Grid: (rows).
#include sample_draw.inc.wgsl

var<workgroup> bin_a: array<atomic<u32>, 512>;       // weights as three digits of 11 bits, so that sums of 2^21 fit
var<workgroup> bin_b: array<atomic<u32>, 512>;
var<workgroup> bin_c: array<atomic<u32>, 512>;
var<workgroup> found: u32;
var<workgroup> carried: vec2<u32>;

// One pass of a histogram over d <= limit: level 0 by d >> 8, level 1 by d & 255 within bin `high`. count: tokens, else weights.
fn histogram(base: u32, best: i32, limit: u32, level: u32, high: u32, count: bool, t: u32) {
    for (var i = t; i < 512u; i += 256u) { atomicStore(&bin_a[i], 0u); atomicStore(&bin_b[i], 0u); atomicStore(&bin_c[i], 0u); }
    workgroupBarrier();
    for (var first = t; first < p.n_vocab; first += 1024u) {
#for k 4
        let d$k = distance_of(base, min(first + 256u * $ku, p.n_vocab - 1u), best);
#end
#for k 4
        if (first + 256u * $ku < p.n_vocab) { take(d$k, limit, level, high, count); }
#end
    }
    workgroupBarrier();
}
fn take(d: u32, limit: u32, level: u32, high: u32, count: bool) {
    if (d > limit || d >= WEIGHTLESS || (level == 1u && (d >> 8u) != high)) { return; }
    let bin = select(d & 255u, d >> 8u, level == 0u);
    let w = select(weight_of(d), 1u, count);
    atomicAdd(&bin_a[bin], w & 2047u);
    if (count) { return; }
    atomicAdd(&bin_b[bin], (w >> 11u) & 2047u);
    atomicAdd(&bin_c[bin], w >> 22u);
}
fn bin_sum(i: u32) -> vec2<u32> {
    let b = atomicLoad(&bin_b[i]);
    let c = atomicLoad(&bin_c[i]);
    return add64(vec2<u32>(atomicLoad(&bin_a[i]), 0u), add64(vec2<u32>(b << 11u, b >> 21u), vec2<u32>(c << 22u, c >> 10u)));
}
// The first of `each` * 256 bins at which the running sum (from carried on) reaches target; 512 when none does. carried becomes
// the sum before it.
fn find_bin(each: u32, target_sum: vec2<u32>, t: u32) -> u32 {
    var own = vec2<u32>();
    for (var i = t * each; i < (t + 1u) * each; i++) { own = add64(own, bin_sum(i)); }
    prefix(own, t);
    var sum = add64(carried, before(t));
    let last = add64(carried, sums[t]);
    if (t == 0u) { found = 512u; }
    workgroupBarrier();
    if (!less64(last, target_sum) && (t == 0u || less64(sum, target_sum))) {
        var i = t * each;
        for (; i < (t + 1u) * each - 1u; i++) {
            let next = add64(sum, bin_sum(i));
            if (!less64(next, target_sum)) { break; }
            sum = next;
        }
        found = i;
        carried = sum;
    }
    return workgroupUniformLoad(&found);
}
// The smallest D at which the tokens (or weights) with d <= D reach target; WEIGHTLESS - 1 when all together don't.
fn threshold(base: u32, best: i32, limit: u32, target_sum: vec2<u32>, count: bool, t: u32) -> u32 {
    if (t == 0u) { carried = vec2<u32>(); }
    workgroupBarrier();
    let high = find_bin(2u, target_sum, t);
    if (high == 512u) { return WEIGHTLESS - 1u; }
    histogram(base, best, limit, 1u, high, count, t);
    return high * 256u + min(find_bin(1u, target_sum, t), 255u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = step[step[STEP_LIST] + p.first + group.x];
    if (sampler(row, SAMPLER_GREEDY) != 0u || !cuts(row)) { return; }
    let base = group.x * p.n_vocab;
    let chunks0 = group.x * p.chunks * CHUNK_WORDS;
    find_best(chunks0, t);
    let best = workgroupUniformLoad(&best_x[0]);
    var limit = WEIGHTLESS - 1u;
    if (sampler(row, SAMPLER_TOP_K) != 0u) {
        histogram(base, best, limit, 0u, 0u, true, t);
        limit = threshold(base, best, limit, vec2<u32>(sampler(row, SAMPLER_TOP_K), 0u), true, t);
    }
    let p14 = sampler(row, SAMPLER_TOP_P14);
    if (p14 < ALL_P14) {
        histogram(base, best, limit, 0u, 0u, false, t);
        prefix(add64(bin_sum(2u * t), bin_sum(2u * t + 1u)), t);
        let s = workgroupUniformLoad(&sums[255]);
        let lo = mul64(s.x, p14);
        let v = add64(vec2<u32>(lo.x, lo.y + s.y * p14), vec2<u32>(16383u, 0u));
        limit = min(limit, threshold(base, best, limit, vec2<u32>((v.x >> 14u) | (v.y << 18u), v.y >> 14u), false, t));
    }
    if (t == 0u) { chunk[chunks0 + CHUNK_LIMIT] = limit; }
}
