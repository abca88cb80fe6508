// frames.js - when the page is drawn: in one animation frame, asked for when there is news; where the CPU
// draws, at most 22 times a second. Where frames come late they are asked for 20 times a second, until they
// come in time.
import { onTurn, takeTurn } from "./dom.js";

const CALM_MS = 46, LATE_MS = 30, SELDOM_MS = 48, MOST_LATE = 250;
/** A timer that wakes this long before its frame does not miss it. */
const EARLY_MS = 8;
/** What drawing one takes of a core, about: the engine lends one for so long. A timer that comes due while
 * the page's thread draws fires when it has. */
const LEND_MS = 8;

export class Frames {
  #shared;
  #drawPanels;
  #asked = false;
  #due = 0;                          // when the next frame should be
  #late = 0;                         // how late frames come, smoothed
  #every = 0;                        // from one frame to the next

  constructor(shared, drawPanels) {
    this.#shared = shared;
    this.#drawPanels = drawPanels;
    shared.news = () => this.ask();
    onTurn(shared.news);
  }

  /** There is news: a frame, soon. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    const now = performance.now(), wait = this.#due - now - EARLY_MS;
    this.#due = Math.max(this.#due, now);
    const frame = () => requestAnimationFrame(() => this.#frame());
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  }

  #frame() {
    const now = performance.now();
    this.#asked = false;
    this.#shared.llm?.lend(LEND_MS);
    this.#pace(now);
    this.#draw();
    this.#shared.drawn?.(now);
  }

  /** On a grid, so that a frame that was a little late does not put off those behind it. */
  #pace(now) {
    const least = this.#shared.calm ? CALM_MS : 0, late = Math.min(now - this.#due, MOST_LATE);
    this.#late += (late - this.#late) / 8;
    if (this.#late > LATE_MS) this.#every = Math.min(SELDOM_MS, this.#every + 8);
    else this.#every = Math.max(least, this.#every - 2);
    this.#due = Math.max(this.#due + this.#every, now);
  }

  /** Chats last: they scroll, for which the page is laid out, once. */
  #draw() {
    this.#shared.hear();
    this.#drawPanels();
    takeTurn();
  }

  /** Where an answer ends the panels say the same as the chat, at once. */
  drawAll() { this.#draw(); }
}
