// source.js - a model's bytes, wherever they are: {name, size, kept, read(offset, out) -> bytes, close()}; `out` is filled where that is
// no detour. Remote files come in chunks through the store; how many are on their way at once is up to the engine, which asks for several.
import { NODE } from "../port.js";
import { readRange } from "./range.js";

class FileSource {
  constructor(file) { this.file = file; this.name = file.name ?? "file"; this.size = file.size; this.kept = 0; }
  async read(offset, { length }) {
    try { return new Uint8Array(await this.file.slice(offset, offset + length).arrayBuffer()); } catch (e) {
      throw new Error(`${this.name} can't be read any more (${e.message}). Was it moved or changed? Pick it again.`);
    }
  }
  close() {}
}

class PathSource {
  static async open(path) {
    const s = new PathSource(), fs = await import("node:fs/promises");
    s.handle = await fs.open(path).catch(e => { throw new Error(`${path}: ${e.message}`); });
    Object.assign(s, { name: path, size: (await s.handle.stat()).size, kept: 0 });
    return s;
  }
  async read(offset, out) {
    for (let have = 0; have < out.length;) {
      const { bytesRead } = await this.handle.read(out, have, out.length - have, offset + have);
      if (!bytesRead) throw new Error(`${this.name} ended early`);
      have += bytesRead;
    }
    return out;
  }
  close() { return this.handle.close(); }
}

/** Of a file of many chunks so many may still be on their way to the store. */
const BEHIND = 8;
/** Bytes of the chunks that were asked for last stay here: matrices begin and end inside them, and several lie in one. */
const RECENT = 32 << 20;

class UrlSource {
  #kept; #hooks; #chunks = new Map(); #pending = new Set(); #behind = new Map();

  /** hooks: {signal, chunk, progress(n bytes from the network), notice(text)} */
  static async open(url, store, hooks) {
    const s = new UrlSource();
    s.name = url;
    s.#hooks = hooks;
    s.#kept = await store.open(url, hooks.chunk);
    s.kept = s.#kept.bytes;
    if (!s.#kept.complete) await s.#identify();
    await s.#kept.touch();
    s.size = s.#kept.manifest.size;
    return s;
  }

  /** One byte is enough to learn size and version, and whether the host can do what is needed. */
  async #identify() {
    let id;
    await readRange(this.name, 0, new Uint8Array(1), { signal: this.#hooks.signal, identity: x => { id = x; }, retry: this.#hooks.notice });
    if (!(await this.#kept.identify(id.size, id.etag))) {
      this.kept = 0;
      this.#hooks.notice("The file on the host has changed since it was kept; loading it anew.");
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
    const kept = await this.#kept.get(i, () => this.#hooks.notice(`Chunk ${i} of the cache is damaged (its SHA-256 differs); fetching it again.`));
    if (kept) return kept;
    const bytes = await this.#range(i * this.#kept.chunk, new Uint8Array(this.#kept.length(i)));
    this.#behind.set(i, this.#kept.put(i, bytes).catch(e => this.#hooks.notice(`cache: ${e.message}`)).finally(() => this.#behind.delete(i)));
    while (this.#behind.size > (this.#kept.many ? BEHIND : 0)) await Promise.race(this.#behind.values());
    return bytes;
  }

  async #range(offset, out) {
    const { etag, size } = this.#kept.manifest, identity = id => {
      if (id.size !== size || (etag && id.etag
        && id.etag !== etag)) throw Object.assign(new Error("The file on the host changed while it was loading. Load it again."), { fatal: true });
    };
    const bytes = await readRange(this.name, offset, out, { signal: this.#hooks.signal, identity, progress: this.#hooks.progress, retry: this.#hooks.notice });
    if (bytes.length !== out.length) throw new Error(`The host sent ${bytes.length} bytes from ${offset} on instead of ${out.length}.`);
    return bytes;
  }

  /** Where nothing is kept only what is asked for is fetched: whole chunks would come more than once. */
  async read(offset, out) {
    const size = this.#kept.chunk, first = Math.floor(offset / size), last = Math.floor((offset + out.length - 1) / size), parts = [];
    if (!this.#kept.keeps(first, last)) return this.#range(offset, out);
    const take = async i => {
      const bytes = await this.#chunk(i), from = Math.max(offset, i * size);
      out.set(bytes.subarray(from - i * size, Math.min(bytes.length, offset + out.length - i * size)), from - offset);
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
  return m ? Array.from({ length: +m[2] }, (_, i) => `${m[1]}${String(i + 1).padStart(5, "0")}-of-${m[2]}${m[3]}`) : [first];
}

/** Opens what loadModel was given: a URL, a File or Blob, a list of either, in Node also a path. Returns a list of sources. */
export async function openSources(what, store, hooks) {
  const all = Array.isArray(what) ? what : typeof what === "string" || what instanceof URL ? shards(String(what)) : [what];
  return Promise.all(all.map(one => {
    if (typeof one !== "string") return new FileSource(one);
    if (/^https?:/i.test(one)) return UrlSource.open(one, store, hooks);
    if (NODE) return PathSource.open(one.startsWith("file:") ? new URL(one) : one);
    throw new Error(`"${one}" is no http(s) address`);
  }));
}
