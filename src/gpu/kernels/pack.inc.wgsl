// pack.inc.wgsl - makes packed activations (layout.h): 16 bits in two signed bytes, a scale and a sum for each 32. Their words
// go to $PACKED, an array of words.
var<workgroup> pack_top: array<f32, $WG>;
var<workgroup> pack_sum: array<i32, $WG>;

fn pack_bytes(v: vec4<i32>) -> u32 {
    let i = vec4<u32>(v) & vec4<u32>(255u);
    return i.x | (i.y << 8u) | (i.z << 16u) | (i.w << 24u);
}
// All threads of a workgroup call it together. Thread t has elements 4 i .. 4 i + 3 of a row of n blocks, if `there`;
// i % 8 == t % 8, so that eight neighbours have a block.
fn pack(row: u32, n: u32, i: u32, there: bool, v: vec4<f32>, t: u32) {
    let m = abs(v);
    pack_top[t] = max(max(m.x, m.y), max(m.z, m.w));
    workgroupBarrier();
    let g = t - t % 8u;
    let scales = (n + 3u) / 4u * 4u;
    let at = row * (16u * n + 2u * scales);
    if (there) {
        let top = max(max(max(pack_top[g], pack_top[g + 1u]), max(pack_top[g + 2u], pack_top[g + 3u])),
                      max(max(pack_top[g + 4u], pack_top[g + 5u]), max(pack_top[g + 6u], pack_top[g + 7u])));
        let q = vec4<i32>(round(v * select(0.0, 32512.0 / top, top >= 1e-30)));
        let hi = (q + vec4<i32>(128)) >> vec4<u32>(8u);
#if NORM
        let place = (i % 8u) * n + i / 8u;           // in workgroup memory: word by word, neighbours have neighbouring blocks
#else
        let place = at + (((i % 8u) / 4u) * n + i / 8u) * 4u + i % 4u;
#endif
        $PACKED[place] = pack_bytes(hi);
        $PACKED[place + 8u * n] = pack_bytes(q - hi * 256);
        if (i % 8u == 0u) { $PACKED[at + 16u * n + i / 8u] = bitcast<u32>(select(0.0, top / 32512.0, top >= 1e-30)); }
        pack_sum[t] = q.x + q.y + q.z + q.w;
    }
    workgroupBarrier();
    if (there && i % 8u == 0u) {
        $PACKED[at + 16u * n + scales + i / 8u] = bitcast<u32>(pack_sum[g] + pack_sum[g + 1u] + pack_sum[g + 2u] + pack_sum[g + 3u] +
                                                              pack_sum[g + 4u] + pack_sum[g + 5u] + pack_sum[g + 6u] + pack_sum[g + 7u]);
    }
#if NORM
    workgroupBarrier();
#endif
}
