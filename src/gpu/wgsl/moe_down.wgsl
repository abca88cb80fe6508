// moe_down - down of the chosen experts, biases, weighted sum in the order of the choice, and the residual.
// Grid: (n_out / ($GROUPS * $NR), rows). x[row][o] += sum over k of weight_k * (W_k[o] . h_k + b_k[o])
// SPLIT: the experts of a layer lie in several pieces; y[row * top_k + k][o] gets the unweighted result for those of this piece,
// grid (n_out / ..., rows * top_k), and moe_sum ends it.
struct P { n_units: u32, scale_words: u32, n_out: u32, top_k: u32, first: u32, n: u32, bias: u32, inverse: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> route: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> x: array<f32>;
@group(0) @binding(7) var<storage, read> slots: array<u32>;
#include weights.inc.wgsl
#include reduce.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let first = (group.x * $GROUPS + t / $LANES) * $NRu;
#if SPLIT
    let k_first = group.y;
    let k_end = group.y + 1u;
#else
    let k_first = group.y * p.top_k;
    let k_end = k_first + p.top_k;
#endif
#for r NR
    var acc$r = 0.0;
#end
    for (var k = k_first; k < k_end; k++) {
        let slot = route[k].x;
#if SPLIT
        if (slot < p.first || slot >= p.first + p.n) { return; }
        let weight = 1.0;
#else
        let weight = bitcast<f32>(route[k].y);
#endif
        let matrix = (slot - p.first) * p.n_out;
        for (var u = t % $LANES; u < p.n_units; u += $LANES) {
            let at = (k * p.n_units + u) * 2u;
            let x0 = h[at] * weight;
            let x1 = h[at + 1u] * weight;
#for r NR
            let w$r = unit(matrix + min(first + $ru, p.n_out - 1u), u);
#end
#for r NR
#if I8
            acc$r += fma(w$r.s, dot(w$r.a, x0) + dot(w$r.b, x1), w$r.m * (dot(vec4<f32>(1.0), x0) + dot(vec4<f32>(1.0), x1)));
#else
            acc$r = fma(w$r.s, dot(w$r.a, x0) + dot(w$r.b, x1), acc$r);
#endif
#end
        }
    }
#for r NR
    reduce($ru, acc$r, t);
#end
    reduce_end(t);
    for (var i = t; i < $GROUPS * $VALUES; i += $WG) {
        let r = group.x * $GROUPS * $NRu + i;
        if (r < p.n_out) {
            var v = totals[i];
#if SPLIT
            x[group.y * p.n_out + r] = v + small[p.bias + slots[p.inverse + route[k_first].x] * p.n_out + r];
#else
            for (var k = k_first; k < k_end; k++) { v = fma(bitcast<f32>(route[k].y), small[p.bias + slots[p.inverse + route[k].x] * p.n_out + r], v); }
            x[group.y * p.n_out + r] += v;
#endif
        }
    }
}
