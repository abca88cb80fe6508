// choose.inc.wgsl - the experts of a row by the logits in r[]: chosen[rank], in falling order, the lower expert first among
// equals; their weights are the softmax over the chosen.
var<workgroup> r: array<f32, 256>;
var<workgroup> chosen: array<u32, 32>;

fn choose(n_expert: u32, top_k: u32, t: u32) {
    workgroupBarrier();
    for (var e = t; e < n_expert; e += $WGu) {
        var rank = 0u;
        for (var j = 0u; j < n_expert; j++) { rank += u32(r[j] > r[e] || (r[j] == r[e] && j < e)); }
        if (rank < top_k) { chosen[rank] = e; }
    }
    workgroupBarrier();
}
fn weight_of(rank: u32, top_k: u32) -> f32 {
    var total = 0.0;
    for (var k = 0u; k < top_k; k++) { total += exp(r[chosen[k]] - r[chosen[0]]); }
    return exp(r[chosen[rank]] - r[chosen[0]]) / total;
}
#if SEEN
// For a recording: expert << 16 | weight in 65535ths, in the words that step/seen_gpu.c has. Needs seen, and route's words in p.
fn see(row: u32, layer: u32, rank: u32, weight: f32) {
    seen[37u + row * seen[1] + layer * p.top_k + rank] = (chosen[rank] << 16u) | u32(weight * 65535.0 + 0.5);
}
#endif
