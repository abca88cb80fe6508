// looks - for a recording: the 16 positions that the watched head looks at most, for each row of a step of few. Grid: (rows).
// Goes to the row's words of `seen` (step/seen_gpu.c has their order). A thread keeps the best of its own keys in order. The
// sixteen are among the keys of the sixteen threads whose first ones are the best, and not behind the last of these firsts.
// Places come by counting who is before. Among equals the first position comes first.
#block looks
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read_write> seen: array<u32>;
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl

const NOWHERE = 0xffffffffu;
const LEAST = -3.0e38;
const ABSENT = 0x80000000u;                          // from here on: no key
struct Look { score: f32, key: u32 }
var<workgroup> best: array<f32, 256>;
var<workgroup> place: array<u32, 256>;
var<workgroup> firsts: array<Look, 64>;              // the best 16 of each 64 threads
var<workgroup> last: Look;
var<workgroup> candidates: array<Look, 256>;
var<workgroup> n_candidates: atomic<u32>;
fn is_before(a: Look, b: Look) -> bool { return a.score > b.score || (a.score == b.score && a.key < b.key); }

#include score.inc.wgsl

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = group.x;
    let pos = row_pos(row);
    let head = min(seen[0], p.n_head - 1u);
    let out = 4u + row * seen[1];
    var own: array<f32, 16>;
    var at: array<u32, 16>;
    var n = 0u;
    var m = LEAST;
    var sum = 0.0;
    for (var key = first_seen(pos) + t; key <= pos; key += 256u) {
        let s = score(row, head, key);
        if (s > m) { sum = sum * exp(m - s) + 1.0; m = s; } else { sum += exp(s - m); }
        if (n == 16u && s <= own[15]) { continue; }
        var i = min(n, 15u);
        n = min(n + 1u, 16u);
        while (i > 0u && s > own[max(i, 1u) - 1u]) {
            own[i] = own[i - 1u];
            at[i] = at[i - 1u];
            i--;
        }
        own[i] = s;
        at[i] = key;
    }
    best[t] = m;
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) { best[t] = max(best[t], best[t + w]); }
        workgroupBarrier();
    }
    var top = best[0];
    if (p.sinks != NOWHERE) { top = max(top, small[p.sinks + head]); }
    workgroupBarrier();
    best[t] = sum * exp(m - top);
    workgroupBarrier();
    for (var w = 128u; w > 0u; w >>= 1u) {
        if (t < w) { best[t] += best[t + w]; }
        workgroupBarrier();
    }
    var total = best[0];
    if (p.sinks != NOWHERE) { total += exp(small[p.sinks + head] - top); }
    workgroupBarrier();
    best[t] = select(LEAST, own[0], n > 0u);
    place[t] = select(ABSENT + t, at[0], n > 0u);
    if (t == 0u) { atomicStore(&n_candidates, 0u); }
    workgroupBarrier();
    let first = Look(best[t], place[t]);
    var rank = 0u;
    for (var j = t / 64u * 64u; j < t / 64u * 64u + 64u; j++) { rank += u32(is_before(Look(best[j], place[j]), first)); }
    let good = rank < 16u;
    if (good) { firsts[t / 64u * 16u + rank] = first; }
    workgroupBarrier();
    rank = 16u;
    if (good) {
        rank = 0u;
        for (var j = 0u; j < 64u; j++) { rank += u32(is_before(firsts[j], first)); }
    }
    if (rank == 15u) { last = first; }
    workgroupBarrier();
    if (rank < 16u) {
        candidates[atomicAdd(&n_candidates, 1u)] = first;
        for (var k = 1u; k < n && is_before(Look(own[k], at[k]), last); k++) { candidates[atomicAdd(&n_candidates, 1u)] = Look(own[k], at[k]); }
    }
    workgroupBarrier();
    for (var i = t; i < atomicLoad(&n_candidates); i += 256u) {
        rank = 0u;
        for (var j = 0u; j < atomicLoad(&n_candidates); j++) { rank += u32(is_before(candidates[j], candidates[i])); }
        if (rank < 16u) {
            let there = candidates[i].key < ABSENT;
            seen[out + 1u + rank] = select(NOWHERE, candidates[i].key, there);
            seen[out + 17u + rank] = bitcast<u32>(select(0.0, exp(candidates[i].score - top) / total, there));
        }
    }
    if (t == 0u) { seen[out] = (p.layer << 16u) | head; }
}
