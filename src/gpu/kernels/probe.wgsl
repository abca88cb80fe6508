// probe - what variants rely on and no limit tells. data[0], data[1]: halves 0x0200 (2^-15), 1, 0x7bff,
// 0x83ff (subnormal).
// data[2] = 1 when subnormal halves keep their value, unpacked and packed again; with subgroups data[3] =
// their size, then for each of 64 threads its lane and the first thread of its subgroup.
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
#if SUBGROUPS
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) size: u32) {
    let first = subgroupBroadcastFirst(t);
    data[4u + t] = lane;
    data[68u + t] = first;
    if (t == 0u) { data[3] = size; }
#else
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32) {
    if (t == 0u) { data[3] = 0u; }
#endif
    if (t == 0u) {
        let a = unpack2x16float(data[0]) * 32768.0;
        let b = unpack2x16float(data[1]);
        data[2] = u32(a.x == 1.0 && a.y == 0.001953125 && b.x == 65504.0 && b.y * 16777216.0 == -1023.0 &&
                      pack2x16float(a / 32768.0) == data[0] && pack2x16float(b) == data[1]);
    }
}
