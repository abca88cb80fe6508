// map.js - FORWARD PASS: one layer as a drawing, with its shapes and the moment's numbers. Every box says
// what it is; a key steps through all that happens for one token, from layer to layer.
import { $, setText, tag } from "./dom.js";
import { BOXES, factsOf, Now } from "./map_facts.js";
import { momentOf, tagOf } from "./moment.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 260, RAIL = 14, LEFT = 30, RIGHT = 254, HIGH = 28, TALL = 44, GAP = 7, FRAME = 16, PAD = 6;
const CELLS = 32, SLOT = 8;
const NOTHING = "No model is here yet. Open a recording, or load a model: its layers are drawn here.";

function svg(name, props = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Those that this model has. */
const boxesOf = facts => BOXES.filter(box => !box.moe || facts.n_expert);

export class ForwardMap {
  #shared;
  #layer = 0;
  #at = 0;                           // place of the box that is explained
  #boxes = [];
  #nodes = [];                       // {group, shape, live, marks} of each
  #drawn = "";                       // the model that is drawn
  #svg = svg("svg", { role: "group", "aria-label": "The forward pass of one token" });
  #frame = null;

  constructor(shared) {
    this.#shared = shared;
    $("map").append(this.#svg);
    this.#svg.addEventListener("click", e => this.#pick(e.target.closest(".box")));
    this.#svg.addEventListener("keydown", e => this.#key(e));
    $("map-back").addEventListener("click", () => this.#step(-1));
    $("map-next").addEventListener("click", () => this.#step(1));
    $("map-layer").addEventListener("input", () => this.#go(+$("map-layer").value, this.#at));
  }

  #go(layer, at) {
    this.#layer = Math.max(0, layer);
    this.#at = at;
    if (factsOf(this.#shared).n_layer) this.#show(this.#shared.state);
  }

  #pick(group) {
    const at = this.#nodes.findIndex(n => n.group === group);
    if (at < 0) return;
    this.#go(this.#layer, at);
    group.focus({ preventScroll: true });
  }

  /** Behind a layer's last box comes the next layer's first. */
  #step(by) {
    const first = this.#boxes.findIndex(b => b.of), last = this.#boxes.findLastIndex(b => b.of);
    const layers = factsOf(this.#shared).n_layer, at = this.#at + by;
    if (by > 0 && this.#at === last && this.#layer < layers - 1) this.#go(this.#layer + 1, first);
    else if (by < 0 && this.#at === first && this.#layer > 0) this.#go(this.#layer - 1, last);
    else if (by > 0 && at === this.#boxes.length) this.#go(0, 0);
    else if (at >= 0) this.#go(at < first ? 0 : at > last ? layers - 1 : this.#layer, at);
  }

  #key(e) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
    const layers = { PageDown: 1, PageUp: -1 }[e.key], { n_layer } = factsOf(this.#shared);
    if (by) this.#step(by);
    else if (layers) this.#go(Math.min(n_layer - 1, this.#layer + layers), this.#at);
    else if (e.key === "Enter" || e.key === " ") this.#pick(e.target.closest(".box"));
    else return;
    e.preventDefault();
    this.#nodes[this.#at]?.group.focus({ preventScroll: true });
  }

  // ---- the drawing, once a model --------------------------------------------------------------------------
  #build(facts) {
    this.#boxes = boxesOf(facts);
    const parts = [], all = [];
    let y = PAD, top = 0, bottom = 0;
    for (const [i, box] of this.#boxes.entries()) {
      const before = this.#boxes[i - 1];
      if (box.of && !before?.of) top = (y += FRAME) - FRAME;
      if (!box.of && before?.of) y += PAD;
      const high = box.add ? HIGH - 8 : box.tall ? TALL : HIGH;
      parts.push(...this.#wires(box, before, y, high));
      all.push(this.#box(box, facts, y, high));
      y += high + GAP;
      if (box.of) bottom = y - 1;
    }
    this.#frame = svg("text", { class: "title", x: LEFT, y: top + 11 });
    const rail = svg("path", { class: "rail", d: `M${RAIL} ${PAD + HIGH / 2}V${y - HIGH - GAP}` });
    const frame = svg("rect", { class: "frame", x: 3, y: top, width: WIDTH - 6, height: bottom - top });
    this.#svg.setAttribute("viewBox", `0 0 ${WIDTH} ${y}`);
    this.#nodes = all;
    this.#svg.replaceChildren(frame, this.#frame, rail, ...parts, ...all.map(n => n.group));
  }

  /** From the residual stream into a branch, from box to box, and back. */
  #wires(box, before, y, high) {
    const middle = y + high / 2, wire = d => svg("path", { class: "wire", d });
    if (box.add) {
      const from = y - GAP;
      return [wire(`M${LEFT + 20} ${from}V${middle}H${RAIL + 6}`),
        svg("circle", { class: "plus", cx: RAIL, cy: middle, r: 6 }),
        svg("path", { class: "cross",
          d: `M${RAIL - 3} ${middle}H${RAIL + 3}M${RAIL} ${middle - 3}V${middle + 3}` })];
    }
    if (box.of && before?.of && !before.add) return [wire(`M${LEFT + 20} ${y - GAP}V${y}`)];
    return [wire(`M${RAIL} ${middle}H${LEFT}`)];
  }

  #box(box, facts, y, high) {
    const name = facts.n_expert ? box.name : box.dense ?? box.name, line = box.add ? 14 : 12;
    const x = box.add ? LEFT + 30 : LEFT;
    const shape = svg("text", { class: "shape", x: x + 6, y: y + 23 });
    const live = svg("text", { class: "live", x: RIGHT - 5, y: y + line, "text-anchor": "end" });
    const marks = svg("g", { class: "marks", "aria-hidden": "true",
      transform: `translate(${LEFT + 6} ${y + 29})` });
    const group = svg("g", { class: "box", role: "button", tabindex: "-1", "data-box": box.id },
      svg("rect", { x, y, width: RIGHT - x, height: high }),
      svg("text", { class: "name", x: x + 6, y: y + line }, name), shape, live, marks);
    return { group, shape, live, marks, name };
  }

  // ---- the moment -----------------------------------------------------------------------------------------
  /** Experts as cells, brighter with more weight; what was looked at as strokes along the text. */
  #marks(box, node, facts, now) {
    const width = RIGHT - LEFT - 12, cell = (x, w, strength, title) => {
      const mark = svg("rect", { x: x.toFixed(1), y: 0, width: Math.max(1, w).toFixed(1), height: SLOT });
      mark.style.setProperty("--w", strength.toFixed(2));
      mark.append(svg("title", {}, title));
      return mark;
    };
    if (box.id === "experts" && facts.n_expert) {
      const weights = new Map(now.experts.map(e => [e.expert, e.w]));
      const each = width / Math.max(CELLS, facts.n_expert);
      return Array.from({ length: facts.n_expert }, (_, i) => cell(i * each, each - 1, weights.get(i) ?? 0,
        `expert ${i}${weights.has(i) ? `: weight ${weights.get(i).toFixed(3)}` : ""}`));
    }
    if (box.id !== "attend") return [];
    const { looks } = now, each = width / (now.position + 1), most = Math.max(...looks.map(l => l.w));
    return looks.map(({ n, w }) => cell((n - (now.n - 1 - now.position)) * each, each, w / most,
      `${now.history.text(n)}: ${w.toFixed(3)}`));
  }

  #show(s) {
    const facts = factsOf(this.#shared), n = momentOf(s), made = n >= 0 && s.history.made(n);
    const key = JSON.stringify([facts.name, facts.n_layer, facts.n_expert, facts.n_embd, facts.arch]);
    if (key !== this.#drawn) this.#build(facts);
    this.#drawn = key;
    this.#layer = Math.min(this.#layer, Math.max(0, facts.n_layer - 1));
    const now = new Now(s.history, made ? n : -1, this.#layer), layers = Math.max(0, facts.n_layer - 1);
    $("map-layer").max = String(layers);
    $("map-layer").value = String(this.#layer);
    setText($("map-layer").nextElementSibling, String(this.#layer));
    setText(this.#frame, this.#title(facts));
    for (const [i, box] of this.#boxes.entries()) this.#showBox(i, box, facts, now);
    this.#explain(facts, now);
  }

  #title({ n_layer, windowed, window }) {
    const sees = !windowed ? "" : windowed[this.#layer] ? ` · WINDOW OF ${window}` : " · SEES ALL";
    return `LAYER ${this.#layer} OF 0 TO ${Math.max(0, n_layer - 1)}${sees}`;
  }

  #showBox(i, box, facts, now) {
    const node = this.#nodes[i], at = i === this.#at, shape = box.shape(facts, now), live = box.live(now);
    setText(node.shape, box.add ? "" : shape);
    setText(node.live, live);
    node.marks.replaceChildren(...this.#marks(box, node, facts, now));
    node.group.setAttribute("tabindex", at ? "0" : "-1");
    node.group.setAttribute("aria-pressed", String(at));
    node.group.classList.toggle("at", at);
  }

  #explain(facts, now) {
    const box = this.#boxes[this.#at], name = this.#nodes[this.#at].name;
    setText($("map-name"), box.of ? `${name} · layer ${this.#layer}` : name);
    setText($("map-what"), box.what(facts, now));
    setText($("map-says"), box.says?.(now) ?? "");
  }

  draw(s) {
    tag("p-map", tagOf(s));
    this.#svg.classList.toggle("empty", !factsOf(this.#shared).n_layer);
    if (factsOf(this.#shared).n_layer) this.#show(s);
    else setText($("map-what"), NOTHING);
  }
}
