// to_halves - rows of floats as halves, each row divided by a power of two so that its largest value lies in [1024, 2048):
// none overflows, and what is lost at the small end is 2^-35 of the largest. x_scale[row] is that power. A workgroup has a row.
// SPLIT: a value is cut to 11 bits, and behind a row's halves stands what that left over, as halves too: 21 bits of each
// value.
// Grid: (rows, folded to 2-D). n: vectors of four a row; times: rows for each row of the step
#block to_halves
#consts step
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> x_scale: array<f32>;

#if SPLIT
#include cut.inc.wgsl
#endif

var<workgroup> tops: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = group.y * p.grid_x + group.x;
    if (row >= step[STEP_N_ROWS] * p.times) { return; }
    var m = vec4<f32>();
    for (var i = t; i < p.n; i += 128u) { m = max(m, abs(x[row * p.n + i])); }
    tops[t] = max(max(m.x, m.y), max(m.z, m.w));
    workgroupBarrier();
    for (var n = 64u; n > 0u; n /= 2u) {
        if (t < n) { tops[t] = max(tops[t], tops[t + n]); }
        workgroupBarrier();
    }
    // the exponent alone: 2^10 <= top / scale < 2^11; a row of zeros, or below 1e-30, becomes zero
    let e = bitcast<u32>(tops[0]) >> 23u;
    let some = tops[0] >= 1e-30;
    let inverse = select(0.0, bitcast<f32>((264u - min(e, 254u)) << 23u), some);
    for (var i = t; i < p.n; i += 128u) {
        let v = x[row * p.n + i] * inverse;
#if SPLIT
        let high = cut(v);
        let rest = v - high;
        y[row * 2u * p.n + i] = vec2<u32>(pack2x16float(high.xy), pack2x16float(high.zw));
        y[row * 2u * p.n + p.n + i] = vec2<u32>(pack2x16float(rest.xy), pack2x16float(rest.zw));
#else
        y[row * p.n + i] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
#endif
    }
    if (t == 0u) { x_scale[row] = select(0.0, bitcast<f32>((e - 10u) << 23u), some); }
}
