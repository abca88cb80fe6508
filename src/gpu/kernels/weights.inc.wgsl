// weights.inc.wgsl - eight consecutive weights of a row ("a unit"), whatever the layout (layout.h draws them).
// Needs bindings wq and ws. A weight is s * value + m; units of one row are u = 0 .. n_in / 8 - 1.
struct Unit { a: vec4<f32>, b: vec4<f32>, s: f32, m: f32 }
struct Raw { w: $WQ, more: $WQ, s: $WS }              // as it lies in memory; more: F32W alone

#include halves.inc.wgsl

// Four bytes as floats, 2^23 larger: a byte becomes the low mantissa bits of 2^23.
fn counts4(v: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<f32>(0x4b000000u | (v & 255u)), bitcast<f32>(0x4b000000u | ((v >> 8u) & 255u)),
                     bitcast<f32>(0x4b000000u | ((v >> 16u) & 255u)), bitcast<f32>(0x4b000000u | (v >> 24u)));
}
// Four signed bytes.
fn bytes4(w: u32) -> vec4<f32> { return counts4(w ^ 0x80808080u) - 8388736.0; }

#if MX4
#include mx4.inc.wgsl
fn unit_of(raw: Raw, u: u32) -> Unit {
    let e = (raw.s >> (((u >> 2u) & 3u) * 8u)) & 255u;
    let w = mx4_bytes(raw.w);
    let zero = 8388608.0 + f32(MX4_ZERO);
    return Unit(counts4(w.x) - zero, counts4(w.y) - zero, bitcast<f32>(min(e, 254u) << 23u) * 0.5, 0.0);
}
#endif
#if Q8
fn unit_of(raw: Raw, u: u32) -> Unit {
    return Unit(bytes4(raw.w.x), bytes4(raw.w.y), halves(raw.s >> (((u >> 2u) & 1u) * 16u)).x, 0.0);
}
#endif
#if I8
fn unit_of(raw: Raw, u: u32) -> Unit {
    return Unit(bytes4(raw.w.x), bytes4(raw.w.y), raw.s.x, raw.s.y);
}
#endif
#if F16W
fn unit_of(raw: Raw, u: u32) -> Unit {
    let w = raw.w;
    return Unit(vec4<f32>(halves(w.x), halves(w.y)), vec4<f32>(halves(w.z), halves(w.w)), 1.0, 0.0);
}
#endif
#if BF16W
fn unit_of(raw: Raw, u: u32) -> Unit {
    let w = raw.w;
    return Unit(bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u)),
                bitcast<vec4<f32>>(vec4<u32>(w.z << 16u, w.z & 0xffff0000u, w.w << 16u, w.w & 0xffff0000u)), 1.0, 0.0);
}
#endif
#if F32W
fn unit_of(raw: Raw, u: u32) -> Unit {
    return Unit(bitcast<vec4<f32>>(raw.w), bitcast<vec4<f32>>(raw.more), 1.0, 0.0);
}
#endif

fn raw_unit(row: u32, u: u32) -> Raw {
    let at = row * p.n_units + u;
#if MX4
    return Raw(wq[at], 0u, ws[row * p.scale_words + (u >> 4u)]);
#endif
#if Q8
    return Raw(wq[at], vec2<u32>(), ws[row * p.scale_words + (u >> 3u)]);
#endif
#if I8
    return Raw(wq[at], vec2<u32>(), ws[row * p.scale_words + (u >> 1u)]);
#endif
#if F16W
    return Raw(wq[at], vec4<u32>(), 0u);
#endif
#if BF16W
    return Raw(wq[at], vec4<u32>(), 0u);
#endif
#if F32W
    return Raw(wq[2u * at], wq[2u * at + 1u], 0u);
#endif
}
fn unit(row: u32, u: u32) -> Unit { return unit_of(raw_unit(row, u), u); }
