// merge - ends attention: the chunks of a row and head become one, with the head's sink in the denominator.
// Grid: (n_head, rows). y[row][head][d]
struct P { n_head: u32, head_dim: u32, window: u32, sinks: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> small: array<f32>;
@group(0) @binding(3) var<storage, read> part: array<f32>;
@group(0) @binding(4) var<storage, read> stat: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#include step.inc.wgsl

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let head = group.x;
    let row = group.y;
    let pos = row_pos(row);
    var first_key = 0u;
    if (p.window != 0u && pos + 1u > p.window) { first_key = pos + 1u - p.window; }
    let n_pages = pos / 64u - first_key / 64u + 1u;
    let per = (n_pages + step[5] - 1u) / step[5];
    let chunks = (n_pages + per - 1u) / per;
    var m = -3.0e38;
    if (p.sinks != 0xffffffffu) { m = small[p.sinks + head]; }
    let sink = m;
    for (var c = 0u; c < chunks; c++) { m = max(m, stat[(row * step[5] + c) * p.n_head + head].x); }
    var total = 0.0;
    if (p.sinks != 0xffffffffu) { total = exp(sink - m); }
    for (var c = 0u; c < chunks; c++) {
        let s = stat[(row * step[5] + c) * p.n_head + head];
        total += s.y * exp(s.x - m);
    }
    for (var d = t; d < p.head_dim; d += 64u) {
        var a = 0.0;
        for (var c = 0u; c < chunks; c++) {
            let i = (row * step[5] + c) * p.n_head + head;
            a += part[i * p.head_dim + d] * exp(stat[i].x - m);
        }
        y[(row * p.n_head + head) * p.head_dim + d] = a / total;
    }
}
