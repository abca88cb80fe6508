// merge - ends attention: the chunks of a row and head become one, with the head's sink in the denominator. A thread
// makes four dims. Grid: (n_head * head_dim / (4 * 64), rows). As floats to y[row][head][d], or PACKED.
#block merge
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> small: array<f32>;
@group(0) @binding(3) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> stat: array<vec2<f32>>;
#if PACKED
@group(0) @binding(5) var<storage, read_write> y: array<u32>;
#include pack.inc.wgsl
#else
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
#endif
#include step.inc.wgsl
#include window.inc.wgsl
// the workgroup's heads, chunk by chunk: maxima and sums, then the factors of their parts
var<workgroup> chunk_stat: array<vec2<f32>, $HEADS_CHUNKS>;

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let d4 = p.head_dim / 4u;
    let n4 = p.n_head * d4;
    let row = group.y;
    let pos = row_pos(row);
    let first_key = first_seen(pos);
    let n_pages = pos / 64u - first_key / 64u + 1u;
    let most = step[STEP_CHUNKS];
    let per = (n_pages + most - 1u) / most;
    let chunks = (n_pages + per - 1u) / per;
    let head0 = group.x * $WGu / d4;
    let heads = min(($WGu + d4 - 1u) / d4, p.n_head - head0);
    for (var i = t; i < heads * chunks; i += $WGu) {
        chunk_stat[i] = stat[(row * most + i / heads) * p.n_head + head0 + i % heads];
    }
    workgroupBarrier();
    let i = group.x * $WGu + t;
    let head = min(i, n4 - 1u) / d4;
    var m = -3.0e38;
    if (p.sinks != 0xffffffffu) { m = small[p.sinks + head]; }
    let sink = m;
    for (var c = 0u; c < chunks; c++) { m = max(m, chunk_stat[c * heads + head - head0].x); }
    var total = 0.0;
    if (p.sinks != 0xffffffffu) { total = exp(sink - m); }
    var a = vec4<f32>();
    for (var c = 0u; c < chunks; c += 8u) {
#for j 8
        let part$j = part[(row * most + min(c + $ju, chunks - 1u)) * n4 + min(i, n4 - 1u)];
#end
#for j 8
        if (c + $ju < chunks) {
            let s = chunk_stat[(c + $ju) * heads + head - head0];
            let f = exp(s.x - m);
            total = fma(s.y, f, total);
            a = fma(part$j, vec4<f32>(f), a);
        }
#end
    }
#if PACKED
    pack(row, n4 / 8u, i, i < n4, a / total, t);
#else
    if (i < n4) { y[row * n4 + i] = a / total; }
#endif
}
