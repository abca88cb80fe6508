// roofline.js - ROOFLINE: every kernel as a point: how many operations it does for a byte that it reads
// (across) and how many a second (up), both by their logarithm. The slope is what the memory gave when it
// was read alone; a point below it could be faster by so much. (Counted and timed by the backend,
// kernel_time in docs/telemetry.md.)
import { label, wireTip } from "./axes.js";
import { $, COLOURS, context, percent, setText } from "./dom.js";

const LEFT = 34, FOOT = 14, TOP = 8, SIZE = 3, NEAR = 12;

/** [{name, us, intensity: operations a byte, rate: operations a second, bytes: a second, roof: its share}] */
export function points(kernels) {
  return [...kernels.values()].filter(k => k.ops > 0 && k.bytes > 0 && k.gb_per_s > 0).map(k => {
    const intensity = k.ops / k.bytes, bytes = k.gb_per_s * 1e9;
    return { name: k.kernel, us: k.gpu_us, intensity, rate: intensity * bytes, bytes, roof: k.roofline };
  });
}

/** Bytes a second that the roof has; 0: it was not measured. */
export const roofOf = list => Math.max(0, ...list.filter(p => p.roof > 0).map(p => p.bytes / p.roof));

function short(x, unit) {
  const [of, letter] = x >= 1e12 ? [1e12, "T"] : x >= 1e9 ? [1e9, "G"] : [1e6, "M"];
  return `${(x / of).toFixed(1)} ${letter}${unit}`;
}

export class Roofline {
  #shared;
  #canvas = $("roof");
  #at = [];                          // where points are drawn: {x, y, point}

  constructor(shared) {
    this.#shared = shared;
    wireTip(this.#canvas, (x, y) => this.#tip(x, y));
  }

  #tip(x, y) {
    const far = p => Math.hypot(p.x - x, p.y - y), hit = [...this.#at].sort((a, b) => far(a) - far(b))[0];
    if (!hit || far(hit) > NEAR) return "";
    const { name, intensity, rate, bytes, roof, us } = hit.point, speed = short(bytes, "B/s");
    return `${name}: ${intensity.toFixed(2)} operations a byte, ${short(rate, "op/s")}, ${speed}`
      + `${roof ? `, ${percent(roof)} of the roof` : ""}, ${us.toFixed(0)} µs`;
  }

  draw(s) {
    const g = context(this.#canvas), list = points(s.kernels), roof = roofOf(list);
    this.#at = [];
    setText($("roof-said"), this.#said(list, roof));
    if (!g) return;
    if (!list.length) return label(g.c, "no kernel timed yet", 4, g.h / 2);
    this.#plot(g, list, roof);
    const text = `Kernels by operations a byte and a second. ${this.#said(list, roof)}`;
    this.#canvas.setAttribute("aria-label", text);
  }

  #said(list, roof) {
    if (!list.length) return "";
    const best = list.reduce((a, b) => a.bytes > b.bytes ? a : b);
    const most = list.reduce((a, b) => a.us > b.us ? a : b);
    const share = p => p.roof ? ` (${percent(p.roof)})` : "";
    const line = p => `${p.name} ${short(p.bytes, "B/s")}${share(p)}`;
    return `${roof ? `Roof: ${short(roof, "B/s")}, measured. ` : "The roof is not measured here. "}`
      + `Nearest: ${line(best)}; longest: ${line(most)}.`;
  }

  #plot(g, list, roof) {
    const { c, w, h } = g, log = Math.log10;
    const across = list.map(p => log(p.intensity)), x0 = Math.floor(Math.min(...across)) - 0.3;
    const x1 = Math.ceil(Math.max(1, ...across)) + 0.3;
    const tops = list.map(p => log(p.rate)), y0 = Math.floor(Math.min(...tops)),
      y1 = Math.max(Math.ceil(Math.max(...tops)), roof ? Math.ceil(log(roof) + x0 + 1) : 0);
    const x = v => LEFT + (v - x0) / (x1 - x0) * (w - LEFT - 4);
    const y = v => TOP + (y1 - v) / (y1 - y0) * (h - TOP - FOOT);
    this.#grid(g, { x0, x1, y0, y1, x, y });
    if (roof) this.#roof(g, log(roof), { x0, x1, y0, y1, x, y });
    for (const point of list) {
      const at = { x: x(log(point.intensity)), y: y(log(point.rate)), point };
      this.#at.push(at);
      c.fillStyle = / many$|^matmul/.test(point.name) ? COLOURS.vi : COLOURS.cy;
      c.fillRect(at.x - SIZE, at.y - SIZE, 2 * SIZE, 2 * SIZE);
      if (at.x < w - 60) label(c, point.name, at.x + 5, at.y + 3);
      else label(c, point.name, at.x - 5, at.y + 3, "right");
    }
    label(c, "operations a byte", w - 2, h - 2, "right");
  }

  #grid({ c, w, h }, { x0, x1, y0, y1, x, y }) {
    c.fillStyle = "rgba(110, 200, 230, .15)";
    const texts = ["0.01", "0.1", "1", "10", "100", "1000"];
    for (let v = Math.ceil(x0); v <= x1; v++) {
      c.fillRect(x(v), TOP, 1, h - TOP - FOOT);
      if (x(v) < w - 130) label(c, texts[v + 2] ?? `1e${v}`, x(v) + 2, h - 2);
    }
    for (let v = y0; v <= y1; v++) {
      c.fillStyle = "rgba(110, 200, 230, .15)";
      c.fillRect(LEFT, y(v), w - LEFT, 1);
      label(c, v >= 9 ? `${10 ** (v - 9)}G` : `${10 ** (v - 6)}M`, 2, Math.max(9, y(v) + 3));
    }
  }

  #roof({ c, w, h }, roof, { x0, x1, y1, x, y }) {
    c.strokeStyle = COLOURS.gr;
    c.save();
    c.beginPath();
    c.rect(LEFT, TOP, w - LEFT, h - TOP - FOOT);
    c.clip();
    c.beginPath();
    c.moveTo(x(x0), y(roof + x0));
    c.lineTo(x(x1), y(roof + x1));
    c.stroke();
    c.restore();
    const at = Math.min(x1, y1 - roof);
    label(c, `${short(10 ** roof, "B/s")} read alone`, Math.max(LEFT + 4, x(at) - 4),
      Math.max(TOP + 10, y(roof + at) + 12), "right");
  }
}
