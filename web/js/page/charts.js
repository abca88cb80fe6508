// charts.js - the panels that are drawn: histories, attention, router, layers, KV. 2D canvas; each draws the
// whole of what it shows, at the moment.
import { NORMS } from "../core/columns.js";
import { label, timeAxis, timeTicks, topLabel } from "./axes.js";
import { COLOURS, context, heat } from "./dom.js";
import { momentOf } from "./moment.js";

const COLUMNS = 512, ROWS = 160;
/** heat() of 0 to 1 in 256 steps as pixels, what is near 0 left out. */
const HEAT = Uint32Array.from({ length: 256 }, (_, i) => {
  const [r, g, b] = heat(i / 255).match(/\d+/g).map(Number);
  return i < 10 ? 0 : (255 << 24 | b << 16 | g << 8 | r) >>> 0;
});

const SHADES = Array.from({ length: 32 }, (_, i) => heat(0.08 + 0.8 * i / 31));

const inOrder = layers => [...layers.keys()].sort((a, b) => a - b);

function guides(c, w, h) {
  c.strokeStyle = "rgba(110, 200, 230, .12)";
  c.lineWidth = 1;
  for (const part of [0.25, 0.5, 0.75]) {
    const y = Math.round(part * h) + 0.5;
    c.beginPath();
    c.moveTo(0, y);
    c.lineTo(w, y);
    c.stroke();
  }
}

/** The probability of each token; 0 to 1. */
export function history(canvas, s) {
  const g = context(canvas);
  if (!g) return;
  guides(g.c, g.w, g.h);
  const { history: all } = s, { p: column } = all.columns, axis = timeAxis(s, g.w, 4);
  for (let n = axis.from; n < axis.to; n++) {
    const p = all.get(n, column);
    if (!Number.isFinite(p)) continue;
    g.c.fillStyle = p > 0.9 ? COLOURS.gr : p > 0.4 ? COLOURS.cy : COLOURS.or;
    const y = Math.max(1, p * (g.h - 2));
    g.c.fillRect(axis.x(n), g.h - y, axis.step - 1, y);
  }
  timeTicks(g, axis, s);
  topLabel(g, "100 %");
}

/** The entropy of each token as a line; what has none breaks it. */
export function spark(canvas, s) {
  const g = context(canvas);
  if (!g) return;
  guides(g.c, g.w, g.h);
  const { history: all } = s, { entropy: column } = all.columns, axis = timeAxis(s, g.w, 4);
  let top = 1, drawing = false;
  for (let n = axis.from; n < axis.to; n++) top = Math.max(top, all.get(n, column) || 0);
  g.c.beginPath();
  for (let n = axis.from; n < axis.to; n++) {
    const v = all.get(n, column), x = axis.x(n) + 2, y = g.h - 3 - v / top * (g.h - 6);
    if (Number.isFinite(v) && drawing) g.c.lineTo(x, y);
    else if (Number.isFinite(v)) g.c.moveTo(x, y);
    drawing = Number.isFinite(v);
  }
  g.c.strokeStyle = COLOURS.vi;
  g.c.lineWidth = 1.5;
  g.c.stroke();
  timeTicks(g, axis, s);
  topLabel(g, `${top.toFixed(1)} nats`);
}

/** Where the attention map is drawn a pixel a cell, kept from one time to the next. */
class Scratch {
  canvas = new OffscreenCanvas(COLUMNS, ROWS);
  #context = this.canvas.getContext("2d", { willReadFrequently: true });
  #image = this.#context.createImageData(COLUMNS, ROWS);
  pixels = new Uint32Array(this.#image.data.buffer);
  put() { this.#context.putImageData(this.#image, 0, 0); }
}
let scratch = null;

/** The rows that fit, the columns that they span, and how high one is. */
function attentionView(rows, height) {
  const shown = rows.slice(-ROWS);
  let from = Infinity, to = 0;
  for (const r of shown) {
    from = Math.min(from, r.first);
    to = Math.max(to, r.first + r.w.length);
  }
  return { shown, from, keys: to - from, high: Math.min(8, height / shown.length) };
}

/** rows: one {n, first, w} a token, newest last: weights of the keys from position `first` on. Drawn a
 * pixel a cell, then stretched: a rectangle a cell took most of a frame once there were a thousand keys. */
export function attention(canvas, rows, s) {
  const g = context(canvas);
  if (!g) return;
  if (!rows.length) return empty(g, "no attention map yet");
  const { shown, from, keys, high } = attentionView(rows, g.h);
  const cols = Math.min(keys, COLUMNS), line = new Float32Array(cols);
  scratch ??= new Scratch();
  const pixels = scratch.pixels.fill(0);
  shown.forEach(({ first, w }, y) => {
    let most = 1e-6;
    line.fill(0);
    for (let k = 0; k < w.length; k++) {
      const x = cols === keys ? first - from + k : Math.floor((first - from + k) * cols / keys);
      if (w[k] > line[x]) line[x] = w[k];
      if (w[k] > most) most = w[k];
    }
    const heatOf = v => HEAT[Math.round(255 * Math.sqrt(v / most))];
    for (let x = 0; x < cols; x++) pixels[y * COLUMNS + x] = heatOf(line[x]);
  });
  scratch.put();
  const top = g.h - shown.length * high, at = s.moment === null ? -1 : shown.findIndex(r => r.n === s.moment);
  g.c.imageSmoothingEnabled = false;
  g.c.drawImage(scratch.canvas, 0, 0, cols, shown.length, 0, top, g.w, shown.length * high);
  g.c.strokeStyle = "rgba(255, 255, 255, .7)";
  if (at >= 0) g.c.strokeRect(0.5, top + at * high - 0.5, g.w - 1, high + 1);
  label(g.c, `position ${from}`, 2, g.h - 2);
  label(g.c, String(from + keys - 1), g.w - 2, g.h - 2, "right");
}

/** What is drawn at a place: {n: the token whose row it is, key: the row of the token there, w}. */
export function attentionAt(canvas, rows, x, y) {
  const w = canvas.clientWidth, h = canvas.clientHeight;
  if (!rows.length || !w) return null;
  const { shown, from, keys, high } = attentionView(rows, h);
  const row = shown[Math.floor((y - (h - shown.length * high)) / high)], at = from + Math.floor(x / w * keys);
  const weight = row?.w[at - row.first];
  if (weight === undefined) return null;
  return { n: row.n, key: row.n - (row.first + row.w.length - at), w: weight };
}

/** How often each layer's experts were asked, and those of the moment; n_expert columns. */
export function router(canvas, s, nExpert) {
  const g = context(canvas);
  if (!g) return;
  const { history: all } = s, { columns } = all, n = momentOf(s), rows = s.use.length;
  if (!rows) return empty(g, "no router yet");
  const left = 18, cw = (g.w - left) / nExpert, ch = Math.min(22, g.h / rows);
  s.use.forEach((use, y) => {
    const max = Math.max(0.5, ...use);
    if (ch >= 9 || y % 4 === 0) label(g.c, String(y), 2, (y + 0.5) * ch + 3);
    for (let x = 0; x < nExpert; x++) {
      g.c.fillStyle = SHADES[Math.round(31 * use[x] / max)];
      g.c.fillRect(left + x * cw, y * ch, Math.max(1, cw - 1), Math.max(1, ch - 1));
    }
    const at = columns.experts(y);
    for (let i = 0; i < columns.used; i++) {
      const x = all.get(n, at + i), w = all.get(n, at + columns.used + i);
      if (Number.isNaN(x)) continue;
      g.c.fillStyle = COLOURS.gr;
      g.c.globalAlpha = 0.55 + 0.45 * w;
      g.c.fillRect(left + x * cw, y * ch, Math.max(1, cw - 1), Math.max(1, ch - 1));
      g.c.globalAlpha = 1;
    }
  });
}

/** Which layer and expert are drawn at a place. */
export function routerAt(canvas, s, nExpert, x, y) {
  const left = 18, cw = (canvas.clientWidth - left) / nExpert;
  const layer = Math.floor(y / Math.min(22, canvas.clientHeight / s.use.length));
  const expert = Math.floor((x - left) / cw);
  return layer < s.use.length && expert >= 0 && expert < nExpert ? { layer, expert } : null;
}

/** The norms of each layer's parts at the moment: three bars a layer, log scale. */
export function activity(canvas, s) {
  const g = context(canvas);
  if (!g) return;
  const { history: all } = s, { columns } = all, n = momentOf(s), { layers } = columns;
  const norm = (layer, k) => all.get(n, columns.norms(layer) + k);
  if (n < 0 || !layers || Number.isNaN(norm(0, 2))) return empty(g, "no layers yet");
  guides(g.c, g.w, g.h);
  const cw = g.w / layers, scale = v => Math.log1p(Math.max(0, v || 0));
  let max = 0;
  for (let i = 0; i < layers; i++) for (let k = 0; k < NORMS; k++) max = Math.max(max, norm(i, k) || 0);
  for (let i = 0; i < layers; i++) {
    [COLOURS.cy, COLOURS.vi, COLOURS.gr].forEach((colour, k) => {
      const y = scale(norm(i, k)) / Math.max(0.1, scale(max)) * (g.h - 16);
      const bw = Math.max(1, (cw - 4) / NORMS);
      g.c.fillStyle = colour;
      g.c.fillRect(i * cw + 2 + k * bw, g.h - 10 - y, Math.max(1, bw - 1), y);
    });
    if (cw > 12 || i % 4 === 0) label(g.c, String(i), (i + 0.5) * cw, g.h - 1, "center");
  }
  topLabel(g, `norm, to ${max.toFixed(0)} (log)`);
}

/** cache: Map layer -> {seq_len, max_len, offset}: what each layer holds. */
export function cache(canvas, layers) {
  const g = context(canvas);
  if (!g) return;
  if (!layers.size) return empty(g, "no cache yet");
  const ids = inOrder(layers), ch = Math.min(12, g.h / ids.length);
  ids.forEach((id, y) => {
    const { seq_len, offset = 0, max_len } = layers.get(id), span = max_len || seq_len + offset || 1;
    g.c.fillStyle = "rgba(92, 225, 255, .08)";
    g.c.fillRect(0, y * ch, g.w, ch - 1);
    g.c.fillStyle = offset ? COLOURS.vi : COLOURS.cy;
    g.c.fillRect(offset / span * g.w, y * ch, Math.max(1, seq_len / span * g.w), Math.max(1, ch - 1));
  });
}

const empty = (g, text) => label(g.c, text, g.w / 2, g.h / 2 + 3, "center");
