// kv_store.inc.wgsl - two neighbouring values of a key (in the order of the matrix's rows) or of a value into the pages that
// layout.h draws. Needs p.n_kv, p.head_dim, p.cls, step.inc.wgsl and kv: array<$KV2>. i: row of k or of v in the matrix, even.
fn kv_store(row: u32, is_v: u32, i: u32, a: f32, b: f32) {
    let at = row_pos(row) % 64u;
    let d = i % p.head_dim;
    let base = ((row_page(row, p.cls, row_pos(row) / 64u) * p.n_kv + i / p.head_dim) * 2u + is_v) * 64u * p.head_dim;
    let place = (base + select((d / 4u) * 256u + at * 4u + d % 4u, at * p.head_dim + d, is_v == 1u)) / 2u;
#if KV_HALF
    kv[place] = pack2x16float(clamp(vec2<f32>(a, b), vec2<f32>(-65504.0), vec2<f32>(65504.0)));
#else
    kv[place] = vec2<f32>(a, b);
#endif
}
