// packed.inc.wgsl - 32 weights ("a block") as signed bytes: eight words in order, as two vectors, for dot4I8Packed.
// Needs wq and ws as weights.inc.wgsl has them; MX4 values come doubled, their scale halved.
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
