// heads.js - all heads of the layer that ATTENTION shows, as small multiples: for the moment's row, how
// much each head looked at each position, what its sink took, and where a window begins. Computed on
// demand, and its cost is said first; a click makes ATTENTION watch that head.
import { label, wireTip } from "./axes.js";
import { $, COLOURS, context, heat, percent, seconds, setText, visible } from "./dom.js";
import { momentOf } from "./moment.js";

const GAP = 3, SINK = 4, NAMED = 4, RATIO = 1.6;

/** Columns and rows of n cells in a box, nearly RATIO times as wide as high. */
export function grid(n, w, h) {
  const columns = Math.max(1, Math.min(n, Math.round(Math.sqrt(n * w / h / RATIO))));
  return { columns, rows: Math.ceil(n / columns) };
}

/** The most looked-at positions of a head: [[position, weight]]. */
export const most = (weights, n = NAMED) =>
  [...weights].map((w, i) => [i, w]).sort((a, b) => b[1] - a[1]).slice(0, n).filter(([, w]) => w > 0.005);

/** The first position that any head looked at: a window's begin. */
export const windowOf = heads => Math.min(...heads.map(w => Math.max(0, w.findIndex(x => x > 0))));

export class Heads {
  #shared;
  #canvas = $("heads");
  #shown = null;                     // {n: the history's row, layer, row, heads, sinks}
  #asking = false;
  #failed = "";                      // why the last was not had

  constructor(shared) {
    this.#shared = shared;
    $("heads-go").addEventListener("click", () => this.#ask());
    wireTip(this.#canvas, (x, y) => this.#tip(this.#at(x, y)), (x, y) => this.#watch(this.#at(x, y)));
  }

  get #state() { return this.#shared.state; }

  /** The position whose row chose the moment's token. */
  #row({ history }, n) { return n < 0 ? -1 : history.get(n, history.columns.position) - 1; }

  /** The chat's session whose tokens the panels show; null: no model in this page has it. */
  #session({ session }) {
    if (this.#shared.server) return null;
    return this.#shared.chats.find(c => c.current?.number === session)?.current ?? null;
  }

  draw(s) {
    const n = momentOf(s), row = this.#row(s, n), layer = +$("attn-layer").value;
    const rate = +s.infer.get("prefill")?.d?.["tok/s"], busy = /^(prefill|decode)$/.test(s.stage);
    const can = row >= 0 && !busy && !this.#asking && !!this.#session(s);
    const { n: of, stream, layer: seen } = this.#shown ?? {};
    const shown = of === n && stream === s.stream && seen === layer;
    $("heads-go").disabled = !can;
    const cost = rate > 0 ? `, about ${seconds(Math.max(1, Math.ceil((row + 1) / rate)))}` : "";
    setText($("heads-cost"), this.#asking ? "computing …" : shown ? this.#said()
      : can ? `All heads of layer ${layer} at #${n}: ${row + 1} tokens are computed again${cost}.`
      : this.#why(s, row, busy));
    this.#canvas.hidden = !shown;
    if (shown) this.#draw();
  }

  /** What is shown, in words. */
  #said() {
    const { row, layer, heads, sinks } = this.#shown, from = windowOf(heads);
    const mean = sinks.reduce((a, b) => a + b, 0) / sinks.length, least = sinks.indexOf(Math.min(...sinks));
    const seen = from ? `A window: nothing before position ${from}.` : "All positions are seen.";
    return `Layer ${layer}, ${heads.length} heads, what position ${row} looks at. ${seen} Sinks take `
      + `${percent(mean)} on average, ${percent(sinks[least])} of head ${least}. `
      + "Left to right: positions; orange: the sink.";
  }

  #layout() {
    const { clientWidth: w, clientHeight: h } = this.#canvas, { heads } = this.#shown;
    const { columns, rows } = grid(heads.length, w, h);
    return { columns, wide: w / columns, high: h / rows };
  }

  /** The head at a place; -1: none. */
  #at(x, y) {
    if (!this.#shown) return -1;
    const { columns, wide, high } = this.#layout();
    const head = Math.floor(y / high) * columns + Math.floor(x / wide);
    return head < this.#shown.heads.length ? head : -1;
  }

  #tip(head) {
    if (head < 0) return "";
    const { history } = this.#state, { n, row, heads, sinks } = this.#shown, first = n - row - 1;
    const said = ([i, w]) => `#${first + i} "${visible(history.text(first + i))}" ${percent(w)}`;
    const words = most(heads[head]).map(said);
    return `head ${head}: ${words.join(", ")}${words.length ? "; " : ""}sink ${percent(sinks[head])}`;
  }

  /** ATTENTION shows this head from now on. */
  #watch(head) {
    if (head < 0) return;
    $("attn-head").value = String(head);
    $("attn-head").dispatchEvent(new Event("input", { bubbles: true }));
  }

  #draw() {
    const g = context(this.#canvas), { heads, sinks } = this.#shown;
    if (!g) return;
    const { columns, wide, high } = this.#layout(), from = windowOf(heads), watched = +$("attn-head").value;
    heads.forEach((weights, i) => {
      const box = { x: i % columns * wide, y: Math.floor(i / columns) * high, w: wide - GAP, h: high - GAP };
      this.#head(g.c, box, weights, sinks[i], from);
      if (i === watched) {
        g.c.strokeStyle = COLOURS.gr;
        g.c.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
      }
      if (high > 20) label(g.c, String(i), box.x + SINK + 2, box.y + 9);
    });
    this.#canvas.setAttribute("aria-label", this.#said());
  }

  /** As high as the weight's root, the most of the positions that share a pixel. */
  #head(c, { x, y, w, h }, weights, sink, from) {
    const room = w - SINK - 1, n = weights.length, bars = new Float32Array(Math.max(1, Math.floor(room)));
    c.fillStyle = "rgba(110, 200, 230, .08)";
    c.fillRect(x, y, w, h);
    for (let i = 0; i < n; i++) {
      const at = Math.min(bars.length - 1, Math.floor(i * bars.length / n));
      if (weights[i] > bars[at]) bars[at] = weights[i];
    }
    const step = Math.max(1, bars.length / n);
    for (let k = 0; k < bars.length; k++) {
      if (!bars[k]) continue;
      const share = Math.sqrt(bars[k]);
      c.fillStyle = heat(0.35 + 0.65 * share);
      c.fillRect(x + SINK + 1 + k, y + h * (1 - share), step, h * share);
    }
    c.fillStyle = COLOURS.or;
    c.fillRect(x, y + h * (1 - Math.sqrt(sink)), SINK - 1, h * Math.sqrt(sink));
    if (!from) return;
    c.fillStyle = "rgba(255, 255, 255, .35)";
    c.fillRect(x + SINK + 1 + from / n * room, y, 1, h);
  }

  #why(s, row, busy) {
    if (this.#failed) return this.#failed;
    if (row < 0) return "";
    if (busy) return "All heads can be computed when the answer is over.";
    return this.#session(s) ? "" : "All heads need the model in this page.";
  }

  async #ask() {
    const s = this.#state, n = momentOf(s), row = this.#row(s, n), layer = +$("attn-layer").value;
    this.#asking = true;
    this.#again();
    try {
      this.#shown = { n, stream: s.stream, ...await this.#session(s).attention({ row, layer }) };
      this.#failed = "";
    } catch (e) { this.#failed = e.message; }
    this.#asking = false;
    this.#again();
  }

  #again() {
    this.#state.dirty.add("attn");
    this.#shared.news();
  }
}
