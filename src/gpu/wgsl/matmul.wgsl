// matmul - y = W x for many rows, in tiles of 64 rows by 16 * $NJ outputs; a thread makes 4 x $NJ of them, sums in f32.
// DOT4: activations as signed bytes with a scale for each 32 (quantize.wgsl), weights as signed bytes;
// products of a block of 32 are
//   exact in 32-bit integers (at most 32 * 127 * 127 < 2^22, so an integer becomes a float by its bits
// alone), scales in f32.
// else: everything in f32, two units of eight at a time.
// Which rows a tile has:  DENSE   64 neighbours of the step; grid (outputs / (16 $NJ), rows / 64)
//                         EXPERT  the entries of one expert (group.wgsl); grid (outputs / (16 $NJ), most
// tiles there can be)
// What happens to a sum:  STORE   y[row][first + o] = sum + bias
//                         ADD     y[row][first + o] += sum + bias
//                         UP      rows 2i, 2i + 1 of W are gate i, up i: y[entry][i] = SwiGLU with biases and clamps
//                         SILU    the same without: y[row][i] = silu(gate) * up
//                         DOWN    y[entry][o] = sum + bias
// In a tile, outputs o and o + 1 (o even) belong to the same thread: slot_of() places rows of W so.
struct P { n_units: u32, scale_words: u32, n: u32, first: u32, stride: u32, bias: u32, top_k: u32, list: u32, slot0: u32, n_slots: u32,
           alpha: f32, limit: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> info: array<u32>;      // DENSE: the step's words
@group(0) @binding(2) var<storage, read> wq: array<$WQ>;
@group(0) @binding(3) var<storage, read> ws: array<$WS>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
#if DOT4
@group(0) @binding(5) var<storage, read> x: array<vec4<u32>>;
#else
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(6) var<storage, read> x_scale: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
#include weights.inc.wgsl

// Row r of a tile of W lies where the thread r / 2 % 16 of its row of threads looks for it.
fn slot_of(r: u32) -> u32 { return (r % 32u) / 2u + 16u * ((r & 1u) + 2u * (r / 32u)); }

#if DOT4
var<workgroup> ta: array<vec4<u32>, 192>;             // 64 rows of x: 2 vectors and a gap each, against bank conflicts
var<workgroup> tb: array<vec4<u32>, $TB>;             // 16 $NJ rows of W
var<workgroup> fa: array<f32, 64>;
var<workgroup> fb: array<f32, $NT>;
#include packed.inc.wgsl
#if MX4
fn load_w(row: u32, block: u32, at: u32) {
    let u = row * p.n_units + block * 4u;
    let w = vec4<u32>(wq[u], wq[u + 1u], wq[u + 2u], wq[u + 3u]);
    let t = magnitudes(w);
    let a = with_signs(t, w >> vec4<u32>(3u));
    let b = with_signs(t >> vec4<u32>(4u), w >> vec4<u32>(7u));
    tb[at * 3u] = vec4<u32>(a.x, b.x, a.y, b.y);
    tb[at * 3u + 1u] = vec4<u32>(a.z, b.z, a.w, b.w);
    fb[at] = block_scale(row, block);
}
#endif
#if Q8
fn load_w(row: u32, block: u32, at: u32) {
    let u = row * p.n_units + block * 4u;
    tb[at * 3u] = vec4<u32>(wq[u], wq[u + 1u]);
    tb[at * 3u + 1u] = vec4<u32>(wq[u + 2u], wq[u + 3u]);
    fb[at] = block_scale(row, block);
}
#endif
#else
var<workgroup> ta: array<vec4<f32>, 320>;             // 64 rows of x: 4 vectors and a gap
var<workgroup> tb: array<vec4<f32>, $TB>;
#endif

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let tx = t % 16u;
    let ty = t / 16u;
    let o0 = group.x * $NTu;
#if EXPERT
    if (group.y >= info[0]) { return; }
    let slot = info[4u + 4u * group.y];
    if (slot < p.slot0 || slot >= p.slot0 + p.n_slots) { return; }
    let entry0 = info[5u + 4u * group.y];
    let count = info[6u + 4u * group.y];
    let w_row = (slot - p.slot0) * p.n;
#else
    if (group.y * 64u >= info[0]) { return; }
    let count = min(info[0] - group.y * 64u, 64u);
    let w_row = 0u;
#endif
    var acc: array<f32, $ACC>;
#if DOT4
    // Threads 0 to 127 bring a half row of x each, the others rows of W.
    let mine = min((t % 128u) / 2u, count - 1u);
#else
    let mine = min(t / 4u, count - 1u);
#endif
#if EXPERT
#if UP
    let x_row = info[p.list + entry0 + mine] / p.top_k;
#else
    let x_row = info[p.list + entry0 + mine];
#endif
#else
    let x_row = group.y * 64u + mine;
#endif
#if DOT4
    let n_blocks = p.n_units / 4u;
    for (var block = 0u; block < n_blocks; block++) {
        if (t < 128u) {
            let r = t / 2u;
            ta[r * 3u + (t & 1u)] = x[(x_row * n_blocks + block) * 2u + (t & 1u)];
            if ((t & 1u) == 0u) { fa[r] = x_scale[x_row * n_blocks + block]; }
        } else if (t - 128u < $NTu) {
            let r = t - 128u;
            load_w(w_row + min(o0 + r, p.n - 1u), block, slot_of(r));
        }
        workgroupBarrier();
        // zeroed each time round: some compilers do it once for a bare declaration
        var d = array<i32, $ACC>();
        for (var half = 0u; half < 2u; half++) {
            var b: array<vec4<u32>, $NJ>;
            for (var j = 0u; j < $NJu; j++) { b[j] = tb[(tx + 16u * j) * 3u + half]; }
            for (var i = 0u; i < 4u; i++) {
                if (16u * i < count) {
                    let a = ta[(ty + 16u * i) * 3u + half];
                    for (var j = 0u; j < $NJu; j++) {
                        d[i * $NJu + j] += dot4I8Packed(a.x, b[j].x) + dot4I8Packed(a.y, b[j].y) + dot4I8Packed(a.z, b[j].z) + dot4I8Packed(a.w, b[j].w);
                    }
                }
            }
        }
        for (var i = 0u; i < 4u; i++) {
            if (16u * i < count) {
                let s = fa[ty + 16u * i];
                for (var j = 0u; j < $NJu; j++) {
                    acc[i * $NJu + j] = fma(bitcast<f32>(d[i * $NJu + j] + 0x4b400000) - 12582912.0, s * fb[tx + 16u * j], acc[i * $NJu + j]);
                }
            }
        }
        workgroupBarrier();
    }
#else
    for (var u0 = 0u; u0 < p.n_units; u0 += 2u) {
        let quarter = t & 3u;
        let inside = u0 + quarter / 2u < p.n_units;
        ta[(t / 4u) * 5u + quarter] = select(vec4<f32>(0.0), x[(x_row * p.n_units + min(u0 + quarter / 2u, p.n_units - 1u)) * 2u + (quarter & 1u)], inside);
        for (var k = t; k < 2u * $NTu; k += 256u) {
            let r = k / 2u;
            let u = u0 + (k & 1u);
            let w = unit(w_row + min(o0 + r, p.n - 1u), min(u, p.n_units - 1u));
            let at = slot_of(r) * 5u + 2u * (k & 1u);
            tb[at] = w.a * w.s + w.m;
            tb[at + 1u] = w.b * w.s + w.m;
        }
        workgroupBarrier();
        for (var k = 0u; k < 4u; k++) {
            var b: array<vec4<f32>, $NJ>;
            for (var j = 0u; j < $NJu; j++) { b[j] = tb[(tx + 16u * j) * 5u + k]; }
            for (var i = 0u; i < 4u; i++) {
                if (16u * i < count) {
                    let a = ta[(ty + 16u * i) * 5u + k];
                    for (var j = 0u; j < $NJu; j++) { acc[i * $NJu + j] += dot(a, b[j]); }
                }
            }
        }
        workgroupBarrier();
    }
#endif
    for (var i = 0u; i < 4u; i++) {
        let r = ty + 16u * i;
        if (r < count) {
#if EXPERT
            let out = info[p.list + entry0 + r];
            let bias = p.bias + info[7u + 4u * group.y] * p.n;
#else
            let out = group.y * 64u + r;
            let bias = p.bias;
#endif
            for (var j = 0u; j < $NJu; j += 2u) {
                let o = o0 + 32u * (j / 2u) + 2u * tx;
                let v0 = acc[i * $NJu + j];
                let v1 = acc[i * $NJu + j + 1u];
#if UP
                if (o < p.n) {
                    let g = min(v0 + small[bias + o], p.limit);
                    let up = clamp(v1 + small[bias + o + 1u], -p.limit, p.limit);
                    y[out * p.stride + o / 2u] = g / (1.0 + exp(-p.alpha * g)) * (up + 1.0);
                }
#endif
#if SILU
                if (o < p.n) { y[out * p.stride + (p.first + o) / 2u] = v0 / (1.0 + exp(-v0)) * v1; }
#endif
#if STORE
                if (o < p.n) { y[out * p.stride + p.first + o] = v0 + select(0.0, small[bias + o], p.bias != 0xffffffffu); }
                if (o + 1u < p.n) { y[out * p.stride + p.first + o + 1u] = v1 + select(0.0, small[bias + o + 1u], p.bias != 0xffffffffu); }
#endif
#if DOWN
                if (o < p.n) { y[out * p.stride + o] = v0 + small[bias + o]; }
                if (o + 1u < p.n) { y[out * p.stride + o + 1u] = v1 + small[bias + o + 1u]; }
#endif
#if ADD
                if (o < p.n) { y[out * p.stride + p.first + o] += v0 + select(0.0, small[bias + o], p.bias != 0xffffffffu); }
                if (o + 1u < p.n) { y[out * p.stride + p.first + o + 1u] += v1 + select(0.0, small[bias + o + 1u], p.bias != 0xffffffffu); }
#endif
            }
        }
    }
}
