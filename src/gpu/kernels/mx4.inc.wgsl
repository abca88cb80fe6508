// mx4.inc.wgsl - the codes of layout MX4 (layout.h). A code's bits b0 to b3 are chosen so that eight weights become bytes by few
// operations: 13 + twice the weight (without its scale) = code + 7 where not (b0 and not b1) + 3 where b0 and b3.
const MX4_ZERO = 13;                                 // what a weight of zero comes out as
// first: elements 0 to 3, second: 4 to 7; each byte 1 to 25.
fn mx4_bytes(w: u32) -> vec2<u32> {
    let more = ((~w | (w >> 1u)) & 0x11111111u) * 7u + (w & (w >> 3u) & 0x11111111u) * 3u;
    return vec2<u32>((w & 0x0f0f0f0fu) + (more & 0x0f0f0f0fu), ((w >> 4u) & 0x0f0f0f0fu) + ((more >> 4u) & 0x0f0f0f0fu));
}
