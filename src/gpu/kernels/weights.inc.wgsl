// weights.inc.wgsl - eight consecutive weights of a row ("a unit"), whatever the layout (layout.h draws them).
// Needs bindings wq and ws. A weight is s * value + m; units of one row are u = 0 .. n_in / 8 - 1.
struct Unit { a: vec4<f32>, b: vec4<f32>, s: f32, m: f32 }
struct Raw { w: $WQ, more: $WQ, s: $WS }              // as it lies in memory; more: F32W alone

#include halves.inc.wgsl

// Four signed bytes as floats: the byte becomes the low mantissa bits of 2^23 + 128 + value.
fn bytes4(w: u32) -> vec4<f32> {
    let v = w ^ 0x80808080u;
    return vec4<f32>(bitcast<f32>(0x4b000000u | (v & 255u)), bitcast<f32>(0x4b000000u | ((v >> 8u) & 255u)),
                     bitcast<f32>(0x4b000000u | ((v >> 16u) & 255u)), bitcast<f32>(0x4b000000u | (v >> 24u))) - 8388736.0;
}

#if MX4
fn e2m1(n: u32) -> f32 {
    let g = bitcast<f32>(((n & 7u) << 22u) + 0x3f000000u);
    return bitcast<f32>(bitcast<u32>(min(g, fma(2.0, g, -1.0))) | ((n & 8u) << 28u));
}
fn unit_of(raw: Raw, u: u32) -> Unit {
    let w = raw.w;
    let e = (raw.s >> (((u >> 2u) & 3u) * 8u)) & 255u;
    var r: Unit;
#if HALF_OK
    // A nibble's bits as a half are its value * 2^-14 (0.5 is subnormal there). Elements 0 2 | 4 6 | 1 3 | 5 7.
    let v0 = unpack2x16float(((w << 12u) & 0x80008000u) | ((w << 9u) & 0x0e000e00u));
    let v1 = unpack2x16float(((w << 8u) & 0x80008000u) | ((w << 5u) & 0x0e000e00u));
    let v2 = unpack2x16float(((w << 4u) & 0x80008000u) | ((w << 1u) & 0x0e000e00u));
    let v3 = unpack2x16float((w & 0x80008000u) | ((w >> 3u) & 0x0e000e00u));
    r.a = vec4<f32>(v0.x, v2.x, v0.y, v2.y);
    r.b = vec4<f32>(v1.x, v3.x, v1.y, v3.y);
    r.s = bitcast<f32>(min(e + 14u, 254u) << 23u);
#else
    r.a = vec4<f32>(e2m1(w), e2m1(w >> 8u), e2m1(w >> 16u), e2m1(w >> 24u));
    r.b = vec4<f32>(e2m1(w >> 4u), e2m1(w >> 12u), e2m1(w >> 20u), e2m1(w >> 28u));
    r.s = bitcast<f32>(min(e, 254u) << 23u);
#endif
    return r;
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
