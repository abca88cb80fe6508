// opfs.js - the browser's own file system (OPFS) as a drive: the directory "gossamer", one directory a
// folder.
// @ts-check
import { keptBlob, noRoom } from "./drive.js";
/** @import { Bytes, Drive } from "./drive.js" */

const TRIES = 8, AGAIN_MS = 40;
const named = (/** @type {any} */ e) => e.name;

/** @implements {Drive} */
export class Opfs {
  kind = /** @type {const} */ ("opfs");
  #root;

  /** @param {FileSystemDirectoryHandle} root */
  constructor(root) { this.#root = root; }

  static async open() {
    const top = await navigator.storage.getDirectory();
    return new Opfs(await top.getDirectoryHandle("gossamer", { create: true }));
  }

  /** @param {string} folder */
  #folder(folder) { return this.#root.getDirectoryHandle(folder); }

  /** @param {string} folder @param {string} name */
  async #blob(folder, name) { return (await (await this.#folder(folder)).getFileHandle(name)).getFile(); }

  async list() {
    const out = [];
    for await (const [name, handle] of this.#root.entries()) if (handle.kind === "directory") out.push(name);
    return out;
  }

  /** A file that another tab, or one that is just dying, holds open can't be read for a moment.
   * @param {string} folder @param {string} name */
  async read(folder, name) {
    for (let tries = 0; ; tries++) {
      try {
        return new Uint8Array(await (await this.#blob(folder, name)).arrayBuffer());
      } catch (e) {
        if (/NotFound|TypeMismatch/.test(named(e)) || tries === TRIES) return null;
        await new Promise(r => setTimeout(r, AGAIN_MS));
      }
    }
  }

  /** @param {string} folder @param {string} name @param {Bytes} bytes */
  async write(folder, name, bytes) {
    const dir = await this.#root.getDirectoryHandle(folder, { create: true });
    const file = await dir.getFileHandle(name, { create: true });
    if (file.createSyncAccessHandle) return this.#writeAtOnce(file, bytes);
    const w = await file.createWritable();
    await w.write(bytes);
    return w.close();
  }

  /** In a worker through an exclusive handle; another tab that writes the same chunk holds the same bytes, so
   * losing is fine.
   * @param {FileSystemFileHandle} file @param {Bytes} bytes */
  async #writeAtOnce(file, bytes) {
    let handle;
    try { handle = await file.createSyncAccessHandle(); } catch (e) {
      if (named(e) === "NoModificationAllowedError") return;
      throw e;
    }
    try {
      handle.truncate(bytes.length);
      if (handle.write(bytes, { at: 0 }) !== bytes.length) throw noRoom("short write");
      handle.flush();
    } finally { handle.close(); }
  }

  /** @param {string} folder */
  async remove(folder) { await this.#root.removeEntry(folder, { recursive: true }).catch(() => {}); }

  /** @param {string} folder @param {string} name */
  async drop(folder, name) { await this.#folder(folder).then(d => d.removeEntry(name)).catch(() => {}); }

  /** @param {string} folder @param {string} name */
  async file(folder, name) {
    try { return keptBlob(name, await this.#blob(folder, name)); } catch { return null; }
  }

  /** @param {string} folder */
  async files(folder) {
    const out = [];
    try {
      for await (const name of (await this.#folder(folder)).keys()) out.push(await this.file(folder, name));
    } catch { /* there is none yet */ }
    return out.filter(f => f !== null);
  }
}
