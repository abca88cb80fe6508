// player.js - the clock of a recording: gives out its items when they are due, stops, goes on, seeks, at any
// speed. It knows neither the page nor what the items mean. It promises: items come in order; after a seek
// the receiver has had exactly those before that place.
const TICK_MS = 16, LONGEST_MS = 1000;

/** "as it was" keeps the pauses; at the other speeds none is longer than a second. */
export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];

/** When each item is due, in ms from the first; what has no time comes with the one before. */
export function dueTimes(items, longest = Infinity) {
  const due = new Float64Array(items.length);
  let last = items[0]?.ts_ms ?? 0;
  for (let i = 1; i < items.length; i++) {
    const ts = items[i].ts_ms ?? last;
    due[i] = due[i - 1] + Math.min(longest, Math.max(0, ts - last));
    last = Math.max(last, ts);
  }
  return due;
}

export class Player {
  #items;
  #on;
  #short;                            // when items are due, with pauses cut, and as they were
  #long;
  #at = 0;                           // the next item
  #ms = 0;                           // how far it is
  #began = 0;                        // when it was so far
  #timer = 0;
  playing = false;
  speed = 1;
  asItWas = false;

  /** on: {take(item, index, jumping), restart(), landed(), changed()}. restart: all comes anew, from the
   * first. landed: a jump is over. changed: it plays, stops, or is elsewhere. */
  constructor(items, on) {
    this.#items = items;
    this.#on = on;
    this.#short = dueTimes(items, LONGEST_MS);
    this.#long = dueTimes(items);
  }

  get #due() { return this.asItWas ? this.#long : this.#short; }
  get at() { return this.#at; }
  get ms() { return this.#ms; }
  get length() { return this.#due.at(-1) ?? 0; }
  get over() { return this.#at === this.#items.length; }

  #give(index, jumping) {
    while (this.#at < index) {
      this.#on.take(this.#items[this.#at], this.#at, jumping);
      this.#at++;
    }
  }

  #tick = () => {
    const due = this.#due;
    this.#ms = Math.min(this.length, this.#ms + (performance.now() - this.#began) * this.#rate);
    this.#began = performance.now();
    let to = this.#at;
    while (to < due.length && due[to] <= this.#ms) to++;
    this.#give(to, false);
    if (this.over) this.pause();
    else {
      this.#timer = setTimeout(this.#tick, TICK_MS);
      this.#on.changed();
    }
  };
  get #rate() { return this.asItWas ? 1 : this.speed; }

  /** From the beginning, where it is at its end. */
  play() {
    if (this.playing) return;
    if (this.over) this.seek(0);
    this.playing = true;
    this.#began = performance.now();
    this.#tick();
  }

  pause() {
    clearTimeout(this.#timer);
    this.playing = false;
    this.#on.changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** speed: of SPEEDS; asItWas: its own pace, with its pauses. It stays where it is. */
  pace(speed, asItWas = false) {
    this.speed = speed;
    this.asItWas = asItWas;
    this.#ms = this.#at ? this.#due[this.#at - 1] : 0;
    this.#began = performance.now();
    this.#on.changed();
  }

  /** As if it had been played so far: all that is due by then. */
  seek(ms) {
    const due = this.#due;
    let to = due.findIndex(t => t > ms);
    if (to < 0) to = due.length;
    this.jump(to);
    this.#ms = Math.max(0, Math.min(ms, this.length));
  }

  /** Item `index` is the next one. */
  jump(index) {
    const to = Math.max(0, Math.min(index, this.#items.length));
    if (to < this.#at) {
      this.#at = 0;
      this.#on.restart();
    }
    this.#give(to, true);
    this.#ms = to ? this.#due[to - 1] : 0;
    this.#began = performance.now();
    this.#on.landed();
    this.#on.changed();
  }

  /** Behind the item, so many further (or back), that `is` one. */
  step(by, is) {
    let at = this.#at;
    for (let n = Math.abs(by); n > 0; n--) {
      const next = by > 0 ? this.#items.findIndex((item, i) => i >= at && is(item)) + 1
        : this.#items.findLastIndex((item, i) => i < at - 1 && is(item)) + 1;
      at = next || (by > 0 ? this.#items.length : 0);
    }
    this.jump(at);
  }
}
