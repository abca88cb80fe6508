// sample.inc.wgsl - the sampler's words and integers (model/sample.h is the definition). 64-bit numbers are
// (low, high).
#consts sampler
fn sampler(row: u32, i: u32) -> u32 { return step[row_word(row, ROW_SAMPLER) + i]; }
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let lo = a.x + b.x;
    return vec2<u32>(lo, a.y + b.y + u32(lo < a.x));
}
fn mul64(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu; let a1 = a >> 16u; let b0 = b & 0xffffu; let b1 = b >> 16u;
    let mid = a1 * b0 + ((a0 * b0) >> 16u);
    let mid2 = a0 * b1 + (mid & 0xffffu);
    return vec2<u32>(a * b, a1 * b1 + (mid >> 16u) + (mid2 >> 16u));
}
fn less64(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
const FORBIDDEN: i32 = -2147483648;                  // x of a token that the mask excludes
// (key, token): the larger key, the lower token among equals.
fn is_before(a: vec2<u32>, b: vec2<u32>) -> bool { return a.x > b.x || (a.x == b.x && a.y < b.y); }

// What all 256 threads of a workgroup have together comes to place 0: the best x with its token, the lowest among equals, and the
// largest logit; the sums for entropy.
var<workgroup> best_x: array<i32, 256>;
var<workgroup> best_i: array<u32, 256>;
var<workgroup> sum_m: array<f32, 256>;
var<workgroup> sum_e: array<f32, 256>;
var<workgroup> sum_l: array<f32, 256>;
fn best_of_all(t: u32) {
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) {
            if (best_x[t + w] > best_x[t] || (best_x[t + w] == best_x[t] && best_i[t + w] < best_i[t])) { best_x[t] = best_x[t + w]; best_i[t] = best_i[t + w]; }
            sum_m[t] = max(sum_m[t], sum_m[t + w]);
        }
        workgroupBarrier();
    }
}
fn sums_of_all(t: u32) {
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) { sum_e[t] += sum_e[t + w]; sum_l[t] += sum_l[t + w]; }
        workgroupBarrier();
    }
}
