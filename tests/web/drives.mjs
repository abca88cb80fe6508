// drives.mjs - how a place where bytes are kept must behave (web/js/core/bytes/drive.js), and a place in
// memory.
// @ts-check

/** @import { Bytes, Drive, KeptFile } from "../../web/js/core/bytes/drive.js" */

/** With room for so many bytes.
 * @implements {Drive} */
export class MemoryDrive {
  kind = /** @type {const} */ ("test");
  /** @type {Map<string, Bytes>} */
  #files = new Map();

  /** @param {number} room */
  constructor(room = Infinity) { this.room = room; }

  /** @param {string} folder */
  #names(folder) { return [...this.#files.keys()].filter(k => k.startsWith(`${folder}/`)); }

  async list() { return [...new Set([...this.#files.keys()].map(k => k.split("/")[0] ?? ""))]; }

  /** @param {string} folder @param {string} name */
  async read(folder, name) { return this.#files.get(`${folder}/${name}`) ?? null; }

  /** @param {string} folder @param {string} name @param {Bytes} bytes */
  async write(folder, name, bytes) {
    const at = `${folder}/${name}`;
    const others = [...this.#files].reduce((n, [k, v]) => n + (k === at ? 0 : v.length), 0);
    if (others + bytes.length > this.room) throw new DOMException("full", "QuotaExceededError");
    this.#files.set(at, bytes.slice());
  }

  /** @param {string} folder */
  async remove(folder) { for (const k of this.#names(folder)) this.#files.delete(k); }

  /** @param {string} folder @param {string} name */
  async drop(folder, name) { this.#files.delete(`${folder}/${name}`); }

  /** @param {string} folder @param {string} name @returns {Promise<KeptFile | null>} */
  async file(folder, name) {
    const bytes = this.#files.get(`${folder}/${name}`);
    return bytes ? { name, size: bytes.length, read: (offset, n) => bytes.slice(offset, offset + n) } : null;
  }

  /** @param {string} folder */
  async files(folder) {
    const names = this.#names(folder).map(k => k.slice(folder.length + 1));
    return (await Promise.all(names.map(name => this.file(folder, name)))).filter(f => f !== null);
  }
}

/** What a drive that is empty does otherwise than it must; it is empty again afterwards. Runs in workers too,
 * as text, so it stands alone.
 * @param {Drive} drive */
export async function breaches(drive) {
  /** @type {string[]} */
  const out = [];
  const same = (/** @type {string} */ what, /** @type {unknown} */ got, /** @type {unknown} */ want) => {
    const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
    if (g !== w) out.push(`${what}: ${g}, not ${w}`);
  };
  const read = async (/** @type {string} */ folder, /** @type {string} */ name) => {
    const bytes = await drive.read(folder, name);
    return bytes && [bytes instanceof Uint8Array, ...bytes];
  };
  const names = async (/** @type {string} */ folder) => (await drive.files(folder)).map(f => f.name).sort();
  same("folders at first", await drive.list(), []);
  const none = [await read("a", "x"), await drive.file("a", "x"), await names("a")];
  same("what isn't there", none, [null, null, []]);
  await drive.remove("a");
  await drive.drop("a", "x");
  const part = new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4);
  await drive.write("a", "x.bin", part);
  part.fill(7);
  await drive.write("a", "y.bin", new Uint8Array([4]));
  await drive.write("ab", "x.bin", new Uint8Array(0));
  same("folders", (await drive.list()).sort(), ["a", "ab"]);
  same("files", [await names("a"), await names("ab")], [["x.bin", "y.bin"], ["x.bin"]]);
  same("bytes as they were given", await read("a", "x.bin"), [true, 1, 2, 3]);
  same("an empty file", await read("ab", "x.bin"), [true]);
  const file = await drive.file("a", "x.bin");
  same("a file at once", file && [file.name, file.size, ...file.read(1, 2)], ["x.bin", 3, 2, 3]);
  await drive.write("a", "x.bin", new Uint8Array([5, 6]));
  same("what was replaced", await read("a", "x.bin"), [true, 5, 6]);
  await drive.drop("a", "x.bin");
  same("what was dropped", [await read("a", "x.bin"), await names("a")], [null, ["y.bin"]]);
  await drive.remove("a");
  same("what was removed", [await drive.list(), await read("a", "y.bin")], [["ab"], null]);
  await drive.remove("ab");
  same("folders at last", await drive.list(), []);
  return out;
}
