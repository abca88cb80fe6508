// reader.js - the engine's side of io.js: a model's bytes by messages. Buffers go back and forth with them,
// so that large ones aren't made anew for every read, which costs the system more than copying.
import { Remote } from "../port.js";

const IO = { name: "gossamer-io", file: "io.js",
  make: () => new Worker(new URL("./io.js", import.meta.url), { type: "module" }) };
const LARGE = 1 << 20, SPARE = 8;

export class Reader {
  #remote; #spare = [];
  /** Bytes that came over the network. */
  fetched = 0;
  sources = [];
  /** What chunks() heard last. */
  chunks = [];

  /** what: as openSources takes it. A drive of the kind `cache` keeps what is fetched. chunks(list) hears
   * of what is here: [{source, chunk: bytes of each, states: a digit for each (source.js)}]. */
  static async open(what, { cache, cacheDir, chunk, hub, signal, notice, chunks }) {
    const r = new Reader();
    const onMessage = m => {
      if (!m.chunks) return notice(m.notice);
      r.chunks = m.chunks;
      chunks(m.chunks);
    };
    r.#remote = await Remote.start(IO, { onMessage });
    signal.addEventListener("abort", () => r.close(), { once: true });
    try {
      signal.throwIfAborted();
      Object.assign(r, await r.#remote.ask("open", { source: what, cache, cacheDir, chunk, hub }));
    } catch (e) {
      r.close();
      signal.throwIfAborted();
      throw e;
    }
    return r;
  }

  /** n bytes of source i. They are the caller's, who says when they are used up. */
  async read(i, offset, n) {
    const buffer = n >= LARGE ? this.#spare.pop() : undefined;
    const args = { index: i, offset, n, buffer }, transfer = buffer ? [buffer] : [];
    const { bytes, fetched } = await this.#remote.ask("read", args, transfer);
    this.fetched = Math.max(this.fetched, fetched);
    return bytes;
  }
  free({ buffer }) { if (buffer.byteLength >= LARGE && this.#spare.length < SPARE) this.#spare.push(buffer); }

  /** When what has come is kept. */
  close() { return this.#closed ??= this.#remote.stop(); }
  #closed = null;
}
