// io.js - the worker that brings a model's bytes to the engine's: fetching, hashing and keeping a GB takes seconds of a core, which are the
// engine's for tokens otherwise. Its other side is reader.js.
import { Moved, serve } from "../port.js";
import { openDrive } from "./drives.js";
import { openSources } from "./source.js";
import { Store } from "./store.js";

const stop = new AbortController();
let post, sources = [], fetched = 0;
const notice = text => post({ notice: text });

serve({
  async open({ source, cache, cacheDir, chunk }) {
    const store = new Store(await openDrive(cache, cacheDir), notice);
    sources = await openSources(source, store, { signal: stop.signal, chunk, notice, progress: n => { fetched += n; } });
    return { sources: sources.map(({ name, size, kept }) => ({ name, size, kept })), fetched };
  },

  /** n bytes, in the buffer that came along if they fit. */
  async read({ index, offset, n, buffer }) {
    const bytes = await sources[index].read(offset, buffer?.byteLength >= n ? new Uint8Array(buffer, 0, n) : new Uint8Array(n));
    return new Moved({ bytes, fetched }, [bytes.buffer]);
  },

  async end() {
    stop.abort(new DOMException("closed", "AbortError"));
    await Promise.allSettled(sources.map(s => s.close()));
  },
}).then(p => { post = p; });
