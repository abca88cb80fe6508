// looks - for a recording: the 16 positions that the watched head looks at most, for each row of a step of few. Grid: (rows).
// Goes to the row's words of `seen` (step/seen_gpu.c has their order). A thread keeps the best of its own keys in order;
// then the best of all threads' firsts is taken, sixteen times. Among equals the first position comes first.
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
var<workgroup> best: array<f32, 256>;
var<workgroup> place: array<u32, 256>;

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
    var next = 0u;
    for (var k = 0u; k < 16u; k++) {
        best[t] = LEAST;
        place[t] = NOWHERE;
        if (next < n) { best[t] = own[next]; place[t] = at[next]; }
        workgroupBarrier();
        for (var w = 128u; w > 0u; w >>= 1u) {
            if (t < w && (best[t + w] > best[t] || (best[t + w] == best[t] && place[t + w] < place[t]))) {
                best[t] = best[t + w];
                place[t] = place[t + w];
            }
            workgroupBarrier();
        }
        let taken = place[0];
        if (t == 0u) {
            seen[out + 1u + k] = taken;
            seen[out + 17u + k] = bitcast<u32>(select(0.0, exp(best[0] - top) / total, taken != NOWHERE));
        }
        if (next < n && at[next] == taken) { next++; }
        workgroupBarrier();
    }
    if (t == 0u) { seen[out] = (p.layer << 16u) | head; }
}
