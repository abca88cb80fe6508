// experts.js - EXPERTS: who worked on which token. A map of one layer: a row an expert, a column a token, as
// bright as the router's weight; and of the expert that was picked its page: which tokens chose it, with what
// weight, by channel and by class of word.
import { CHANNEL_COLOURS, label, timeAxis, timeTicks, wireTip } from "./axes.js";
import { $, context, el, heat, percent, setText, tag, visible } from "./dom.js";
import { select, tagOf } from "./moment.js";

const STEP = 4, LEFT = 22, STRIP = 3, LISTED = 40;
const SHADES = Array.from({ length: 32 }, (_, i) => heat(0.15 + 0.85 * i / 31));

const CLASSES = [["control", /^<\|.*\|>$/], ["blank", /^\s+$/], ["number", /^\s?\d+$/],
  ["punctuation", /^\s?[\p{P}\p{S}]+\s*$/u], ["word", /^\s[\p{L}\p{M}'’-]+$/u],
  ["part of a word", /^[\p{L}\p{M}'’-]+$/u]];
/** What kind of word a token is. */
export const classOf = text => CLASSES.find(([, is]) => is.test(text))?.[0] ?? "other";

/** Of a layer's expert: the tokens that chose it, [{n, w}], and of how many. */
export function chosenBy(history, layer, expert) {
  const list = [];
  let of = 0;
  for (let n = history.first; n < history.count; n++) {
    const all = history.experts(n, layer), hit = all.find(e => e.expert === expert);
    if (all.length) of++;
    if (hit) list.push({ n, w: hit.w });
  }
  return { list, of };
}

/** How much of each kind chose it: [[kind, chose, of]]. */
function shares(history, layer, { list }, kindOf) {
  const of = new Map(), chose = new Map();
  const add = (map, n) => map.set(kindOf(n), (map.get(kindOf(n)) ?? 0) + 1);
  for (let n = history.first; n < history.count; n++) if (history.experts(n, layer).length) add(of, n);
  for (const { n } of list) add(chose, n);
  return [...of].map(([kind, n]) => [kind || "header", chose.get(kind) ?? 0, n])
    .sort((a, b) => b[1] / b[2] - a[1] / a[2]);
}

export class Experts {
  #shared;
  #canvas = $("experts");
  #slider = $("expert-layer");
  #expert = -1;                      // the one whose page is open
  #paged = "";                       // what its page says already

  constructor(shared) {
    this.#shared = shared;
    this.#slider.addEventListener("input", () => this.#again());
    $("expert").addEventListener("change", e => this.#open(+e.target.value));
    wireTip(this.#canvas, (x, y) => this.#tip(x, y), (x, y) => {
      const hit = this.#at(x, y);
      if (!hit) return;
      this.#expert = hit.expert;
      if (hit.n >= 0) select(shared, hit.n);
      this.#again();
    });
  }

  get #layer() { return +this.#slider.value; }
  get #state() { return this.#shared.state; }

  #again() {
    setText(this.#slider.nextElementSibling, this.#slider.value);
    this.#state.dirty.add("experts");
    this.#shared.news();
  }

  #open(expert) {
    this.#expert = expert;
    this.#again();
  }

  #count() { return +this.#state.config.experts || 0; }
  #axis(s, width) {
    const axis = timeAxis(s, width - LEFT, STEP);
    return { ...axis, x: n => LEFT + axis.x(n), at: x => axis.at(x - LEFT) };
  }

  /** {expert, n: the token, -1 at the names} */
  #at(x, y) {
    const { clientWidth: w, clientHeight: h } = this.#canvas, rows = this.#count();
    const expert = Math.floor(y / ((h - STRIP) / rows)), n = this.#axis(this.#state, w).at(x);
    return rows && expert < rows ? { expert, n } : null;
  }

  #tip(x, y) {
    const hit = this.#at(x, y), { history } = this.#state;
    if (!hit) return "";
    if (hit.n < 0) return `expert ${hit.expert} of layer ${this.#layer}`;
    const is = history.experts(hit.n, this.#layer).find(e => e.expert === hit.expert);
    const word = `#${hit.n} "${visible(history.text(hit.n))}"`;
    return `${word}: expert ${hit.expert} ${is ? `has weight ${is.w.toFixed(3)}` : "was not asked"}`;
  }

  draw(s) {
    const g = context(this.#canvas), rows = this.#count();
    if (+s.config.blocks) this.#slider.max = String(s.config.blocks - 1);
    this.#choices(rows);
    tag("p-experts", tagOf(s));
    if (g) this.#map(g, s, rows);
    this.#page(s);
  }

  /** The experts that a page can be opened of. */
  #choices(rows) {
    const list = $("expert");
    if (list.childElementCount === rows + 1) return;
    list.replaceChildren(...Array.from({ length: rows + 1 }, (_, i) =>
      el("option", { value: String(i - 1) }, i ? String(i - 1) : "none")));
  }

  /** Why there is no map. */
  #none({ history }, rows) {
    const newest = history.count - 1, at = history.columns.experts(this.#layer);
    if (!rows) return "this model has no experts";
    if (newest < 0) return "no token yet";
    return history.made(newest) && Number.isNaN(history.get(newest, at)) ? "a GPU's are not read back" : "";
  }

  #map(g, s, rows) {
    const { history } = s, { c, w, h } = g;
    const none = this.#none(s, rows);
    if (none) return label(c, none, 4, h / 2);
    const { used } = history.columns, at = history.columns.experts(this.#layer), high = (h - STRIP) / rows;
    const axis = this.#axis(s, w);
    for (let n = axis.from; n < axis.to; n++) {
      const x = axis.x(n);
      for (let i = 0; i < used; i++) {
        const weight = history.get(n, at + used + i);
        if (Number.isNaN(weight)) break;
        c.fillStyle = SHADES[Math.min(31, weight * 32 | 0)];
        c.fillRect(x, history.get(n, at + i) * high, STEP - 1, Math.max(1, high - 0.5));
      }
      c.fillStyle = CHANNEL_COLOURS[history.channel(n)];
      c.fillRect(x, h - STRIP, STEP, STRIP);
    }
    const every = Math.ceil(9 / high);
    for (let i = 0; i < rows; i += every) label(c, String(i), LEFT - 4, (i + 0.5) * high + 3, "right");
    if (this.#expert >= 0) {
      c.strokeStyle = "rgba(255, 255, 255, .6)";
      c.strokeRect(LEFT - 0.5, this.#expert * high - 0.5, w - LEFT, high);
    }
    timeTicks(g, axis, s);
  }

  // ---- an expert's page -----------------------------------------------------------------------------------
  /** Built anew where it says something else; while tokens come, not at all. */
  #page(s) {
    const { history } = s, layer = this.#layer, expert = this.#expert;
    const wanted = `${s.stream} ${history.count} ${layer} ${expert}`;
    if (wanted === this.#paged || (s.stage === "decode" && expert >= 0 && this.#paged)) return;
    this.#paged = wanted;
    $("expert").value = String(expert);
    $("expert-page").replaceChildren(...expert < 0 ? [] : this.#about(history, layer, expert));
  }

  #about(history, layer, expert) {
    const all = chosenBy(history, layer, expert), { list, of } = all;
    const mean = list.reduce((sum, e) => sum + e.w, 0) / (list.length || 1);
    const say = (name, kindOf) => el("p.note", null, `${name}: ${shares(history, layer, all, kindOf)
      .map(([kind, n, total]) => `${kind} ${n} of ${total}`).join(" · ")}`);
    const words = list.sort((a, b) => b.w - a.w).slice(0, LISTED).map(({ n, w }) => el("button.quiet",
      { type: "button", title: `weight ${w.toFixed(3)}`, onclick: () => select(this.#shared, n) },
      `${visible(history.text(n))} ${w.toFixed(2)}`));
    const more = list.length > LISTED ? `, the ${LISTED} heaviest first` : "";
    return [el("p.note", null, `Expert ${expert} of layer ${layer}: ${list.length} of ${of} tokens chose it`
      + `${list.length ? `, mean weight ${mean.toFixed(2)}${more}` : ""}.`),
    say("By channel", n => history.channel(n)), say("By class of word", n => classOf(history.text(n))),
    el("div.chosen", null, ...words)];
  }
}
