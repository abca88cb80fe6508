// reduce.inc.wgsl - sums over the $LANES threads that share output rows. The workgroup's $WG threads are
// $GROUPS such groups.
// totals[g * $VALUES + v] is value v of group g, for every thread after the call. The order of additions depends on
// nothing but $LANES and the subgroup size, so a row's sum is the same in any batch. SOLO: it is that of own.inc.wgsl.
var<workgroup> totals: array<f32, $TOTALS>;
#if SUBGROUPS
var<workgroup> partial: array<f32, $PARTIALS>;       // [value][subgroup]
fn reduce_begin() { }
fn reduce(value: u32, x: f32, t: u32) {
#if SOLO
    var s = x;
    if ($LANESu > 4u) { s += subgroupShuffleXor(s, 4u); }
    if ($LANESu > 2u) { s += subgroupShuffleXor(s, 2u); }
    s += subgroupShuffleXor(s, 1u);
    for (var m = 8u; m < $LANESu; m *= 2u) { s += subgroupShuffleXor(s, m); }
#else
    let s = subgroupAdd(x);
#endif
    if (t % $SG == 0u) { partial[value * ($WG / $SG) + t / $SG] = s; }
}
fn reduce_end(t: u32) {
    workgroupBarrier();
    for (var i = t; i < $GROUPS * $VALUES; i += $WG) {
        let g = i / $VALUES;
        let v = i % $VALUES;
        var s = 0.0;
        for (var k = 0u; k < $LANES / $SG; k++) { s += partial[v * ($WG / $SG) + g * ($LANES / $SG) + k]; }
        totals[i] = s;
    }
    workgroupBarrier();
}
#else
var<workgroup> partial: array<f32, $WG>;
fn reduce_begin() { }
fn reduce(value: u32, x: f32, t: u32) {
    partial[t] = x;
    workgroupBarrier();
    if (t % $LANES < 4u) {                           // four threads a group, then one
        let first = (t / $LANES) * $LANES + (t % $LANES) * ($LANES / 4u);
        var s = 0.0;
        for (var k = 0u; k < $LANES / 4u; k++) { s += partial[first + k]; }
        partial[first] = s;
    }
    workgroupBarrier();
    if (t % $LANES == 0u) {
        totals[(t / $LANES) * $VALUES + value] = (partial[t] + partial[t + $LANES / 4u]) + (partial[t + $LANES / 2u] + partial[t + 3u * ($LANES / 4u)]);
    }
    workgroupBarrier();
}
fn reduce_end(t: u32) { }
#endif
