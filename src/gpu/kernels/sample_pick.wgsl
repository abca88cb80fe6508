// sample_pick - the sampler's second half, one workgroup a row: thresholds of top-k, top-p and min-p by
// histograms of d, the draw, entropy and the best logits. Grid: (rows). pick[p.first + i] (48 words) = token,
// logprob, entropy, n_top, 20 x (token, logprob);
// the token also goes to the row's history when it is the last of its sequence in this step.
#block sample
#consts pick
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> xs: array<i32>;
@group(0) @binding(4) var<storage, read> exp2_table: array<u32>;
@group(0) @binding(5) var<storage, read_write> chunk: array<u32>;
@group(0) @binding(6) var<storage, read_write> history: array<u32>;
@group(0) @binding(7) var<storage, read_write> pick: array<u32>;
#include step.inc.wgsl
#include sample.inc.wgsl

const WEIGHTLESS = 131072u;                          // tokens this far from the best have weight 0
var<workgroup> bin_a: array<atomic<u32>, 512>;       // weights as three digits of 11 bits, so that sums of 2^21 fit
var<workgroup> bin_b: array<atomic<u32>, 512>;
var<workgroup> bin_c: array<atomic<u32>, 512>;
var<workgroup> segment: array<vec2<u32>, 256>;
var<workgroup> found: array<u32, 4>;
var<workgroup> carried: vec2<u32>;
var<workgroup> best_x: array<i32, 256>;
var<workgroup> best_i: array<u32, 256>;
var<workgroup> sum_m: array<f32, 256>;
var<workgroup> sum_e: array<f32, 256>;
var<workgroup> sum_l: array<f32, 256>;

fn weight_of(d: u32) -> u32 { return select(0u, exp2_table[d & 4095u] >> min(d >> 12u, 31u), d < WEIGHTLESS); }
// How far token i is from the best x; WEIGHTLESS and above for forbidden ones.
fn distance_of(base: u32, i: u32, best: i32) -> u32 {
    let x = xs[base + i];
    return select(bitcast<u32>(best) - bitcast<u32>(x), 0xffffffffu, x == FORBIDDEN);
}

// One pass of a histogram over d <= limit: level 0 by d >> 8, level 1 by d & 255 within bin `high`. count:
// tokens, else weights.
fn histogram(base: u32, best: i32, limit: u32, level: u32, high: u32, count: bool, t: u32) {
    for (var i = t; i < 512u; i += 256u) { atomicStore(&bin_a[i], 0u); atomicStore(&bin_b[i], 0u); atomicStore(&bin_c[i], 0u); }
    workgroupBarrier();
    for (var i = t; i < p.n_vocab; i += 256u) {
        let d = distance_of(base, i, best);
        if (d <= limit && d < WEIGHTLESS && (level == 0u || (d >> 8u) == high)) {
            let bin = select(d & 255u, d >> 8u, level == 0u);
            if (count) {
                atomicAdd(&bin_a[bin], 1u);
            } else {
                let w = weight_of(d);
                atomicAdd(&bin_a[bin], w & 2047u);
                atomicAdd(&bin_b[bin], (w >> 11u) & 2047u);
                atomicAdd(&bin_c[bin], w >> 22u);
            }
        }
    }
    workgroupBarrier();
}
fn bin_sum(i: u32) -> vec2<u32> {
    let b = atomicLoad(&bin_b[i]);
    let c = atomicLoad(&bin_c[i]);
    return add64(vec2<u32>(atomicLoad(&bin_a[i]), 0u), add64(vec2<u32>(b << 11u, b >> 21u), vec2<u32>(c << 22u, c >> 10u)));
}
// Thread 0: the first bin at which the running sum (from carried on) reaches target; 512 when none does.
fn find_bin(n: u32, target_sum: vec2<u32>, t: u32) -> u32 {
    if (t == 0u) {
        found[0] = 512u;
        var s = carried;
        for (var i = 0u; i < n; i++) {
            let next = add64(s, bin_sum(i));
            if (!less64(next, target_sum)) { found[0] = i; break; }
            s = next;
        }
        carried = s;
    }
    return workgroupUniformLoad(&found[0]);
}
fn total_of_bins(n: u32, t: u32) -> vec2<u32> {
    if (t == 0u) {
        var s = vec2<u32>(0u, 0u);
        for (var i = 0u; i < n; i++) { s = add64(s, bin_sum(i)); }
        segment[0] = s;
    }
    return workgroupUniformLoad(&segment[0]);
}
// The smallest D at which the tokens (or weights) with d <= D reach target; WEIGHTLESS - 1 when all together don't.
fn threshold(base: u32, best: i32, limit: u32, target_sum: vec2<u32>, count: bool, t: u32) -> u32 {
    if (t == 0u) { carried = vec2<u32>(0u, 0u); }
    let high = find_bin(512u, target_sum, t);
    if (high == 512u) { return WEIGHTLESS - 1u; }
    histogram(base, best, limit, 1u, high, count, t);
    return high * 256u + min(find_bin(256u, target_sum, t), 255u);
}
fn kept(base: u32, i: u32, best: i32, limit: u32) -> vec2<u32> {
    let d = distance_of(base, i, best);
    return vec2<u32>(select(0u, weight_of(d), d <= limit), 0u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = step[step[STEP_LIST] + p.first + group.x];
    let base = group.x * p.n_vocab;
    let chunks = group.x * p.chunks * CHUNK_WORDS;
    var bx = FORBIDDEN;
    var bi = 0u;
    var m = -3.0e38;
    for (var c = t; c < p.chunks; c += 256u) {
        let x = bitcast<i32>(chunk[chunks + c * CHUNK_WORDS + CHUNK_BEST]);
        if (x > bx) { bx = x; bi = chunk[chunks + c * CHUNK_WORDS + CHUNK_TOKEN]; }
        m = max(m, bitcast<f32>(chunk[chunks + c * CHUNK_WORDS + CHUNK_TOP]));
    }
    best_x[t] = bx; best_i[t] = bi; sum_m[t] = m;
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) {
            if (best_x[t + w] > best_x[t] || (best_x[t + w] == best_x[t] && best_i[t + w] < best_i[t])) { best_x[t] = best_x[t + w]; best_i[t] = best_i[t + w]; }
            sum_m[t] = max(sum_m[t], sum_m[t + w]);
        }
        workgroupBarrier();
    }
    m = sum_m[0];
    var e = 0.0;
    var el = 0.0;
    for (var c = t; c < p.chunks; c += 256u) {
        let f = exp(bitcast<f32>(chunk[chunks + c * CHUNK_WORDS + CHUNK_TOP]) - m);
        e += f * bitcast<f32>(chunk[chunks + c * CHUNK_WORDS + CHUNK_SUM_E]);
        el += f * bitcast<f32>(chunk[chunks + c * CHUNK_WORDS + CHUNK_SUM_L]);
    }
    sum_e[t] = e; sum_l[t] = el;
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) { sum_e[t] += sum_e[t + w]; sum_l[t] += sum_l[t + w]; }
        workgroupBarrier();
    }
    let best = workgroupUniformLoad(&best_x[0]);
    var token = workgroupUniformLoad(&best_i[0]);
    let log_sum = m + log(sum_e[0]);
    if (sampler(row, SAMPLER_GREEDY) == 0u) {
        var limit = WEIGHTLESS - 1u;
        if (sampler(row, SAMPLER_TOP_K) != 0u) {
            histogram(base, best, limit, 0u, 0u, true, t);
            limit = threshold(base, best, limit, vec2<u32>(sampler(row, SAMPLER_TOP_K), 0u), true, t);
        }
        if (sampler(row, SAMPLER_TOP_P14) < 16384u) {
            histogram(base, best, limit, 0u, 0u, false, t);
            let s = total_of_bins(512u, t);
            let lo = mul64(s.x, sampler(row, SAMPLER_TOP_P14));
            var v = add64(vec2<u32>(lo.x, lo.y + s.y * sampler(row, SAMPLER_TOP_P14)), vec2<u32>(16383u, 0u));
            v = vec2<u32>((v.x >> 14u) | (v.y << 18u), v.y >> 14u);
            limit = min(limit, threshold(base, best, limit, v, false, t));
        }
        limit = min(limit, sampler(row, SAMPLER_MIN_P_D));
        let per = (p.n_vocab + 255u) / 256u;
        var s = vec2<u32>(0u, 0u);
        for (var i = t * per; i < min((t + 1u) * per, p.n_vocab); i++) { s = add64(s, kept(base, i, best, limit)); }
        workgroupBarrier();
        segment[t] = s;
        workgroupBarrier();
        if (t == 0u) {                               // which segment the target falls in, and the sum before it
            var total = vec2<u32>(0u, 0u);
            for (var i = 0u; i < 256u; i++) { total = add64(total, segment[i]); }
            let r = row_word(row, ROW_RANDOM);
            let lo = mul64(total.x, r);
            let goal = add64(mul64(total.y, r), vec2<u32>(lo.y, 0u));
            var run = vec2<u32>(0u, 0u);
            found[1] = 0u;
            for (var i = 0u; i < 256u; i++) {
                let next = add64(run, segment[i]);
                if (less64(goal, next)) { found[1] = i; break; }
                run = next;
            }
            found[2] = goal.x; found[3] = goal.y;
            carried = run;
        }
        let seg = workgroupUniformLoad(&found[1]);
        let sub = (per + 255u) / 256u;
        s = vec2<u32>(0u, 0u);
        for (var i = seg * per + t * sub; i < min(seg * per + min((t + 1u) * sub, per), p.n_vocab); i++) { s = add64(s, kept(base, i, best, limit)); }
        workgroupBarrier();
        segment[t] = s;
        workgroupBarrier();
        if (t == 0u) {
            let goal = vec2<u32>(found[2], found[3]);
            var run = carried;
            var done = false;
            for (var k = 0u; k < 256u && !done; k++) {
                let next = add64(run, segment[k]);
                if (less64(goal, next)) {
                    for (var i = seg * per + k * sub; i < p.n_vocab; i++) {
                        run = add64(run, kept(base, i, best, limit));
                        if (less64(goal, run)) { found[0] = i; break; }
                    }
                    done = true;
                }
                run = next;
            }
        }
        token = workgroupUniformLoad(&found[0]);
    }
    let out = (p.first + group.x) * PICK_WORDS;
    let n_probs = sampler(row, SAMPLER_N_PROBS);
    if (t == 0u) {
        pick[out + PICK_TOKEN] = token;
        pick[out + PICK_LOGPROB] = bitcast<u32>(logits[base + token] - log_sum);
        pick[out + PICK_ENTROPY] = bitcast<u32>(log_sum - sum_l[0] / sum_e[0]);
        pick[out + PICK_N_TOP] = n_probs;
        if (row_word(row, ROW_LAST) != 0u) { history[row_slot(row) * p.history_stride + row_pos(row) + 1u] = token; }
    }
    for (var k = 0u; k < n_probs; k++) {
        var key = 0u;
        var at = 0u;
        for (var i = t; i < p.chunks * n_probs; i += 256u) {
            let j = chunks + (i / n_probs) * CHUNK_WORDS + CHUNK_FOUND + 2u * (i % n_probs);
            if (chunk[j] > key || (chunk[j] == key && key != 0u && chunk[j + 1u] < chunk[at + 1u])) { key = chunk[j]; at = j; }
        }
        workgroupBarrier();
        best_x[t] = bitcast<i32>(key ^ 0x80000000u); best_i[t] = at;
        workgroupBarrier();
        for (var w = 128u; w > 0u; w >>= 1u) {
            if (t < w && (best_x[t + w] > best_x[t] || (best_x[t + w] == best_x[t] && best_i[t + w] != 0u && chunk[best_i[t + w] + 1u] < chunk[best_i[t] + 1u]))) { best_x[t] = best_x[t + w]; best_i[t] = best_i[t + w]; }
            workgroupBarrier();
        }
        if (t == 0u) {
            let j = best_i[0];
            pick[out + PICK_TOP + 2u * k] = chunk[j + 1u];
            pick[out + PICK_TOP + 1u + 2u * k] = bitcast<u32>(logits[base + chunk[j + 1u]] - log_sum);
        }
        storageBarrier();
        workgroupBarrier();
        if (t == 0u) { chunk[best_i[0]] = 0u; }
        storageBarrier();
        workgroupBarrier();
    }
}
