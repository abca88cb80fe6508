// rms.inc.wgsl - the sum of the squares of a row of n4 vectors of x, and 1 / sqrt(mean(x^2) + eps), by the workgroup's $WG
// threads, in the same order in every kernel.
var<workgroup> rms_part: array<f32, $WG>;

fn rms_squares(row: u32, n4: u32, t: u32) -> f32 {
    var s = 0.0;
    for (var i = t; i < n4; i += $WGu) {
        let v = x[row * n4 + i];
        s = fma(v.x, v.x, fma(v.y, v.y, fma(v.z, v.z, fma(v.w, v.w, s))));
    }
#if SUBGROUPS
    s = subgroupAdd(s);
    if (t % $SGu == 0u) { rms_part[t / $SGu] = s; }
    workgroupBarrier();
    s = 0.0;
    for (var i = 0u; i < $WGu / $SGu; i++) { s += rms_part[i]; }
#else
    rms_part[t] = s;
    workgroupBarrier();
    for (var w = $WGu / 2u; w > 0u; w >>= 1u) {
        if (t < w) { rms_part[t] += rms_part[t + w]; }
        workgroupBarrier();
    }
    s = rms_part[0];
#endif
    return s;
}
fn rms_scale_of(squares: f32, n4: u32, eps: f32) -> f32 { return inverseSqrt(squares / f32(4u * n4) + eps); }
fn rms_scale(row: u32, n4: u32, eps: f32, t: u32) -> f32 { return rms_scale_of(rms_squares(row, n4, t), n4, eps); }
