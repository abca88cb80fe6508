// node_files.js - a directory of Node's as a drive: one directory a folder. A file is written beside itself
// and renamed.
// @ts-check
import { closeSync, openSync, readSync } from "node:fs";
import * as fs from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { noRoom } from "../core/bytes/drive.js";
/** @import { Bytes, Drive, KeptFile } from "../core/bytes/drive.js" */

/** @implements {Drive} */
export class NodeFiles {
  kind = /** @type {const} */ ("files");
  #root;

  /** @param {string} root */
  constructor(root) { this.#root = root; }

  /** @param {string} [folder] else $XDG_CACHE_HOME/gossamer */
  static async open(folder) {
    const root = folder ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "gossamer");
    await fs.mkdir(root, { recursive: true });
    return new NodeFiles(root);
  }

  /** @param {string[]} names @returns {string} */
  #at(...names) { return join(this.#root, ...names); }

  /** @returns {Promise<string[]>} */
  async list() {
    const entries = await fs.readdir(this.#root, { withFileTypes: true });
    return entries.filter(e => e.isDirectory()).map(e => e.name);
  }

  /** @param {string} folder @param {string} name @returns {Promise<Bytes | null>} */
  async read(folder, name) {
    return fs.readFile(this.#at(folder, name)).then(b => new Uint8Array(b), () => null);
  }

  /** @param {string} folder @param {string} name @param {Bytes} bytes */
  async write(folder, name, bytes) {
    const at = this.#at(folder, name), part = `${at}.${process.pid}.part`;
    await fs.mkdir(this.#at(folder), { recursive: true });
    try {
      await fs.writeFile(part, bytes);
      await fs.rename(part, at);
    } catch (e) {
      await fs.rm(part, { force: true });
      throw e.code === "ENOSPC" || e.code === "EDQUOT" ? noRoom(e.message) : e;
    }
  }

  /** @param {string} folder */
  async remove(folder) { await fs.rm(this.#at(folder), { recursive: true, force: true }); }

  /** @param {string} folder @param {string} name */
  async drop(folder, name) { await fs.rm(this.#at(folder, name), { force: true }); }

  /** @param {string} folder @param {string} name
   * @returns {Promise<KeptFile | null>} */
  async file(folder, name) {
    const at = this.#at(folder, name);
    const size = await fs.stat(at).then(s => s.size, () => -1);
    const read = (/** @type {number} */ offset, /** @type {number} */ n) => {
      const fd = openSync(at), bytes = new Uint8Array(n);
      try {
        if (readSync(fd, bytes, 0, n, offset) !== n) throw new Error("short read");
      } finally { closeSync(fd); }
      return bytes;
    };
    return size < 0 ? null : { name, size, read };
  }

  /** @param {string} folder */
  async files(folder) {
    const names = await fs.readdir(this.#at(folder)).catch(() => []);
    return (await Promise.all(names.map(name => this.file(folder, name)))).filter(f => f !== null);
  }
}
