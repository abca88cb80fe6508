// keys.inc.wgsl - keys and values as the pages have them (layout.h), four neighbours at a time, and queries in the same order.
// Needs q: array<vec2<f32>>, kv: array<$KV4>, and p.half: how far apart the dims are that rotate together, 0: neighbours.
#if KV_HALF
fn four(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
#else
fn four(v: vec4<f32>) -> vec4<f32> { return v; }
#endif
// Dims 4 d .. 4 d + 3 of the query whose first pair is q[at], in the order of the keys.
fn query(at: u32, d: u32) -> vec4<f32> {
    if (d < p.half / 2u) {
        let a = q[at + d];
        let b = q[at + p.half / 2u + d];
        return vec4<f32>(a.x, b.x, a.y, b.y);
    }
    return vec4<f32>(q[at + 2u * d], q[at + 2u * d + 1u]);
}
