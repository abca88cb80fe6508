// sample_scan - the sampler's first half, 1024 tokens a workgroup: fixed-point x of every token after
// penalties, bias and mask; and per chunk its best x, the float sums for entropy, and the best n_probs
// logits.
// Grid: (chunks, rows that want a token). xs[i][token]; chunk[i][c] (48 words) =
//   best x, its token, max logit m, sum exp(l - m), sum exp(l - m) * l, 3 for sample_limit and sample_weigh,
//   then 20 x (key, token)
#block sample
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> history: array<u32>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read_write> xs: array<i32>;
@group(0) @binding(6) var<storage, read_write> chunk: array<u32>;
#include step.inc.wgsl
#include sample.inc.wgsl

var<workgroup> counts: array<atomic<u32>, 1024>;    // then the keys: one array, since WebGPU promises 16 KiB in all
var<workgroup> biases: array<atomic<i32>, 1024>;
var<workgroup> better: array<vec2<u32>, 256>;

fn fixed_point(l: f32, scale: f32) -> i32 {
    let f = l * scale;
    if ((bitcast<u32>(f) & 0x7fffffffu) > 0x7f800000u) { return -1073741824; }
    return i32(round(clamp(f, -1073741824.0, 1073741824.0)));
}

// (key, place) in best_x and best_i.
fn set_pair(i: u32, v: vec2<u32>) { best_x[i] = bitcast<i32>(v.x); best_i[i] = v.y; }
fn pair(i: u32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(best_x[i]), best_i[i]); }
// The n best keys in counts[] with their tokens, best first. They are among the four of the n threads whose best are best; these
// are found among 16 groups' n best.
fn find_most(n: u32, to: u32, first: u32, t: u32) {
    var own = vec2<u32>(0u, t);
    for (var i = t; i < 1024u; i += 256u) {
        if (atomicLoad(&counts[i]) > own.x) { own = vec2<u32>(atomicLoad(&counts[i]), i); }
    }
    set_pair(t, own);
    workgroupBarrier();
    let each = min(n, 16u);
    var rank = 0u;
    for (var j = t / 16u * 16u; j < t / 16u * 16u + 16u; j++) { rank += u32(is_before(pair(j), own)); }
    if (rank < each) { better[t / 16u * each + rank] = own; }
    workgroupBarrier();
    if (t < 16u * each) {
        own = better[t];
        rank = 0u;
        for (var j = 0u; j < 16u * each; j++) { rank += u32(is_before(better[j], own)); }
        if (rank < n) {
            for (var k = 0u; k < 4u; k++) {
                let i = own.y % 256u + 256u * k;
                set_pair(4u * rank + k, vec2<u32>(atomicLoad(&counts[i]), i));
            }
        }
    }
    workgroupBarrier();
    if (t < 4u * n) {
        own = pair(t);
        rank = 0u;
        for (var j = 0u; j < 4u * n; j++) { rank += u32(is_before(pair(j), own)); }
        if (rank < n) {
            chunk[to + 2u * rank] = own.x;
            chunk[to + 2u * rank + 1u] = first + own.y;
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = step[step[STEP_LIST] + p.first + group.y];
    let first = group.x * 1024u;
    let n = min(1024u, p.n_vocab - first);
    for (var i = t; i < 1024u; i += 256u) { atomicStore(&counts[i], 0u); atomicStore(&biases[i], 0); }
    workgroupBarrier();
    let last_n = sampler(row, SAMPLER_LAST_N);
    let pos = row_pos(row);
    if (last_n != 0u) {
        for (var i = select(0u, pos + 1u - last_n, pos + 1u > last_n) + t; i <= pos; i += 256u) {
            let at = history[row_slot(row) * p.history_stride + i] - first;
            if (at < n) { atomicAdd(&counts[at], 1u); }
        }
    }
    for (var i = t; i < sampler(row, SAMPLER_N_BIAS); i += 256u) {
        let at = sampler(row, SAMPLER_BIAS + 2u * i) - first;
        if (at < n) { atomicAdd(&biases[at], bitcast<i32>(sampler(row, SAMPLER_BIAS + 1u + 2u * i))); }
    }
    workgroupBarrier();
    let masked = row_word(row, ROW_MASK);
    var bx = FORBIDDEN;
    var bi = 0u;
    var m = -3.0e38;
    for (var i = t; i < n; i += 256u) {
        let l = logits[group.y * p.n_vocab + first + i];
        let c = atomicLoad(&counts[i]);
        var scale = bitcast<f32>(sampler(row, SAMPLER_SCALE));
        if (c != 0u) { scale = bitcast<f32>(sampler(row, select(SAMPLER_SCALE_NEG, SAMPLER_SCALE_POS, l > 0.0))); }
        var x = fixed_point(l, scale);
        if (c != 0u) { x -= bitcast<i32>(sampler(row, SAMPLER_PRESENCE)) + i32(c) * bitcast<i32>(sampler(row, SAMPLER_FREQUENCY)); }
        x = clamp(x + atomicLoad(&biases[i]), -1073741824, 1073741824);
        if (masked != 0xffffffffu && (mask[masked + ((first + i) >> 5u)] & (1u << ((first + i) & 31u))) == 0u) { x = FORBIDDEN; }
        xs[group.y * p.n_vocab + first + i] = x;
        if (x > bx) { bx = x; bi = first + i; }
        m = max(m, l);
        let bits = bitcast<u32>(l);
        atomicStore(&counts[i], max(select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u), 1u));
    }
    best_x[t] = bx; best_i[t] = bi; sum_m[t] = m;
    best_of_all(t);
    let top = sum_m[0];
    var e = 0.0;
    var el = 0.0;
    for (var i = t; i < n; i += 256u) {
        let l = logits[group.y * p.n_vocab + first + i];
        let v = exp(l - top);
        e += v;
        el += v * l;
    }
    sum_e[t] = e; sum_l[t] = el;
    sums_of_all(t);
    let out = (group.y * p.chunks + group.x) * CHUNK_WORDS;
    if (t == 0u) {
        chunk[out + CHUNK_BEST] = bitcast<u32>(best_x[0]);
        chunk[out + CHUNK_TOKEN] = best_i[0];
        chunk[out + CHUNK_TOP] = bitcast<u32>(top);
        chunk[out + CHUNK_SUM_E] = bitcast<u32>(sum_e[0]);
        chunk[out + CHUNK_SUM_L] = bitcast<u32>(sum_l[0]);
    }
    let n_probs = sampler(row, SAMPLER_N_PROBS);
    if (n_probs != 0u) { find_most(n_probs, out + CHUNK_FOUND, first, t); }
}
