// axes.js - what drawn panels share: the time axis (a token a column, the same tokens in every panel of the
// same width), its ticks and the moment's mark, values' scales, and what is said where a pointer rests.
import { COLOURS, el } from "./dom.js";
import { momentOf } from "./moment.js";

const TICKS = 50, FONT = "9px monospace", LABEL = "rgba(170, 200, 215, 1)", BEHIND = "rgba(6, 12, 18, .7)";
const LINE = 12, BASE = 9, MOST_LABELS = 500;

/** The tokens that so many pixels show, `step` each: the newest right, or around the moment. */
export function timeAxis(s, width, step) {
  const { history, moment } = s, fit = Math.max(1, Math.floor(width / step));
  const out = moment !== null && moment < history.count - fit;
  const to = out ? Math.min(history.count, moment + Math.ceil(fit / 2)) : history.count;
  const from = Math.max(history.first, to - fit), left = width - (to - from) * step;
  return { from, to, step, x: n => left + (n - from) * step,
    at: x => x >= left && x < width ? Math.min(to - 1, from + Math.floor((x - left) / step)) : -1 };
}

/** Texts as pictures, each drawn once: a text that is written on a canvas of the page makes the browser
 * lay out the whole page before. */
class Labels {
  #kept = new Map();
  #ruler = new OffscreenCanvas(1, 1).getContext("2d");

  /** {picture, width}: of a text at so many device pixels a pixel. */
  of(text, ratio) {
    const key = `${ratio} ${text}`, kept = this.#kept.get(key);
    if (kept) return kept;
    if (this.#kept.size > MOST_LABELS) this.#kept.clear();
    this.#ruler.font = FONT;
    const width = Math.ceil(this.#ruler.measureText(text).width) + 1;
    const picture = new OffscreenCanvas(Math.ceil(width * ratio), Math.ceil(LINE * ratio));
    const c = picture.getContext("2d");
    c.scale(ratio, ratio);
    c.font = FONT;
    c.fillStyle = BEHIND;
    c.fillRect(0, 0, width, LINE);
    c.fillStyle = LABEL;
    c.fillText(text, 0, BASE);
    const made = { picture, width };
    this.#kept.set(key, made);
    return made;
  }
}
const labels = new Labels();

/** Text whose line stands at y; align: where x is of it. */
export function label(c, text, x, y, align = "left") {
  if (!text) return;
  const { picture, width } = labels.of(text, c.getTransform().a);
  const back = { left: 0, center: 0.5, right: 1 }[align];
  c.drawImage(picture, Math.round(x - back * width), y - BASE, width, LINE);
}

/** Numbers of tokens along the foot, and the moment's column. */
export function timeTicks({ c, w, h }, axis, s) {
  c.fillStyle = "rgba(110, 200, 230, .2)";
  const first = Math.ceil(axis.from / TICKS) * TICKS;
  for (let n = first; n < axis.to; n += TICKS) {
    c.fillRect(Math.round(axis.x(n)), 0, 1, h);
  }
  for (let n = first; n < axis.to; n += TICKS) {
    if (axis.x(n) < w - 24) label(c, `#${n}`, axis.x(n) + 2, h - 2);
  }
  const n = momentOf(s);
  if (s.moment === null || n < axis.from || n >= axis.to) return;
  c.fillStyle = "rgba(255, 255, 255, .3)";
  c.fillRect(axis.x(n) - 1, 0, axis.step + 1, h);
}

/** What the top of a scale is, in its unit. */
export const topLabel = ({ c }, text, y = 9) => label(c, text, 2, y);

// ---- what is said where the pointer is ------------------------------------------------------------------
let box = null;

/** Beside the pointer of this event; without a text nothing. */
export function say(text, { clientX, clientY }) {
  box ??= document.body.appendChild(el("div.tip", { hidden: true, "aria-hidden": "true" }));
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const right = clientX > innerWidth / 2, low = clientY > innerHeight / 2;
  Object.assign(box.style, { left: right ? "auto" : `${clientX + 12}px`,
    right: right ? `${innerWidth - clientX + 12}px` : "auto", top: low ? "auto" : `${clientY + 12}px`,
    bottom: low ? `${innerHeight - clientY + 12}px` : "auto" });
}

/** Says textAt(x, y) beside the pointer, in the node's pixels; where: what becomes of a click there. */
export function wireTip(node, textAt, click) {
  const at = (e, fn) => {
    const { left, top } = node.getBoundingClientRect();
    return fn(e.clientX - left, e.clientY - top, e);
  };
  node.addEventListener("pointermove", e => say(at(e, textAt), e));
  node.addEventListener("pointerleave", e => say("", e));
  if (!click) return;
  node.classList.add("pick");
  node.addEventListener("pointerdown", e => at(e, click));
  node.addEventListener("pointermove", e => { if (e.buttons & 1) at(e, click); });
}

export const CHANNEL_COLOURS = { prompt: COLOURS.faint, "": COLOURS.faint, analysis: COLOURS.vi,
  commentary: COLOURS.or, final: COLOURS.cy };
