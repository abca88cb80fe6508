// history.js - what is known of every token, in a ring of rows (core/columns.js): packed, of fixed capacity,
// nothing allocated a token. Rows are numbered from the first on; the oldest go first. It holds one
// session's: sessions never mix. The newest rows' whole attention is kept beside them.
import { CHANNELS, columns, LOOKS, sameShape, TOPS } from "../core/columns.js";

const MOST = 4096, FIRST = 256, MAPS = 160, UNTIMED = 128;

export class History {
  columns = columns();
  #ring = new Float32Array(0);
  #room = 0;                         // rows that the ring has room for
  count = 0;                         // rows that there have been
  texts = new Map();                 // of tokens, by id
  maps = [];                         // the newest: {n, layer, head, first, w}

  /** The oldest row that is there. */
  get first() { return Math.max(0, this.count - MOST); }

  /** Rows of another model begin anew. */
  shape(shape) {
    if (sameShape(shape, this.columns)) return;
    this.columns = columns(shape);
    this.#ring = new Float32Array(0);
    this.#room = 0;
    this.texts.clear();
    this.clear();
  }

  clear() {
    this.count = 0;
    this.maps = [];
  }

  #grow() {
    const more = new Float32Array(Math.max(FIRST, 2 * this.#room) * this.columns.width);
    more.set(this.#ring);
    this.#ring = more;
    this.#room = more.length / this.columns.width;
  }

  /** Row i of a batch; returns its number. */
  append(rows, i) {
    const { width } = this.columns;
    if (this.count === this.#room && this.#room < MOST) this.#grow();
    this.#ring.set(rows.subarray(i * width, (i + 1) * width), this.count % MOST * width);
    return this.count++;
  }

  /** Row n once more, as the newest; returns its number. */
  repeat(n) {
    const { width } = this.columns, at = n % MOST * width;
    return this.append(this.#ring.slice(at, at + width), 0);
  }

  set(n, column, value) { this.#ring[n % MOST * this.columns.width + column] = value; }

  keepMap(map) {
    this.maps.push(map);
    if (this.maps.length > MAPS) this.maps.shift();
  }

  has(n) { return n >= this.first && n < this.count; }

  /** A column of row n. */
  get(n, column) { return this.#ring[n % MOST * this.columns.width + column]; }

  text(n) { return this.texts.get(this.get(n, this.columns.id)) ?? ""; }
  channel(n) { return this.made(n) ? CHANNELS[this.get(n, this.columns.channel)] : "prompt"; }
  /** Did the model say it? */
  made(n) { return this.get(n, this.columns.made) === 1; }

  /** The row at n or not far before it, of the same answer, whose step's stages were timed: of fast steps
   * not every one is. -1: none. */
  timed(n) {
    const { embed } = this.columns, end = Math.max(this.first, n - UNTIMED);
    for (let i = n; i >= end && this.made(i); i--) if (this.get(i, embed) >= 0) return i;
    return -1;
  }

  /** The best tokens that there were: [{id, text, p}]. */
  tops(n) {
    const out = [], { tops } = this.columns;
    for (let i = 0; i < TOPS; i++) {
      const id = this.get(n, tops + i);
      if (Number.isNaN(id)) break;
      out.push({ id, text: this.texts.get(id) ?? "", p: this.get(n, tops + TOPS + i) });
    }
    return out;
  }

  /** What its row looked at most: [{n: the row there, w}], of the layer and head that were watched. */
  looks(n) {
    const out = [], { looks, position } = this.columns, before = n - this.get(n, position);
    for (let i = 0; i < LOOKS; i++) {
      const at = this.get(n, looks + i);
      if (Number.isNaN(at)) break;
      if (this.has(before + at)) out.push({ n: before + at, w: this.get(n, looks + LOOKS + i) });
    }
    return out;
  }

  /** A map of row n that has what it looked at most, 0 for all else; null: that is not known. */
  mapOfLooks(n) {
    const { looks, position, layer, watched } = this.columns, last = this.get(n, position) - 1;
    const at = [], heads = { layer: this.get(n, layer), head: this.get(n, watched) };
    for (let i = 0; i < LOOKS; i++) {
      const place = this.get(n, looks + i);
      if (Number.isNaN(place)) break;
      if (place > last - MOST) at.push([place, this.get(n, looks + LOOKS + i)]);
    }
    if (!at.length) return null;
    const first = Math.min(...at.map(([place]) => place)), w = new Float32Array(last + 1 - first);
    for (const [place, weight] of at) w[place - first] = weight;
    return { n, ...heads, first, w };
  }

  /** The experts that worked in a layer, with their weights: [{expert, w}]. */
  experts(n, layer) {
    const { used } = this.columns, at = this.columns.experts(layer), out = [];
    for (let i = 0; i < used; i++) {
      const expert = this.get(n, at + i);
      if (!Number.isNaN(expert)) out.push({ expert, w: this.get(n, at + used + i) });
    }
    return out;
  }
}
