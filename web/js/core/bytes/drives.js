// drives.js - small file systems under the byte store, all with the same calls: list() of folders, read(folder, name) -> bytes or
// null, write(folder, name, bytes), remove(folder), drop(folder, name). Write failures for lack of room are QuotaExceededError.
// file(folder, name) and files(folder) give {name, size, read(offset, n) -> bytes at once}: the one, or null, and all.
import { NODE } from "../port.js";

/** What JSON in a file says; null where it is missing or damaged. */
export const parse = bytes => { try { return bytes && JSON.parse(new TextDecoder().decode(bytes)); } catch { return null; } };

class Opfs {
  kind = "opfs";
  #root;
  static async open() {
    const d = new Opfs();
    d.#root = await (await navigator.storage.getDirectory()).getDirectoryHandle("gossamer", { create: true });
    return d;
  }
  async list() {
    const out = [];
    for await (const [name, handle] of this.#root.entries()) if (handle.kind === "directory") out.push(name);
    return out;
  }
  /** A file that another tab, or one that is just dying, holds open can't be read for a moment. */
  async read(folder, name) {
    for (let tries = 0; ; tries++) {
      try {
        const dir = await this.#root.getDirectoryHandle(folder), file = await (await dir.getFileHandle(name)).getFile();
        return new Uint8Array(await file.arrayBuffer());
      } catch (e) {
        if (e.name === "NotFoundError" || e.name === "TypeMismatchError" || tries === 8) return null;
        await new Promise(r => setTimeout(r, 40));
      }
    }
  }
  /** In a worker through an exclusive handle; another tab that writes the same chunk holds the same bytes, so losing is fine. */
  async write(folder, name, bytes) {
    const dir = await this.#root.getDirectoryHandle(folder, { create: true }), file = await dir.getFileHandle(name, { create: true });
    if (!file.createSyncAccessHandle) {
      const w = await file.createWritable();
      await w.write(bytes);
      return w.close();
    }
    let handle;
    try { handle = await file.createSyncAccessHandle(); } catch (e) { if (e.name === "NoModificationAllowedError") return; throw e; }
    try {
      handle.truncate(bytes.length);
      if (handle.write(bytes, { at: 0 }) !== bytes.length) throw new DOMException("short write", "QuotaExceededError");
      handle.flush();
    } finally { handle.close(); }
  }
  async remove(folder) { await this.#root.removeEntry(folder, { recursive: true }).catch(() => {}); }
  async drop(folder, name) { await this.#folder(folder).then(d => d.removeEntry(name)).catch(() => {}); }
  #folder(name) { return this.#root.getDirectoryHandle(name); }
  async file(folder, name) {
    try { return synchronous(name, await (await (await this.#folder(folder)).getFileHandle(name)).getFile()); } catch { return null; }
  }
  async files(folder) {
    const out = [];
    try { for await (const name of (await this.#folder(folder)).keys()) out.push(await this.file(folder, name)); } catch { /* there is none yet */ }
    return out.filter(f => f);
  }
}
/** Workers may wait for a file's bytes. */
const synchronous = (name, blob) => ({ name, size: blob.size,
  read: (from, n) => new Uint8Array(new FileReaderSync().readAsArrayBuffer(blob.slice(from, from + n))) });

class Idb {
  kind = "indexeddb";
  #db;
  static async open() {
    const d = new Idb();
    d.#db = await new Promise((resolve, reject) => {
      const r = indexedDB.open("gossamer", 1);
      r.onupgradeneeded = () => r.result.createObjectStore("files");
      r.onsuccess = () => resolve(r.result);
      r.onerror = () => reject(r.error);
    });
    return d;
  }
  #do(mode, fn) {
    return new Promise((resolve, reject) => {
      const t = this.#db.transaction("files", mode), r = fn(t.objectStore("files"));
      t.oncomplete = () => resolve(r.result);
      t.onabort = t.onerror = () => reject(t.error);
    });
  }
  async list() { return [...new Set((await this.#do("readonly", s => s.getAllKeys())).map(k => k[0]))]; }
  async read(folder, name) { return (await this.#do("readonly", s => s.get([folder, name]))) ?? null; }
  async write(folder, name, bytes) { await this.#do("readwrite", s => s.put(bytes.slice(), [folder, name])); }
  async remove(folder) { await this.#do("readwrite", s => s.delete(IDBKeyRange.bound([folder], [folder, []]))); }
  async drop(folder, name) { await this.#do("readwrite", s => s.delete([folder, name])); }
  async file(folder, name) {
    const bytes = await this.read(folder, name);
    return bytes && synchronous(name, new Blob([bytes]));
  }
  async files(folder) {
    const keys = await this.#do("readonly", s => s.getAllKeys(IDBKeyRange.bound([folder], [folder, []])));
    return Promise.all(keys.map(([, name]) => this.file(folder, name)));
  }
}

class NodeFs {
  kind = "files";
  static async open(folder) {
    const d = new NodeFs();
    [d.fs, d.sync, d.path] = await Promise.all([import("node:fs/promises"), import("node:fs"), import("node:path")]);
    const { homedir } = await import("node:os");
    d.root = folder ?? d.path.join(process.env.XDG_CACHE_HOME ?? d.path.join(homedir(), ".cache"), "gossamer");
    await d.fs.mkdir(d.root, { recursive: true });
    return d;
  }
  async list() { return (await this.fs.readdir(this.root, { withFileTypes: true })).filter(e => e.isDirectory()).map(e => e.name); }
  async read(folder, name) { return this.fs.readFile(this.path.join(this.root, folder, name)).then(b => new Uint8Array(b), () => null); }
  async write(folder, name, bytes) {
    const at = this.path.join(this.root, folder, name), part = `${at}.${process.pid}.part`;
    await this.fs.mkdir(this.path.dirname(at), { recursive: true });
    try { await this.fs.writeFile(part, bytes); await this.fs.rename(part, at); } catch (e) {
      await this.fs.rm(part, { force: true });
      throw e.code === "ENOSPC" || e.code === "EDQUOT" ? new DOMException(e.message, "QuotaExceededError") : e;
    }
  }
  async remove(folder) { await this.fs.rm(this.path.join(this.root, folder), { recursive: true, force: true }); }
  async drop(folder, name) { await this.fs.rm(this.path.join(this.root, folder, name), { force: true }); }
  async file(folder, name) {
    const path = this.path.join(this.root, folder, name), { openSync, readSync, closeSync } = this.sync;
    const size = await this.fs.stat(path).then(s => s.size, () => -1);
    return size < 0 ? null : { name, size, read(from, n) {
      const fd = openSync(path), bytes = new Uint8Array(n);
      try { if (readSync(fd, bytes, 0, n, from) !== n) throw new Error("short read"); } finally { closeSync(fd); }
      return bytes;
    } };
  }
  async files(folder) {
    const names = await this.fs.readdir(this.path.join(this.root, folder)).catch(() => []);
    return (await Promise.all(names.map(name => this.file(folder, name)))).filter(f => f);
  }
}

/** The best drive there is, or null: then nothing is kept. `want` ("opfs", "indexeddb", "files", "none") is for tests. */
export async function openDrive(want, folder) {
  if (want === "none") return null;
  if (NODE) return NodeFs.open(folder).catch(() => null);
  if (want !== "indexeddb" && globalThis.navigator?.storage?.getDirectory) { try { return await Opfs.open(); } catch { /* private windows refuse: next */ } }
  try { return await Idb.open(); } catch { return null; }
}
