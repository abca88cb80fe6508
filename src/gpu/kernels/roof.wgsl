// roof - reads a buffer once, as fast as it goes: what this device's memory gives, for the share of it that kernels reach.
// out[t] = the sum (mod 2^32) of the words of vectors t, t + threads, t + 2 * threads, ... Grid: threads / 256.
#block roof
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> src: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.threads) { return; }
    let step = p.threads;
    var a = vec4<u32>(0u);
    var b = vec4<u32>(0u);
    var c = vec4<u32>(0u);
    var d = vec4<u32>(0u);
    var i = id.x;
    for (; i + 3u * step < p.n; i += 4u * step) {
        a += src[i];
        b += src[i + step];
        c += src[i + 2u * step];
        d += src[i + 3u * step];
    }
    for (; i < p.n; i += step) { a += src[i]; }
    let v = a + b + c + d;
    out[id.x] = v.x + v.y + v.z + v.w;
}
