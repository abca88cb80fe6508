// prefixes.js - goss_store for JavaScript: prefixes that were computed outlive the page, one file each in the
// drive's folder "prefixes". C reads and writes at once: what is there is opened before the engine is, what
// is new is handed to the drive when it is whole. used.json says when each was last used. A drive that is
// full or refuses costs the keeping, never the answer.
// @ts-check
import { parse } from "./drive.js";
/** @import { Bytes, Drive, KeptFile } from "./drive.js" */

export const FOLDER = "prefixes";
const USED = "used.json";

/** @param {Bytes[]} parts */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const b of parts) {
    whole.set(b, at);
    at += b.length;
  }
  return whole;
}

export class Prefixes {
  #drive;
  #notice;
  /** When each was last used. @type {Record<string, number>} */
  #used = {};
  /** What is whole. @type {Map<string, KeptFile>} */
  #files = new Map();
  /** What isn't yet. @type {Map<string, Bytes[]>} */
  #parts = new Map();
  /** Writes come one after the other. */
  #last = Promise.resolve();

  /** @param {Drive} drive @param {(text: string) => void} notice */
  constructor(drive, notice) {
    this.#drive = drive;
    this.#notice = notice;
  }

  /** @param {Drive} drive @param {(text: string) => void} notice */
  static async open(drive, notice) {
    const p = new Prefixes(drive, notice);
    p.#used = parse(await drive.read(FOLDER, USED)) ?? {};
    for (const f of await drive.files(FOLDER)) if (f.name.endsWith(".kv")) p.#files.set(f.name, f);
    return p;
  }

  list() {
    return [...this.#files].map(([name, f]) => ({ name, bytes: f.size, used: this.#used[name] ?? 0 }));
  }

  /** n bytes from an offset, or null.
   * @param {string} name @param {number} offset @param {number} n */
  get(name, offset, n) {
    const f = this.#files.get(name);
    if (!f || offset + n > f.size) return null;
    try { return f.read(offset, n); } catch { return null; }     // deleted by another tab, or by the browser
  }

  /** As goss_store.put: more bytes of a new one; last 1: it is whole, -1: it is given up.
   * @param {string} name @param {Bytes} bytes @param {number} last */
  put(name, bytes, last) {
    const parts = this.#parts.get(name) ?? [];
    this.#parts.delete(name);
    if (last < 0) return;
    parts.push(bytes);
    if (last) this.#keep(name, joined(parts));
    else this.#parts.set(name, parts);
  }

  /** @param {string} name @param {Bytes} whole */
  #keep(name, whole) {
    /** @type {KeptFile} */
    const file = { name, size: whole.length, read: (offset, n) => whole.subarray(offset, offset + n) };
    this.#files.set(name, file);
    this.#used[name] = Date.now();
    this.#then(async () => {
      await this.#drive.write(FOLDER, name, whole);
      const kept = await this.#drive.file(FOLDER, name);           // the bytes need not stay in memory
      if (kept && this.#files.get(name) === file) this.#files.set(name, kept);
    });
    this.#save();
  }

  /** @param {string} name */
  touch(name) {
    this.#used[name] = Date.now();
    this.#save();
  }

  /** @param {string} name */
  drop(name) {
    this.#files.delete(name);
    delete this.#used[name];
    this.#then(() => this.#drive.drop(FOLDER, name));
    this.#save();
  }

  /** When all that was put is where it will be found again. */
  settled() { return this.#last; }

  #save() {
    const json = () => new TextEncoder().encode(JSON.stringify(this.#used));
    this.#then(() => this.#drive.write(FOLDER, USED, json()));
  }

  /** @param {() => Promise<void>} what */
  #then(what) {
    this.#last = this.#last.then(what).catch(e => {
      this.#notice(`the prefix cache could not be written: ${e.message}`);
    });
  }
}
