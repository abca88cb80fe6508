// attend_tile - attention of many rows: $R neighbouring rows of a step with all query heads of one KV head, 32 queries in all,
// go through their keys together, a page of 64 at a time. Grid: (n_kv, rows / $R). Ends with the head's sink:
// y[row][head][d]. Neighbours of different sequences take turns: those whose keys it isn't see nothing of them.
// Scores: a thread has four queries (t / 16, and 8, 16, 24 behind it) and four neighbouring keys. Sums: the same queries and
// every 16th vector of four dims.
#block attend
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl

const HEADS = $HEADSu;                               // query heads of one KV head
const D4 = $HDu / 4u;
var<workgroup> qs: array<vec4<f32>, 32u * D4>;
// keys as [vector][key % 4][key / 4]; later, for each query, weights of four neighbouring keys
var<workgroup> ks: array<vec4<f32>, 64u * D4>;
var<workgroup> vs: array<vec4<f32>, 64u * D4>;
var<workgroup> parts: array<f32, 32u * 17u>;         // of 16 threads, a query's
var<workgroup> tops: array<f32, 32>;
var<workgroup> factors: array<f32, 32>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row0 = group.y * $Ru;
    let n = min($Ru, n_rows() - row0);
    let tx = t % 16u;
    let ty = t / 16u;
    for (var i = t; i < 32u * D4; i += 128u) {
        let m = i / D4;
        let row = row0 + min(m / HEADS, n - 1u);
        qs[i] = query(row * p.stride / 2u + (group.x * HEADS + m % HEADS) * 2u * D4, i % D4) * p.scale;
    }
#for i 4
    let r$i = min((ty + 8u * $iu) / HEADS, n - 1u);
    let pos$i = row_pos(row0 + r$i);
    let first$i = first_seen(pos$i);
#for a AP
    var o$i_$a = vec4<f32>();
#end
#end
    var top = -3.0e38;                               // threads below 32: of query t, and its sum
    var total = 0.0;
    var begin = 0u;
    while (begin < n) {
        let table = row_word(row0 + begin, 3u + p.cls);
        var end = begin + 1u;
        while (end < n && row_word(row0 + end, 3u + p.cls) == table) { end++; }
        let low = first_seen(row_pos(row0 + begin));
        let high = row_pos(row0 + end - 1u);
        for (var page = low / 64u; page <= high / 64u; page++) {
            let base = (step[table + page] * p.n_kv + group.x) * 2u * 64u * D4;
            workgroupBarrier();
            for (var i = t; i < 64u * D4; i += 128u) {
                let key = i % 64u;
                ks[i - key + (key % 4u) * 16u + key / 4u] = four(kv[base + i]);
                let at = page * 64u + i / D4;
                // a key that nobody sees has weight 0, but its bytes may be anything
                vs[i] = select(vec4<f32>(), four(kv[base + 64u * D4 + i]), at >= low && at <= high);
            }
            workgroupBarrier();
#for i 4
#for j 4
            var s$i_$j = 0.0;
#end
#end
            for (var d = 0u; d < D4; d++) {
#for j 4
                let k$j = ks[d * 64u + $ju * 16u + tx];
#end
#for i 4
                let a$i = qs[(ty + 8u * $iu) * D4 + d];
#for j 4
                s$i_$j = fma(a$i.x, k$j.x, fma(a$i.y, k$j.y, fma(a$i.z, k$j.z, fma(a$i.w, k$j.w, s$i_$j))));
#end
#end
            }
            let key = vec4<u32>(page * 64u + 4u * tx) + vec4<u32>(0u, 1u, 2u, 3u);
#for i 4
            let here$i = r$i >= begin && r$i < end;
            let seen$i = (key <= vec4<u32>(pos$i)) & (key >= vec4<u32>(first$i)) & vec4<bool>(here$i);
            let v$i = select(vec4<f32>(-3.0e38), vec4<f32>(s$i_0, s$i_1, s$i_2, s$i_3), seen$i);
            parts[(ty + 8u * $iu) * 17u + tx] = max(max(v$i.x, v$i.y), max(v$i.z, v$i.w));
#end
            workgroupBarrier();
            if (t < 32u) {
                var most = top;
                for (var i = 0u; i < 16u; i++) { most = max(most, parts[t * 17u + i]); }
                factors[t] = exp(top - most);
                tops[t] = most;
                total *= exp(top - most);
                top = most;
            }
            workgroupBarrier();
#for i 4
            let e$i = select(vec4<f32>(), exp(v$i - tops[ty + 8u * $iu]), seen$i);
            ks[(ty + 8u * $iu) * 16u + tx] = e$i;
            parts[(ty + 8u * $iu) * 17u + tx] = (e$i.x + e$i.y) + (e$i.z + e$i.w);
            let f$i = factors[ty + 8u * $iu];
#for a AP
            o$i_$a *= f$i;
#end
#end
            workgroupBarrier();
            if (t < 32u) { for (var i = 0u; i < 16u; i++) { total += parts[t * 17u + i]; } }
            for (var k = 0u; k < 16u; k++) {
#for i 4
                let w$i = ks[(ty + 8u * $iu) * 16u + k];
#end
#for a AP
                {
                    let at = k * 4u * D4 + min(tx + 16u * $au, D4 - 1u);
                    let v0 = vs[at];
                    let v1 = vs[at + D4];
                    let v2 = vs[at + 2u * D4];
                    let v3 = vs[at + 3u * D4];
#for i 4
                    o$i_$a = fma(vec4<f32>(w$i.x), v0, fma(vec4<f32>(w$i.y), v1, fma(vec4<f32>(w$i.z), v2, fma(vec4<f32>(w$i.w), v3, o$i_$a))));
#end
                }
#end
            }
        }
        begin = end;
    }
    workgroupBarrier();
    if (t < 32u) {
        var m = top;
        if (p.sinks != 0xffffffffu) {
            let sink = small[p.sinks + group.x * HEADS + t % HEADS];
            m = max(m, sink);
            total = fma(total, exp(top - m), exp(sink - m));
        }
        factors[t] = exp(top - m) / total;
    }
    workgroupBarrier();
#for i 4
    if ((ty + 8u * $iu) / HEADS < n) {
        let to = ((row0 + r$i) * p.n_head + group.x * HEADS + (ty + 8u * $iu) % HEADS) * D4;
#for a AP
        if (tx + 16u * $au < D4) { y[to + tx + 16u * $au] = o$i_$a * factors[ty + 8u * $iu]; }
#end
    }
#end
}
