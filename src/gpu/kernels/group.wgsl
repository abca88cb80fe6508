// group - the (row, choice) pairs of a step sorted by expert, cut into tiles of $TILE for matmul. One workgroup.
//   info:  0 number of tiles   4 + 4 t: slot, first entry, how many (1..$TILE), expert
//   p.list + i: entry (row * top_k + choice)
// Entries of one expert stand together in any order: what becomes of an entry does not depend on its neighbours.
#block group
#consts step
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> route: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> slot_expert: array<u32>;
@group(0) @binding(4) var<storage, read_write> info: array<u32>;

var<workgroup> count: array<atomic<u32>, 256>;
var<workgroup> first: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
    let n = step[STEP_N_ROWS] * p.top_k;
    // workgroup memory may hold anything: the device is asked not to clear it
    atomicStore(&count[t], 0u);
    workgroupBarrier();
    for (var i = t; i < n; i += 256u) {
        let slot = route[i].x;
        if (slot < p.n_slots) { atomicAdd(&count[slot], 1u); }
    }
    workgroupBarrier();
    if (t == 0u) {
        var entry = 0u;
        var tile = 0u;
        for (var s = 0u; s < p.n_slots; s++) {
            let c = atomicLoad(&count[s]);
            first[s] = entry;
            for (var done = 0u; done < c; done += $TILEu) {
                let at = 4u + 4u * tile;
                info[at] = s;
                info[at + 1u] = entry + done;
                info[at + 2u] = min(c - done, $TILEu);
                info[at + 3u] = slot_expert[p.inverse + s];
                tile++;
            }
            entry += c;
            atomicStore(&count[s], 0u);
        }
        info[0] = tile;
    }
    workgroupBarrier();
    for (var i = t; i < n; i += 256u) {
        let slot = route[i].x;
        if (slot < p.n_slots) { info[p.list + first[slot] + atomicAdd(&count[slot], 1u)] = i; }
    }
}
