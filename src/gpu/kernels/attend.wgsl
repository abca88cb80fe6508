// attend - attention of rows over a chunk of their keys, all query heads of one KV head together, one page of 64 keys at
// a time. Grid: (n_kv, chunks, rows). Chunk c of a row holds pages [c * per, (c + 1) * per) of those it can see, where per
// depends on the row's own position only. Leaves part[row][chunk][head] = (head_dim sums of p * v), and stat = (max, sum
// of p): merge ends it. FINAL: one chunk has all the keys, and the result with the head's sink goes to y, PACKED.
// BELOW: rows that see so many pages are left to attend_group.
// Scores: a thread has one key and $HP heads, $KU vectors of the key at once. Sums: a thread has $AP vectors of four dims and every $KG-th part of the keys.
#block attend
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
#if FINAL
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<storage, read> small: array<f32>;
#include pack.inc.wgsl
#else
@group(0) @binding(4) var<storage, read_write> part: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> stat: array<vec2<f32>>;
#endif
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl

const HEADS = $HEADSu;                               // query heads of one KV head
const D4 = $HDu / 4u;
const OUTS = HEADS * D4;
const KEYS = 64u / $KGu;                             // of a page, that a thread sums
#if WAVES
const NP = 64u / $SGu;                               // subgroups that have a head's keys
#else
const NP = $WGu / HEADS;                             // threads that have
#endif
var<workgroup> qs: array<vec4<f32>, OUTS>;
var<workgroup> scores: array<f32, HEADS * 64u>;
var<workgroup> part_max: array<f32, HEADS * NP>;
var<workgroup> part_sum: array<f32, HEADS * NP>;
#if KG_MANY
var<workgroup> rest: array<vec4<f32>, OUTS * ($KGu - 1u)>;
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
#include attend_begin.inc.wgsl
#for a AP
    let o$a = (t + $au * $WGu) % OUTS;
    let h$a = o$a / D4;
    var acc$a = vec4<f32>();
    var max$a = -3.0e38;                              // of the head, and its sum, as far as it went
    var sum$a = 0.0;
#end
#if WAVES
#for h HP
    var top$h = -3.0e38;
#end
#else
    var run = -3.0e38;
#endif
    let table = row_word(row, 3u + p.cls);
    var number = step[table + begin];                 // of the page in the pool: asked for a page ahead
    workgroupBarrier();
    for (var page = begin; page < end; page++) {
        let base = (number * p.n_kv + kvh) * 2u * 64u * D4;
        number = step[table + min(page + 1u, end - 1u)];
        let key = t % 64u;
        let visible = page * 64u + key <= pos && page * 64u + key >= first_key;
#if AHEAD
        // the values, asked for before their weights are known
        let vbase = base + 64u * D4 + o0 % D4 + (t / OUTS) % $KGu * KEYS * D4;
#for j VS
        let v$j = kv[vbase + $ju * D4];
#end
#endif
#for h HP
        let head$h = min(t / 64u + $hu * ($WGu / 64u), HEADS - 1u);
        var s$h = 0.0;
#end
        if (visible) {
            for (var d = 0u; d < D4; d += $KUu) {
#for j KU
                let raw$j = kv[base + (d + $ju) * 64u + key];
#end
#for j KU
                let k$j = four(raw$j);
#end
#for h HP
#for j KU
                s$h += dot(k$j, qs[head$h * D4 + d + $ju]);
#end
#end
            }
        }
#if WAVES
#for h HP
        s$h = select(-3.0e38, s$h, visible);
        let m$h = subgroupMax(s$h);
        if (t % $SGu == 0u) { part_max[($hu * $WGu + t) / $SGu] = m$h; }
#end
        workgroupBarrier();
#for h HP
        for (var i = 0u; i < NP; i++) { top$h = max(top$h, part_max[head$h * NP + i]); }
        let e$h = select(0.0, exp(s$h - top$h), visible);
        let sub$h = subgroupAdd(e$h);
        scores[head$h * 64u + key] = e$h;
        if (t % $SGu == 0u) { part_sum[($hu * $WGu + t) / $SGu] = sub$h; }
#end
        workgroupBarrier();
#else
#for h HP
        if (t / 64u + $hu * ($WGu / 64u) < HEADS) { scores[head$h * 64u + key] = select(-3.0e38, s$h, visible); }
#end
        workgroupBarrier();
        let head = min(t / NP, HEADS - 1u);
        var m = -3.0e38;
        for (var i = t % NP; i < 64u; i += NP) { m = max(m, scores[head * 64u + i]); }
        if (t / NP < HEADS) { part_max[t] = m; }
        workgroupBarrier();
        for (var i = 0u; i < NP; i++) { m = max(m, part_max[head * NP + i]); }
        run = max(run, m);
        var sum = 0.0;
        if (t / NP < HEADS) {
            for (var i = t % NP; i < 64u; i += NP) {
                let v = scores[head * 64u + i];
                let e = select(0.0, exp(v - run), v > -2.0e38);
                scores[head * 64u + i] = e;
                sum += e;
            }
            part_sum[t] = sum;
        }
        workgroupBarrier();
#endif
#for a AP
        {
            var top = max$a;
            var sum = 0.0;
            for (var i = 0u; i < NP; i++) { top = max(top, part_max[h$a * NP + i]); sum += part_sum[h$a * NP + i]; }
            let f = exp(max$a - top);
            max$a = top;
            sum$a = fma(sum$a, f, sum);
            acc$a *= f;
            // a key that is not visible has weight 0, but its bytes may be anything
            let first = (t / OUTS) % $KGu * KEYS;
#if AHEAD
#for j VS
            let w$j = scores[h$a * 64u + first + $ju];
            acc$a = fma(vec4<f32>(w$j), select(vec4<f32>(), four(v$j), w$j > 0.0), acc$a);
#end
#else
            let vbase = base + 64u * D4 + o$a % D4;
            for (var k = first; k < first + KEYS; k += $VSu) {
#for j VS
                let w$j = scores[h$a * 64u + k + $ju];
                let v$j = kv[vbase + (k + $ju) * D4];
#end
#for j VS
                acc$a = fma(vec4<f32>(w$j), select(vec4<f32>(), four(v$j), w$j > 0.0), acc$a);
#end
            }
#endif
        }
#end
        workgroupBarrier();
    }
#if KG_MANY
    if (t >= OUTS && t < OUTS * $KGu) { rest[t - OUTS] = acc0; }
    workgroupBarrier();
    if (t < OUTS) { for (var i = 0u; i < $KGu - 1u; i++) { acc0 += rest[i * OUTS + o0]; } }
#endif
#if FINAL
#for a AP
    {
        var m = max$a;
        var total = sum$a;
        if (p.sinks != 0xffffffffu) {
            let sink = small[p.sinks + kvh * HEADS + h$a];
            m = max(m, sink);
            total = fma(total, exp(max$a - m), exp(sink - m));
        }
        pack(row, p.n_head * D4 / 8u, kvh * OUTS + t + $au * $WGu, t + $au * $WGu < OUTS, acc$a * (exp(max$a - m) / total), t);
    }
#end
#else
    let out = (row * step[STEP_CHUNKS] + group.y) * p.n_head + kvh * HEADS;
#for a AP
    if (t + $au * $WGu < OUTS) {
        part[out * D4 + o$a] = acc$a;
        if (o$a % D4 == 0u) { stat[out + h$a] = vec2<f32>(max$a, sum$a); }
    }
#end
#endif
}
