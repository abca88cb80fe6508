// experts_sum - the weighted sum of split experts' results and the residual. Grid: (n / 64, rows).
#block sum
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> route: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.n) { return; }
    var v = 0.0;
    for (var k = 0u; k < p.top_k; k++) {
        let i = id.y * p.top_k + k;
        v = fma(bitcast<f32>(route[i].y), y[i * p.n + id.x], v);
    }
    x[id.y * p.n + id.x] += v;
}
