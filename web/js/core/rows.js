// rows.js - the rows that the engine has made of its tokens (columns.js), out of wasm's memory: how many
// wait, and what has come since the last time, with the texts of tokens that were not told before.
import { columns, TOPS } from "./columns.js";

/** goss_rows, in words of four bytes. */
const WORDS = ["count", "width", "row", "map", "n_map"];

export class Rows {
  #wasm;
  #shape;
  #columns;
  #textOf;
  #told = new Set();                 // tokens whose texts were told

  /** shape: {layers, used}; textOf(id): a token's text. */
  constructor(wasm, shape, textOf) {
    this.#wasm = wasm;
    this.#shape = shape;
    this.#columns = columns(shape);
    this.#textOf = textOf;
  }

  get count() { return this.#wasm.call.goss_wasm_rows(); }

  /** {rows, count, maps, texts: [[id, text], ...], shape}. maps: of each row that has a map its place, how
   * many weights, the first position, then the weights. */
  take() {
    const { buffer } = this.#wasm.memory, p = this.#wasm.call.goss_wasm_take_rows() >>> 0;
    const words = new Uint32Array(buffer, p, WORDS.length), [count, width, row, map, size] = words;
    const copy = (at, n) => n ? new Float32Array(buffer, at, n).slice() : new Float32Array(0);
    const rows = copy(row, count * width), maps = copy(map, size);
    return { rows, count, maps, texts: this.#texts(rows, count), shape: this.#shape };
  }

  #texts(rows, count) {
    const { width, id, tops } = this.#columns, texts = [];
    const tell = token => {
      if (Number.isNaN(token) || this.#told.has(token)) return;
      this.#told.add(token);
      texts.push([token, this.#textOf(token)]);
    };
    for (let at = 0; at < count * width; at += width) {
      tell(rows[at + id]);
      for (let i = 0; i < TOPS; i++) tell(rows[at + tops + i]);
    }
    return texts;
  }
}
