// lens.js - LENS: what the embedding and each layer would have said at the moment, the model's last norm and
// head on their residuals. Computed when it is asked for, on the engine's thread, a token at a time: between
// two tokens it can be stopped. What it costs is said before.
import { $, countOf, el, percent, setText, tag, visible } from "./dom.js";
import { momentOf, select, tagOf } from "./moment.js";

const MOST = 64;
const WORDS = 5;

const nameOf = layer => layer < 0 ? "embedding" : `layer ${layer}`;
const nats = x => x.toFixed(x < 9.995 ? 2 : 1);

/** Where the text of row n begins; -1: not all of it is there, or nothing stands before. */
function firstOf(history, n) {
  const { position } = history.columns, first = n - history.get(n, position);
  return n > first && history.has(first) && history.get(first, position) === 0 ? first : -1;
}

/** All tokens before row n. */
function tokensBefore(history, n) {
  const first = firstOf(history, n);
  return Array.from({ length: n - first }, (_, i) => history.get(first + i, history.columns.id));
}

/** Why the lens can't be computed here, in a sentence; "": it can. */
function whyNot({ server, model, state }) {
  if (server) return "A server answers: the lens needs the model in this page (or gossamer probe lens).";
  if (!model) return state.history.count ? "A recording does not hold it: the lens needs the model."
    : "The lens needs a model.";
  if (model.info.backend === "gpu") {
    return "In a browser the lens is computed on the CPU only: load the model with ?backend=cpu, or use "
      + "gossamer probe lens.";
  }
  return "";
}

export class Lens {
  #shared;
  #seen = new Map();                 // row -> what model.lens said
  #of = null;                        // whose rows: the history and its stream
  #running = null;                   // stops what is under way
  #ms = 0;                           // what a token took last

  constructor(shared) {
    this.#shared = shared;
    $("lens-go").addEventListener("click", () => this.#running ? this.#running.abort() : this.#look());
    $("lens-range").addEventListener("input", () => this.draw(shared.state));
  }

  /** The rows that are asked for: up to the moment, as many as the field says. */
  #rows(s) {
    const n = momentOf(s), many = countOf("lens-range", MOST);
    const rows = [];
    for (let i = Math.max(s.history.first, n - many + 1); i <= n; i++) {
      if (i >= 0 && firstOf(s.history, i) >= 0) rows.push(i);
    }
    return rows;
  }

  /** What it would take, in a sentence. */
  #cost(s, rows) {
    const { history } = s, { layers, head, ms } = history.columns;
    const todo = rows.filter(n => !this.#seen.has(n));
    if (!rows.length) return "Nothing was said here yet.";
    if (!todo.length) return "";
    const n = todo.at(-1), timed = history.timed(n), one = timed >= 0 ? history.get(timed, head) : NaN;
    const each = this.#ms || history.get(n, ms) + (layers + 1) * one, known = Number.isFinite(each);
    const many = todo.length === 1 ? "one row" : `${todo.length} rows, one after the other:`;
    const about = known ? `about ${Math.max(1, Math.round(each * todo.length))} ms` : "a step and the heads";
    return `LOOK puts ${many} through ${layers} layers, and ${layers + 1} times the output head: ${about}, `
      + "while answers wait. What is not cached of the tokens before is computed again.";
  }

  async #look() {
    const shared = this.#shared, { state, model } = shared, stop = this.#running = new AbortController();
    this.#drawAsk(state);
    try {
      for (const n of this.#rows(state)) {
        if (stop.signal.aborted) break;
        if (this.#seen.has(n)) continue;
        const ids = tokensBefore(state.history, n), from = performance.now();
        const said = await model.lens(ids);
        this.#ms = performance.now() - from;
        if (this.#of === this.#key(shared.state)) this.#seen.set(n, said);
        this.draw(shared.state);
      }
    } catch (e) { setText($("lens-note"), e.message); }
    this.#running = null;
    this.draw(shared.state);
  }

  #key(s) { return `${s.stream} ${s.session}`; }

  draw(s) {
    if (this.#of !== this.#key(s) || this.#history !== s.history) this.#seen.clear();
    this.#of = this.#key(s);
    this.#history = s.history;
    tag("p-lens", tagOf(s));
    const seen = this.#rows(s).filter(n => this.#seen.has(n));
    this.#drawAsk(s);
    const shown = `${this.#of} ${seen}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    $("lens").replaceChildren(...seen.length > 1 ? [this.#map(s, seen)] : seen.map(n => this.#table(n)));
  }
  #history = null;
  #shown = "";

  #drawAsk(s) {
    const why = whyNot(this.#shared), go = $("lens-go"), rows = why ? [] : this.#rows(s);
    setText(go, this.#running ? "STOP" : "LOOK");
    go.disabled = !this.#running && (!!why || rows.every(n => this.#seen.has(n)));
    $("lens-range").disabled = !!why;
    setText($("lens-note"), why || this.#cost(s, rows));
  }

  /** A row a layer: the best five, and how far from the end. */
  #table(n) {
    const rows = this.#seen.get(n), end = rows.at(-1).topK[0].token;
    const head = ["layer", "KL", "would have said"].map((text, i) =>
      el("th", { scope: "col", ...(i === 2 && { colspan: WORDS }) }, text));
    const word = ({ token, text, probability: p }) => el(token === end ? "td.w.end" : "td.w",
      { title: `id ${token}`, style: { "--p": p.toFixed(3) } }, `${visible(text)} `,
      el("small", null, percent(p)));
    const line = r => el("tr", null, el("th", { scope: "row" }, nameOf(r.layer)),
      el("td.n", { title: "nats from what the model says" }, nats(r.kl)), ...r.topK.map(word));
    return el("table", { "aria-label": `What each layer would have said at #${n}` },
      el("thead", null, el("tr", null, ...head)), el("tbody", null, ...rows.toReversed().map(line)));
  }

  /** A column a token, a row a layer: the best of each, brighter the more probable. */
  #map(s, list) {
    const layers = this.#seen.get(list[0]).length;
    const pick = n => el("button", { type: "button", onclick: () => select(this.#shared, n) },
      `#${n} ${visible(s.history.text(n))}`);
    const cell = (n, i) => {
      const { topK: [best], kl } = this.#seen.get(n)[i];
      const ends = best.token === this.#seen.get(n).at(-1).topK[0].token;
      return el(ends ? "td.w.end" : "td.w", { style: { "--p": best.probability.toFixed(3) },
        title: `${percent(best.probability)}, KL ${nats(kl)} nats` }, visible(best.text));
    };
    const line = i => el("tr", null, el("th", { scope: "row" }, nameOf(i - 1)), ...list.map(n => cell(n, i)));
    return el("table", { "aria-label": "What each layer would have said best, a column a token" },
      el("thead", null, el("tr", null, el("td"), ...list.map(n => el("th", { scope: "col" }, pick(n))))),
      el("tbody", null, ...Array.from({ length: layers }, (_, i) => line(layers - 1 - i))));
  }
}
