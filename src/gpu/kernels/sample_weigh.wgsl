// sample_weigh - what the tokens of a chunk weigh together in a row that draws: the chunk's WEIGHT. Grid: (chunks, rows).
#include sample_draw.inc.wgsl

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = step[step[STEP_LIST] + p.first + group.y];
    if (sampler(row, SAMPLER_GREEDY) != 0u) { return; }
    let chunks0 = group.y * p.chunks * CHUNK_WORDS;
    find_best(chunks0, t);
    let best = best_x[0];
    let limit = limit_of(row, chunks0);
    var own = vec2<u32>();
    for (var k = 0u; k < 4u; k++) { own = add64(own, kept(group.y * p.n_vocab, group.x * 1024u + k * 256u + t, best, limit)); }
    sums[t] = own;
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) { sums[t] = add64(sums[t], sums[t + w]); }
        workgroupBarrier();
    }
    if (t == 0u) {
        chunk[chunks0 + group.x * CHUNK_WORDS + CHUNK_WEIGHT] = sums[0].x;
        chunk[chunks0 + group.x * CHUNK_WORDS + CHUNK_WEIGHT + 1u] = sums[0].y;
    }
}
