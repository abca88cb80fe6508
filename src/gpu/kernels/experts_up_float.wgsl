// experts_up_float - gate and up of the chosen experts, biases and the clamped SwiGLU. Rows 2i and 2i + 1 of
// an expert's matrix are gate i and up i. Grid: (2 * n_ff / ($GROUPS * $NR), rows * top_k). h[row * top_k +
// k][i]; experts of other pieces are left alone.
#block experts
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> route: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> h: array<f32>;
@group(0) @binding(7) var<storage, read> slots: array<u32>;
#include weights.inc.wgsl
#include own.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let slot = route[group.y].x;
    if (slot < p.slot0 || slot >= p.slot0 + p.n_slots) { return; }
    let row = group.y / p.top_k;
    let n = 2u * p.n_out;
    let first = (group.x * $GROUPS + t / $LANES) * $NRu;
    let matrix = (slot - p.slot0) * n;
#for r NR
    var acc$r = 0.0;
#end
    for (var u = t % $LANES; u < p.n_units; u += $LANES) {
#for r NR
        let w$r = unit(matrix + min(first + $ru, n - 1u), u);
#end
        let x0 = x[(row * p.n_units + u) * 2u];
        let x1 = x[(row * p.n_units + u) * 2u + 1u];
#for r NR
#if I8
        acc$r += fma(w$r.s, dot(w$r.a, x0) + dot(w$r.b, x1), w$r.m * (dot(vec4<f32>(1.0), x0) + dot(vec4<f32>(1.0), x1)));
#else
        acc$r = fma(w$r.s, dot(w$r.a, x0) + dot(w$r.b, x1), acc$r);
#endif
#end
    }
#for r NR
    reduce($ru, acc$r, t);
#end
    reduce_end(t);
    let bias = p.bias + slots[p.inverse + slot] * n;
    let own = mine(t, 2u);
    for (var i = own.at; i < own.end; i += own.step) {
        let r = group.x * $GROUPS * $NRu + i;
        if (r < n) {
            let g = min(total(i) + small[bias + r], p.limit);
            let up = clamp(total(i + 1u) + small[bias + r + 1u], -p.limit, p.limit);
            h[group.y * p.n_out + r / 2u] = g / (1.0 + exp(-p.alpha * g)) * (up + 1.0);
        }
    }
}
