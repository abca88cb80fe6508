// attend_fragments - attention of many rows by fragments (matmul_fragments.wgsl): $R neighbouring rows of a step with all query
// heads of one KV head, $FM queries a subgroup, go through their keys together, a page of 64 at a time.
// Grid: (n_kv, rows / $R). Ends with the head's sink: y[row][head][d]. Neighbours of different sequences take turns: those
// whose keys it isn't see nothing of them.
// Keys, weights and values are halves; queries are two each, the second what the first one left over (to_halves.wgsl): a
// score of 100 would be off by 0.05 without it. Scores, sums and what is softmaxed are f32. A fragment can't be scaled by
// rows: weights are exp(score - base), where a row's base is its first page's best score, and all sums are scaled anew only
// when a later score passes it by $ROOM, so that no weight leaves the range of halves.
// In workgroup memory dims lie as 0 4 8 ... 1 5 9 ..., and values by dim: threads then write side by side. Every variable there
// is a multiple of 32 bytes: drivers place them one behind the other, and fragments are read 16 bytes at a time.
// A subgroup's scores pass through `stage` a fragment at a time: $LPR threads share a query, each has every $LPR-th key.
#block attend
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl
#include cut.inc.wgsl

const HEADS = $HEADSu;                               // query heads of one KV head
const D4 = $HDu / 4u;
const QUERIES = $N_SUBu * $FMu;
const THREADS = $N_SUBu * $SGu;
const KEYS = 72u;                                    // rows of 64 keys, eight halves apart
const DIMS = $HDu + 8u;
const QD = max(KEYS, DIMS);
const NARROW = $FNu + 4u;                            // rows of a staged fragment
var<workgroup> ks: array<f16, 64u * DIMS>;           // keys as [key][dim]
var<workgroup> vs: array<f16, $HDu * KEYS>;          // values as [dim][key]
var<workgroup> ps: array<f16, QUERIES * QD>;         // queries as [query][dim], then weights as [query][key]
var<workgroup> stage: array<f32, QUERIES * NARROW>;
var<workgroup> passed: array<u32, 8>;                // [0]: somebody's score passed its base

alias left = subgroup_matrix_left<f16, $FK, $FM>;
alias right = subgroup_matrix_right<f16, $FN, $FK>;
alias sum = subgroup_matrix_result<f32, $FN, $FM>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row0 = group.y * $Ru;
    let n = min($Ru, n_rows() - row0);
    let lane = t % $SGu;
    let first_query = t / $SGu * $FMu;
    // this thread's query, and where its parts of staged fragments and of weights begin
    let mine = first_query + lane / $LPRu;
    let part = lane % $LPRu;
    let r = min(mine / HEADS, n - 1u);
    let pos = row_pos(row0 + r);
    let first = first_seen(pos);
    let staged = mine * NARROW + part;
#for z 2
    workgroupBarrier();
    for (var i = t; i < QUERIES * D4; i += THREADS) {
        let m = i / D4;
        let row = row0 + min(m / HEADS, n - 1u);
        let v = query(row * p.stride / 2u + (group.x * HEADS + m % HEADS) * 2u * D4, i % D4) * p.scale;
        let high = cut(v);
#if z
        let h = vec4<f16>(v - high);
#else
        let h = vec4<f16>(high);
#endif
#for c 4
        ps[m * QD + $cu * D4 + i % D4] = h[$c];
#end
    }
    workgroupBarrier();
#for k KD
    let q$z_$k = subgroupMatrixLoad<left>(&ps, first_query * QD + $ku * $FKu, false, QD);
#end
#end
#for d ND
    var o$d: sum;
#end
    var base = -3.0e38;
    var total = 0.0;
    var begin = 0u;
    while (begin < n) {
        let table = row_word(row0 + begin, ROW_PAGES + p.cls);
        var end = begin + 1u;
        while (end < n && row_word(row0 + end, ROW_PAGES + p.cls) == table) { end++; }
        let low = first_seen(row_pos(row0 + begin));
        let high = row_pos(row0 + end - 1u);
        let here = r >= begin && r < end;
        for (var page = low / 64u; page <= high / 64u; page++) {
            let at = (step[table + page] * p.n_kv + group.x) * 2u * 64u * D4;
            workgroupBarrier();
            for (var i = t; i < 64u * D4; i += THREADS) {
                let key = i / 32u % 8u * 8u + i % 8u;
                let d = i / 256u * 4u + i / 8u % 4u;
                // a key that nobody sees has weight 0, but its bytes may be anything
                let seen = page * 64u + key >= low && page * 64u + key <= high;
                let k = bitcast<vec4<f16>>(kv[at + d * 64u + key]);
                let v = bitcast<vec4<f16>>(select(vec2<u32>(), kv[at + 64u * D4 + key * D4 + d], seen));
#for c 4
                ks[key * DIMS + $cu * D4 + d] = k[$c];
                vs[($cu * D4 + d) * KEYS + key] = v[$c];
#end
            }
            if (t == 0u) { passed[0] = 0u; }
            workgroupBarrier();
#for j NK
#for k KD
            let k$j_$k = subgroupMatrixLoad<right>(&ks, $ju * $FNu * DIMS + $ku * $FKu, true, DIMS);
#if k
            s$j = subgroupMatrixMultiplyAccumulate(q0_$k, k$j_$k, s$j);
#else
            // a sum that is declared in a loop keeps its last values on NVIDIA's driver: the first product makes it
            var s$j = subgroupMatrixMultiply<f32>(q0_$k, k$j_$k);
#endif
            s$j = subgroupMatrixMultiplyAccumulate(q1_$k, k$j_$k, s$j);
#end
#end
            var top = -3.0e38;
#for j NK
            subgroupMatrixStore(&stage, first_query * NARROW, s$j, false, NARROW);
            workgroupBarrier();
#for c CPL
            let key$j_$c = page * 64u + $ju * $FNu + $cu * $LPRu + part;
            let seen$j_$c = here && key$j_$c <= pos && key$j_$c >= first;
            let x$j_$c = select(-3.0e38, stage[staged + $cu * $LPRu], seen$j_$c);
            top = max(top, x$j_$c);
#end
            workgroupBarrier();
#end
#for h HOPS
            top = max(top, subgroupShuffleXor(top, 1u << $hu));
#end
            if (base > -1.0e38 && top > base + $ROOM) { passed[0] = 1u; }
            if (workgroupUniformLoad(&passed[0]) != 0u) {
                let next = max(base, top);
                let f = select(1.0, exp(base - next), base > -1.0e38);
                total *= f;
                base = next;
#for d ND
                subgroupMatrixStore(&stage, first_query * NARROW, o$d, false, NARROW);
                workgroupBarrier();
#for c CPL
                stage[staged + $cu * $LPRu] *= f;
#end
                workgroupBarrier();
                o$d = subgroupMatrixLoad<sum>(&stage, first_query * NARROW, false, NARROW);
                workgroupBarrier();
#end
            }
            if (base < -1.0e38) { base = top; }
#for j NK
#for c CPL
            let e$j_$c = f16(select(0.0, exp(x$j_$c - base), seen$j_$c));
            total += f32(e$j_$c);
            ps[mine * QD + $ju * $FNu + $cu * $LPRu + part] = e$j_$c;
#end
#end
            workgroupBarrier();
#for k KP
            {
                let w = subgroupMatrixLoad<left>(&ps, first_query * QD + $ku * $FKu, false, QD);
#for d ND
                o$d = subgroupMatrixMultiplyAccumulate(w, subgroupMatrixLoad<right>(&vs, $du * $FNu * KEYS + $ku * $FKu, true, KEYS), o$d);
#end
            }
#end
        }
        begin = end;
    }
#for h HOPS
    total += subgroupShuffleXor(total, 1u << $hu);
#end
    var factor = 1.0 / total;
    if (p.sinks != 0xffffffffu) {
        let sink = small[p.sinks + group.x * HEADS + mine % HEADS];
        let m = max(base, sink);
        factor = exp(base - m) / fma(total, exp(base - m), exp(sink - m));
    }
    let to = ((row0 + r) * p.n_head + group.x * HEADS + mine % HEADS) * $HDu;
#for d ND
    workgroupBarrier();
    subgroupMatrixStore(&stage, first_query * NARROW, o$d, false, NARROW);
    workgroupBarrier();
    if (mine / HEADS < n) {
#for c CPL
        let n$d_$c = $du * $FNu + $cu * $LPRu + part;
        y[to + n$d_$c % D4 * 4u + n$d_$c / D4] = stage[staged + $cu * $LPRu] * factor;
#end
    }
#end
}
