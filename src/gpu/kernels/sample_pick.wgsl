// sample_pick - the sampler's end, one workgroup a row: the draw, entropy and the best logits. Grid: (rows). pick[p.first + i] (48
// words) = token, logprob, entropy, n_top, 20 x (token, logprob); the token also goes to the row's history when it is the last of
// its sequence in this step.
#consts pick
#include sample_draw.inc.wgsl
@group(0) @binding(5) var<storage, read> logits: array<f32>;
@group(0) @binding(6) var<storage, read_write> history: array<u32>;
@group(0) @binding(7) var<storage, read_write> pick: array<u32>;

var<workgroup> found: u32;
var<workgroup> carried: vec2<u32>;
var<workgroup> heads: array<u32, 256>;               // the largest key of every chunk
var<workgroup> best_chunks: array<u32, 20>;
var<workgroup> candidates: array<vec2<u32>, 400>;    // (key, token)

// The token at which the running sum of weights passes the draw; `none` where there is no weight at all.
fn draw(row: u32, base: u32, chunks0: u32, best: i32, none: u32, t: u32) -> u32 {
    var own = vec2<u32>();
    if (t < p.chunks) {
        let at = chunks0 + t * CHUNK_WORDS + CHUNK_WEIGHT;
        own = vec2<u32>(chunk[at], chunk[at + 1u]);
    }
    prefix(own, t);
    let total = sums[255];
    let r = row_word(row, ROW_RANDOM);
    let goal = add64(mul64(total.y, r), vec2<u32>(mul64(total.x, r).y, 0u));
    if (t == 0u) { found = 256u; }
    workgroupBarrier();
    if (less64(goal, sums[t]) && !less64(goal, before(t))) { found = t; carried = before(t); }
    let c = workgroupUniformLoad(&found);
    if (c == 256u) { return none; }
    let limit = limit_of(row, chunks0);
    let first = c * 1024u + 4u * t;
    own = vec2<u32>();
#for k 4
    let w$k = kept(base, first + $ku, best, limit);
    own = add64(own, w$k);
#end
    prefix(own, t);
    var run = add64(carried, before(t));
    if (less64(goal, add64(carried, sums[t])) && !less64(goal, run)) {
        var i = 0u;
#for k 4
        run = add64(run, w$k);
        i += u32(!less64(goal, run));
#end
        found = first + i;
    }
    return workgroupUniformLoad(&found);
}

// The best of all are among the best chunks' best: their ranks, the lowest token first among equals.
fn report_best(n: u32, base: u32, chunks0: u32, out: u32, log_sum: f32, t: u32) {
    heads[t] = 0u;
    if (t < p.chunks) { heads[t] = chunk[chunks0 + t * CHUNK_WORDS + CHUNK_FOUND]; }
    workgroupBarrier();
    if (t < p.chunks) {
        var rank = 0u;
        for (var j = 0u; j < p.chunks; j++) { rank += u32(is_before(vec2<u32>(heads[j], j), vec2<u32>(heads[t], t))); }
        if (rank < n) { best_chunks[rank] = t; }
    }
    workgroupBarrier();
    let all = min(n, p.chunks) * n;
    for (var i = t; i < all; i += 256u) {
        let at = chunks0 + best_chunks[i / n] * CHUNK_WORDS + CHUNK_FOUND + 2u * (i % n);
        candidates[i] = vec2<u32>(chunk[at], chunk[at + 1u]);
    }
    workgroupBarrier();
    for (var i = t; i < all; i += 256u) {
        let own = candidates[i];
        var rank = 0u;
        for (var j = 0u; j < all; j++) { rank += u32(is_before(candidates[j], own)); }
        if (rank < n) {
            pick[out + PICK_TOP + 2u * rank] = own.y;
            pick[out + PICK_TOP + 1u + 2u * rank] = bitcast<u32>(logits[base + min(own.y, p.n_vocab - 1u)] - log_sum);
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = step[step[STEP_LIST] + p.first + group.x];
    let base = group.x * p.n_vocab;
    let chunks0 = group.x * p.chunks * CHUNK_WORDS;
    let own = chunks0 + min(t, p.chunks - 1u) * CHUNK_WORDS;
    let there = t < p.chunks;
    find_best(chunks0, t);
    let m = sum_m[0];
    let f = exp(bitcast<f32>(chunk[own + CHUNK_TOP]) - m);
    sum_e[t] = select(0.0, f * bitcast<f32>(chunk[own + CHUNK_SUM_E]), there);
    sum_l[t] = select(0.0, f * bitcast<f32>(chunk[own + CHUNK_SUM_L]), there);
    sums_of_all(t);
    let log_sum = m + log(sum_e[0]);
    var token = workgroupUniformLoad(&best_i[0]);
    if (sampler(row, SAMPLER_GREEDY) == 0u) { token = draw(row, base, chunks0, best_x[0], token, t); }
    let out = (p.first + group.x) * PICK_WORDS;
    let n_probs = sampler(row, SAMPLER_N_PROBS);
    if (t == 0u) {
        pick[out + PICK_TOKEN] = token;
        pick[out + PICK_LOGPROB] = bitcast<u32>(logits[base + token] - log_sum);
        pick[out + PICK_ENTROPY] = bitcast<u32>(log_sum - sum_l[0] / sum_e[0]);
        pick[out + PICK_N_TOP] = n_probs;
        if (row_word(row, ROW_LAST) != 0u) { history[row_slot(row) * p.history_stride + row_pos(row) + 1u] = token; }
    }
    if (n_probs != 0u) { report_best(n_probs, base, chunks0, out, log_sum, t); }
}
