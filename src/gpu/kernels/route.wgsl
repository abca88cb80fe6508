// route - norm, router, top-k and softmax over the chosen, for one row a workgroup. Grid: (rows).
// The normalised input of the experts goes to y[row], as floats or PACKED; logits[row][e]; route[row][k] = (slot of the
// expert or NONE, weight bits), in falling order of logits, the lower expert first among equals.
#block route
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> small: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;
#if PACKED
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
#include pack.inc.wgsl
#else
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
#endif
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;
@group(0) @binding(6) var<storage, read_write> route: array<vec2<u32>>;
#if PAGED
// mark[0]: set to 65536 - layer where an expert is absent, so that the first such layer wins, unless mark[1] is set;
// from mark[4] on, the experts that every layer wants, as bits. This kernel runs also behind the mark: what the later
// layers would want of the residual as it stands is a prediction.
@group(0) @binding(7) var<storage, read_write> mark: array<atomic<u32>>;
#endif
#if SEEN
// Of steps of few rows (choose.inc.wgsl).
@group(0) @binding($SEEN) var<storage, read_write> seen: array<u32>;
#endif
#include reduce.inc.wgsl
#include rms.inc.wgsl
#include choose.inc.wgsl

#if STAGED
var<workgroup> xs: array<vec4<f32>, $STAGED>;        // the normalised row
#endif

fn router_row(e: u32) -> u32 { return p.router / 4u + min(e, p.n_expert - 1u) * (p.n / 4u); }

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = group.x;
    // The first weights of the router are asked for before the norm is known.
#for k EP
    var w$k = router_row((t / $LANES) * $EPu + $ku);
#end
#for j IT
#for k EP
    var ahead$j_$k = small[w$k + min(t % $LANES + $ju * $LANESu, p.n / 4u - 1u)];
#end
#end
    let n4 = p.n / 4u;                                // every vector starts at a multiple of 4
    let scale = rms_scale(row, n4, p.eps, t);
    for (var first = 0u; first < n4; first += $WGu) {
        let i = first + t;
        let v = x[row * n4 + min(i, n4 - 1u)] * scale * small[p.gain / 4u + min(i, n4 - 1u)];
#if STAGED
        if (i < n4) { xs[i] = v; }
#endif
#if PACKED
        pack(row, n4 / 8u, i, i < n4, v, t);
#else
        if (i < n4) { y[row * n4 + i] = v; }
#endif
    }
    workgroupBarrier();
    for (var first = 0u; first < p.n_expert; first += $GROUPSu * $EPu) {
#for k EP
        var acc$k = 0.0;
#end
        for (var i = t % $LANES; i < n4; i += $LANESu * $ITu) {
#for j IT
#for k EP
            let next$j_$k = small[w$k + min(i + ($ITu + $ju) * $LANESu, n4 - 1u)];
#end
#end
#for j IT
            let i$j = min(i + $ju * $LANESu, n4 - 1u);
#if STAGED
            let v$j = select(vec4<f32>(), xs[i$j], i + $ju * $LANESu < n4);
#else
            let v$j = select(vec4<f32>(), x[row * n4 + i$j] * scale * small[p.gain / 4u + i$j], i + $ju * $LANESu < n4);
#endif
#for k EP
            acc$k += dot(ahead$j_$k, v$j);
            ahead$j_$k = next$j_$k;
#end
#end
        }
#for k EP
        reduce($ku, acc$k, t);
#end
        reduce_end(t);
        if (t < $GROUPSu * $EPu && first + t < p.n_expert) {
            let at = p.bias + first + t;
            let v = totals[t] + small[at / 4u][at % 4u];
            r[first + t] = v;
            logits[row * p.n_expert + first + t] = v;
        }
        workgroupBarrier();
#for k EP
        w$k = router_row(first + ($GROUPSu + t / $LANES) * $EPu + $ku);
#for j IT
        ahead$j_$k = small[w$k + min(t % $LANES + $ju * $LANESu, n4 - 1u)];
#end
#end
    }
    choose(p.n_expert, p.top_k, t);
    if (t < p.top_k) {
        let e = chosen[t];
        let w = weight_of(t, p.top_k);
        let slot = slots[p.layer * p.n_expert + e];
        route[row * p.top_k + t] = vec2<u32>(slot, bitcast<u32>(w));
#if SEEN
        see(row, p.layer, t, w);
#endif
#if PAGED
        atomicOr(&mark[4u + p.layer * ((p.n_expert + 31u) / 32u) + e / 32u], 1u << (e % 32u));
        if (slot == 0xffffffffu && atomicLoad(&mark[1]) == 0u) { atomicMax(&mark[0], 65536u - p.layer); }
#endif
    }
}
