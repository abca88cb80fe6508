// choose - behind router: the experts of every row and their weights, as route leaves them. Grid: (rows).
// LAYERS: behind a step of one row in which experts_up chose: the same experts again, of every layer, for a recording alone. A
// layer's logits are in its own place. Grid: (layers).
#block route
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
#if LAYERS
@group(0) @binding(2) var<storage, read_write> seen: array<u32>;
#else
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> route: array<vec2<u32>>;
#if SEEN
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;
#endif
#endif
#include choose.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    for (var e = t; e < p.n_expert; e += $WGu) { r[e] = logits[group.x * p.n_expert + e]; }
    choose(p.n_expert, p.top_k, t);
    if (t < p.top_k) {
        let w = weight_of(t, p.top_k);
#if LAYERS
        see(0u, group.x, t, w);
#else
        route[group.x * p.top_k + t] = vec2<u32>(slots[p.layer * p.n_expert + chosen[t]], bitcast<u32>(w));
#if SEEN
        see(group.x, p.layer, t, w);
#endif
#endif
    }
}
