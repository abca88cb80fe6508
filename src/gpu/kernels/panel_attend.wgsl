// panel_attend - the attention of the step's last row in the watched layer and head, for the page to draw: a row of weights
// of at most 256 keys, the newest. Grid: (1). Row pos % 128 of the panel buffer's map (panels.c has its layout).
#block panel_attend
#consts panel
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> kv: array<$KV4>;
@group(0) @binding(4) var<storage, read> small: array<f32>;
@group(0) @binding(5) var<storage, read_write> panel: array<f32>;
#include step.inc.wgsl
#include window.inc.wgsl
#include keys.inc.wgsl

var<workgroup> best: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;

#include score.inc.wgsl

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32) {
    let row = n_rows() - 1u;
    let pos = row_pos(row);
    let head = min(u32(panel[PANEL_HEAD]), p.n_head - 1u);
    let first = max(select(0u, pos - 255u, pos > 255u), first_seen(pos));
    let out = p.map + (pos % PANEL_ROWS) * PANEL_COLUMNS;
    var own: array<f32, 4>;
    var m = -3.0e38;
    for (var i = 0u; i < 4u; i++) {
        let key = first + i * 64u + t;
        own[i] = -3.0e38;
        if (key <= pos) { own[i] = score(row, head, key); }
        m = max(m, own[i]);
    }
    best[t] = m;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w >>= 1u) {
        if (t < w) { best[t] = max(best[t], best[t + w]); }
        workgroupBarrier();
    }
    m = best[0];
    if (p.sinks != 0xffffffffu) { m = max(m, small[p.sinks + head]); }
    var s = 0.0;
    for (var i = 0u; i < 4u; i++) { own[i] = select(0.0, exp(own[i] - m), own[i] > -2.0e38); s += own[i]; }
    sums[t] = s;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w >>= 1u) {
        if (t < w) { sums[t] += sums[t + w]; }
        workgroupBarrier();
    }
    s = sums[0];
    if (p.sinks != 0xffffffffu) { s += exp(small[p.sinks + head] - m); }
    for (var i = 0u; i < 4u; i++) { panel[out + i * 64u + t] = own[i] / s; }
    if (t == 0u) { panel[PANEL_FIRSTS + pos % PANEL_ROWS] = f32(first + 1u); }
}
