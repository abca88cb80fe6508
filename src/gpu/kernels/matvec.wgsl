// matvec - y = W x for a few rows ($B at most at once), weights decoded once for all of them, sums in f32.
// PACKED: x are packed activations (layout.h), products of a block of 32 are exact integers.
// PACKED NORM: one row; x is the residual, every workgroup makes its packed norm (as norm does) in workgroup memory.
// A group of $LANES threads makes $NR consecutive output rows. Grid: (n_out / ($GROUPS * $NR), 1, rows / $B);
// n_out may be cut anywhere (first, n): pieces of a split matrix. What happens to a sum depends on the
// variant:
//   STORE  y[b][first + r] = sum                               (logits)
//   ADD    y[b][r] += sum + bias[r]                             (o projection, dense down)
//   SILU   rows 2i, 2i+1 are gate i, up i:  y[b][i] = silu(gate) * up
//   QKV    rows of q, k, v (pairs that rotate together are adjacent): bias, RoPE, y[b][...] in the usual
//          order, and k, v into the pages of the layer (layout.h: KV pages)
#block matvec
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
#if PACKED
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
#if NORM
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
var<workgroup> normed: array<u32, $NORM>;
#include rms.inc.wgsl
#include pack.inc.wgsl
#else
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;
#endif
#else
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
#if QKV
@group(0) @binding(7) var<storage, read_write> kv: array<$KV2>;
#endif
#if PACKED
#include halves.inc.wgsl
#include packed.inc.wgsl
#else
#include weights.inc.wgsl
#endif
#include step.inc.wgsl
#include own.inc.wgsl

#if QKV
#include kv_store.inc.wgsl
fn finish_pair(row: u32, r: u32, a: f32, b: f32) {   // matrix rows r and r + 1
    let nq = p.n_head * p.head_dim;
    let nk = p.n_kv * p.head_dim;
    let half = p.rope_dim / 2u;
    let head = r / p.head_dim;
    let j = r % p.head_dim;
    var v = vec2<f32>(a, b);
    var to = vec2<u32>(r, r + 1u);                   // usual index in q | k | v
    if (r < nq + nk && j < p.rope_dim) {
        let i = j / 2u;
        let table = step[STEP_ROPE] + row * p.rope_dim;
        let c = bitcast<f32>(step[table + i]);
        let s = bitcast<f32>(step[table + half + i]);
        v = vec2<f32>(a * c - b * s, b * c + a * s);
        if (p.adjacent == 0u) { to = vec2<u32>(head * p.head_dim + i, head * p.head_dim + i + half); }
    }
    y[row * p.stride + to.x] = v.x;
    y[row * p.stride + to.y] = v.y;
    if (r >= nq) {
        let is_v = u32(r >= nq + nk);
        kv_store(row, is_v, r - nq - is_v * nk, v.x, v.y);
    }
}
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    // how many rows there are: of the step, or of those that want logits
    let rows = step[p.row0];
    let base = group.z * $Bu;
    let lane = t % $LANES;
    let first = (group.x * $GROUPS + t / $LANES) * $NRu;
#for b B
    let row$b = min(base + $bu, rows - 1u);
#for r NR
    var acc$b_$r = 0.0;
#end
#end
#if PACKED
    let n = p.n_units / 4u;
#if NORM
    let scale = rms_scale(0u, n * 8u, p.eps, t);
    for (var i0 = 0u; i0 < n * 8u; i0 += $WGu) {
        let i = min(i0 + t, n * 8u - 1u);
        let gain = vec4<f32>(small[p.gain + i * 4u], small[p.gain + i * 4u + 1u], small[p.gain + i * 4u + 2u], small[p.gain + i * 4u + 3u]);
        pack(0u, n, i0 + t, i0 + t < n * 8u, x[i] * scale * gain, t);
    }
#endif
#for r NR
    let w_row$r = min(first + $ru, p.n - 1u);
#end
#for b B
    let x_row$b = row$b;
#end
#include packed_loop.inc.wgsl
#else
    for (var u = lane; u < p.n_units; u += $LANES) {
#for r NR
        let w$r = unit(min(first + $ru, p.n - 1u), u);
#end
#for b B
        let x$b = x[(row$b * p.n_units + u) * 2u];
        let y$b = x[(row$b * p.n_units + u) * 2u + 1u];
#if I8
        let s$b = dot(vec4<f32>(1.0), x$b) + dot(vec4<f32>(1.0), y$b);
#endif
#for r NR
#if I8
        acc$b_$r += fma(w$r.s, dot(w$r.a, x$b) + dot(w$r.b, y$b), w$r.m * s$b);
#else
        acc$b_$r = fma(w$r.s, dot(w$r.a, x$b) + dot(w$r.b, y$b), acc$b_$r);
#endif
#end
#end
    }
#endif
#for b B
#for r NR
    reduce($bu * $NRu + $ru, acc$b_$r, t);
#end
#end
    reduce_end(t);
#if PAIRS
    let own = mine(t, 2u);
#else
    let own = mine(t, 1u);
#endif
#if STORE
    for (var i = own.at; i < own.end; i += own.step) {
        let b = base + (i % $VALUES) / $NRu;
        let r = (group.x * $GROUPS + i / $VALUES) * $NRu + i % $NRu;
        if (b < rows && r < p.n) { y[b * p.stride + p.first + r] = total(i); }
    }
#endif
#if ADD
    for (var i = own.at; i < own.end; i += own.step) {
        let b = base + (i % $VALUES) / $NRu;
        let r = (group.x * $GROUPS + i / $VALUES) * $NRu + i % $NRu;
        if (b < rows && r < p.n) {
            var v = total(i);
            if (p.bias != 0xffffffffu) { v += small[p.bias + r]; }
            y[b * p.stride + p.first + r] += v;
        }
    }
#endif
#if PAIRS
    for (var i = own.at; i < own.end; i += own.step) {
        let b = base + (i % $VALUES) / $NRu;
        let r = (group.x * $GROUPS + i / $VALUES) * $NRu + i % $NRu;
        if (b < rows && r < p.n) {
            var v0 = total(i);
            var v1 = total(i + 1u);
#if QKV
            if (p.bias != 0xffffffffu) { v0 += small[p.bias + r]; v1 += small[p.bias + r + 1u]; }
            finish_pair(b, p.first + r, v0, v1);
#else
            y[b * p.stride + (p.first + r) / 2u] = v0 / (1.0 + exp(-v0)) * v1;
#endif
        }
    }
#endif
}
