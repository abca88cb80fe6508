// panel_layer - what the page draws of one layer, from the step's last row: the router's choice and the residual's norm.
// Grid: (1). Fills record `layer` of the panel buffer (panels.c has its layout).
// LAYERS: the same of all layers behind a step of one row, from what its routers left (router.wgsl ALONE). Grid: (layers).
#block panel_layer
#consts panel
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> panel: array<f32>;
#if LAYERS
#else
@group(0) @binding(4) var<storage, read> x: array<f32>;
var<workgroup> sums: array<f32, 64>;
#endif
#include step.inc.wgsl

var<workgroup> own: array<f32, 256>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = n_rows() - 1u;
#if LAYERS
    let layer = group.x;
    let begin = layer * p.n_expert;
    let norm = logits[p.n_layer * p.n_expert + layer];
#else
    let layer = p.layer;
    let begin = row * p.n_expert;
    var s = 0.0;
    for (var i = t; i < p.n_embd; i += 64u) { let v = x[row * p.n_embd + i]; s += v * v; }
    sums[t] = s;
    workgroupBarrier();
    for (var w = 32u; w > 0u; w >>= 1u) {
        if (t < w) { sums[t] += sums[t + w]; }
        workgroupBarrier();
    }
    let norm = sqrt(sums[0]);
#endif
    let record = PANEL_RECORDS + layer * PANEL_RECORD;
    for (var e = t; e < p.n_expert; e += 64u) { own[e] = logits[begin + e]; }
    workgroupBarrier();
    for (var e = t; e < p.n_expert; e += 64u) {      // chosen: fewer than top_k stand before it
        var before = 0u;
        var top = own[e];
        for (var i = 0u; i < p.n_expert; i++) {
            top = max(top, own[i]);
            if (own[i] > own[e] || (own[i] == own[e] && i < e)) { before++; }
        }
        let weight = select(0.0, max(exp(own[e] - top), 0.05), before < p.top_k);
        panel[record + PANEL_WEIGHTS + e] = weight;
        panel[record + PANEL_USE + e] = panel[record + PANEL_USE + e] * 0.96 + 0.04 * weight;
    }
    if (t == 0u) {
        let pos = row_pos(row);
        panel[record + PANEL_NORM] = norm;
        panel[record + PANEL_KEYS] = f32(pos + 1u);
        panel[record + PANEL_FIRST] = select(0.0, max(f32(pos + 1u) - panel[record + PANEL_WINDOW], 0.0), panel[record + PANEL_WINDOW] > 0.0);
        if (layer == 0u) { panel[PANEL_POSITION] = f32(pos); }
    }
}
