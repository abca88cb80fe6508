// own.inc.wgsl - sums over the $LANES threads that share output rows, for kernels in which a group of threads also
// finishes its own rows: for (var i = mine(t, e).at; i < .end; i += .step) thread t finishes e sums from total(i) on;
// i / $VALUES is the group, i % $VALUES the value. SOLO: such a group is one subgroup, and nothing waits for the rest of the
// workgroup. Neighbours swap halves of their values, so that a lane ends with $VALUES / 8 of them, two at least: a fourth of the
// exchanges that a sum of each value for every lane takes. The order of additions is the same for any $VALUES.
struct Mine { at: u32, end: u32, step: u32 }
#if SOLO
var<private> part: array<f32, $VALUES>;
const HALF1 = select($VALUESu, $VALUESu / 2u, $LANESu > 4u && $VALUESu >= 16u);
const HALF2 = select(HALF1, HALF1 / 2u, $LANESu > 2u && HALF1 >= 8u);
const EACH = select(HALF2, HALF2 / 2u, HALF2 >= 4u);
fn reduce(value: u32, x: f32, t: u32) { part[value] = x; }
// From n values with the lane that differs in bit m: those that stay. to is n, or its half.
fn meet(v: u32, n: u32, to: u32, m: u32, t: u32) -> f32 {
    if (to == n) { return part[v] + subgroupShuffleXor(part[v], m); }
    let high = (t & m) != 0u;
    return select(part[v], part[v + to], high) + subgroupShuffleXor(select(part[v + to], part[v], high), m);
}
fn reduce_end(t: u32) {
    if ($LANESu > 4u) { for (var v = 0u; v < HALF1; v++) { part[v] = meet(v, $VALUESu, HALF1, 4u, t); } }
    if ($LANESu > 2u) { for (var v = 0u; v < HALF2; v++) { part[v] = meet(v, HALF1, HALF2, 2u, t); } }
    for (var v = 0u; v < EACH; v++) { part[v] = meet(v, HALF2, EACH, 1u, t); }
    for (var v = 0u; v < EACH; v++) {
        for (var m = 8u; m < $LANESu; m *= 2u) { part[v] += subgroupShuffleXor(part[v], m); }
    }
}
fn total(i: u32) -> f32 {
    var s = part[0];
    for (var v = 1u; v < EACH; v++) { s = select(s, part[v], i % EACH == v); }
    return s;
}
fn mine(t: u32, each: u32) -> Mine {
    let first = (t / $LANESu) * $VALUESu;
    let at = first + EACH * (t % $LANESu);
    return Mine(at, min(at + EACH, first + $VALUESu), each);
}
#else
#include reduce.inc.wgsl
fn total(i: u32) -> f32 { return totals[i]; }
fn mine(t: u32, each: u32) -> Mine { return Mine(t * each, $GROUPSu * $VALUESu, $WGu * each); }
#endif
