// own.inc.wgsl - sums over the $LANES threads that share output rows, for kernels in which a group of threads also
// finishes its own rows: for (var i = mine(t, e).at; i < .end; i += .step) thread t finishes e sums from total(i) on;
// i / $VALUES is the group, i % $VALUES the value. SOLO: such a group is one subgroup, so that all of it knows every sum
// and nothing waits for the rest of the workgroup.
struct Mine { at: u32, end: u32, step: u32 }
#if SOLO
#for v VALUES
var<private> total$v: f32;
#end
fn reduce(value: u32, x: f32, t: u32) {
    let s = subgroupAdd(x);
#for v VALUES
    if (value == $vu) { total$v = s; }
#end
}
fn reduce_end(t: u32) { }
fn total(i: u32) -> f32 {
    var s = total0;
#for v VALUES
    s = select(s, total$v, i % $VALUESu == $vu);
#end
    return s;
}
fn mine(t: u32, each: u32) -> Mine {
    let first = (t / $LANESu) * $VALUESu;
    return Mine(first + (t % $LANESu) * each, first + $VALUESu, $LANESu * each);
}
#else
#include reduce.inc.wgsl
fn total(i: u32) -> f32 { return totals[i]; }
fn mine(t: u32, each: u32) -> Mine { return Mine(t * each, $GROUPSu * $VALUESu, $WGu * each); }
#endif
