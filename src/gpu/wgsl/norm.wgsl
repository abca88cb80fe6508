// norm - RMSNorm with gain. y[i][k] = x[r][k] / sqrt(mean(x[r]^2) + eps) * gain[k], where r = i, or with
// p.list the i-th row
// that wants logits, from p.first on. Grid: (rows).
struct P { n: u32, eps: f32, gain: u32, list: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> small: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#include reduce.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    var row = group.x;
    if (p.list != 0u) { row = step[step[3] + p.first + group.x]; }
    var s = 0.0;
    for (var i = t; i < p.n; i += $WG) { let v = x[row * p.n + i]; s = fma(v, v, s); }
    reduce(0u, s, t);
    reduce_end(t);
    let scale = inverseSqrt(totals[0] / f32(p.n) + p.eps);
    for (var i = t; i < p.n; i += $WG) { y[group.x * p.n + i] = x[row * p.n + i] * scale * small[p.gain + i]; }
}
