// halves.inc.wgsl - two halves of a word as floats, exactly, also where the device flushes subnormal halves to zero.
fn half_exact(h: u32) -> f32 {
    let e = (h >> 10u) & 31u;
    let v = select(bitcast<f32>(((e + 112u) << 23u) | ((h & 1023u) << 13u)), f32(h & 1023u) * 5.9604644775390625e-8, e == 0u);
    return select(v, -v, (h & 0x8000u) != 0u);
}
#if HALF_OK
fn halves(w: u32) -> vec2<f32> { return unpack2x16float(w); }
#else
fn halves(w: u32) -> vec2<f32> { return vec2<f32>(half_exact(w & 0xffffu), half_exact(w >> 16u)); }
#endif
