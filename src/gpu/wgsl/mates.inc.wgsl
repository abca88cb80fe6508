// mates.inc.wgsl - experts for several rows: the (row, choice) pairs of a step that want the same expert are made by one
// workgroup, so that its weights are read once. Needs route.
var<workgroup> mates: array<u32, $MATES>;
var<workgroup> mates_n: atomic<u32>;
var<workgroup> mates_earlier: atomic<u32>;
var<workgroup> mates_count: u32;

// How many of n pairs want this slot, in mates[], in any order (no pair's result depends on another's); 0 when a pair
// before this one does, which then makes them all.
fn find_mates(pair: u32, slot: u32, n: u32, t: u32) -> u32 {
    if (t == 0u) { atomicStore(&mates_n, 0u); atomicStore(&mates_earlier, 0u); }
    workgroupBarrier();
    for (var i = t; i < n; i += $WGu) {
        if (route[i].x == slot) {
            mates[atomicAdd(&mates_n, 1u)] = i;
            if (i < pair) { atomicStore(&mates_earlier, 1u); }
        }
    }
    workgroupBarrier();
    if (t == 0u) { mates_count = select(0u, atomicLoad(&mates_n), atomicLoad(&mates_earlier) == 0u); }
    return workgroupUniformLoad(&mates_count);
}
