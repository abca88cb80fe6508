// wasm.js - the engine's module: which of the two is loaded, its memory, and calls with JSON. One shared
// memory at all times (also on one thread), because there is one build; only cross-origin isolated pages and
// Node may share it with threads.
import { host } from "./host.js";
import { startWorker } from "./port.js";
import { EIO, systemImports } from "./system.js";

// (func (result v128) ... f32x4.relaxed_madd): valid only where relaxed SIMD is.
const RELAXED = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1,
  17, 0, 65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11]);
const STACK = 512 * 1024, PAGE = 65536, FIRST = 256;
// In words that bundlers look for: they bring the files along.
const SIMD = new URL("../../dist/gossamer.wasm", import.meta.url);
const RELAXED_SIMD = new URL("../../dist/gossamer-relaxed.wasm", import.meta.url);
const THREAD = { file: "thread.js",
  make: () => new Worker(new URL("./thread.js", import.meta.url), { type: "module" }) };

export async function cores() { return Math.max(1, Math.min(32, host.cores())); }

function missing(url, why) {
  return new Error(`The engine's module is missing: ${url} ${why}. It lies in the package's folder dist; `
    + "`make wasm` builds it, and init({ wasm }) says where else it is.");
}

async function compile(url) {
  const response = await host.fetchModule(url).catch(e => {
    throw missing(url, `can't be read (${e.message})`);
  });
  if (!response.ok) throw missing(url, `answered ${response.status}`);
  const bytes = await response.arrayBuffer();
  if (new Uint8Array(bytes, 0, Math.min(4, bytes.byteLength)).join() !== "0,97,115,109") {
    throw missing(url, "answered with something else than WebAssembly");
  }
  return WebAssembly.compile(bytes);
}

/** The module for this machine, compiled once. base: the folder where it is, else beside the package. */
const compiled = new Map();
async function chooseModule(base) {
  const relaxed = WebAssembly.validate(RELAXED), own = relaxed ? RELAXED_SIMD : SIMD;
  const url = base ? new URL(relaxed ? "gossamer-relaxed.wasm" : "gossamer.wasm", base) : own;
  if (!compiled.has(url.href)) compiled.set(url.href, compile(url));
  try { return { relaxed, module: await compiled.get(url.href) }; } catch (e) {
    compiled.delete(url.href);
    throw e;
  }
}

/** As much address space as the system gives: 4 GB, else less. */
function openMemory() {
  for (let maximum = 65536; ; maximum /= 2) {
    try {
      const memory = new WebAssembly.Memory({ initial: FIRST, maximum, shared: true });
      return { memory, maximum: maximum * PAGE };
    } catch (e) {
      if (maximum <= 4096) throw new Error(`This browser gives WebAssembly no memory: ${e.message}`);
    }
  }
}

export class Wasm {
  #text = new TextDecoder();
  #utf8 = new TextEncoder();
  #threads = [];

  /** base: where the modules are, if not beside the package. lent: as system.js has it. hooks:
   * {telemetry(p, n), emit(object), read(source, offset, dst, n, tag) -> status, head(source, offset, dst,
   * n) -> status, prefixes() -> Prefixes | null, imports?} */
  static async open({ base, threads, lent, hooks }) {
    const w = new Wasm(), { module, relaxed } = await chooseModule(base);
    const n = host.shares() ? Math.max(1, Math.min(32, threads || await cores())) : 1;
    Object.assign(w, openMemory(), { module, relaxed, n, lent: n < host.cores() ? null : lent });
    const imports = systemImports({ memory: w.memory, maximum: w.maximum, cores: n });
    Object.assign(imports.goss, w.#engineImports(hooks));
    Object.assign(imports, hooks.imports?.(w));
    w.instance = await WebAssembly.instantiate(module, imports);
    w.call = w.instance.exports;
    try { await w.#park(n - 1); } catch (e) {
      w.close();
      throw e;
    }
    return w;
  }

  /** Imports of the engine's instance alone. */
  #engineImports({ telemetry, emit, read, prefixes, head = () => EIO }) {
    return {
      telemetry,
      emit: (p, len) => emit(JSON.parse(this.text(p, len))),
      read, head,
      store_get: (p, len, offset, dst, n) => {
        const got = prefixes()?.get(this.text(p, len), offset, n);
        if (got) this.bytes(dst, n).set(got);
        return got ? 0 : EIO;
      },
      store_put: (p, len, from, n, last) => {
        const kept = prefixes();
        kept?.put(this.text(p, len), this.bytes(from, n).slice(), last);
        return kept ? 0 : EIO;
      },
      store_used: (p, len, dropped) => {
        const name = this.text(p, len);
        if (dropped) prefixes()?.drop(name);
        else prefixes()?.touch(name);
      },
    };
  }

  /** Threads start now, before C is entered: they are given what they need by messages. */
  async #park(count) {
    const { module, memory, maximum, lent, n } = this;
    let failure = null;
    const failed = e => { failure = e; };
    const starting = Array.from({ length: count }, async (_, i) => {
      const stack = this.alloc(STACK), name = `gossamer-${i + 1}`;
      const thread = await startWorker({ ...THREAD, name }, failed);
      this.#threads.push(thread);
      thread.post({ module, memory, maximum, cores: n, lent, stack: stack + STACK });
    });
    const first = (await Promise.allSettled(starting)).find(r => r.status === "rejected");
    if (first) throw first.reason;
    while (this.call.goss_wasm_seats() < count) {
      if (failure) throw failure;
      await new Promise(r => setTimeout(r, 1));
    }
  }

  /** A view of memory now; memory may have grown since the last one. */
  bytes(p, n) { return new Uint8Array(this.memory.buffer, p >>> 0, n); }
  text(p, n) { return this.#text.decode(this.bytes(p, n).slice()); }

  alloc(n) {
    const p = this.call.goss_wasm_alloc(n) >>> 0;
    const mb = (n / 1e6).toFixed(0);
    if (!p) throw new RangeError(`${mb} MB don't fit into this browser's WebAssembly memory`);
    return p;
  }

  /** Calls fn(pointer, length) with text in memory. */
  withText(text, fn) {
    const bytes = this.#utf8.encode(text), p = this.alloc(bytes.length + 1);
    this.bytes(p, bytes.length).set(bytes);
    try { return fn(p, bytes.length); } finally { this.call.goss_wasm_free(p); }
  }

  close() {
    this.call.goss_wasm_close();
    for (const t of this.#threads) t.stop();
    this.#threads = [];
  }
}
