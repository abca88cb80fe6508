// io.js - the worker that brings a model's bytes to the engine's worker: fetching, hashing and keeping a GB
// takes seconds of a core, which are the engine's for tokens otherwise. Its other side is reader.js.
import { host } from "../host.js";
import { Moved, serve } from "../port.js";
import { openSources } from "./source.js";
import { Store } from "./store.js";

/** How often the engine is told which chunks have come. */
const TELL_MS = 100;

class Bringer {
  #stop = new AbortController();
  #sources = [];
  #fetched = 0;
  #post = null;

  connect(post) { this.#post = post; }

  async open({ source, cache, cacheDir, chunk, hub }) {
    const notice = text => this.#post({ notice: text });
    const drive = cache === "none" ? null : await host.openDrive(cache, cacheDir);
    const store = new Store(drive, notice);
    const progress = n => { this.#fetched += n; };
    const changed = () => this.#tell();
    const hooks = { signal: this.#stop.signal, chunk, hub, notice, progress, changed };
    this.#sources = await openSources(source, store, hooks);
    this.#tell();
    const sources = this.#sources.map(({ name, size, kept, mark }) => ({ name, size, kept, mark }));
    return { sources, fetched: this.#fetched };
  }

  /** Which chunks are here, soon. */
  #tell() {
    this.#telling ||= setTimeout(() => {
      this.#telling = 0;
      const chunks = this.#sources.map((s, source) => ({ source, ...s.chunks })).filter(c => c.states);
      if (chunks.length) this.#post({ chunks });
    }, TELL_MS);
  }
  #telling = 0;

  /** n bytes, in the buffer that came along if they fit. */
  async read({ index, offset, n, buffer }) {
    const out = buffer?.byteLength >= n ? new Uint8Array(buffer, 0, n) : new Uint8Array(n);
    const bytes = await this.#sources[index].read(offset, out);
    return new Moved({ bytes, fetched: this.#fetched }, [bytes.buffer]);
  }

  async end() {
    this.#stop.abort(new DOMException("closed", "AbortError"));
    await Promise.allSettled(this.#sources.map(s => s.close()));
  }
}

const bringer = new Bringer();
const requests = {
  open: args => bringer.open(args),
  read: args => bringer.read(args),
  end: () => bringer.end(),
};
serve(requests).then(post => bringer.connect(post));
