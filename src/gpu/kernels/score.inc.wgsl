// score.inc.wgsl - the score of one key with one head's query of a row. Needs kv, keys.inc.wgsl, step.inc.wgsl and the words of
// attention in p.
fn score(row: u32, head: u32, key: u32) -> f32 {
    let kvh = head / (p.n_head / p.n_kv);
    let base = (row_page(row, p.cls, key / 64u) * p.n_kv + kvh) * 32u * p.head_dim + key % 64u;
    var s = 0.0;
    for (var d = 0u; d < p.head_dim / 4u; d++) {
        s += dot(four(kv[base + d * 64u]), query((row * p.stride + head * p.head_dim) / 2u, d));
    }
    return s * p.scale;
}
