// quantize - rows of floats to 16 bits in two signed bytes with a scale for each 32: v = round(x * 32512 / max|x|) = 256 *
// high + low, scale = max|x| / 32512. Blocks of zeros (and below 1e-30) become zero. A thread makes one block: four vectors,
// high bytes of elements 0..15, of 16..31, low bytes likewise. Grid: (blocks of all rows, folded to 2-D).
// n_blocks: a row; rows: times for each row of the step
#block quantize
#consts step
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> q: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;

fn bytes(v: vec4<i32>) -> u32 {
    let i = vec4<u32>(v) & vec4<u32>(255u);
    return i.x | (i.y << 8u) | (i.z << 16u) | (i.w << 24u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.y * p.grid_x * 64u + id.x;
    if (block >= step[STEP_N_ROWS] * p.times * p.n_blocks) { return; }
    var m = vec4<f32>();
#for k 8
    let x$k = x[block * 8u + $ku];
    m = max(m, abs(x$k));
#end
    let top = max(max(m.x, m.y), max(m.z, m.w));
    let inverse = select(0.0, 32512.0 / top, top >= 1e-30);
#for k 8
    let v$k = vec4<i32>(round(x$k * inverse));
    let h$k = (v$k + vec4<i32>(128)) >> vec4<u32>(8u);
#end
    q[block * 4u] = vec4<u32>(bytes(h0), bytes(h1), bytes(h2), bytes(h3));
    q[block * 4u + 1u] = vec4<u32>(bytes(h4), bytes(h5), bytes(h6), bytes(h7));
#for k 8
    let l$k = bytes(v$k - h$k * 256);
#end
    q[block * 4u + 2u] = vec4<u32>(l0, l1, l2, l3);
    q[block * 4u + 3u] = vec4<u32>(l4, l5, l6, l7);
    scale[block] = select(0.0, top / 32512.0, top >= 1e-30);
}
