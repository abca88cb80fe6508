// store.js - kept chunks of remote files, each with its SHA-256, in one folder a file on a drive:
//   manifest.json {url, size, etag, chunk, hashes: {index: hex}, used}    0.bin 1.bin ...
// A chunk is handed out only after its hash was checked, once a session. When the drive is full, whole files go, the one opened
// longest ago first; when nothing is left to go, the store stops keeping and says so. How long chunks are is the manifest's to say.
import { NODE } from "../port.js";
import { parse } from "./drives.js";
import { FOLDER as PREFIXES } from "./prefixes.js";

export const CHUNK = 4 << 20;
const SMALLEST = 16 << 10, LARGEST = 16 << 20;
const NAME = "manifest.json";

export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    if (!NODE) return "";
    return (await import("node:crypto")).createHash("sha256").update(bytes).digest("hex");
  }
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map(b => b.toString(16).padStart(2, "0")).join("");
}

export class Store {
  #drive; #notice; #full = false;
  constructor(drive, notice) { this.#drive = drive; this.#notice = notice; }
  get keeps() { return !!this.#drive && !this.#full; }

  /** The kept part of a file; an empty one, in chunks of so many bytes, when there is none. */
  async open(url, chunk = CHUNK) {
    if (!(Number.isInteger(Math.log2(chunk)) && chunk >= SMALLEST && chunk <= LARGEST)) throw new RangeError(`chunk=${chunk}: a power of two from 16K to 16M`);
    const folder = (await sha256(new TextEncoder().encode(url))).slice(0, 24) || "unhashed";
    const m = this.#drive && parse(await this.#drive.read(folder, NAME));
    return new Kept(this, folder, m?.url === url && m.chunk >= SMALLEST ? m : { url, size: 0, etag: "", chunk, hashes: {}, used: 0 });
  }

  read(folder, name) { return this.#drive?.read(folder, name) ?? null; }

  /** Writes, making room if it must; false when it could not be kept. */
  async write(folder, name, bytes) {
    if (!this.#drive || this.#full) return false;
    for (;;) {
      try { await this.#drive.write(folder, name, bytes); return true; } catch (e) {
        if (e.name !== "QuotaExceededError") { this.#notice(`cache: ${e.message}`); return false; }
        if (!(await this.#evict(folder))) {
          this.#full = true;
          this.#notice("Storage is full: this model runs, but is not kept for the next time. Free some disk space or delete other models.");
          return false;
        }
      }
    }
  }

  /** Drops the file that was opened longest ago, but not `keep`; false when there is no other. */
  async #evict(keep) {
    const folders = (await this.#drive.list()).filter(f => f !== keep);
    const all = await Promise.all(folders.map(async folder => ({ folder, m: parse(await this.#drive.read(folder, NAME)) })));
    const oldest = all.sort((a, b) => (a.m?.used ?? 0) - (b.m?.used ?? 0))[0];
    if (!oldest) return false;
    await this.#drive.remove(oldest.folder);
    this.#notice(oldest.folder === PREFIXES ? "Storage was short: dropped computed prefixes."
      : `Storage was short: dropped the kept copy of ${oldest.m?.url.split("/").at(-1) ?? "an unfinished download"}, the model that was `
      + "used longest ago.");
    return true;
  }

  async forget(folder) { await this.#drive?.remove(folder); }
}

class Kept {
  #store; #checked = new Set(); #saved = 0; #later = 0; #pending = Promise.resolve();
  constructor(store, folder, manifest) { this.#store = store; this.folder = folder; this.manifest = manifest; }

  get chunk() { return this.manifest.chunk; }
  get count() { return Math.ceil(this.manifest.size / this.chunk); }
  /** So many that none waits for its own to be kept, nor the manifest for each. */
  get many() { return this.count >= 64; }
  get complete() { return this.manifest.size > 0 && Object.keys(this.manifest.hashes).length === this.count; }
  get bytes() { return Object.keys(this.manifest.hashes).reduce((n, i) => n + this.length(+i), 0); }
  has(i) { return this.manifest.hashes[i] !== undefined; }
  /** Is one of these chunks kept, or can one be? */
  keeps(first, last) {
    if (this.#store.keeps) return true;
    while (first <= last && !this.has(first)) first++;
    return first <= last;
  }
  length(i) { return Math.min(this.chunk, this.manifest.size - i * this.chunk); }

  /** The file's identity as its host tells it; what was kept of another version is dropped. Returns false then. */
  async identify(size, etag) {
    const m = this.manifest, same = (!m.size || m.size === size) && (!m.etag || !etag || m.etag === etag);
    if (!same) { await this.#store.forget(this.folder); m.hashes = {}; this.#checked.clear(); }
    m.size = size;
    m.etag = etag;
    return same;
  }

  /** What was opened last is dropped last. */
  async touch() { if (this.manifest.size && Object.keys(this.manifest.hashes).length) await this.save(true); }

  /** Checked bytes of chunk i, or null: not kept, or damaged (then it is forgotten, and `damaged` called). */
  async get(i, damaged) {
    if (!this.has(i)) return null;
    const bytes = await this.#store.read(this.folder, `${i}.bin`);
    const good = bytes?.length === this.length(i) && (this.#checked.has(i) || await sha256(bytes) === this.manifest.hashes[i]);
    if (!good) { delete this.manifest.hashes[i]; damaged?.(i); return null; }
    this.#checked.add(i);
    return bytes;
  }

  async put(i, bytes) {
    const hash = await sha256(bytes);
    if (!hash || !(await this.#store.write(this.folder, `${i}.bin`, bytes))) return;
    this.manifest.hashes[i] = hash;
    this.#checked.add(i);
    await this.save(!this.many || this.complete);
  }

  /** At most once a second for large files, and a second after the last; one after the other, for a drive lets one
   * writer in. What another tab has kept meanwhile is merged in. */
  async save(now) {
    clearTimeout(this.#later);
    if (!now && performance.now() - this.#saved < 1000) { this.#later = setTimeout(() => this.save(true), 1000); return; }
    this.#saved = performance.now();
    return this.#pending = this.#pending.catch(() => {}).then(async () => {
      const other = parse(await this.#store.read(this.folder, NAME)), m = this.manifest;
      if (other?.etag === m.etag && other.size === m.size) m.hashes = { ...other.hashes, ...m.hashes };
      m.used = Date.now();
      await this.#store.write(this.folder, NAME, new TextEncoder().encode(JSON.stringify(m)));
    });
  }
}
