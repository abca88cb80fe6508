// wasm.js - the engine's module: which of the two is loaded, its memory, and calls with JSON. One shared memory at all times
// (also on one thread), because there is one build; only cross-origin isolated pages and Node may share it with threads.
import { NODE, startWorker } from "./port.js";

// (func (result v128) ... f32x4.relaxed_madd): valid only where relaxed SIMD is.
const RELAXED = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11]);
const STACK = 512 * 1024, PAGE = 65536, FIRST = 256;

export const canShare = () => NODE || globalThis.crossOriginIsolated === true;

export async function cores() {
  const n = NODE ? (await import("node:os")).availableParallelism() : navigator.hardwareConcurrency ?? 4;
  return Math.max(1, Math.min(32, n));
}

async function compile(url) {
  if (NODE && url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The engine's module is missing: ${url} answered ${response.status}. Run \`make wasm\`.`);
  return /application\/wasm/.test(response.headers.get("content-type") ?? "") ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

/** The module for this machine, compiled. */
export async function chooseModule(base) {
  const relaxed = WebAssembly.validate(RELAXED);
  return { relaxed, module: await compile(new URL(relaxed ? "gossamer-relaxed.wasm" : "gossamer.wasm", base)) };
}

/** As much address space as the system gives: 4 GB, else less. */
function openMemory() {
  for (let maximum = 65536; ; maximum /= 2) {
    try { return { memory: new WebAssembly.Memory({ initial: FIRST, maximum, shared: true }), maximum: maximum * PAGE }; } catch (e) {
      if (maximum <= 4096) throw new Error(`This browser gives WebAssembly no memory: ${e.message}`);
    }
  }
}

/** Imports that both the engine's instance and the threads' need. */
export function systemImports(memory, maximum, nCores) {
  return { env: { memory }, goss: {
    now_ms: () => performance.now(), unix_time: () => Math.floor(Date.now() / 1000), memory_max: () => maximum, cores: () => nCores,
    emit() {}, telemetry() {}, read: () => -4, store_get: () => -4, store_put: () => -4, store_used() {},
  } };
}

export class Wasm {
  #text = new TextDecoder();
  #utf8 = new TextEncoder();
  #threads = [];

  /** hooks: {telemetry(line), emit(object), read(source, offset, dst, n, tag) -> status, prefixes() -> Prefixes | null, imports?} */
  static async open({ base, threads, hooks }) {
    const w = new Wasm(), { module, relaxed } = await chooseModule(base);
    const n = canShare() ? Math.max(1, Math.min(32, threads || await cores())) : 1;
    Object.assign(w, openMemory(), { module, relaxed, n });
    const imports = systemImports(w.memory, w.maximum, n);
    Object.assign(imports.goss, { telemetry: (p, len) => hooks.telemetry(w.text(p, len)), emit: (p, len) => hooks.emit(JSON.parse(w.text(p, len))),
      read: hooks.read,
      store_get: (p, len, offset, dst, n) => {
        const got = hooks.prefixes()?.get(w.text(p, len), offset, n);
        if (got) w.bytes(dst, n).set(got);
        return got ? 0 : -4;
      },
      store_put: (p, len, from, n, last) => {
        const prefixes = hooks.prefixes();
        prefixes?.put(w.text(p, len), w.bytes(from, n).slice(), last);
        return prefixes ? 0 : -4;
      },
      store_used: (p, len, dropped) => { const name = w.text(p, len); if (dropped) hooks.prefixes()?.drop(name); else hooks.prefixes()?.touch(name); } });
    Object.assign(imports, hooks.imports?.(w));
    w.instance = await WebAssembly.instantiate(module, imports);
    w.call = w.instance.exports;
    await w.#park(n - 1);
    return w;
  }

  /** Threads start now: a worker can't start while its parent is inside C. */
  async #park(count) {
    const { module, memory, maximum, n } = this;
    for (let i = 0; i < count; i++) {
      const stack = this.alloc(STACK);
      this.#threads.push(startWorker(new URL("thread.js", import.meta.url), `gossamer-${i + 1}`).then(t => {
        t.post({ module, memory, maximum, cores: n, stack: stack + STACK });
        return t;
      }));
    }
    this.#threads = await Promise.all(this.#threads);
    while (this.call.goss_wasm_seats() < count) await new Promise(r => setTimeout(r, 1));
  }

  /** A view of memory now; memory may have grown since the last one. */
  bytes(p, n) { return new Uint8Array(this.memory.buffer, p >>> 0, n); }
  text(p, n) { return this.#text.decode(this.bytes(p, n).slice()); }

  alloc(n) {
    const p = this.call.goss_wasm_alloc(n) >>> 0;
    if (!p) throw new RangeError(`${(n / 1e6).toFixed(0)} MB don't fit into this browser's WebAssembly memory`);
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
