// quantize - rows of floats to signed bytes with a scale for each 32: q = round(x * 127 / max|x|), scale =
// max|x| / 127.
// Blocks of zeros (and below 1e-30) become zero. A thread makes one block. Grid: (blocks of all rows, folded to 2-D).
struct P { n_blocks: u32, times: u32, grid_x: u32 }   // n_blocks: a row; rows: times for each row of the step
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> q: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;

fn bytes(v: vec4<f32>) -> u32 {
    let i = vec4<u32>(vec4<i32>(round(v))) & vec4<u32>(255u);
    return i.x | (i.y << 8u) | (i.z << 16u) | (i.w << 24u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.y * p.grid_x * 64u + id.x;
    if (block >= step[0] * p.times * p.n_blocks) { return; }
    let at = block * 8u;
    let x0 = x[at];
    let x1 = x[at + 1u];
    let x2 = x[at + 2u];
    let x3 = x[at + 3u];
    let x4 = x[at + 4u];
    let x5 = x[at + 5u];
    let x6 = x[at + 6u];
    let x7 = x[at + 7u];
    let m = max(max(max(abs(x0), abs(x1)), max(abs(x2), abs(x3))), max(max(abs(x4), abs(x5)), max(abs(x6), abs(x7))));
    let top = max(max(m.x, m.y), max(m.z, m.w));
    let inverse = select(0.0, 127.0 / top, top >= 1e-30);
    q[block * 2u] = vec4<u32>(bytes(x0 * inverse), bytes(x1 * inverse), bytes(x2 * inverse), bytes(x3 * inverse));
    q[block * 2u + 1u] = vec4<u32>(bytes(x4 * inverse), bytes(x5 * inverse), bytes(x6 * inverse), bytes(x7 * inverse));
    scale[block] = select(0.0, top / 127.0, top >= 1e-30);
}
