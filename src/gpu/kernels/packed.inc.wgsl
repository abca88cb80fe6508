// packed.inc.wgsl - 32 weights ("a block") as signed bytes: eight words in order, as two vectors, for dot4I8Packed; and
// their products with 16-bit activations (layout.h: packed activations), exact in integers. Needs ws, as
// weights.inc.wgsl has it, and halves.inc.wgsl. MX4 values come doubled, their scale halved.
struct Bytes32 { a: vec4<u32>, b: vec4<u32> }

#if MX4
// Twice the magnitudes of eight nibbles at once (0 1 2 3 4 6 8 12 fit a nibble). layout.h: no negative zeros.
fn magnitudes(w: vec4<u32>) -> vec4<u32> {
    let m = w & vec4<u32>(0x77777777u);
    let extra = m & (((w >> vec4<u32>(2u)) & vec4<u32>(0x11111111u)) * 3u);
    return m + extra + (((extra >> vec4<u32>(1u)) & extra & vec4<u32>(0x11111111u)) << vec4<u32>(1u));
}
fn with_signs(t: vec4<u32>, s: vec4<u32>) -> vec4<u32> {
    let sign = s & vec4<u32>(0x01010101u);
    return ((t & vec4<u32>(0x0f0f0f0fu)) ^ (sign * 255u)) + sign;
}
fn bytes_of(w: vec4<u32>) -> Bytes32 {
    let t = magnitudes(w);
    let e = with_signs(t, w >> vec4<u32>(3u));
    let o = with_signs(t >> vec4<u32>(4u), w >> vec4<u32>(7u));
    return Bytes32(vec4<u32>(e.x, o.x, e.y, o.y), vec4<u32>(e.z, o.z, e.w, o.w));
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
#endif

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

#if PACKED
struct Block16 { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>, s: f32 }
fn x_block(row: u32, block: u32, n: u32) -> Block16 {            // of n blocks a row
#if NORM
    return Block16(
        vec4<u32>(normed[block], normed[n + block], normed[2u * n + block], normed[3u * n + block]),
        vec4<u32>(normed[4u * n + block], normed[5u * n + block], normed[6u * n + block], normed[7u * n + block]),
        vec4<u32>(normed[8u * n + block], normed[9u * n + block], normed[10u * n + block], normed[11u * n + block]),
        vec4<u32>(normed[12u * n + block], normed[13u * n + block], normed[14u * n + block], normed[15u * n + block]),
        bitcast<f32>(normed[16u * n + block]));
#else
    let at = row * (4u * n + (n + 3u) / 4u);
    return Block16(x[at + block], x[at + n + block], x[at + 2u * n + block], x[at + 3u * n + block],
                   bitcast<f32>(x[at + 4u * n + block / 4u][block % 4u]));
#endif
}
fn product(w: Bytes32, x: Block16) -> f32 {
    return f32((dot16(w.a, x.a) + dot16(w.b, x.b)) * 256 + (dot16(w.a, x.c) + dot16(w.b, x.d)));
}
#endif
