// embed - rows of the token embedding, as floats; remembers known tokens in the history of their slot.
// x[row][i] = W[token][i]; token -1: the one that the sampler left in history[slot][pos].
// Grid: (n_units / 64, n_rows). Rows of other pieces of a split table are left alone.
#block embed
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> history: array<i32>;
#include weights.inc.wgsl
#include step.inc.wgsl

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.y;
    let u = id.x;
    let place = row_slot(row) * p.history_stride + row_pos(row);
    var token = row_token(row);
    if (token < 0) { token = history[place]; }
    let i = u32(token) - p.first;
    if (u >= p.n_units || u32(token) < p.first || i >= p.n) { return; }
    if (u == 0u && row_token(row) >= 0) { history[place] = token; }
    let w = unit(i, u);
    x[(row * p.n_units + u) * 2u] = w.a * w.s + w.m;
    x[(row * p.n_units + u) * 2u + 1u] = w.b * w.s + w.m;
}
