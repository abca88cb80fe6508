// parity.js - PARITY: each stage of the model for a few tokens, beside the reference's in double on the same
// weights. Computed when it is asked for, on the engine's thread, in rounds of one token more: between two
// rounds it can be stopped. What it costs is said before.
import { $, countOf, el, percent, setText, tag } from "./dom.js";
import { momentOf, tagOf } from "./moment.js";

const MOST = 16;
/** So much of the reference's root mean square may a stage of the first layer, where both sides begin with
 * the same numbers, be away from it (gate D). */
const BOUND = 0.05;
/** So many steps of one token a token of the reference takes, about. */
const SLOWER = 20;

/** Each stage in few words, and in all. */
const NAMES = { embed: ["embedding", ""], attn_in: ["q, k, v", "norm, queries, keys, values, RoPE"],
  attend: ["attention", "sinks and window"], attn_out: ["attention's out", "its projection, added"],
  route: ["router", "norm, router"], experts: ["experts", "those chosen, added"],
  ffn: ["MLP", "norm, MLP, added"], head: ["head", "norm, logits of the last token"] };

/** Why it can't be computed here, in a sentence; "": it can. */
function whyNot({ server, model, state }) {
  if (server) return "A server answers: gossamer gate D compares where the server runs.";
  if (!model) return state.history.count ? "A recording does not hold the model." : "It needs a model.";
  if (model.info.backend === "gpu") {
    return "In a browser a GPU's stages can't be read while it works: /check compares every kernel with its "
      + "reference here, gossamer gate D whole stages.";
  }
  return "";
}

/** Of each stage its difference in the first layer and its largest one, both in shares of the reference's
 * root mean square: {stage: {first, most, layer}}. */
export function worst(rows, found = {}) {
  for (const { stage, layer, rms, max } of rows) {
    const share = max / rms, row = found[stage] ??= { first: 0, most: -1, layer };
    if (layer <= 0 && stage !== "head") row.first = Math.max(row.first, share);
    if (share > row.most) Object.assign(row, { most: share, layer });
  }
  return found;
}

export class Parity {
  #shared;
  #found = null;                     // worst() of what was compared
  #rounds = 0;
  #running = null;                   // stops what is under way
  #ms = 0;                           // what a token of a round took last
  #failed = "";

  constructor(shared) {
    this.#shared = shared;
    $("parity-go").addEventListener("click", () => this.#running ? this.#running.abort() : this.#probe());
    $("parity-range").addEventListener("input", () => this.draw(shared.state));
  }

  /** The tokens that end with the moment's, as a text of their own. */
  #tokens(s) {
    const { history } = s, n = momentOf(s), { id, position } = history.columns;
    const many = countOf("parity-range", MOST);
    const first = n < 0 ? 0 : Math.max(history.first, n - history.get(n, position), n - many + 1);
    return Array.from({ length: n < 0 ? 0 : n - first + 1 }, (_, i) => history.get(first + i, id));
  }

  /** What it would take, in a sentence. */
  #cost(s) {
    const n = this.#tokens(s).length, tokens = n * (n + 1) / 2;
    if (!n) return "Nothing was said here yet.";
    const { history } = s, step = history.get(momentOf(s), history.columns.ms);
    const each = this.#ms || step * SLOWER, about = Number.isFinite(each)
      ? `, about ${Math.max(1, Math.round(each * tokens))} ms` : "";
    const what = n === 1 ? "this token" : `the first 1 to ${n} of these ${n} tokens`;
    return `PROBE computes ${what} in double, on one thread, and by the page's kernels: ${tokens} `
      + `${tokens === 1 ? "row" : "rows"}${about}, while answers wait.`;
  }

  async #probe() {
    const shared = this.#shared, { model, state } = shared, stop = this.#running = new AbortController();
    const ids = this.#tokens(state);
    this.#found = {};
    this.#rounds = 0;
    this.#failed = "";
    this.draw(state);
    try {
      for (let n = 1; n <= ids.length && !stop.signal.aborted; n++) {
        const from = performance.now();
        worst(await model.parity(ids.slice(0, n)), this.#found);
        this.#ms = (performance.now() - from) / n;
        this.#rounds = n;
        this.draw(shared.state);
      }
    } catch (e) { this.#failed = e.message; }
    this.#running = null;
    this.draw(shared.state);
  }

  draw(s) {
    const why = whyNot(this.#shared), go = $("parity-go");
    tag("p-parity", tagOf(s));
    setText(go, this.#running ? "STOP" : "PROBE");
    go.disabled = !this.#running && (!!why || !this.#tokens(s).length);
    $("parity-range").disabled = !!why || !!this.#running;
    setText($("parity-note"), why || this.#failed || this.#said() || this.#cost(s));
    if (this.#rounds) $("parity").replaceChildren(this.#table());
  }

  /** What has been found, while it goes on. */
  #said() {
    if (!this.#running) return "";
    return `Round ${this.#rounds + 1}: ${this.#rounds + 1} ${this.#rounds ? "tokens" : "token"} …`;
  }

  #table() {
    const head = ["stage", "layer 0", "at most", "in"].map(t => el("th", { scope: "col" }, t));
    const line = ([stage, { first, most, layer }]) => {
      const bad = stage !== "head" && !(first <= BOUND);
      const judged = stage === "head" ? el("td", null, "—")
        : el(bad ? "td.bad" : "td.end", null, `${percent(first)} ${bad ? "✗" : "✓"}`);
      const [name, title] = NAMES[stage] ?? [stage, ""];
      return el("tr", null, el("th", { scope: "row", title }, name), judged,
        el("td", null, percent(most)), el("td.n", null, layer < 0 ? "—" : String(layer)));
    };
    const lines = Object.entries(this.#found).map(line);
    return el("table", { "aria-label": "How far each stage is from the reference" },
      el("caption", null, `1 to ${this.#rounds} tokens: the largest difference, in shares of the reference's `
        + "root mean square. Layer 0 is judged (5 %), later ones add up what went before."),
      el("thead", null, el("tr", null, ...head)), el("tbody", null, ...lines));
  }
}
