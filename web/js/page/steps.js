// steps.js - a token's step on the CPU as a flame chart: above the whole step, layers side by side, below
// their parts, as wide as their time. (A GPU's kernels are the table beside it.)
import { PARTS } from "../core/columns.js";
import { label, wireTip } from "./axes.js";
import { $, COLOURS, context, visible } from "./dom.js";
import { momentOf } from "./moment.js";

const COLOUR = [COLOURS.cy, COLOURS.vi, "#4a9dff", COLOURS.or, COLOURS.gr];
const NAMES = ["queries, keys, values", "attention", "attention's output", "router", "experts (or MLP)"];
const MARGIN = 1;

/** The step of row n: [{name, from, ms, layer, part}] one after the other, and all of it. */
export function partsOf(history, n) {
  const { columns: c } = history, list = [];
  let all = 0;
  const add = (name, ms, layer, part) => {
    if (!Number.isFinite(ms)) return;
    list.push({ name, from: all, ms, layer, part });
    all += ms;
  };
  if (n < 0) return { list, all };
  add("embedding", history.get(n, c.embed), -1, -1);
  for (let layer = 0; layer < c.layers; layer++) {
    for (let i = 0; i < PARTS.length; i++) add(NAMES[i], history.get(n, c.parts(layer) + i), layer, i);
  }
  add("output head", history.get(n, c.head), c.layers, -1);
  return { list, all };
}

/** The moment's step, or the last before it that was timed; -1: none. */
const timedOf = s => momentOf(s) >= 0 ? s.history.timed(momentOf(s)) : -1;
export const hasSteps = s => timedOf(s) >= 0;

const nameOf = (p, layers) => p.layer >= 0 && p.layer < layers ? `layer ${p.layer}, ${p.name}` : p.name;

export class Steps {
  #shared;
  #canvas = $("steps");

  constructor(shared) {
    this.#shared = shared;
    wireTip(this.#canvas, x => this.#tip(x));
  }

  #tip(x) {
    const { history } = this.#shared.state, { list, all } = partsOf(history, timedOf(this.#shared.state));
    const t = x / this.#canvas.clientWidth * all, hit = list.find(p => t < p.from + p.ms);
    return hit ? `${nameOf(hit, history.columns.layers)}: ${(1000 * hit.ms).toFixed(0)} µs` : "";
  }

  draw(s) {
    const n = timedOf(s), { list, all } = partsOf(s.history, n);
    this.#canvas.hidden = !all;
    const g = all ? context(this.#canvas) : null;
    if (!g) return;
    const { layers } = s.history.columns, { c, w, h } = g, row = (h - 12) / 2, scale = w / all;
    for (let layer = -1; layer <= layers; layer++) {
      const own = list.filter(p => p.layer === layer);
      if (!own.length) continue;
      const x = own[0].from * scale, wide = own.reduce((sum, p) => sum + p.ms, 0) * scale;
      c.fillStyle = layer % 2 ? "rgba(92, 225, 255, .3)" : "rgba(92, 225, 255, .18)";
      c.fillRect(x, 0, Math.max(1, wide - MARGIN), row - MARGIN);
      if (layer >= 0 && layer < layers && wide > 14) label(c, String(layer), x + 3, row - 4);
    }
    for (const p of list) {
      c.fillStyle = p.part < 0 ? COLOURS.faint : COLOUR[p.part];
      c.fillRect(p.from * scale, row, Math.max(0.5, p.ms * scale - 0.3), row - MARGIN);
    }
    label(c, `step of #${n} "${visible(s.history.text(n))}"`, 2, h - 2);
    label(c, `${all.toFixed(2)} ms`, w - 2, h - 2, "right");
    this.#canvas.setAttribute("aria-label", said(s.history, n));
  }
}

/** What each part took, all layers together. */
export function said(history, n) {
  const { list, all } = partsOf(history, n), sum = new Map();
  for (const { name, ms } of list) sum.set(name, (sum.get(name) ?? 0) + ms);
  const words = [...sum].map(([name, ms]) => `${name} ${ms.toFixed(2)} ms`);
  return all ? `The step took ${all.toFixed(2)} ms: ${words.join(", ")}.` : "No times of this step.";
}
