// matmul_fragments - y = W x for many rows, as matmul, by fragments: $FM rows of x by $FN outputs, $FK values deep, that a
// subgroup of $SG threads multiplies at once. Operands are halves (to_halves.wgsl, and W as it is decoded here), sums f32.
// A workgroup makes $TILE rows by $NT outputs, each of its $N_SUB subgroups $SM by $SN of them, a step of $TK values at a
// time; what the next step needs is asked for before the products of this one. Fragments go by a loop, on no condition (rows
// that a tile lacks are multiplied too): unrolled, or under one, products take a sixth longer. In workgroup memory 32 values of
// a row lie in the order 0 8 16 24 1 9 ...: threads that bring eight neighbours each then write side by side, without bank
// conflicts. Sums run over them in that order, $FK at a time, whatever the tile.
// A weight is $SCALE times its half: MX4 8, Q8 and I8 2^-6, F16W 1; exact but for Q8 and I8, which are rounded. Where a weight
// of the matrix leaves the range of halves (ws[p.beyond], repack.wgsl) a thread makes its sums in f32 instead: slow, and right.
// PLANES: 1, or 2 where a row of x is two rows of halves, the second what the first one left over: W meets both.
// APART: so many workgroups share a DENSE tile's values (no share is empty) and leave y[share][row][o]; sum_parts ends it.
// Which rows a tile has: matmul.wgsl, DENSE or EXPERT with the same grid. What happens to a sum: put.inc.wgsl.
#block matmul
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> info: array<u32>;      // DENSE: the step's words
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;   // eight halves
@group(0) @binding(6) var<storage, read> x_scale: array<f32>;   // a row
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
#include weights.inc.wgsl
#include put.inc.wgsl
#include tile.inc.wgsl

const PITCH = $TKu + 8u;                             // eight halves more than a row has: no two rows share their banks
const PARTS = $TKu / 8u;                             // of eight values, a row of a step
const THREADS = $SGu * $N_SUBu;
const COLUMNS = $NTu / $SNu;                         // subgroups side by side
const X_PLANE = $TILEu * PITCH;
var<workgroup> xs: array<f16, $PLANESu * X_PLANE>;
var<workgroup> wt: array<f16, $NTu * PITCH>;
var<workgroup> out: array<f32, $N_SUBu * $FMu * $FNu>;

alias left = subgroup_matrix_left<f16, $FK, $FM>;
alias right = subgroup_matrix_right<f16, $FN, $FK>;
alias sum = subgroup_matrix_result<f32, $FN, $FM>;

// Where part k of a step's parts lies: eight values, each four behind the last.
fn place(k: u32) -> u32 { return k / PARTS * PITCH + k % PARTS / 4u * 32u + k % 4u; }

fn put_x(at: u32, v: vec4<u32>) {
    let a = bitcast<vec4<f16>>(v.xy);
    let b = bitcast<vec4<f16>>(v.zw);
#for i 4
    xs[at + 4u * $iu] = a[$i];
    xs[at + 16u + 4u * $iu] = b[$i];
#end
}

// Eight weights as halves, unit u of their row.
fn put_w(at: u32, raw: Raw, u: u32) {
#if MX4
    // A byte of mx4_bytes as the low bits of 2^-5 as a half is worth 2^-15: twice the weight, so 2^-14; the scale is
    // 2^(e - 127 + 11).
    let e = (raw.s >> (((u >> 2u) & 3u) * 8u)) & 255u;
    let s = bitcast<vec2<f16>>(((clamp(e, 107u, 131u) - 101u) << 10u) * 0x10001u);
    let zero = bitcast<vec2<f16>>(0x28002800u + u32(MX4_ZERO) * 0x10001u) * -s;
    let w = mx4_bytes(raw.w);
    let v02 = fma(bitcast<vec2<f16>>((w.x & 0x00ff00ffu) | 0x28002800u), s, zero);
    let v13 = fma(bitcast<vec2<f16>>(((w.x >> 8u) & 0x00ff00ffu) | 0x28002800u), s, zero);
    let v46 = fma(bitcast<vec2<f16>>((w.y & 0x00ff00ffu) | 0x28002800u), s, zero);
    let v57 = fma(bitcast<vec2<f16>>(((w.y >> 8u) & 0x00ff00ffu) | 0x28002800u), s, zero);
    let a = vec4<f16>(v02.x, v13.x, v02.y, v13.y);
    let b = vec4<f16>(v46.x, v57.x, v46.y, v57.y);
#else
#if Q8
    // A byte + 128 as the low bits of 1024 as a half.
    let s = bitcast<vec2<f16>>(raw.s >> (((u >> 2u) & 1u) * 16u)).x * 64.0h;
    let v = raw.w ^ vec2<u32>(0x80808080u);
    let v01 = bitcast<vec4<f16>>(vec2<u32>((v.x & 255u) | ((v.x & 0xff00u) << 8u), ((v.x >> 16u) & 255u) | ((v.x >> 8u) & 0xff0000u)) | vec2<u32>(0x64006400u));
    let v23 = bitcast<vec4<f16>>(vec2<u32>((v.y & 255u) | ((v.y & 0xff00u) << 8u), ((v.y >> 16u) & 255u) | ((v.y >> 8u) & 0xff0000u)) | vec2<u32>(0x64006400u));
    let a = (v01 - 1152.0h) * s;
    let b = (v23 - 1152.0h) * s;
#else
    let w = unit_of(raw, u);
    let a = vec4<f16>((w.a * w.s + w.m) * $FACTOR);
    let b = vec4<f16>((w.b * w.s + w.m) * $FACTOR);
#endif
#endif
#for i 4
    wt[at + 4u * $iu] = a[$i];
    wt[at + 16u + 4u * $iu] = b[$i];
#end
}

// A sum in f32: row r of W times row i of x, from unit u_first to u_end.
fn slow_sum(r: u32, i: u32, u_first: u32, u_end: u32) -> f32 {
    var v = 0.0;
    for (var u = 0u; u < $PLANESu * p.n_units; u++) {
        if (u % p.n_units < u_first || u % p.n_units >= u_end) { continue; }
        let w = unit(r, u % p.n_units);
        let h = x[i * $PLANESu * p.n_units + u];
        v += dot(w.a * w.s + w.m, vec4<f32>(unpack2x16float(h.x), unpack2x16float(h.y)))
            + dot(w.b * w.s + w.m, vec4<f32>(unpack2x16float(h.z), unpack2x16float(h.w)));
    }
    return v * x_scale[i];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let o0 = group.x * $NTu;
#include tile_begin.inc.wgsl
    let bias = bias_of(group.y);
#if APART
    let share = (p.n_units / PARTS + $APARTu - 1u) / $APARTu * PARTS;
    let u_first = group.z * share;
    let u_end = min(u_first + share, p.n_units);
    let out0 = group.z * info[0];
#else
    let u_first = 0u;
    let u_end = p.n_units;
    let out0 = 0u;
#endif
#if BEYOND
    if (ws[p.beyond]$BEYOND != 0) {
        for (var i = t; i < count * $NTu / 2u; i += THREADS) {
            let o = o0 + i % ($NTu / 2u) * 2u;
            let row = row_of(begin + i / ($NTu / 2u));
            if (o < p.n) {
                put(out0 + out_row(begin + i / ($NTu / 2u)), o, bias, slow_sum(w_row + o, row, u_first, u_end),
                    slow_sum(w_row + min(o + 1u, p.n - 1u), row, u_first, u_end));
            }
        }
        return;
    }
#endif
    let subgroup = t / $SGu;
    let lane = t % $SGu;
    let sm = subgroup / COLUMNS * $SMu;
    let sn = subgroup % COLUMNS * $SNu;
    // What this thread brings of every step: parts of rows of x and of W.
#for v XV
    let xi$v = t + $vu * THREADS;
    let x_at$v = row_of(begin + min(xi$v / PARTS, count - 1u)) * $PLANESu * p.n_units + xi$v % PARTS;
#for z PLANES
    var next_x$v_$z = x[x_at$v + $zu * p.n_units + u_first];
#end
#end
#for v WV
    let wi$v = t + $vu * THREADS;
    let w_row$v = w_row + min(o0 + min(wi$v / PARTS, $NTu - 1u), p.n - 1u);
    var next_w$v = raw_unit(w_row$v, u_first + wi$v % PARTS);
#end
#for i MI
#for j NJ
    var sum$i_$j: sum;
#end
#end
    for (var u0 = u_first; u0 < u_end; u0 += PARTS) {
#for v XV
        if (xi$v < count * PARTS) {
#for z PLANES
            put_x($zu * X_PLANE + place(xi$v), next_x$v_$z);
#end
        }
#end
#for v WV
        if ($WWHOLE || wi$v < $NTu * PARTS) { put_w(place(wi$v), next_w$v, u0 + wi$v % PARTS); }
#end
        workgroupBarrier();
        let ahead = min(u0 + PARTS, p.n_units - PARTS);
#for v XV
#for z PLANES
        next_x$v_$z = x[x_at$v + $zu * p.n_units + ahead];
#end
#end
#for v WV
        next_w$v = raw_unit(w_row$v, ahead + wi$v % PARTS);
#end
        for (var k = 0u; k < $TKu; k += $FKu) {
#for j NJ
            let w$j = subgroupMatrixLoad<right>(&wt, (sn + $ju * $FNu) * PITCH + k, true, PITCH);
#end
#for z PLANES
#for i MI
            let x$i_$z = subgroupMatrixLoad<left>(&xs, $zu * X_PLANE + (sm + $iu * $FMu) * PITCH + k, false, PITCH);
#for j NJ
            sum$i_$j = subgroupMatrixMultiplyAccumulate(x$i_$z, w$j, sum$i_$j);
#end
#end
#end
        }
        workgroupBarrier();
    }
#for i MI
#for j NJ
    subgroupMatrixStore(&out, subgroup * $FMu * $FNu, sum$i_$j, false, $FNu);
    workgroupBarrier();
    for (var q = lane; q < $FMu * $FNu / 2u; q += $SGu) {
        let r = sm + $iu * $FMu + q / ($FNu / 2u);
        let o = o0 + sn + $ju * $FNu + q % ($FNu / 2u) * 2u;
        if (r < count && o < p.n) {
            let at = subgroup * $FMu * $FNu + q * 2u;
            let f = x_scale[row_of(begin + r)] * $SCALE;
            put(out0 + out_row(begin + r), o, bias, out[at] * f, out[at + 1u] * f);
        }
    }
    workgroupBarrier();
#end
#end
}
