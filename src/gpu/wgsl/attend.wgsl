// attend - attention of rows over a chunk of their keys, all query heads of one KV head together, one page
// of 64 keys at a time.
// Grid: (n_kv, chunks, rows). Chunk c of a row holds pages [c * per, (c + 1) * per) of those it can see,
// where per depends on the
// row's own position only. Leaves part[row][chunk][head] = (head_dim sums of p * v), and stat = (max, sum of
// p): merge ends it.
struct P { n_head: u32, n_kv: u32, head_dim: u32, window: u32, cls: u32, stride: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<vec4<$KVT>>;
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> stat: array<vec2<f32>>;
#include step.inc.wgsl

const HEADS = $HEADSu;                               // query heads of one KV head
const D4 = $HDu / 4u;
const TP = $WGu / HEADS;                             // threads a head in the softmax
// $HP heads a thread scores, $AP vec4 sums it keeps
var<workgroup> qs: array<vec4<f32>, HEADS * D4>;
var<workgroup> scores: array<f32, HEADS * 64u>;
var<workgroup> part_max: array<f32, $WGu>;
var<workgroup> part_sum: array<f32, $WGu>;
var<workgroup> run_max: array<f32, HEADS>;
var<workgroup> run_sum: array<f32, HEADS>;
var<workgroup> rescale: array<f32, HEADS>;

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = group.z;
    let kvh = group.x;
    let pos = row_pos(row);
    var first_key = 0u;
    if (p.window != 0u && pos + 1u > p.window) { first_key = pos + 1u - p.window; }
    let first_page = first_key / 64u;
    let n_pages = pos / 64u - first_page + 1u;
    let per = (n_pages + step[5] - 1u) / step[5];
    if (group.y * per >= n_pages) { return; }
    let begin = first_page + group.y * per;
    let end = min(begin + per, first_page + n_pages);

    for (var i = t; i < HEADS * D4; i += $WGu) { qs[i] = q[(row * p.stride) / 4u + (kvh * HEADS) * D4 + i] * p.scale; }
    if (t < HEADS) { run_max[t] = -3.0e38; run_sum[t] = 0.0; }
#for a AP
    var acc$a = vec4<f32>();
#end
    workgroupBarrier();
    for (var page = begin; page < end; page++) {
        let base = (row_page(row, p.cls, page) * p.n_kv + kvh) * 2u * 64u * D4;
        let key = t % 64u;
        let visible = page * 64u + key <= pos && page * 64u + key >= first_key;
#for h HP
        var s$h = 0.0;
#end
        if (visible) {
            for (var d = 0u; d < D4; d += 2u) {
                let k = vec4<f32>(kv[base + d * 64u + key]);
                let k2 = vec4<f32>(kv[base + d * 64u + 64u + key]);
#for h HP
                s$h += dot(k, qs[min(t / 64u + $hu * ($WGu / 64u), HEADS - 1u) * D4 + d]);
                s$h += dot(k2, qs[min(t / 64u + $hu * ($WGu / 64u), HEADS - 1u) * D4 + d + 1u]);
#end
            }
        }
#for h HP
        if (t / 64u + $hu * ($WGu / 64u) < HEADS) { scores[(t / 64u + $hu * ($WGu / 64u)) * 64u + key] = select(-3.0e38, s$h, visible); }
#end
        workgroupBarrier();
        let head = t / TP;
        var m = -3.0e38;
        if (head < HEADS) { for (var i = t % TP; i < 64u; i += TP) { m = max(m, scores[head * 64u + i]); } }
        part_max[t] = m;
        workgroupBarrier();
        var sum = 0.0;
        if (head < HEADS) {
            m = run_max[head];
            for (var i = 0u; i < TP; i++) { m = max(m, part_max[head * TP + i]); }
            for (var i = t % TP; i < 64u; i += TP) {
                let v = scores[head * 64u + i];
                let e = select(0.0, exp(v - m), v > -2.0e38);
                scores[head * 64u + i] = e;
                sum += e;
            }
        }
        part_sum[t] = sum;
        workgroupBarrier();
        if (head < HEADS && t % TP == 0u) {
            var total = 0.0;
            for (var i = 0u; i < TP; i++) { total += part_sum[t + i]; }
            let f = exp(run_max[head] - m);
            rescale[head] = f;
            run_sum[head] = run_sum[head] * f + total;
            run_max[head] = m;
        }
        workgroupBarrier();
#for a AP
        if (t + $au * $WGu < HEADS * D4) {
            let h = (t + $au * $WGu) / D4;
            let vbase = base + 64u * D4 + t % D4;       // D4 divides the workgroup
            acc$a *= rescale[h];
            // a key that is not visible has weight 0, but its bytes may be anything
            for (var k = 0u; k < 64u; k += 8u) {
#for j 8
                let e$j = scores[h * 64u + k + $ju];
                let v$j = vec4<f32>(kv[vbase + (k + $ju) * D4]);
#end
#for j 8
                acc$a += e$j * select(vec4<f32>(), v$j, e$j > 0.0);
#end
            }
        }
#end
        workgroupBarrier();
    }
    let out = (row * step[5] + group.y) * p.n_head + kvh * HEADS;
#for a AP
    if (t + $au * $WGu < HEADS * D4) { part[out * D4 + t + $au * $WGu] = acc$a; }
#end
    if (t < HEADS) { stat[out + t] = vec2<f32>(run_max[t], run_sum[t]); }
}
