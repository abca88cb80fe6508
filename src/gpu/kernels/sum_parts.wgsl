// sum_parts - what a product left apart (matmul_fragments APART) becomes one: y[row][first + o] = the parts' sum + bias, with
// ADD what was there too. Grid: (n / 64, rows).
#block parts
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> small: array<f32>;
@group(0) @binding(3) var<storage, read> apart: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#include step.inc.wgsl
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.n) { return; }
#for i APART
    let v$i = apart[($iu * n_rows() + id.y) * p.n + id.x];
#end
    var v = select(0.0, small[p.bias + id.x], p.bias != 0xffffffffu);
#for i APART
    v += v$i;
#end
#if ADD
    y[id.y * p.stride + p.first + id.x] += v;
#else
    y[id.y * p.stride + p.first + id.x] = v;
#endif
}
