// prefixes.js - goss_store for JavaScript: prefixes that were computed outlive the page, one file each in the drive's folder
// "prefixes". C reads and writes at once: what is there is opened before the engine is, what is new is handed to the drive when it is
// whole. used.json says when each was last used. A drive that is full or refuses costs the keeping, never the answer.
import { parse } from "./drives.js";

export const FOLDER = "prefixes";
const USED = "used.json";

export class Prefixes {
  #drive; #notice; #used; #files = new Map(); #parts = new Map(); #last = Promise.resolve();

  static async open(drive, notice) {
    const p = new Prefixes();
    p.#drive = drive;
    p.#notice = notice;
    p.#used = parse(await drive.read(FOLDER, USED)) ?? {};
    for (const f of await drive.files(FOLDER)) if (f.name.endsWith(".kv")) p.#files.set(f.name, f);
    return p;
  }

  list() { return [...this.#files].map(([name, f]) => ({ name, bytes: f.size, used: this.#used[name] ?? 0 })); }

  /** n bytes from an offset, or null. */
  get(name, offset, n) {
    const f = this.#files.get(name);
    if (!f || offset + n > f.size) return null;
    try { return f.read(offset, n); } catch { return null; }                 // deleted by another tab, or by the browser
  }

  /** As goss_store.put: more bytes of a new one; last 1: it is whole, -1: it is given up. */
  put(name, bytes, last) {
    const parts = this.#parts.get(name) ?? [];
    if (last < 0) return void this.#parts.delete(name);
    this.#parts.set(name, parts);
    parts.push(bytes);
    if (!last) return;
    this.#parts.delete(name);
    const size = parts.reduce((n, b) => n + b.length, 0), whole = new Uint8Array(size);
    for (let i = 0, at = 0; i < parts.length; at += parts[i++].length) whole.set(parts[i], at);
    const file = { name, size, read: (from, n) => whole.subarray(from, from + n) };
    this.#files.set(name, file);
    this.#used[name] = Date.now();
    this.#then(async () => {
      await this.#drive.write(FOLDER, name, whole);
      const kept = await this.#drive.file(FOLDER, name);
      if (kept && this.#files.get(name) === file) this.#files.set(name, kept); // the bytes need not stay in memory
    });
    this.#save();
  }

  touch(name) { this.#used[name] = Date.now(); this.#save(); }

  drop(name) {
    this.#files.delete(name);
    delete this.#used[name];
    this.#then(() => this.#drive.drop(FOLDER, name));
    this.#save();
  }

  /** When all that was put is where it will be found again. */
  settled() { return this.#last; }

  #save() { this.#then(() => this.#drive.write(FOLDER, USED, new TextEncoder().encode(JSON.stringify(this.#used)))); }
  #then(what) { this.#last = this.#last.then(what).catch(e => this.#notice(`the prefix cache could not be written: ${e.message}`)); }
}
