// sharers.inc.wgsl - experts for several rows: the (row, choice) pairs of a step that want the same expert are made by one
// workgroup, so that its weights are read once. Needs route.
var<workgroup> sharers: array<u32, $SHARERS>;
var<workgroup> sharers_n: atomic<u32>;
var<workgroup> sharers_earlier: atomic<u32>;
var<workgroup> sharers_count: u32;

// How many of n pairs want this slot, in sharers[], in any order (no pair's result depends on another's); 0 when a pair
// before this one does, which then makes them all.
fn find_sharers(pair: u32, slot: u32, n: u32, t: u32) -> u32 {
    if (t == 0u) { atomicStore(&sharers_n, 0u); atomicStore(&sharers_earlier, 0u); }
    workgroupBarrier();
    for (var i = t; i < n; i += $WGu) {
        if (route[i].x == slot) {
            sharers[atomicAdd(&sharers_n, 1u)] = i;
            if (i < pair) { atomicStore(&sharers_earlier, 1u); }
        }
    }
    workgroupBarrier();
    if (t == 0u) { sharers_count = select(0u, atomicLoad(&sharers_n), atomicLoad(&sharers_earlier) == 0u); }
    return workgroupUniformLoad(&sharers_count);
}
