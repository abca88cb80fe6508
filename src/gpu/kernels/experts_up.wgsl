// experts_up - gate and up of the chosen experts on packed activations, biases and the clamped SwiGLU, packed again.
// Rows 2i and 2i + 1 of an expert's matrix are gate i and up i. A workgroup makes 64 of them, a block of 32 outputs.
// Grid: (2 * n_ff / 64, rows * top_k). y[row * top_k + k]; experts of other pieces are left alone.
// MANY: pairs of the same expert together, $B at a time. CHOOSE: one row behind router: every workgroup chooses the experts by the
// row's logits, which are in the layer's own place, and the first ones leave the choice for who comes after.
#block experts
@group(0) @binding(0) var<uniform> p: P;
#if CHOOSE
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(8) var<storage, read_write> route: array<vec2<u32>>;
#include choose.inc.wgsl
#else
@group(0) @binding(1) var<storage, read> route: array<vec2<u32>>;
#endif
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> ws: array<u32>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> y: array<u32>;
@group(0) @binding(7) var<storage, read> slots: array<u32>;
#include halves.inc.wgsl
#include packed.inc.wgsl
#include own.inc.wgsl
#include pack.inc.wgsl
#if MANY
#include sharers.inc.wgsl
#endif
var<workgroup> out: array<f32, $OUT>;                // 32 for each of $B pairs

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
#if CHOOSE
    for (var e = t; e < p.n_expert; e += $WGu) { r[e] = logits[p.forward + e]; }
    choose(p.n_expert, p.top_k, t);
    let slot = slots[p.forward + workgroupUniformLoad(&chosen[group.y])];
    if (group.x == 0u && t == 0u) { route[group.y] = vec2<u32>(slot, bitcast<u32>(weight_of(group.y, p.top_k))); }
#else
    let slot = route[group.y].x;
#endif
    if (slot < p.slot0 || slot >= p.slot0 + p.n_slots) { return; }
    let n = p.n_units / 4u;
    let matrix = (slot - p.slot0) * 2u * p.n_out + group.x * 64u + (t / $LANES) * $NRu;
    let bias = p.bias + slots[p.inverse + slot] * 2u * p.n_out + group.x * 64u;
#if MANY
    let n_sharers = find_sharers(group.y, slot, grid.y, t);
    for (var sharer = 0u; sharer < n_sharers; sharer += $Bu) {
#for b B
        let pair$b = sharers[min(sharer + $bu, n_sharers - 1u)];
#end
        let n_pairs = min($Bu, n_sharers - sharer);
#else
    {
        let pair0 = group.y;
        let n_pairs = 1u;
#endif
#for b B
        let x_row$b = pair$b / p.top_k;
#for r NR
        var acc$b_$r = 0.0;
#end
#end
#for r NR
        let w_row$r = matrix + $ru;
#end
#include packed_loop.inc.wgsl
#for b B
#for r NR
        reduce($bu * $NRu + $ru, acc$b_$r, t);
#end
#end
        reduce_end(t);
        let own = mine(t, 2u);
        for (var i = own.at; i < own.end; i += own.step) {
            let r = (i / $VALUESu) * $NRu + i % $NRu;
            let g = min(total(i) + small[bias + r], p.limit);
            let up = clamp(total(i + 1u) + small[bias + r + 1u], -p.limit, p.limit);
            out[(i % $VALUESu) / $NRu * 32u + r / 2u] = g / (1.0 + exp(-p.alpha * g)) * (up + 1.0);
        }
        workgroupBarrier();
        let b = min(t / 8u, $Bu - 1u);
        let o = b * 32u + (t % 8u) * 4u;
        var pair = pair0;
#if MANY
        pair = sharers[min(sharer + b, n_sharers - 1u)];
#endif
        pack(pair, p.n_out / 32u, group.x * 8u + t % 8u, t < 8u * n_pairs, vec4<f32>(out[o], out[o + 1u], out[o + 2u], out[o + 3u]), t);
    }
}
