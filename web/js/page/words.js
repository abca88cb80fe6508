// words.js - tokens as text, one node each: they grow at the end, are picked by a click, and light up where
// they were looked at. So many are shown, around the moment or the newest. While tokens are made only those
// that are seen are kept: the browser lays out all that are there with each that comes.
import { el, visible } from "./dom.js";
import { momentOf } from "./moment.js";

/** While tokens are made at most LIVE are added at once, and those that are out of view go when SLACK have
 * come; a line has so many pixels. */
const LIVE = 120, SLACK = 30, LINE = 18;
const STEPS = 10;
const stepOf = x => Math.max(0, Math.min(STEPS - 1, Math.floor(x * STEPS)));
const CONTROL = /^<\|.*\|>$/;

export class Words {
  #box;
  #most;
  #line = el("div");
  #from = 0;
  #to = 0;
  #kept = 0;                         // how many were left when some went
  #stream = -1;
  #scrolled = false;
  #lit = [];
  #selected = null;

  /** pick(n): a token was clicked; hover(n): the pointer is on it, -1: on none. */
  constructor(box, most, { pick, hover }) {
    this.#box = box;
    this.#most = most;
    box.addEventListener("click", e => { if (e.target.n !== undefined) pick(e.target.n); });
    box.addEventListener("pointerover", e => hover(e.target.n ?? -1, e));
    box.addEventListener("pointerleave", e => hover(-1, e));
    box.addEventListener("scroll", () => { this.#scrolled = true; }, { passive: true });
  }

  get line() { return this.#line; }

  /** What is shown: the newest, or so much around the moment that it is in. */
  #window({ history, moment }, growing) {
    const most = growing ? Math.min(LIVE, this.#most) : this.#most;
    const newest = Math.max(history.first, history.count - most);
    if (moment === null || moment >= newest) return [newest, history.count];
    const from = Math.max(history.first, moment - (this.#most >> 1));
    return [from, Math.min(history.count, from + this.#most)];
  }

  draw(s) {
    if (!this.#line.isConnected) this.#box.append(this.#line);
    const growing = s.moment === null && s.stage === "decode", [from, to] = this.#window(s, growing);
    const anew = s.stream !== this.#stream || (from < this.#from && !growing) || from >= this.#to
      || to < this.#to;
    if (anew) {
      this.#line.replaceChildren();
      this.#from = this.#to = from;
      this.#kept = 0;
      this.#stream = s.stream;
    }
    if (growing && this.#to - this.#from > this.#kept + SLACK) this.#trim();
    this.#append(s.history, to);
    this.#mark(s);
  }

  /** Those above the box go, but for one line. Before others are added, so that where words stand is known
   * and need not be laid out for this. */
  #trim() {
    const { children } = this.#line, all = document.createRange();
    let low = 0, high = children.length;
    while (low < high) {
      const middle = low + high >> 1;
      if (children[middle].offsetTop < -LINE) low = middle + 1;
      else high = middle;
    }
    const n = Math.max(low, children.length - 2 * LIVE);
    all.setStart(this.#line, 0);
    all.setEnd(this.#line, n);
    all.deleteContents();
    this.#from += n;
    this.#kept = this.#to - this.#from;
  }

  #append(history, to) {
    const all = document.createDocumentFragment();
    for (; this.#to < to; this.#to++) all.append(this.#word(history, this.#to));
    this.#line.append(all);
  }

  #word(history, n) {
    const text = history.text(n), p = history.get(n, history.columns.p);
    const node = document.createElement("span");
    const control = CONTROL.test(text) ? " ctl" : "";
    node.className = `${history.channel(n)}${control} q${Number.isFinite(p) ? stepOf(p) : 4}`;
    node.textContent = visible(text);
    node.n = n;
    return node;
  }

  #node(n) { return n >= this.#from && n < this.#to ? this.#line.children[n - this.#from] : null; }

  #mark(s) {
    const node = s.moment === null ? null : this.#node(momentOf(s));
    if (node === this.#selected) return;
    this.#selected?.classList.remove("at");
    node?.classList.add("at");
    this.#selected = node;
  }

  /** The words that row n looked at. */
  light(history, n) {
    for (const node of this.#lit) {
      node.classList.remove("lit");
      node.style.removeProperty("--a");
    }
    const looks = n >= 0 ? history.looks(n) : [], most = Math.max(1e-6, ...looks.map(l => l.w));
    this.#lit = looks.flatMap(({ n: at, w }) => {
      const node = this.#node(at);
      node?.classList.add("lit");
      node?.style.setProperty("--a", (w / most).toFixed(2));
      return node ? [node] : [];
    });
  }

  /** The newest in sight: the box stays at its end by itself (panels.css). */
  end() {
    if (this.#scrolled) this.#box.scrollTop = 0;
    this.#scrolled = false;
  }

  /** The moment in sight. */
  reveal() {
    const node = this.#selected, { scrollTop, clientHeight } = this.#box;
    if (!node) return;
    const top = node.offsetTop;
    if (top < scrollTop || top + node.offsetHeight > scrollTop + clientHeight) {
      this.#box.scrollTop = top - clientHeight / 2;
    }
  }
}
