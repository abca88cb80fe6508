// qkv_rows - after matmul made q | k | v of many rows in the matrix's order (dims that rotate together are
// neighbours): RoPE, the usual order, and k and v into the pages of the layer. One head of one row a
// workgroup, in place. Grid:
// (n_head + 2 n_kv, rows).
#block qkv_rows
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> kv: array<$KV2>;
#include step.inc.wgsl
#include kv_store.inc.wgsl
var<workgroup> v: array<f32, 256>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let head = group.x;
    let row = group.y;
    let base = row * p.stride + head * p.head_dim;
    for (var d = t; d < p.head_dim; d += 64u) { v[d] = qkv[base + d]; }
    workgroupBarrier();
    let is_v = head >= p.n_head + p.n_kv;
    let half_dim = p.rope_dim / 2u;
    let table = step[STEP_ROPE] + row * p.rope_dim;
    for (var d = 2u * t; d < p.head_dim; d += 128u) {
        var a = v[d];
        var b = v[d + 1u];
        var to_a = d;
        var to_b = d + 1u;
        if (!is_v && d < p.rope_dim) {
            let i = d / 2u;
            let c = bitcast<f32>(step[table + i]);
            let s = bitcast<f32>(step[table + half_dim + i]);
            a = v[d] * c - v[d + 1u] * s;
            b = v[d + 1u] * c + v[d] * s;
            to_a = select(i, d, p.adjacent == 1u);
            to_b = select(i + half_dim, d + 1u, p.adjacent == 1u);
        }
        qkv[base + to_a] = a;
        qkv[base + to_b] = b;
        if (head >= p.n_head) {
            kv_store(row, u32(is_v), (head - p.n_head - select(0u, p.n_kv, is_v)) * p.head_dim + d, a, b);
        }
    }
}
