// attend_group - as attend, for rows that see at least $FROM pages, where subgroups add: a value is made floats once for all query
// heads of its KV head, a key once for four of them, and $PAGES pages go at a time. Grid and results are attend's.
// Scores: a thread has one key and four heads. Sums: a thread has four dims of $EACH keys and all heads.
#block attend
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> stat: array<vec2<f32>>;
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl

const HEADS = $HEADSu;                               // query heads of one KV head
const D4 = $HDu / 4u;
const OUTS = HEADS * D4;
const KEYS = $PAGESu * 64u;                          // of a round
const SUBGROUPS = $WGu / $SGu;
const PARTS = KEYS / $SGu;                           // subgroups that have four heads' keys
const SHARERS = $WGu / D4;                           // threads that have a head's dims, of different keys
var<workgroup> qs: array<vec4<f32>, OUTS>;           // queries; at the end the sums
var<workgroup> weights: array<vec4<f32>, $WG>;       // of four heads, [heads / 4][key]
var<workgroup> part_max: array<vec4<f32>, SUBGROUPS>;
var<workgroup> part_sum: array<vec4<f32>, SUBGROUPS>;
var<workgroup> rest: array<vec4<f32>, 2u * $WGu>;    // two heads' sums of all threads

// What all threads have of two heads becomes one.
fn gather(head: u32, a: vec4<f32>, b: vec4<f32>, t: u32) {
    rest[t] = a;
    rest[$WGu + t] = b;
    workgroupBarrier();
    for (var n = 0u; n < 2u * D4; n += SUBGROUPS) {
        let o = n + t / $SGu;
        var v = vec4<f32>();
        for (var i = 0u; i < SHARERS; i += $SGu) {
            let sharer = i + t % $SGu;
            if (o < 2u * D4 && sharer < SHARERS) { v += rest[o / D4 * $WGu + sharer * D4 + o % D4]; }
        }
        v = subgroupAdd(v);
        if (o < 2u * D4 && t % $SGu == 0u) { qs[head * D4 + o] = v; }
    }
    workgroupBarrier();
}

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
#include attend_begin.inc.wgsl
    let seen_from = max(first_key, begin * 64u);
    let seen_end = min(pos + 1u, end * 64u);
    let key = t % KEYS;                              // of the round, to score
    let four_heads = t / KEYS;
    let first = t / D4 * $EACHu;                     // of the round, to sum
    var sum = vec4<f32>();                           // of the weights of this thread's keys
#for g V4
    var max$g = vec4<f32>(-3.0e38);                  // of four heads, as far as it went
    var acc$g_0 = vec4<f32>();
    var acc$g_1 = vec4<f32>();
    var acc$g_2 = vec4<f32>();
    var acc$g_3 = vec4<f32>();
#end
    let table = row_word(row, 3u + p.cls);
    var key_page = step[table + min(begin + key / 64u, end - 1u)];       // in the pool: asked for a round ahead
    var value_page = step[table + min(begin + first / 64u, end - 1u)];
    workgroupBarrier();
    for (var page = begin; page < end; page += $PAGESu) {
        let key_at = (key_page * p.n_kv + kvh) * 128u * D4 + key % 64u;
        let value_at = ((value_page * p.n_kv + kvh) * 128u + 64u + first % 64u) * D4 + t % D4;
        key_page = step[table + min(page + $PAGESu + key / 64u, end - 1u)];
        value_page = step[table + min(page + $PAGESu + first / 64u, end - 1u)];
        // the values, asked for before their weights are known
#for j 8
        var v$j = kv[value_at + $ju * D4];
#end
        let visible = page * 64u + key >= seen_from && page * 64u + key < seen_end;
        var s = vec4<f32>();
        if (visible) {
            for (var d = 0u; d < D4; d += $KUu) {
#for j KU
                let raw$j = kv[key_at + (d + $ju) * 64u];
#end
#for j KU
                let k$j = four(raw$j);
                let q$j = four_heads * 4u * D4 + d + $ju;
                s += vec4<f32>(dot(k$j, qs[q$j]), dot(k$j, qs[q$j + D4]), dot(k$j, qs[q$j + 2u * D4]), dot(k$j, qs[q$j + 3u * D4]));
#end
            }
        }
        s = select(vec4<f32>(-3.0e38), s, visible);
        let top = subgroupMax(s);
        if (t % $SGu == 0u) { part_max[t / $SGu] = top; }
        workgroupBarrier();
        var own_before = vec4<f32>();
        var own = vec4<f32>();
#for g V4
        let before$g = max$g;
        for (var i = 0u; i < PARTS; i++) { max$g = max(max$g, part_max[$gu * PARTS + i]); }
        if (four_heads == $gu) {
            own_before = before$g;
            own = max$g;
        }
#end
        let e = select(vec4<f32>(), exp(s - own), visible);
        weights[t] = e;
        sum = fma(sum, exp(own_before - own), e);
        workgroupBarrier();
#for g V4
        let f$g = exp(before$g - max$g);
        acc$g_0 *= f$g.x;
        acc$g_1 *= f$g.y;
        acc$g_2 *= f$g.z;
        acc$g_3 *= f$g.w;
#end
        for (var k = 0u; k < $EACHu; k += 8u) {
#for j 8
            {
                // a key that is not visible has weight 0, but its bytes may be anything
                let at = first + k + $ju;
                let x = select(vec4<f32>(), four(v$j), page * 64u + at >= seen_from && page * 64u + at < seen_end);
#for g V4
                let w$g = weights[$gu * KEYS + at];
                acc$g_0 = fma(vec4<f32>(w$g.x), x, acc$g_0);
                acc$g_1 = fma(vec4<f32>(w$g.y), x, acc$g_1);
                acc$g_2 = fma(vec4<f32>(w$g.z), x, acc$g_2);
                acc$g_3 = fma(vec4<f32>(w$g.w), x, acc$g_3);
#end
            }
#end
#if MORE
            if (k + 8u < $EACHu) {
#for j 8
                v$j = kv[value_at + (k + 8u + $ju) * D4];
#end
            }
#endif
        }
    }
    let total_of_four = subgroupAdd(sum);
    if (t % $SGu == 0u) { part_sum[t / $SGu] = total_of_four; }
#for g V4
    gather($gu * 4u, acc$g_0, acc$g_1, t);
    gather($gu * 4u + 2u, acc$g_2, acc$g_3, t);
#end
    let head = min(t, OUTS - 1u) / D4;
    var top = 0.0;
#for g V4
    if (head / 4u == $gu) { top = max$g[head % 4u]; }
#end
    var total = 0.0;
    for (var i = 0u; i < PARTS; i++) { total += part_sum[head / 4u * PARTS + i][head % 4u]; }
    let out = (row * step[STEP_CHUNKS] + group.y) * p.n_head + kvh * HEADS;
    if (t < OUTS) {
        part[out * D4 + t] = qs[t];
        if (t % D4 == 0u) { stat[out + head] = vec2<f32>(top, total); }
    }
}
