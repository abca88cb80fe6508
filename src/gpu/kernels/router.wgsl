// router - the norm of a row and its router's logits, spread over workgroups: each makes the norm for itself, then one expert's
// logit and its share of the packed row. Everything is asked for at once, $IT vectors a thread. choose.wgsl, or experts_up, goes on.
// Grid: (n_expert, rows). The order of sums is the same for every row of every step. p.logits: where the logits go; ALONE: the
// norm of the one row goes to p.norm among them.
#block route
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> small: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;
#include reduce.inc.wgsl
#include rms.inc.wgsl
#include pack.inc.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = group.y;
    let n4 = p.n / 4u;                                // every vector starts at a multiple of 4
#for j IT
    let i$j = min(t + $ju * $WGu, n4 - 1u);
    let w$j = small[p.router / 4u + group.x * n4 + i$j];
    let gain$j = small[p.gain / 4u + i$j];
    let x$j = x[row * n4 + i$j];
#end
    let squares = rms_squares(row, n4, t);
    let scale = rms_scale_of(squares, n4, p.eps);
    var sum = 0.0;
#for j IT
    sum += dot(w$j, select(vec4<f32>(), x$j * scale * gain$j, t + $ju * $WGu < n4));
#end
    reduce(0u, sum, t);
    reduce_end(t);
    if (t == 0u) {
        let at = p.bias + group.x;
        logits[p.logits + row * p.n_expert + group.x] = totals[0] + small[at / 4u][at % 4u];
#if ALONE
        if (group.x == 0u) { logits[p.norm] = sqrt(squares); }
#endif
    }
    let share = (n4 / 8u + grid.x - 1u) / grid.x * 8u;
    for (var begin = 0u; begin < share; begin += $WGu) {
        let i = group.x * share + begin + t;
        let at = min(i, n4 - 1u);
        pack(row, n4 / 8u, i, begin + t < share && i < n4, x[row * n4 + at] * scale * small[p.gain / 4u + at], t);
    }
}
