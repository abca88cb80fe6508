// experts_down_float - down of the chosen experts, biases, weighted sum in the order of the choice, and the residual.
// A workgroup has one
// group of threads for each chosen expert; all make the same $NR rows, then the results meet in workgroup memory.
// Grid: (n_out / $NR, rows). x[row][o] += sum over k of weight_k * (W_k[o] . h_k + b_k[o])
// SPLIT: the experts of a layer lie in several pieces; y[row * top_k + k][o] gets the unweighted result for
// those of this piece, and experts_sum ends it with the same arithmetic.
#block experts
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
    let first = group.x * $NRu;
    let k = group.y * p.top_k + t / $LANES;
    let slot = route[k].x;
    let here = slot >= p.slot0 && slot < p.slot0 + p.n_slots;
#for r NR
    var acc$r = 0.0;
#end
    if (here) {
        let matrix = (slot - p.slot0) * p.n_out;
#for r NR
        let row$r = matrix + min(first + $ru, p.n_out - 1u);
#end
        for (var u = t % $LANES; u < p.n_units; u += $LANES) {
            let x0 = h[(k * p.n_units + u) * 2u];
            let x1 = h[(k * p.n_units + u) * 2u + 1u];
#for r NR
            let w$r = unit(row$r, u);
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
#if SPLIT
    for (var i = t; i < p.top_k * $NRu; i += $WGu) {
        let one = group.y * p.top_k + i / $NRu;
        let s = route[one].x;
        if (first + i % $NRu < p.n_out && s >= p.slot0 && s < p.slot0 + p.n_slots) {
            x[one * p.n_out + first + i % $NRu] = totals[i] + small[p.bias + slots[p.inverse + s] * p.n_out + first + i % $NRu];
        }
    }
#else
    for (var o = t; o < $NRu && first + o < p.n_out; o += $WGu) {
        var v = 0.0;
        for (var i = 0u; i < p.top_k; i++) {
            let one = route[group.y * p.top_k + i];
            v = fma(bitcast<f32>(one.y), totals[i * $NRu + o] + small[p.bias + slots[p.inverse + one.x] * p.n_out + first + o], v);
        }
        x[group.y * p.n_out + first + o] += v;
    }
#endif
}
