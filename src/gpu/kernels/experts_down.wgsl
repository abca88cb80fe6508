// experts_down - down of the chosen experts on packed activations, and biases.
// One row: a workgroup has one group of threads for each choice; all make the same $NR rows, then the results meet in
//   workgroup memory: y[o] += sum over k, in the order of the choice, of weight_k * (W_k[o] . h_k + b_k[o]). Grid: (n_out / $NR).
// MANY: pairs of the same expert together, $B at a time; y[row * top_k + k][o] gets the unweighted result, and experts_sum ends
//   it with the same arithmetic. Grid: (n_out / ($GROUPS * $NR), rows * top_k). Experts of other pieces are left alone.
#block experts
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> route: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> ws: array<u32>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read> slots: array<u32>;
#include halves.inc.wgsl
#include packed.inc.wgsl
#if MANY
#include own.inc.wgsl
#include sharers.inc.wgsl
#else
#include reduce.inc.wgsl
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let n = p.n_units / 4u;
#if MANY
    let slot = route[group.y].x;
    if (slot < p.slot0 || slot >= p.slot0 + p.n_slots) { return; }
    let first = (group.x * $GROUPSu + t / $LANES) * $NRu;
    let bias = p.bias + slots[p.inverse + slot] * p.n_out;
    let n_sharers = find_sharers(group.y, slot, grid.y, t);
    for (var sharer = 0u; sharer < n_sharers; sharer += $Bu) {
#for b B
        let pair$b = sharers[min(sharer + $bu, n_sharers - 1u)];
#end
#else
    let first = group.x * $NRu;
    let pair0 = t / $LANES;
    let slot = min(route[pair0].x, p.n_slots - 1u);
    {
#endif
#for r NR
        let w_row$r = (slot - p.slot0) * p.n_out + min(first + $ru, p.n_out - 1u);
#end
#for b B
        let x_row$b = pair$b;
#for r NR
        var acc$b_$r = 0.0;
#end
#end
#include packed_loop.inc.wgsl
#for b B
#for r NR
        reduce($bu * $NRu + $ru, acc$b_$r, t);
#end
#end
        reduce_end(t);
#if MANY
        let own = mine(t, 1u);
        for (var i = own.at; i < own.end; i += own.step) {
            let b = (i % $VALUESu) / $NRu;
            let o = (group.x * $GROUPSu + i / $VALUESu) * $NRu + i % $NRu;
            if (sharer + b < n_sharers && o < p.n_out) { y[sharers[sharer + b] * p.n_out + o] = total(i) + small[bias + o]; }
        }
    }
#else
    }
    if (t < $NRu && first + t < p.n_out) {
        var v = 0.0;
        for (var i = 0u; i < p.top_k; i++) {
            let one = route[i];
            v = fma(bitcast<f32>(one.y), totals[i * $NRu + t] + small[p.bias + slots[p.inverse + one.x] * p.n_out + first + t], v);
        }
        y[first + t] += v;
    }
#endif
}
