// panels.js - the maps that show what is on the GPU: render passes on the engine's own device, straight from
// the buffer that its kernels fill (its layout: src/gpu/kernels/blocks.h). Nothing is read back. Four
// canvases, one shader, a pipeline and a small uniform each. Which map it draws is a constant of the
// pipeline: of a branch on a uniform, lavapipe keeps a shader for every draw (docs/browser.md).

import { PANEL } from "./words.js";

const MAPS = { attn: 0, router: 1, kv: 2, activity: 3 };
const WORDS = Object.entries(PANEL).map(([name, value]) => `const PANEL_${name} = ${value}u;`).join("\n");
const CODE = /* wgsl */`${WORDS}
override MAP: u32;
struct View { width: f32, height: f32 }
@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> panel: array<f32>;
@vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
  return vec4<f32>(f32(i32(i % 2u) * 4 - 1), f32(i32(i / 2u) * 4 - 1), 0.0, 1.0);
}
const CY = vec3<f32>(0.36, 0.88, 1.0);
const GR = vec3<f32>(0.43, 1.0, 0.69);
const VI = vec3<f32>(0.73, 0.64, 1.0);
fn heat(x: f32) -> vec3<f32> {
  let t = clamp(x, 0.0, 1.0);
  return mix(vec3<f32>(0.01, 0.05, 0.09), CY, sqrt(t)) + vec3<f32>(0.8, 0.12, 0.0) * max(0.0, t - 0.6);
}
fn record(layer: u32) -> u32 { return PANEL_RECORDS + layer * PANEL_RECORD; }
fn attention(x: f32, y: f32) -> vec3<f32> {
  let pos = u32(panel[PANEL_POSITION]);
  let rows = clamp(u32(view.height / 5.0), 1u, PANEL_ROWS);
  let back = u32((1.0 - y) * f32(rows));
  if (back > pos) { return vec3<f32>(); }
  let row = (pos - back) % PANEL_ROWS;
  let first = panel[PANEL_FIRSTS + row];
  if (first == 0.0) { return vec3<f32>(); }
  let span = f32(min(pos + 1u, PANEL_COLUMNS));
  let key = floor(x * span) + f32(pos + 1u) - span;
  let at = key - (first - 1.0);
  if (at < 0.0 || at >= f32(PANEL_COLUMNS) || key > f32(pos - back)) { return vec3<f32>(); }
  let map = record(u32(panel[PANEL_LAYERS])) + row * PANEL_COLUMNS;
  return heat(sqrt(panel[map + u32(at)]));
}
fn router(x: f32, y: f32) -> vec3<f32> {
  let n = panel[PANEL_N_EXPERT];
  if (n == 0.0) { return vec3<f32>(); }
  let cell = vec2<f32>(x * n, y * panel[PANEL_LAYERS]);
  let r = record(u32(cell.y)) + u32(cell.x);
  let inside = fract(cell) * vec2<f32>(view.width / n, view.height / panel[PANEL_LAYERS]);
  if (inside.x < 1.0 || inside.y < 1.0) { return vec3<f32>(); }
  let now = panel[r + PANEL_WEIGHTS];
  return select(heat(0.02 + 1.2 * panel[r + PANEL_USE]), GR * (0.45 + 0.55 * now), now > 0.0);
}
fn cache(x: f32, y: f32) -> vec3<f32> {
  let cell = y * panel[PANEL_LAYERS];
  let r = record(u32(cell));
  if (fract(cell) * view.height / panel[PANEL_LAYERS] < 1.0) { return vec3<f32>(); }
  let span = exp2(ceil(log2(max(64.0, panel[r + PANEL_KEYS]))));
  let key = x * span;
  let held = key < panel[r + PANEL_KEYS] && key >= panel[r + PANEL_FIRST];
  return select(vec3<f32>(0.02, 0.06, 0.09), select(CY, VI, panel[r + PANEL_FIRST] > 0.0) * 0.8, held);
}
fn norms(x: f32, y: f32) -> vec3<f32> {
  let cell = x * panel[PANEL_LAYERS];
  var top = 0.1;
  for (var i = 0u; i < u32(panel[PANEL_LAYERS]); i++) {
    top = max(top, log(1.0 + panel[record(i) + PANEL_NORM]));
  }
  let v = log(1.0 + panel[record(u32(cell)) + PANEL_NORM]) / top * 0.94;
  let inside = 1.0 - y < v && fract(cell) > 0.12 && fract(cell) < 0.88;
  return select(vec3<f32>(), GR * (0.35 + 0.65 * (1.0 - y)), inside);
}
@fragment fn pixel(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
  let x = at.x / view.width;
  let y = at.y / view.height;
  var c = vec3<f32>();
  switch (MAP) {
    case 0u: { c = attention(x, y); }
    case 1u: { c = router(x, y); }
    case 2u: { c = cache(x, y); }
    default: { c = norms(x, y); }
  }
  return vec4<f32>(c, min(1.0, max(c.r, max(c.g, c.b)) * 2.0));
}`;

export class Panels {
  #canvases = {}; #seen = {}; #device = null; #made = null; #timer = 0; #last = 0; #gap; #notice;
  frames = 0;

  /** calm: at most 30 frames a second. */
  constructor(canvases, { calm, notice }) {
    this.#canvases = canvases;
    this.#gap = calm ? 33 : 15;
    this.#notice = notice;
  }

  /** The canvases' sizes in device pixels, and whether they can be seen: only those are drawn. */
  resize(sizes) {
    for (const [name, { width, height, seen = true }] of Object.entries(sizes)) {
      const c = this.#canvases[name];
      if (!c) continue;
      this.#seen[name] = seen && width > 1;
      if (!this.#seen[name]) continue;
      if (c.width !== width) c.width = width;
      if (c.height !== height) c.height = Math.max(1, height);
    }
    this.touch();
  }

  /** The engine's device has made the buffer; another device replaces the first. */
  async attach(device, buffer) {
    this.#made = null;
    try {
      const format = globalThis.navigator?.gpu?.getPreferredCanvasFormat?.() ?? "bgra8unorm";
      const module = device.createShaderModule({ code: CODE });
      const views = await Promise.all(Object.entries(this.#canvases).map(async ([name, canvas]) => {
        const pipeline = await device.createRenderPipelineAsync({ layout: "auto",
          vertex: { module, entryPoint: "corner" },
          fragment: { module, entryPoint: "pixel", constants: { MAP: MAPS[name] }, targets: [{ format }] } });
        const context = canvas.getContext("webgpu");
        context.configure({ device, format, alphaMode: "premultiplied" });
        const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
        const uniform = device.createBuffer({ size: 8, usage });
        const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [
          { binding: 0, resource: { buffer: uniform } }, { binding: 1, resource: { buffer } }] });
        return { name, canvas, context, pipeline, uniform, group };
      }));
      this.#device = device;
      this.#made = views;
      this.touch();
    } catch (e) { this.#notice(`panels: ${e.message}`); }
  }
  detach() { this.#made = null; this.#device = null; clearTimeout(this.#timer); this.#timer = 0; }

  /** Something has changed: one frame soon, in pace. */
  touch() {
    if (this.#timer || !this.#made) return;
    const wait = Math.max(0, this.#last + this.#gap - performance.now());
    this.#timer = setTimeout(() => { this.#timer = 0; this.#draw(); }, wait);
  }

  #draw() {
    const views = this.#made?.filter(v => this.#seen[v.name]), device = this.#device;
    this.#last = performance.now();
    if (!views?.length) return;
    const encoder = device.createCommandEncoder();
    for (const { canvas, context, pipeline, uniform, group } of views) {
      device.queue.writeBuffer(uniform, 0, new Float32Array([canvas.width, canvas.height]));
      const view = context.getCurrentTexture().createView();
      const target = { view, loadOp: "clear", storeOp: "store", clearValue: [0, 0, 0, 0] };
      const pass = encoder.beginRenderPass({ colorAttachments: [target] });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.draw(3);
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
    this.frames++;
  }
}
