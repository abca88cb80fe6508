// repack - raw GGUF blocks to the layouts of layout.h, exactly. One thread makes one word of scales: 4 blocks
// of MX4, 2 of Q8, 32 values of I8 (two scales), 8 values of the plain types. Source rows [0, n_rows) lie at
// byte 0 of raw.
// ws[p.beyond] becomes 1.0 where a weight does not fit a half as matmul_fragments makes one of it.
// Grid: 1-D or folded to 2-D.
//   dst row = row0 + r          (mode 0)
//           = row0 + pair(r)    (mode 1: of each head, dims i and i + rope_dim / 2 become 2i and 2i + 1)
//           = row0 + 2 r        (mode 2: gate rows even, and with row0 odd, up rows)
#block repack
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read_write> wq: array<u32>;
@group(0) @binding(3) var<storage, read_write> ws: array<u32>;

fn byte(at: u32) -> u32 { return (raw[at >> 2u] >> ((at & 3u) * 8u)) & 255u; }
fn half(at: u32) -> u32 { return byte(at) | (byte(at + 1u) << 8u); }
fn word(at: u32) -> u32 {                            // four bytes from anywhere
    let s = (at & 3u) * 8u;
    let lo = raw[at >> 2u];
    if (s == 0u) { return lo; }
    return (lo >> s) | (raw[(at >> 2u) + 1u] << (32u - s));
}
fn f16(h: u32) -> f32 {
    let e = (h >> 10u) & 31u;
    let v = select(bitcast<f32>(((e + 112u) << 23u) | ((h & 1023u) << 13u)), f32(h & 1023u) * 5.9604644775390625e-8, e == 0u);
    return select(v, -v, (h & 0x8000u) != 0u);
}
fn dst_row(local: u32) -> u32 {
    let r = local + p.source_row;
    if (p.mode == 2u) { return p.row0 + 2u * r; }
    if (p.mode == 1u) {
        let j = r % p.head_dim;
        let half_dim = p.rope_dim / 2u;
        if (j < p.rope_dim) { return p.row0 + r - j + select(2u * (j - half_dim) + 1u, 2u * j, j < half_dim); }
    }
    return p.row0 + r;
}

#if MX4
// A word of MX4 holds elements 8w .. 8w + 7 of its block: nibble 2k is element k, nibble 2k + 1 element k + 4. Each is the code
// of its value (mx4.inc.wgsl): 0 0.5 1 1.5 2 3 4 6 are 6 7 8 13 10 12 11 15, -0 -0.5 ... are 6 9 4 3 2 0 5 1.
const CODES = vec2<u32>(0xfbcad876u, 0x15023496u);
fn nibble(block: u32, e: u32) -> u32 {
    let n = (byte(block + 1u + (e & 15u)) >> ((e >> 4u) * 4u)) & 15u;
    return (CODES[n >> 3u] >> ((n & 7u) * 4u)) & 15u;
}
fn convert(src: u32, row: u32, i: u32) {
    var scales = 0u;
    for (var k = 0u; k < 4u; k++) {
        let b = i * 4u + k;
        if (b * 4u < p.n_units) {
            let block = src + b * 17u;
            scales |= byte(block) << (k * 8u);
            for (var w = 0u; w < 4u; w++) {
                var v = 0u;
                for (var j = 0u; j < 4u; j++) { v |= (nibble(block, 8u * w + j) << (8u * j)) | (nibble(block, 8u * w + j + 4u) << (8u * j + 4u)); }
                if (v != 0x66666666u && (byte(block) < 107u || byte(block) > 131u)) { ws[p.beyond] = 0x3f800000u; }
                wq[row * p.n_units + b * 4u + w] = v;
            }
        }
    }
    ws[row * p.scale_words + i] = scales;
}
#endif
#if Q8
fn convert(src: u32, row: u32, i: u32) {
    var scales = 0u;
    for (var k = 0u; k < 2u; k++) {
        let b = i * 2u + k;
        if (b * 4u < p.n_units) {
            let block = src + b * 34u;
            scales |= half(block) << (k * 16u);
            if ((half(block) & 0x7fffu) > 0x4800u) { ws[p.beyond] = 0x3f800000u; }
            for (var w = 0u; w < 8u; w++) { wq[(row * p.n_units + b * 4u) * 2u + w] = word(block + 2u + 4u * w); }
        }
    }
    ws[row * p.scale_words + i] = scales;
}
#endif
#if PLAIN
fn convert(src: u32, row: u32, i: u32) {
    for (var w = 0u; w < $UNIT_WORDSu; w++) { wq[(row * p.n_units + i) * $UNIT_WORDSu + w] = word(src + (i * $UNIT_WORDSu + w) * 4u); }
}
#endif
#if I8
// 32 values from 32 i on: bytes, and (scale, minimum) of each 16.
var<private> q: array<i32, 32>;
var<private> s: array<vec2<f32>, 2>;
const IQ4 = array<i32, 16>(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
#if LEGACY
// Q4_0 18, Q4_1 20, Q5_0 22, Q5_1 24, IQ4_NL 18 bytes a block
fn decode(src: u32, i: u32) {
    let block = src + i * $BLOCK_BYTESu;
    let d = f16(half(block));
    var m = 0.0;
    var at = block + 2u;
    if ($HAS_MIN == 1) { m = f16(half(at)); at += 2u; }
    var high = 0u;
    if ($HAS_FIFTH == 1) { high = word(at); at += 4u; }
    for (var j = 0u; j < 32u; j++) {
        let n = (byte(at + (j & 15u)) >> ((j >> 4u) * 4u)) & 15u;
        if ($IS_IQ4 == 1) { q[j] = IQ4[n]; }
        else { q[j] = i32(n | (((high >> j) & 1u) << 4u)) - $BIAS; }
    }
    s[0] = vec2<f32>(d, m);
    s[1] = s[0];
}
#endif
#if Q2_K
fn decode(src: u32, i: u32) {
    let block = src + (i / 8u) * 84u;
    let g = i % 8u;                                  // half g / 4, shift g % 4
    let d = f16(half(block + 80u));
    let dmin = f16(half(block + 82u));
    for (var k = 0u; k < 2u; k++) {
        let sc = byte(block + g * 2u + k);
        s[k] = vec2<f32>(d * f32(sc & 15u), -(dmin * f32(sc >> 4u)));
        for (var l = 0u; l < 16u; l++) { q[k * 16u + l] = i32((byte(block + 16u + (g / 4u) * 32u + k * 16u + l) >> (2u * (g % 4u))) & 3u); }
    }
}
#endif
#if Q3_K
fn scale3(block: u32, j: u32) -> i32 {               // six bits: four from bytes 0..7, two from bytes 8..11
    let low = (byte(block + 96u + (j & 7u)) >> (4u * (j >> 3u))) & 15u;
    return i32(low | (((byte(block + 104u + (j & 3u)) >> (2u * (j >> 2u))) & 3u) << 4u)) - 32;
}
fn decode(src: u32, i: u32) {
    let block = src + (i / 8u) * 110u;
    let g = i % 8u;
    let d = f16(half(block + 108u));
    for (var k = 0u; k < 2u; k++) {
        s[k] = vec2<f32>(d * f32(scale3(block, g * 2u + k)), 0.0);
        for (var l = 0u; l < 16u; l++) {
            let v = i32((byte(block + 32u + (g / 4u) * 32u + k * 16u + l) >> (2u * (g % 4u))) & 3u);
            q[k * 16u + l] = v - select(4, 0, ((byte(block + k * 16u + l) >> g) & 1u) == 1u);
        }
    }
}
#endif
#if Q45_K
fn decode(src: u32, i: u32) {
    let block = src + (i / 8u) * $BLOCK_BYTESu;
    let j = i % 8u;
    var sc = byte(block + 4u + j) & 63u;
    var mn = byte(block + 8u + j) & 63u;
    if (j >= 4u) {
        sc = (byte(block + 8u + j) & 15u) | ((byte(block + j) >> 6u) << 4u);
        mn = (byte(block + 8u + j) >> 4u) | ((byte(block + 4u + j) >> 6u) << 4u);
    }
    s[0] = vec2<f32>(f16(half(block)) * f32(sc), -(f16(half(block + 2u)) * f32(mn)));
    s[1] = s[0];
    for (var l = 0u; l < 32u; l++) {
        var v = (byte(block + $BLOCK_BYTESu - 128u + (j / 2u) * 32u + l) >> (4u * (j & 1u))) & 15u;
        if ($BLOCK_BYTES == 176) { v |= ((byte(block + 16u + l) >> j) & 1u) << 4u; }
        q[l] = i32(v);
    }
}
#endif
#if Q6_K
fn decode(src: u32, i: u32) {
    let block = src + (i / 8u) * 210u;
    let h = (i % 8u) / 4u;
    let k = i % 4u;
    let d = f16(half(block + 208u));
    for (var g = 0u; g < 2u; g++) {
        let sc = byte(block + 192u + h * 8u + k * 2u + g);
        s[g] = vec2<f32>(d * f32(i32(sc << 24u) >> 24u), 0.0);
    }
    for (var l = 0u; l < 32u; l++) {
        let low = (byte(block + h * 64u + (k & 1u) * 32u + l) >> ((k >> 1u) * 4u)) & 15u;
        q[l] = i32(low | (((byte(block + 128u + h * 32u + l) >> (2u * k)) & 3u) << 4u)) - 32;
    }
}
#endif
fn convert(src: u32, row: u32, i: u32) {
    decode(src, i);
    for (var w = 0u; w < 8u; w++) {
        wq[(row * p.n_units + i * 4u) * 2u + w] = (u32(q[4u * w]) & 255u) | ((u32(q[4u * w + 1u]) & 255u) << 8u)
            | ((u32(q[4u * w + 2u]) & 255u) << 16u) | (u32(q[4u * w + 3u]) << 24u);
    }
    for (var k = 0u; k < 2u; k++) {
        let at = (row * p.scale_words + i * 2u + k) * 2u;
        ws[at] = bitcast<u32>(s[k].x);
        ws[at + 1u] = bitcast<u32>(s[k].y);
        if (!(abs(s[k].x) * 128.0 + abs(s[k].y) <= 1000.0)) { ws[p.beyond] = 0x3f800000u; }
    }
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.grid_x * 64u + id.x;
    if (i >= p.n_rows * p.per_row) { return; }
    let r = i / p.per_row;
    convert(r * p.row_bytes, dst_row(r), i % p.per_row);
}
