// put.inc.wgsl - what becomes of two neighbouring sums of a product with many rows:
//   STORE   y[row][first + o] = sum + bias
//   ADD     y[row][first + o] += sum + bias
//   UP      rows 2i, 2i + 1 of W are gate i, up i: y[entry][i] = SwiGLU with biases and clamps
//   SILU    the same without: y[row][i] = silu(gate) * up
//   DOWN    y[entry][o] = sum + bias
// Outputs o and o + 1 of a row or entry; bias: where the outputs' biases begin, if there are any.
fn put(out: u32, o: u32, bias: u32, v0: f32, v1: f32) {
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
