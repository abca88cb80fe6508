// timeline.js - TOKEN STREAM: every token of prompt and answer as text, below it the entropy and time of
// each, a slider over all of them, and the moment in words. Picked here, a token is what all panels show.
import { CHANNEL_COLOURS, label, say, timeAxis, timeTicks, topLabel, wireTip } from "./axes.js";
import { $, COLOURS, context, setText } from "./dom.js";
import { momentOf, select, sentence } from "./moment.js";
import { Words } from "./words.js";

const TOKENS = 200, STEP = 4, STRIP = 3, TEN = 10;

/** Entropy up from the middle, time down from it, channels along the foot. */
function strips(canvas, s) {
  const g = context(canvas);
  if (!g) return;
  const { history } = s, { columns } = history, axis = timeAxis(s, g.w, STEP), { c } = g;
  const half = (g.h - STRIP) / 2;
  let nats = 1, ms = 1;
  for (let n = axis.from; n < axis.to; n++) {
    nats = Math.max(nats, history.get(n, columns.entropy) || 0);
    ms = Math.max(ms, history.get(n, columns.ms) || 0);
  }
  for (let n = axis.from; n < axis.to; n++) {
    const x = axis.x(n), up = (history.get(n, columns.entropy) || 0) / nats * half;
    c.fillStyle = COLOURS.vi;
    c.fillRect(x, half - up, STEP - 1, up);
    c.fillStyle = COLOURS.gr;
    c.fillRect(x, half, STEP - 1, (history.get(n, columns.ms) || 0) / ms * half);
    c.fillStyle = CHANNEL_COLOURS[history.channel(n)];
    c.fillRect(x, g.h - STRIP, STEP, STRIP);
  }
  timeTicks(g, axis, s);
  topLabel(g, `entropy, to ${nats.toFixed(1)} nats`);
  label(c, `time, to ${ms.toFixed(ms < TEN ? 1 : 0)} ms`, g.w - 2, g.h - STRIP - 3, "right");
}

export class Timeline {
  #shared;
  #words;
  #strips = $("timeline");
  #slider = $("scrub");

  constructor(shared) {
    this.#shared = shared;
    const pick = n => select(shared, n);
    this.#words = new Words($("tokens"), TOKENS, { pick, hover: (n, e) => this.#hover(n, e) });
    wireTip(this.#strips, x => this.#said(this.#axis().at(x)), x => {
      const n = this.#axis().at(x);
      if (n >= 0) pick(n);
    });
    this.#slider.addEventListener("input", () => this.#scrubbed());
    this.#slider.addEventListener("keydown", e => this.#key(e));
    $("live").addEventListener("click", () => select(shared, null));
  }

  get #state() { return this.#shared.state; }
  #axis() { return timeAxis(this.#state, this.#strips.clientWidth, STEP); }
  #said(n) { return n < 0 ? "" : sentence(this.#state.history, n); }

  /** Its figures, and what it looked at, while the pointer is there. */
  #hover(n, e) {
    const s = this.#state;
    say(this.#said(n), e);
    this.#words.light(s.history, n < 0 && s.moment === null ? -1 : n < 0 ? momentOf(s) : n);
  }

  /** At its end the slider is live. */
  #scrubbed() {
    const n = +this.#slider.value;
    select(this.#shared, n >= this.#state.history.count - 1 ? null : n);
  }

  /** Ten at a time. */
  #key(e) {
    const by = { PageUp: TEN, PageDown: -TEN }[e.key];
    if (!by) return;
    e.preventDefault();
    const n = momentOf(this.#state) + by;
    select(this.#shared, n >= this.#state.history.count - 1 ? null : n);
  }

  strips(s) { strips(this.#strips, s); }

  draw(s) {
    const live = s.moment === null;
    this.#words.draw(s);
    this.#words.light(s.history, live ? -1 : momentOf(s));
    if (live) this.#words.end();
    else this.#words.reveal();
  }

  /** The slider, and the moment in words. */
  moment(s) {
    const { history } = s, n = momentOf(s), live = s.moment === null, slider = this.#slider;
    slider.min = String(history.first);
    slider.max = String(Math.max(0, history.count - 1));
    slider.value = String(Math.max(0, n));
    const text = sentence(history, n);
    slider.setAttribute("aria-valuetext", text);
    setText($("moment"), text);
    $("live").setAttribute("aria-pressed", String(live));
    setText($("tok-id"), n >= 0 ? `ID ${history.get(n, history.columns.id)}` : "ID —");
    setText($("tok-rate"), s.rate.toFixed(s.rate >= 100 ? 0 : 1));
  }
}
