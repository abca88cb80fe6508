// charts.js - the panels that are drawn: histories, attention, router, layers, KV. 2D canvas; each draws the whole state.
import { COLOURS, context, heat } from "./dom.js";

const COLUMNS = 512, ROWS = 160;
/** heat() of 0 to 1 in 256 steps as pixels, what is near 0 left out. */
const HEAT = Uint32Array.from({ length: 256 }, (_, i) => {
  const [r, g, b] = heat(i / 255).match(/\d+/g).map(Number);
  return i < 10 ? 0 : (255 << 24 | b << 16 | g << 8 | r) >>> 0;
});

function guides(c, w, h) {
  c.strokeStyle = "rgba(110, 200, 230, .12)";
  c.lineWidth = 1;
  for (const y of [0.25, 0.5, 0.75]) { c.beginPath(); c.moveTo(0, Math.round(y * h) + 0.5); c.lineTo(w, Math.round(y * h) + 0.5); c.stroke(); }
}

/** Bars from the right, newest last; value 0..1. */
export function history(canvas, values) {
  const g = context(canvas);
  if (!g) return;
  guides(g.c, g.w, g.h);
  const step = 4, n = Math.min(values.length, Math.floor(g.w / step));
  for (let i = 0; i < n; i++) {
    const p = values[values.length - n + i];
    if (!Number.isFinite(p)) continue;
    g.c.fillStyle = p > 0.9 ? COLOURS.gr : p > 0.4 ? COLOURS.cy : COLOURS.or;
    const y = Math.max(1, p * (g.h - 2));
    g.c.fillRect(g.w - (n - i) * step, g.h - y, step - 1, y);
  }
}

/** A line with a glow, newest right. */
export function spark(canvas, values, max) {
  const g = context(canvas);
  if (!g) return;
  guides(g.c, g.w, g.h);
  const n = Math.min(values.length, Math.floor(g.w / 3)), top = Math.max(max, ...values.slice(-n), 0.001);
  g.c.beginPath();
  for (let i = 0; i < n; i++) {
    const x = g.w - (n - 1 - i) * 3 - 2, y = g.h - 3 - values[values.length - n + i] / top * (g.h - 6);
    i ? g.c.lineTo(x, y) : g.c.moveTo(x, y);
  }
  g.c.strokeStyle = COLOURS.vi;
  g.c.lineWidth = 1.5;
  g.c.stroke();
}

/** rows: one {first, w} a token, newest last: weights of the keys from position `first` on. Drawn a pixel a cell, then stretched:
 * a rectangle a cell took most of a frame once there were a thousand keys. */
const scratch = { canvas: null, image: null };
export function attention(canvas, rows) {
  const g = context(canvas);
  if (!g) return;
  if (!rows?.length) return empty(g, "no attention map yet");
  const from = rows.reduce((n, r) => Math.min(n, r.first), Infinity), keys = rows.reduce((n, r) => Math.max(n, r.first + r.w.length), 0) - from;
  const cols = Math.min(keys, COLUMNS), line = new Float32Array(cols);
  scratch.canvas ??= new OffscreenCanvas(COLUMNS, ROWS);
  const c = scratch.canvas.getContext("2d", { willReadFrequently: true }), image = scratch.image ??= c.createImageData(COLUMNS, ROWS);
  const pixels = new Uint32Array(image.data.buffer).fill(0);
  rows.slice(-ROWS).forEach(({ first, w }, y) => {
    let most = 1e-6;
    line.fill(0);
    for (let k = 0; k < w.length; k++) {
      const x = cols === keys ? first - from + k : Math.floor((first - from + k) * cols / keys);
      if (w[k] > line[x]) line[x] = w[k];
      if (w[k] > most) most = w[k];
    }
    for (let x = 0; x < cols; x++) pixels[y * COLUMNS + x] = HEAT[Math.round(255 * Math.sqrt(line[x] / most))];
  });
  c.putImageData(image, 0, 0);
  const n = Math.min(rows.length, ROWS), ch = Math.min(8, g.h / n);
  g.c.imageSmoothingEnabled = false;
  g.c.drawImage(scratch.canvas, 0, 0, cols, n, 0, g.h - n * ch, g.w, n * ch);
}

/** layers: Map layer -> {use, last}; n_expert columns. */
export function router(canvas, layers, nExpert) {
  const g = context(canvas);
  if (!g) return;
  if (!layers.size) return empty(g, "no router yet");
  const ids = [...layers.keys()].sort((a, b) => a - b), cols = Math.max(nExpert || 0, ...ids.map(i => layers.get(i).use.length));
  const left = 18, cw = (g.w - left) / cols, ch = Math.min(22, g.h / ids.length);
  g.c.font = "9px monospace";
  g.c.textBaseline = "middle";
  ids.forEach((id, y) => {
    const row = layers.get(id), max = Math.max(...row.use.map(u => u ?? 0), 0.5);
    g.c.fillStyle = COLOURS.faint;
    if (ch >= 9 || y % 4 === 0) g.c.fillText(id, 2, (y + 0.5) * ch);
    for (let x = 0; x < cols; x++) {
      const v = (row.use[x] ?? 0) / max, hit = row.last.indexOf(x);
      g.c.fillStyle = hit >= 0 ? COLOURS.gr : heat(0.08 + 0.8 * v);
      g.c.globalAlpha = hit >= 0 ? 0.55 + 0.45 * (row.weights[hit] ?? 0.5) : 0.9;
      g.c.fillRect(left + x * cw, y * ch, Math.max(1, cw - 1), Math.max(1, ch - 1));
    }
  });
  g.c.globalAlpha = 1;
}

/** layers: Map layer -> {attention_norm, mlp_norm, output_norm}: three bars a layer, log scale. */
export function activity(canvas, layers) {
  const g = context(canvas);
  if (!g) return;
  if (!layers.size) return empty(g, "no layers yet");
  guides(g.c, g.w, g.h);
  const ids = [...layers.keys()].sort((a, b) => a - b), cw = g.w / ids.length;
  const scale = v => Math.log1p(Math.max(0, v)), max = Math.max(...ids.flatMap(i => Object.values(layers.get(i)).filter(Number.isFinite).map(scale)), 0.1);
  ids.forEach((id, i) => {
    const v = layers.get(id);
    [[v.attention_norm, COLOURS.cy], [v.mlp_norm, COLOURS.vi], [v.output_norm, COLOURS.gr]].forEach(([value, colour], k) => {
      const y = scale(value ?? 0) / max * (g.h - 4), bw = Math.max(1, (cw - 4) / 3);
      g.c.fillStyle = colour;
      g.c.fillRect(i * cw + 2 + k * bw, g.h - y, Math.max(1, bw - 1), y);
    });
  });
}

/** cache: Map layer -> {seq_len, max_len, offset}: what each layer holds. */
export function cache(canvas, layers) {
  const g = context(canvas);
  if (!g) return;
  if (!layers.size) return empty(g, "no cache yet");
  const ids = [...layers.keys()].sort((a, b) => a - b), ch = Math.min(12, g.h / ids.length);
  ids.forEach((id, y) => {
    const v = layers.get(id), seen = Math.max(v.seq_len + (v.offset ?? 0), 1), span = Math.max(64, 2 ** Math.ceil(Math.log2(seen)));
    g.c.fillStyle = "rgba(92, 225, 255, .08)";
    g.c.fillRect(0, y * ch, g.w, ch - 1);
    g.c.fillStyle = v.offset ? COLOURS.vi : COLOURS.cy;
    g.c.fillRect((v.offset ?? 0) / span * g.w, y * ch, v.seq_len / span * g.w, Math.max(1, ch - 1));
  });
}

function empty(g, text) {
  g.c.fillStyle = COLOURS.faint;
  g.c.font = "10px monospace";
  g.c.textAlign = "center";
  g.c.fillText(text, g.w / 2, g.h / 2 + 3);
}
