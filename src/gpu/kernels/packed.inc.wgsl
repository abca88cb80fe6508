// packed.inc.wgsl - 32 weights ("a block") as bytes: eight words in order, as two vectors, for dot4I8Packed; and their
// products with 16-bit activations (layout.h: packed activations), exact in integers. Needs ws, as weights.inc.wgsl has it, and
// halves.inc.wgsl. MX4 values come doubled, their scale halved, and MX4_ZERO too large: a block of activations knows its sum.
struct Bytes32 { a: vec4<u32>, b: vec4<u32> }

#if MX4
#include mx4.inc.wgsl
fn bytes_of(w: vec4<u32>) -> Bytes32 {
    return Bytes32(vec4<u32>(mx4_bytes(w.x), mx4_bytes(w.y)), vec4<u32>(mx4_bytes(w.z), mx4_bytes(w.w)));
}
fn block_scale(row: u32, block: u32) -> f32 {
    let e = (ws[row * p.scale_words + (block >> 2u)] >> ((block & 3u) * 8u)) & 255u;
    return bitcast<f32>(min(e, 254u) << 23u) * 0.5;
}
#endif
#if Q8
fn block_scale(row: u32, block: u32) -> f32 {
    return halves(ws[row * p.scale_words + (block >> 1u)] >> ((block & 1u) * 16u)).x;
}
fn bytes_of(w: Bytes32) -> Bytes32 { return w; }
#endif

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

#if PACKED
struct Block16 { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>, s: f32, sum: i32 }
fn x_block(row: u32, block: u32, n: u32) -> Block16 {            // of n blocks a row
#if NORM
    return Block16(
        vec4<u32>(normed[block], normed[n + block], normed[2u * n + block], normed[3u * n + block]),
        vec4<u32>(normed[4u * n + block], normed[5u * n + block], normed[6u * n + block], normed[7u * n + block]),
        vec4<u32>(normed[8u * n + block], normed[9u * n + block], normed[10u * n + block], normed[11u * n + block]),
        vec4<u32>(normed[12u * n + block], normed[13u * n + block], normed[14u * n + block], normed[15u * n + block]),
        bitcast<f32>(normed[16u * n + block]), bitcast<i32>(normed[16u * n + (n + 3u) / 4u * 4u + block]));
#else
    let scales = (n + 3u) / 4u;
    let at = row * (4u * n + 2u * scales);
    return Block16(x[at + block], x[at + n + block], x[at + 2u * n + block], x[at + 3u * n + block],
                   bitcast<f32>(x[at + 4u * n + block / 4u][block % 4u]),
                   bitcast<i32>(x[at + 4u * n + scales + block / 4u][block % 4u]));
#endif
}
fn product(w: Bytes32, x: Block16) -> f32 {
    let whole = (dot16(w.a, x.a) + dot16(w.b, x.b)) * 256 + (dot16(w.a, x.c) + dot16(w.b, x.d));
#if MX4
    return f32(whole - MX4_ZERO * x.sum);
#else
    return f32(whole);
#endif
}
#endif
