// source.js - a model's bytes, wherever they are: {name, size, kept, mark?, chunks?,
// read(offset, out) -> bytes, close()}; `out` is filled where that is no detour. Remote files come in chunks
// through the store; how many are on their way at once is up to the engine, which asks for several.
import { host } from "../host.js";
import { hubAddress, isHub } from "./hub.js";
import { readRange } from "./range.js";

class FileSource {
  constructor(file) { Object.assign(this, { file, name: file.name ?? "file", size: file.size, kept: 0 }); }
  async read(offset, { length }) {
    try { return new Uint8Array(await this.file.slice(offset, offset + length).arrayBuffer()); } catch (e) {
      throw new Error(`${this.name} can't be read any more (${e.message}). Was it moved or changed? `
        + "Pick it again.");
    }
  }
  close() {}
}

/** Who never answered is tried less often than who stopped. */
const FIRST_TRIES = 3;
/** Of a file of many chunks so many may still be on their way to the store. */
const BEHIND = 8;
/** Bytes of the chunks that were asked for last stay here: matrices begin and end inside them, and several
 * lie in one. */
const RECENT = 32 << 20;

class UrlSource {
  #kept; #hooks; #chunks = new Map(); #pending = new Set(); #behind = new Map(); #fetched = new Set();

  /** hooks: {signal, chunk, progress(n bytes from the network), notice(text), changed()} */
  static async open(url, store, hooks) {
    const s = new UrlSource();
    s.name = url;
    s.#hooks = hooks;
    s.#kept = await store.open(url, hooks.chunk);
    s.kept = s.#kept.bytes;
    if (!s.#kept.complete) await s.#identify();
    await s.#kept.touch();
    s.size = s.#kept.manifest.size;
    s.mark = await s.#kept.mark();
    return s;
  }

  /** Of each chunk a digit: 1 it is kept, 2 it was fetched, 3 both, 0 it is not here. */
  get chunks() {
    const { chunk, manifest: { size } } = this.#kept;
    const digit = (_, i) => 2 * this.#fetched.has(i) + this.#kept.has(i);
    return { chunk, states: Array.from({ length: Math.ceil(size / chunk) }, digit).join("") };
  }

  /** One byte is enough to learn size and version, and whether the host can do what is needed. */
  async #identify() {
    let id;
    const { signal, notice } = this.#hooks;
    const identity = x => { id = x; };
    await readRange(this.name, 0, new Uint8Array(1), { signal, identity, retry: notice, tries: FIRST_TRIES });
    if (!(await this.#kept.identify(id.size, id.etag))) {
      this.kept = 0;
      notice("The file on the host has changed since it was kept; loading it anew.");
    }
  }

  /** The bytes of chunk i: at hand, kept, on their way, or fetched now. */
  #chunk(i) {
    let bytes = this.#chunks.get(i);
    if (!bytes) {
      this.#pending.add(i);
      bytes = this.#fetch(i);
      bytes.catch(() => this.#chunks.delete(i)).finally(() => this.#pending.delete(i));
    }
    this.#chunks.delete(i);
    this.#chunks.set(i, bytes);
    const most = Math.max(2, RECENT / this.#kept.chunk);
    for (const old of this.#chunks.keys()) {
      if (this.#chunks.size <= most) break;
      if (!this.#pending.has(old) && !this.#behind.has(old)) this.#chunks.delete(old);
    }
    return bytes;
  }

  async #fetch(i) {
    const { notice, changed } = this.#hooks;
    const damaged = `Chunk ${i} of the cache is damaged (its SHA-256 differs); fetching it again.`;
    const kept = await this.#kept.get(i, () => notice(damaged));
    if (kept) return kept;
    const bytes = await this.#range(i * this.#kept.chunk, new Uint8Array(this.#kept.length(i)));
    this.#fetched.add(i);
    changed();
    const keeping = this.#kept.put(i, bytes).catch(e => notice(`cache: ${e.message}`)).then(changed);
    this.#behind.set(i, keeping.finally(() => this.#behind.delete(i)));
    while (this.#behind.size > (this.#kept.many ? BEHIND : 0)) await Promise.race(this.#behind.values());
    return bytes;
  }

  async #range(offset, out) {
    const { etag, size } = this.#kept.manifest, { signal, progress, notice } = this.#hooks;
    const identity = id => {
      if (id.size === size && (!etag || !id.etag || id.etag === etag)) return;
      const e = new Error("The file on the host changed while it was loading. Load it again.");
      throw Object.assign(e, { fatal: true });
    };
    const bytes = await readRange(this.name, offset, out, { signal, identity, progress, retry: notice });
    const { length } = bytes;
    if (length !== out.length) {
      throw new Error(`The host sent ${length} bytes from ${offset} on instead of ${out.length}.`);
    }
    return bytes;
  }

  /** Where nothing is kept only what is asked for is fetched: whole chunks would come more than once. */
  async read(offset, out) {
    const size = this.#kept.chunk, end = offset + out.length, parts = [];
    const first = Math.floor(offset / size), last = Math.floor((end - 1) / size);
    if (!this.#kept.keeps(first, last)) return this.#range(offset, out);
    const take = async i => {
      const bytes = await this.#chunk(i), at = i * size, from = Math.max(offset, at);
      out.set(bytes.subarray(from - at, Math.min(bytes.length, end - at)), from - offset);
    };
    for (let i = first; i <= last; i++) parts.push(take(i));
    await Promise.all(parts);
    return out;
  }

  /** hooks.signal has ended reading; what has come is still kept. */
  async close() {
    await Promise.all(this.#behind.values());
    await this.#kept.touch();
  }
}

/** URLs and paths of a split set, from its first file. */
function shards(first) {
  const m = /^(.*-)00001-of-(\d{5})(\.gguf(?:\?.*)?)$/.exec(first);
  if (!m) return [first];
  const [, start, count, end] = m, number = i => String(i + 1).padStart(5, "0");
  return Array.from({ length: +count }, (_, i) => `${start}${number(i)}-of-${count}${end}`);
}

/** One source of what loadModel was given. */
function openOne(one, store, hooks) {
  if (typeof one !== "string") return new FileSource(one);
  if (/^https?:/i.test(one)) return UrlSource.open(one, store, hooks);
  if (host.openPath) return host.openPath(one);
  throw new Error(`"${one}" is no http(s) address`);
}

/** Opens what loadModel was given: a URL, hf:OWNER/REPO:FILE, a File or Blob, a list of them, in Node also a
 * path. Returns a list of sources. hooks: {signal, chunk, hub, progress, notice,
 * changed} */
export async function openSources(what, store, hooks) {
  const all = await Promise.all([].concat(what).map(one =>
    typeof one === "string" && isHub(one) ? hubAddress(one, hooks.hub, hooks.signal) : one));
  const parts = all.length === 1 && typeof all[0] === "string" ? shards(all[0]) : all;
  return Promise.all(parts.map(one => openOne(one, store, hooks)));
}
