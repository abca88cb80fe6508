// norm - RMSNorm with gain: x[r] / sqrt(mean(x[r]^2) + eps) * gain, where r = i, or with p.list the i-th row that wants
// logits, from p.first on; as floats to y[i], or PACKED. Grid: (rows).
#block norm
#consts step
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> small: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
#if PACKED
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
#include pack.inc.wgsl
#else
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
#endif
#include rms.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    var row = group.x;
    if (p.list != 0u) { row = step[step[STEP_LIST] + p.first + group.x]; }
    let n4 = p.n / 4u;                               // every vector starts at a multiple of 4
    let scale = rms_scale(row, n4, p.eps, t);
    for (var first = 0u; first < n4; first += $WGu) {
        let i = first + t;
        let v = x[row * n4 + min(i, n4 - 1u)] * scale * small[p.gain / 4u + min(i, n4 - 1u)];
#if PACKED
        pack(group.x, n4 / 8u, i, i < n4, v, t);
#else
        if (i < n4) { y[group.x * n4 + i] = v; }
#endif
    }
}
