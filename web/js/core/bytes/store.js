// store.js - kept chunks of remote files, each with its SHA-256, in one folder a file on a drive:
//   manifest.json {url, size, etag, chunk, hashes: {index: hex}, used}    0.bin 1.bin ...
// A chunk is handed out only after its hash was checked, once a session. When the drive is full, whole files
// go, the one opened longest ago first; when nothing is left to go, the store stops keeping and says so. How
// long chunks are is the manifest's to say.
// @ts-check
import { parse } from "./drive.js";
import { FOLDER as KERNELS } from "./kernels.js";
import { FOLDER as PREFIXES } from "./prefixes.js";
/** @import { Bytes, Drive } from "./drive.js" */

/** @typedef {{url: string, size: number, etag: string, chunk: number, hashes: Record<string, string>,
 *   used: number}} Manifest */

export const CHUNK = 4 << 20;
/** A chunk's length is a power of two between these. */
export const SMALLEST = 16 << 10, LARGEST = 16 << 20;
const MANIFEST = "manifest.json";
const SAVE_MS = 1000;
/** From so many chunks on none waits for its own to be kept, nor the manifest for each. */
const MANY = 64;

/** In hex; "" where nothing computes it.
 * @param {Bytes} bytes */
async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return "";
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map(b => b.toString(16).padStart(2, "0")).join("");
}

export class Store {
  #drive;
  #notice;
  #full = false;
  /** The eviction that is under way. @type {Promise<boolean> | null} */
  #evicting = null;

  /** @param {Drive | null} drive @param {(text: string) => void} notice */
  constructor(drive, notice) {
    this.#drive = drive;
    this.#notice = notice;
  }

  get keeps() { return !!this.#drive && !this.#full; }

  /** The kept part of a file; an empty one, in chunks of so many bytes, when there is none.
   * @param {string} url */
  async open(url, chunk = CHUNK) {
    const folder = (await sha256(new TextEncoder().encode(url))).slice(0, 24) || "unhashed";
    const kept = parse(await this.read(folder, MANIFEST));
    if (kept?.url === url && kept.chunk >= SMALLEST) return new Kept(this, folder, kept);
    return new Kept(this, folder, { url, size: 0, etag: "", chunk, hashes: {}, used: 0 });
  }

  /** @param {string} folder @param {string} name */
  async read(folder, name) { return this.#drive?.read(folder, name) ?? null; }

  /** Writes, making room if it must; false when it could not be kept.
   * @param {string} folder @param {string} name @param {Bytes} bytes */
  async write(folder, name, bytes) {
    const drive = this.#drive;
    if (!drive || this.#full) return false;
    for (;;) {
      try {
        await drive.write(folder, name, bytes);
        return true;
      } catch (e) {
        if (e.name !== "QuotaExceededError") this.#notice(`cache: ${e.message}`);
        else if (await this.#makeRoom(drive, folder)) continue;
        else this.#giveUp();
        return false;
      }
    }
  }

  #giveUp() {
    this.#full = true;
    this.#notice("Storage is full: this model runs, but is not kept for the next time. "
      + "Free some disk space or delete other models.");
  }

  /** Several writes may lack room at once: one of them makes some.
   * @param {Drive} drive @param {string} own */
  #makeRoom(drive, own) {
    this.#evicting ??= this.#evict(drive, own).finally(() => { this.#evicting = null; });
    return this.#evicting;
  }

  /** Drops the folder that was used longest ago, but not this one, nor kernels'; false when there
   * is no other.
   * @param {Drive} drive @param {string} own */
  async #evict(drive, own) {
    const folders = (await drive.list()).filter(f => f !== own && f !== KERNELS);
    const all = await Promise.all(folders.map(async folder =>
      ({ folder, manifest: parse(await drive.read(folder, MANIFEST)) })));
    const oldest = all.sort((a, b) => (a.manifest?.used ?? 0) - (b.manifest?.used ?? 0))[0];
    if (!oldest) return false;
    await drive.remove(oldest.folder);
    const name = oldest.manifest?.url.split("/").at(-1) ?? "an unfinished download";
    this.#notice(oldest.folder === PREFIXES ? "Storage was short: dropped computed prefixes."
      : `Storage was short: dropped the kept copy of ${name}, the model that was used longest ago.`);
    return true;
  }

  /** @param {string} folder */
  async forget(folder) { await this.#drive?.remove(folder); }
}

/** What is kept of one file. */
class Kept {
  #store;
  #folder;
  /** Chunks whose hash was compared. @type {Set<number>} */
  #checked = new Set();
  #saved = 0;
  #later = 0;
  #saving = Promise.resolve();

  /** @param {Store} store @param {string} folder @param {Manifest} manifest */
  constructor(store, folder, manifest) {
    this.#store = store;
    this.#folder = folder;
    this.manifest = manifest;
  }

  get chunk() { return this.manifest.chunk; }
  get #count() { return Math.ceil(this.manifest.size / this.chunk); }
  get many() { return this.#count >= MANY; }
  get #kept() { return Object.keys(this.manifest.hashes); }
  get complete() { return this.manifest.size > 0 && this.#kept.length === this.#count; }
  get bytes() { return this.#kept.reduce((n, i) => n + this.length(+i), 0); }

  /** @param {number} i */
  has(i) { return this.manifest.hashes[i] !== undefined; }

  /** Is one of these chunks kept, or can one be?
   * @param {number} first @param {number} last */
  keeps(first, last) {
    if (this.#store.keeps) return true;
    while (first <= last && !this.has(first)) first++;
    return first <= last;
  }

  /** What the file's bytes are, where all are kept and were hashed; else "". */
  async mark() {
    if (!this.complete) return "";
    const hashes = Array.from({ length: this.#count }, (_, i) => this.manifest.hashes[i]);
    return sha256(new TextEncoder().encode(`${this.manifest.size} ${this.chunk} ${hashes.join(" ")}`));
  }

  /** @param {number} i */
  length(i) { return Math.min(this.chunk, this.manifest.size - i * this.chunk); }

  /** The file's identity as its host tells it; what was kept of another version is dropped. Returns false
   * then.
   * @param {number} size @param {string} etag */
  async identify(size, etag) {
    const m = this.manifest, same = (!m.size || m.size === size) && (!m.etag || !etag || m.etag === etag);
    if (!same) {
      await this.#store.forget(this.#folder);
      m.hashes = {};
      this.#checked.clear();
    }
    m.size = size;
    m.etag = etag;
    return same;
  }

  /** What was opened last is dropped last. */
  async touch() { if (this.manifest.size && this.#kept.length) await this.#save(true); }

  /** Checked bytes of chunk i, or null: not kept, or damaged (then it is forgotten, and `damaged` called).
   * @param {number} i @param {() => void} [damaged] */
  async get(i, damaged) {
    if (!this.has(i)) return null;
    const bytes = await this.#store.read(this.#folder, `${i}.bin`);
    const whole = bytes?.length === this.length(i) ? bytes : null;
    if (whole && (this.#checked.has(i) || await sha256(whole) === this.manifest.hashes[i])) {
      this.#checked.add(i);
      return whole;
    }
    delete this.manifest.hashes[i];
    damaged?.();
    return null;
  }

  /** @param {number} i @param {Bytes} bytes */
  async put(i, bytes) {
    const hash = await sha256(bytes);
    if (!hash || !(await this.#store.write(this.#folder, `${i}.bin`, bytes))) return;
    this.manifest.hashes[i] = hash;
    this.#checked.add(i);
    await this.#save(!this.many || this.complete);
  }

  /** At most once a second for large files, and a second after the last; one after the other, for a drive
   * lets one writer in. What another tab has kept meanwhile is merged in.
   * @param {boolean} now @returns {Promise<void>} */
  async #save(now) {
    clearTimeout(this.#later);
    if (!now && performance.now() - this.#saved < SAVE_MS) {
      this.#later = setTimeout(() => this.#save(true), SAVE_MS);
      return;
    }
    this.#saved = performance.now();
    this.#saving = this.#saving.catch(() => {}).then(() => this.#write());
    return this.#saving;
  }

  async #write() {
    const other = parse(await this.#store.read(this.#folder, MANIFEST)), m = this.manifest;
    if (other?.etag === m.etag && other.size === m.size) m.hashes = { ...other.hashes, ...m.hashes };
    m.used = Date.now();
    await this.#store.write(this.#folder, MANIFEST, new TextEncoder().encode(JSON.stringify(m)));
  }
}
