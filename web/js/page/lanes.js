// lanes.js - SESSIONS: the engine's steps from left to right, a lane a session. A column is a step; its
// cells say whose rows it had: of a prompt, of an answer, drafts that were right and wrong. Before a
// prompt's first row its lane shows that it waits; where it begins, what it did not have to compute. Below
// in words: of each prompt what happened.
import { label, wireTip } from "./axes.js";
import { $, COLOURS, context, el, setText, tag } from "./dom.js";
import { momentOf, select, tagOf } from "./moment.js";
import { Whole } from "./whole.js";

const STEP = 5, LEFT = 30, FOOT = 26, TICKS = 20, LISTED = 12, SELDOM_MS = 500, HIGH = 34, LEAST = 9;
const WRONG = COLOURS.or, WAITS = "rgba(255, 162, 74, .22)", TOGETHER = "rgba(255, 255, 255, .10)";
const IDLE = -1;

const nameOf = session => session === IDLE ? "idle" : `S${session}`;
const wordOf = session => session === IDLE ? "idle time" : `session ${session}`;
const ms = x => `${x.toFixed(x < 10 ? 2 : 0)} ms`;

/** The place in steps of the step that made row n of the history; -1: it is not there. */
export function stepOfRow({ steps }, history, n) {
  if (n < 0) return -1;
  const { session, position, seconds, milli } = history.columns, at = history.get(n, position) - 1;
  const whose = history.get(n, session), when = history.get(n, seconds) * 1000 + history.get(n, milli);
  let best = -1, off = Infinity;
  for (let i = steps.length - 1; i >= 0; i--) {
    const { t0, ms, rows } = steps[i];
    if (!rows.some(r => (whose < 0 || r.session === whose) && at >= r.pos && at < r.pos + r.n)) continue;
    const d = Number.isFinite(when) ? Math.abs(t0 + ms - when) : steps.length - i;
    if (d < off) [best, off] = [i, d];
  }
  return best;
}

/** The row of the history that a step made for the session that is shown; -1: none. */
function rowOfStep({ t0, ms, rows }, history, session) {
  const own = rows.find(r => r.session === session), { columns: c } = history;
  if (!own) return -1;
  let best = -1, off = Infinity;
  for (let n = history.count - 1; n >= history.first; n--) {
    const before = history.get(n, c.position) - 1;
    if (before < own.pos || before >= own.pos + own.n) continue;
    const d = Math.abs(t0 + ms - history.get(n, c.seconds) * 1000 - history.get(n, c.milli));
    if (d < off || best < 0) [best, off] = [n, Number.isFinite(d) ? d : off];
  }
  return best;
}

/** The steps [from, to) that so many pixels show: the newest, or around the one at a place. */
export function viewOf({ length }, at, width) {
  const fit = Math.max(1, Math.floor((width - LEFT) / STEP));
  const to = at < 0 || at >= length - fit / 2 ? length
    : Math.min(length, Math.max(fit, at + Math.ceil(fit / 2)));
  return { from: Math.max(0, to - fit), to };
}

/** A sequence's rows in words. */
function said({ session, pos, n, prompt, drafted, accepted }) {
  if (session === IDLE) return `idle time computes ${n} positions of a prefix from ${pos} on`;
  const what = prompt ? [`${prompt} of its prompt from ${pos} on`] : [];
  if (n > prompt) what.push(drafted ? `position ${pos + prompt} and ${drafted} drafts, ${accepted} right`
    : `position ${pos + prompt}`);
  return `${wordOf(session)}: ${what.join(", ")}`;
}

/** A prompt and its answer as a row of the table. */
function turnRow(whole, turn) {
  const { session, tokens, reused = 0, from, joined, stored, waitsFor } = turn;
  const { prompt, made, drafted, accepted } = turn;
  const wait = Whole.waited(turn), ran = whole.whoRan(turn).slice(0, 2);
  const whom = waitsFor === undefined ? "" : ` for session ${waitsFor}'s prefix`;
  const others = ran.map(([other, t]) => `${nameOf(other)} ${ms(t)}`).join(", ");
  const source = joined ? "joined, " : stored ? "from disk, " : "";
  const origin = !(from >= 0) ? "" : from === session ? "its own" : `of S${from}`;
  return [nameOf(session), tokens === undefined ? "?" : `${prompt} / ${tokens - reused}`,
    reused ? `${reused} ${source}${origin}` : "0",
    Number.isFinite(wait) ? `${ms(wait)}${whom}${others && ` (${others})`}` : `waits${whom}`,
    String(made), drafted ? `${accepted} of ${drafted}` : "—", `${turn.together} of ${turn.steps}`];
}

export class Lanes {
  #shared;
  #canvas = $("lanes");
  #slider = $("lane-step");
  #at = null;                        // the place that the slider shows; null: the newest, or the moment's
  #listed = "";
  #drawn = 0;                        // when the table was looked at last

  constructor(shared) {
    this.#shared = shared;
    this.#slider.addEventListener("input", () => {
      const { steps } = this.#whole, at = +this.#slider.value;
      this.#at = at >= steps.length - 1 ? null : at;
      this.#again();
    });
    wireTip(this.#canvas, (x, y) => this.#tip(x, y), (x, y) => this.#click(x, y));
  }

  get #whole() { return this.#shared.state.whole; }

  #again() {
    this.#shared.state.dirty.add("lanes");
    this.#shared.news();
  }

  /** The steps that fit, and who had rows in them. */
  #view(s, w, h) {
    const { steps, turns } = s.whole;
    const at = this.#at ?? (s.moment === null ? -1 : stepOfRow(s.whole, s.history, momentOf(s)));
    const { from, to } = viewOf(steps, at, w), shown = steps.slice(from, to);
    const all = new Set(shown.flatMap(st => st.rows.map(r => r.session)));
    for (const t of turns) if (!t.first && t.came !== undefined) all.add(t.session);
    const lanes = [...all].sort((a, b) => (a < 0) - (b < 0) || a - b);
    const high = Math.max(LEAST, Math.min(HIGH, (h - FOOT) / Math.max(1, lanes.length)));
    return { from, to, shown, lanes, high, x: i => LEFT + (i - from) * STEP,
      at: x => x < LEFT ? -1 : from + Math.floor((x - LEFT) / STEP) };
  }

  #hit(x, y) {
    const { clientWidth: w, clientHeight: h } = this.#canvas, s = this.#shared.state, v = this.#view(s, w, h);
    const i = v.at(x);
    return { i, step: i < v.to ? s.whole.steps[i] : undefined, lane: v.lanes[Math.floor(y / v.high)] };
  }

  #tip(x, y) {
    const { step, lane } = this.#hit(x, y);
    if (!step) return lane === undefined ? "" : wordOf(lane);
    const rows = step.rows.reduce((sum, r) => sum + r.n, 0), own = step.rows.find(r => r.session === lane);
    const who = own ? [said(own), ...step.rows.filter(r => r !== own).map(said)] : step.rows.map(said);
    const waits = lane === undefined || own ? undefined : this.#whole.turns.find(t => t.session === lane
      && t.came < step.t0 + step.ms && !(t.first?.t0 <= step.t0));
    return `step ${step.n}: ${rows} row${rows === 1 ? "" : "s"}, ${ms(step.ms)} · `
      + `${waits ? `${wordOf(lane)} waits · ` : ""}${who.join(" · ")}`;
  }

  /** The token that the step made, where it is of the session that the panels show. */
  #click(x, y) {
    const s = this.#shared.state, { i, step } = this.#hit(x, y);
    const n = step ? rowOfStep(step, s.history, s.session ?? step.rows[0]?.session) : -1;
    this.#at = n >= 0 ? null : step ? i : this.#at;
    if (n >= 0) select(this.#shared, n);
    this.#again();
  }

  draw(s) {
    const g = context(this.#canvas), { steps } = s.whole;
    tag("p-lanes", tagOf(s));
    if (g) this.#map(g, s);
    this.#slider.max = String(Math.max(0, steps.length - 1));
    this.#slider.value = String(this.#at ?? Math.max(0, steps.length - 1));
    setText(this.#slider.nextElementSibling, steps.length ? String(steps[+this.#slider.value].n) : "—");
    this.#list(s);
  }

  #map(g, s) {
    const { c, w, h } = g, v = this.#view(s, w, h);
    if (!v.shown.length) return label(c, "no step yet", 4, h / 2);
    const most = Math.max(2, ...v.shown.flatMap(st => st.rows.map(r => r.n)));
    const longest = Math.max(...v.shown.map(st => st.ms)), foot = h - FOOT;
    v.shown.forEach((step, k) => {
      const x = v.x(v.from + k);
      if (step.rows.length > 1) {
        c.fillStyle = TOGETHER;
        c.fillRect(x, 0, STEP - 1, foot);
      }
      for (const r of step.rows) this.#cell(c, r, x, v.lanes.indexOf(r.session) * v.high, v.high - 2, most);
      c.fillStyle = COLOURS.faint;
      const bar = step.ms / longest * (FOOT - 12);
      c.fillRect(x, h - 10 - bar, STEP - 1, bar);
    });
    for (const turn of s.whole.turns) this.#arrival(c, turn, v);
    this.#scales(g, s, v, longest);
  }

  /** As high as its rows are many, by their logarithm. */
  #cell(c, { n, prompt, drafted, accepted }, x, top, high, most) {
    const scale = k => high * Math.log2(k + 1) / Math.log2(most + 1);
    let y = top + high;
    const put = (k, colour) => {
      if (k <= 0) return;
      const part = Math.max(2, scale(n) * k / n);
      c.fillStyle = colour;
      c.fillRect(x, y -= part, STEP - 1, part);
    };
    put(prompt, COLOURS.vi);
    put(n - prompt - drafted, COLOURS.cy);
    put(accepted, COLOURS.gr);
    put(drafted - accepted, WRONG);
  }

  /** Where it came and waited, and what it found. */
  #arrival(c, turn, v) {
    const y = v.lanes.indexOf(turn.session) * v.high, { shown } = v;
    if (y < 0 || turn.came === undefined) return;
    const first = shown.findIndex(st => st.t0 + st.ms > turn.came);
    const begun = turn.first ? shown.indexOf(turn.first) : shown.length;
    if (first < 0 || (turn.first && (begun < 0 || turn.first.t0 < shown[0].t0))) return;
    const x = v.x(v.from + first), end = v.x(v.from + begun);
    c.fillStyle = WAITS;
    if (end > x) c.fillRect(x, y, end - x, v.high - 2);
    c.fillStyle = COLOURS.or;
    c.fillRect(x - 1, y, 1, v.high - 2);
    const whose = turn.from >= 0 && turn.from !== turn.session ? ` of S${turn.from}` : "";
    if (turn.reused && v.high >= 16) label(c, `${turn.reused} reused${whose}`, end + 2, y + 9);
  }

  #scales({ c, w, h }, s, v, longest) {
    const every = Math.ceil(10 / v.high);
    v.lanes.forEach((session, i) => {
      if (i % every === 0) label(c, nameOf(session), 2, (i + 0.5) * v.high + 3);
    });
    c.fillStyle = "rgba(110, 200, 230, .25)";
    v.shown.forEach((step, k) => {
      if (step.n % TICKS) return;
      c.fillRect(v.x(v.from + k), 0, 1, h - 10);
      if (v.x(v.from + k) < w - 90) label(c, String(step.n), v.x(v.from + k) + 2, h - 1);
    });
    label(c, `step · bars to ${ms(longest)}`, w - 2, h - 1, "right");
    const at = s.moment === null ? -1 : stepOfRow(s.whole, s.history, momentOf(s));
    if (at < v.from || at >= v.to) return;
    c.fillStyle = "rgba(255, 255, 255, .3)";
    c.fillRect(v.x(at) - 1, 0, STEP + 1, h);
  }

  /** The newest prompts as a table, built anew where it says something else; while tokens come, seldom. */
  #list(s) {
    const { whole } = s, turns = whole.turns.slice(-LISTED).reverse();
    const busy = /^(prefill|decode)$/.test(s.stage), time = performance.now();
    if (busy && time - this.#drawn < SELDOM_MS) return;
    this.#drawn = time;
    const rows = turns.map(turn => turnRow(whole, turn)), now = JSON.stringify(rows);
    if (now === this.#listed) return;
    this.#listed = now;
    $("lane-list").replaceChildren(...rows.map((cells, i) => el("tr", { "data-session": turns[i].session },
      ...cells.map((text, k) => el(k ? "td" : "th", k ? null : { scope: "row" }, text)))));
    const { steps } = whole, shared = steps.filter(st => st.rows.length > 1).length;
    const text = steps.length ? `${steps.length} steps, ${shared} of them with rows of several sessions.`
      : "No step yet.";
    this.#canvas.setAttribute("aria-label", `Steps by session. ${text} The table says more of each prompt.`);
    setText($("lanes-said"), text);
  }
}
