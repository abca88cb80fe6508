// matmul - y = W x for many rows, in tiles of $TILE rows by $NT outputs; a thread makes $NI x 2 $NH of them, sums in f32. What
// the next step along the rows needs is asked for before the products of this one.
// DOT4: activations in 16 bits, as two signed bytes, with a scale for each 32 (quantize.wgsl), weights as signed bytes; a
//   step is a block of 32. Its products are exact in 32-bit integers (at most 32 * 128 * 127 < 2^22, so an integer becomes
//   a float by its bits alone), scales in f32.
// else: everything in f32, $KU units of eight a step.
// Which rows a tile has:  DENSE   neighbours of the step; grid (outputs / $NT, rows / $TILE)
//                         EXPERT  the entries of one expert (group.wgsl); grid (outputs / $NT, most tiles there can be)
// What happens to a sum: put.inc.wgsl.
// In a tile, outputs o and o + 1 (o even) belong to the same thread: slot_of() places rows of W so.
#block matmul
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> info: array<u32>;      // DENSE: the step's words
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(6) var<storage, read> x_scale: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
#include put.inc.wgsl
#include tile.inc.wgsl

// Row r of a tile of W lies where the thread r / 2 % 16 of its row of threads looks for it.
fn slot_of(r: u32) -> u32 { return (r % 32u) / 2u + 16u * ((r & 1u) + 2u * (r / 32u)); }

// Parts of rows: all rows' first vectors, then all second ones; between them a gap against bank conflicts.
const TP = $TILEu + 2u;
const NP = $NTu + 2u;
#if DOT4
const XP = 4u;                                        // parts of a row of x: high bytes, low bytes
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;
var<workgroup> ta: array<vec4<u32>, XP * TP>;
var<workgroup> tb: array<vec4<u32>, 2u * NP>;
var<workgroup> fa: array<f32, $TILE>;
var<workgroup> fb: array<f32, $NT>;
#include halves.inc.wgsl
#include packed.inc.wgsl
#if MX4
@group(0) @binding(2) var<storage, read> wq: array<vec2<u32>>;
fn bytes16(w: vec2<u32>) -> vec4<u32> {               // signed
    return (vec4<u32>(mx4_bytes(w.x), mx4_bytes(w.y)) + (128u - u32(MX4_ZERO)) * 0x01010101u) ^ vec4<u32>(0x80808080u);
}
#else
@group(0) @binding(2) var<storage, read> wq: array<vec4<u32>>;
fn bytes16(w: vec4<u32>) -> vec4<u32> { return w; }
#endif
// A block's product from those of the high and of the low bytes.
fn exact(high: i32, low: i32) -> f32 {
    return fma(bitcast<f32>(high + 0x4b400000) - 12582912.0, 256.0, bitcast<f32>(low + 0x4b400000) - 12582912.0);
}
#else
const XP = 2u * $KUu;
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
var<workgroup> ta: array<vec4<f32>, XP * TP>;
var<workgroup> tb: array<vec4<f32>, XP * NP>;
#include weights.inc.wgsl
#endif

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let tx = t % 16u;
    let ty = t / 16u;
    let o0 = group.x * $NTu;
#include tile_begin.inc.wgsl
    // What this thread brings: vectors of x (part t % XP of every 256 / XP-th row), parts of rows of W.
#for v XV
    let r$v = (t + $vu * 256u) / XP;
    let x$v = row_of(begin + min(r$v, count - 1u));
#end
#for i NI
#for h NH
    var u$i_$h = 0.0;
    var v$i_$h = 0.0;
#end
#end
#if DOT4
    let n_blocks = p.n_units / 4u;
    let part = t & 3u;
    let b_row = w_row + min(o0 + t / 2u, p.n - 1u);
    let b_at = slot_of(t / 2u);
#for v XV
    var next$v = x[x$v * n_blocks * 4u + part];
    var next_scale$v = x_scale[x$v * n_blocks];
#end
    var next_w = wq[b_row * n_blocks * 2u + (t & 1u)];
    var next_f = block_scale(b_row, 0u);
    for (var block = 0u; block < n_blocks; block++) {
#for v XV
        if (r$v < $TILEu) {
            ta[part * TP + r$v] = next$v;
            if (part == 0u) { fa[r$v] = next_scale$v; }
        }
#end
        if (t < 2u * $NTu) {
            tb[(t & 1u) * NP + b_at] = bytes16(next_w);
            if ((t & 1u) == 0u) { fb[b_at] = next_f; }
        }
        workgroupBarrier();
        let ahead = min(block + 1u, n_blocks - 1u);
#for v XV
        next$v = x[(x$v * n_blocks + ahead) * 4u + part];
        next_scale$v = x_scale[x$v * n_blocks + ahead];
#end
        next_w = wq[(b_row * n_blocks + ahead) * 2u + (t & 1u)];
        next_f = block_scale(b_row, ahead);
#for h NH
        let b$h = tb[tx + 32u * $hu];
        let c$h = tb[NP + tx + 32u * $hu];
        let d$h = tb[tx + 32u * $hu + 16u];
        let e$h = tb[NP + tx + 32u * $hu + 16u];
        let fu$h = fb[tx + 32u * $hu];
        let fv$h = fb[tx + 32u * $hu + 16u];
#end
#for i NI
        if (16u * $iu < count) {
            let a0 = ta[ty + 16u * $iu];
            let a1 = ta[TP + ty + 16u * $iu];
            let a2 = ta[2u * TP + ty + 16u * $iu];
            let a3 = ta[3u * TP + ty + 16u * $iu];
            let s = fa[ty + 16u * $iu];
#for h NH
            u$i_$h = fma(exact(dot16(a0, b$h) + dot16(a1, c$h), dot16(a2, b$h) + dot16(a3, c$h)), s * fu$h, u$i_$h);
            v$i_$h = fma(exact(dot16(a0, d$h) + dot16(a1, e$h), dot16(a2, d$h) + dot16(a3, e$h)), s * fv$h, v$i_$h);
#end
        }
#end
        workgroupBarrier();
    }
#else
    let part = t % XP;
#for w WV
    let k$w = t + $wu * 256u;
    let row$w = w_row + min(o0 + k$w / $KUu, p.n - 1u);
    let at$w = slot_of(k$w / $KUu);
    var next_w$w = raw_unit(row$w, min(k$w % $KUu, p.n_units - 1u));
#end
#for v XV
    var next$v = x[(x$v * p.n_units + min(part / 2u, p.n_units - 1u)) * 2u + (part & 1u)];
#end
    for (var u0 = 0u; u0 < p.n_units; u0 += $KUu) {
        let inside = u0 + part / 2u < p.n_units;
#for v XV
        if (r$v < $TILEu) { ta[part * TP + r$v] = select(vec4<f32>(), next$v, inside); }
#end
#for w WV
        if (k$w < $NTu * $KUu) {
            let w = unit_of(next_w$w, min(u0 + k$w % $KUu, p.n_units - 1u));
            tb[2u * (k$w % $KUu) * NP + at$w] = w.a * w.s + w.m;
            tb[(2u * (k$w % $KUu) + 1u) * NP + at$w] = w.b * w.s + w.m;
        }
#end
        workgroupBarrier();
#for w WV
        next_w$w = raw_unit(row$w, min(u0 + $KUu + k$w % $KUu, p.n_units - 1u));
#end
#for v XV
        next$v = x[(x$v * p.n_units + min(u0 + $KUu + part / 2u, p.n_units - 1u)) * 2u + (part & 1u)];
#end
        for (var k = 0u; k < XP; k++) {
#for h NH
            let b$h = tb[k * NP + tx + 32u * $hu];
            let d$h = tb[k * NP + tx + 32u * $hu + 16u];
#end
#for i NI
            if (16u * $iu < count) {
                let a = ta[k * TP + ty + 16u * $iu];
#for h NH
                u$i_$h = fma(a.x, b$h.x, fma(a.y, b$h.y, fma(a.z, b$h.z, fma(a.w, b$h.w, u$i_$h))));
                v$i_$h = fma(a.x, d$h.x, fma(a.y, d$h.y, fma(a.z, d$h.z, fma(a.w, d$h.w, v$i_$h))));
#end
            }
#end
        }
        workgroupBarrier();
    }
#endif
#for i NI
    if (ty + 16u * $iu < count) {
        let out = out_row(begin + ty + 16u * $iu);
        let bias = bias_of(group.y);
#for h NH
        put(out, o0 + 32u * $hu + 2u * tx, bias, u$i_$h, v$i_$h);
#end
    }
#end
}
