// engine.js - one engine in its worker: its module, its GPU device, the panels that the device draws, and the
// reader of its bytes. It promises: C runs in slices of at most SLICE_MS; what C waits for (bytes, the GPU)
// brings the next slice; everything that happens goes to the outbox. The methods below "requests" answer the
// page; worker.js says which of them need a model.
import { readKernels, writeKernels } from "./bytes/kernels.js";
import { Prefixes } from "./bytes/prefixes.js";
import { Reader } from "./bytes/reader.js";
import { Gpu } from "./gpu.js";
import { host } from "./host.js";
import { Panels } from "./panels.js";
import { aborted, Moved } from "./port.js";
import { Rows } from "./rows.js";
import { EIO } from "./system.js";
import { Turns } from "./turns.js";
import { cores, Wasm } from "./wasm.js";

const SLICE_MS = 8, TICK_MS = 4;
const AGAIN_MS = 2500;
// With more than this still to be fetched, tokens start before the last expert is there.
const EARLY = 64e6;
const CLOSED = "the model was closed";

const pause = () => new Promise(r => setImmediate(r));

/** What a promise brings, unless the signal fires first. */
function unless(signal, promise) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** One model in the worker, from the beginning of its load to its end: what comes late for one that has ended
 * does not reach the next. */
class Opened {
  wasm = null;
  gpu = null;
  reader = null;
  prefixes = null;
  kernels = null;                    // until what was measured is kept
  reading = 0;                       // reads that C waits for
  readError = null;                  // why one of them failed last
  ready = null;                      // {resolve, reject} of a load that waits for C to be ready
  over = new AbortController();      // fires when it ends
  asleep = false;                    // gets no turns any more

  get runs() { return !!this.wasm?.opened && !this.asleep && !this.over.signal.aborted; }

  settle(how) {
    if (this.ready) how(this.ready);
    this.ready = null;
  }

  /** Resolves when what it has brought is kept. */
  end() {
    if (this.over.signal.aborted) return null;
    this.over.abort(aborted(CLOSED));
    this.wasm?.close();
    this.gpu?.close();
    return Promise.all([this.reader?.close(), this.prefixes?.settled(), this.kernels]);
  }
}

/** The beginnings of a model's files, as far as its header's reader wants them. */
class Head {
  #parts = [];
  lacks = null;                      // {index, end}: the bytes that were missing last

  /** goss_wasm_plan's reads: 0 where the bytes are at hand. */
  at(wasm, index, offset, dst, n) {
    const part = this.#parts[index] ?? new Uint8Array(0);
    this.lacks = offset + n > part.length ? { index, end: offset + n } : null;
    if (this.lacks) return EIO;
    wasm.bytes(dst, n).set(part.subarray(offset, offset + n));
    return 0;
  }

  async fetch(reader) {
    const { index, end } = this.lacks, have = this.#parts[index] ?? new Uint8Array(0);
    const more = await reader.read(index, have.length, end - have.length), whole = new Uint8Array(end);
    whole.set(have);
    whole.set(more, have.length);
    reader.free(more);
    this.#parts[index] = whole;
    this.lacks = null;
  }
}

/** What the bytes of all files are; undefined: nobody knows. */
function markOf({ sources }) {
  return sources.every(s => s.mark) ? sources.map(s => s.mark).join(" ") : undefined;
}
const namesOf = reader => reader.sources.map(({ name, size }) => ({ name, size }));

export class Engine {
  #outbox;
  #turns = new Turns(() => this.#turn());
  #config = {};
  #drive = null;                     // where bytes are kept; null: nowhere
  #hasGpu = false;
  #panels = null;
  #model = null;                     // Opened: the one that was loaded, or is being
  #planned = { id: 0, reader: null };        // what plan() has read of the file that it was asked about last
  #planning = null;                  // ends the plan() that is under way
  #closing = null;                   // the ends of those before
  // what C said by emit() in the call that is under way
  #answer = null;
  #failure = null;

  constructor(outbox) { this.#outbox = outbox; }

  get opened() { return !!this.#model?.runs; }
  get #wasm() { return this.#model?.wasm; }

  // ---- what the module and the device call ----------------------------------------------------------------
  #emit(object) {
    if (object.kind === "error") this.#failure = object;
    else if (object.kind === "notice") this.#notice(object.message);
    else if (object.kind === "kernels") this.#keepKernels(object.text);
    else if (object.session !== undefined) this.#outbox.event(object);
    else this.#answer = object;
  }

  #notice = text => {
    this.#outbox.notice(text);
    this.#turns.schedule();
  };

  #wasmHooks(m) {
    return {
      emit: object => this.#emit(object),
      telemetry: (p, n) => this.#outbox.line(m.wasm.text(p, n)),
      read: (index, offset, dst, n, tag) => this.#read(m, { index, offset, dst, n, tag }),
      prefixes: () => m.prefixes,
      imports: wasm => m.gpu?.imports(wasm) ?? Gpu.absent(),
    };
  }

  #gpuHooks(m) {
    return {
      wake: () => this.#turns.hurry(),
      reader: () => m.reader,
      notice: this.#notice,
      readFailed: e => this.#readFailed(m, e),
      readDone: (tag, status) => { if (m.runs) m.wasm.call.goss_wasm_read_done(tag, status); },
      panels: (device, buffer) => this.#panels?.attach(device, buffer),
      submitted: () => this.#panels?.touch(),
      gone: () => this.#panels?.detach(),
    };
  }

  /** goss_source.read: 0, and goss_wasm_read_done later. */
  #read(m, { index, offset, dst, n, tag }) {
    m.reading++;
    m.reader.read(index, offset, n).then(bytes => {
      if (m.runs) m.wasm.bytes(dst, n).set(bytes);
      m.reader.free(bytes);
      this.#readDone(m, tag, 0);
    }, e => {
      this.#readFailed(m, e);
      this.#readDone(m, tag, EIO);
    });
    return 0;
  }

  #readDone(m, tag, status) {
    m.reading--;
    if (!m.runs) return;
    m.wasm.call.goss_wasm_read_done(tag, status);
    this.#turns.hurry();
  }

  /** What nobody waits for is asked for again by a later turn. */
  #readFailed(m, e) {
    m.readError = e;
    setTimeout(() => { if (m.runs) this.#turns.hurry(); }, AGAIN_MS);
  }

  // ---- the loop: C advances, then the page hears of it, then messages get in ------------------------------
  #turn() {
    const m = this.#model;
    let more = 0;
    try {
      more = this.#advance(m);
      if (m?.ready && m.runs && m.wasm.call.goss_wasm_state()) m.settle(r => r.resolve());
    } catch (e) {
      this.#outbox.event({ kind: "failed", message: e.message });
      m?.settle(r => r.reject(e));
      more = 0;
    }
    if (more === 1) this.#outbox.tick();
    else this.#outbox.flush();
    // While C only waits for bytes or for the GPU, their completion asks for the next turn; a slow tick is
    // the safety net.
    if (more === 1) this.#turns.schedule(m.reading || m.gpu?.busy ? TICK_MS : 0);
  }

  /** Polls C until it has nothing to do, waits, or the slice is over; 1: there is more. */
  #advance(m) {
    const end = performance.now() + SLICE_MS;
    let more = 0;
    while (m?.runs) {
      more = this.#must(m.wasm.call.goss_wasm_poll(0));
      if (more !== 1 || m.reading || m.gpu?.busy || performance.now() > end) break;
    }
    return more;
  }

  // ---- calls into C ---------------------------------------------------------------------------------------
  /** A call that returns a negative code has emitted why. */
  #must(code) {
    if (code >= 0) return code;
    const { message = `the engine answered ${code}`, name, position } = this.#failure ?? {};
    throw Object.assign(new Error(message), { code: name, position });
  }

  /** Calls fn(pointer, length) with a text, or with an object as JSON. */
  #give(what, fn, wasm = this.#wasm) {
    return wasm.withText(typeof what === "string" ? what : JSON.stringify(what), fn);
  }

  /** What C answers to a call that emits its answer. */
  #told(code) {
    this.#must(code);
    return this.#answer;
  }

  #ask(what) {
    this.#wasm.call[`goss_wasm_${what}`]();
    return this.#answer;
  }

  // ---- loading --------------------------------------------------------------------------------------------
  #stage(stage, rest) {
    this.#outbox.line(JSON.stringify({ type: "load_stage", stage, ...rest, ts_ms: performance.now() }));
  }

  get #cacheKind() { return this.#drive?.kind ?? "none"; }

  #openModule(threads, hooks) {
    const { wasm, lent } = this.#config;
    return Wasm.open({ base: wasm, threads: threads ?? this.#config.threads, lent, hooks });
  }

  #openReader(source, chunk, signal) {
    const { cacheDir, hub = host.hub() } = this.#config;
    const cache = this.#cacheKind, notice = this.#notice;
    const chunks = list => {
      this.#sayChunks(list);
      this.#turns.schedule();
    };
    return Reader.open(source, { cache, cacheDir, chunk, hub, signal, notice, chunks });
  }

  #sayChunks(list) { for (const told of list) this.#stage("chunks", { status: "progress", ...told }); }

  /** Says how much of the model is kept; returns how many bytes are still to be fetched. */
  #sayKept(sources) {
    const total = sources.reduce((n, s) => n + s.size, 0), kept = sources.reduce((n, s) => n + s.kept, 0);
    const hit = kept >= total ? "all" : kept ? "part" : "none";
    const detail = `hit=${hit} bytes=${kept} kind=${this.#cacheKind}`;
    this.#stage("cache_open", { status: "completed", detail });
    return total - kept;
  }

  #onCpu({ backend }) {
    return backend === "cpu" || backend === "ref" || (!this.#hasGpu && backend !== "gpu");
  }

  /** What C is told of the model; backend: what it may run on; missing: bytes that are still to be
   * fetched. */
  #request(m, options, { backend, missing }) {
    const prefixes = m.prefixes?.list(), prefix_cache = prefixes ? options.prefix_cache : 0;
    return { ...options, backend, early: options.early ?? missing > EARLY, sources: namesOf(m.reader),
      weights_mark: markOf(m.reader), prefix_cache, prefixes };
  }

  /** null: none are kept. A GPU's weights are never in memory: what they are says the file, once it is kept
   * whole. */
  async #openPrefixes(m, cpu) {
    if (!this.#drive) return null;
    if (cpu || markOf(m.reader)) return Prefixes.open(this.#drive, this.#notice);
    this.#notice("Computed prefixes are kept from the next load on, when the whole file is kept.");
    return null;
  }

  /** Which kernels a GPU takes (gpu_kernels of gossamer.d.ts), as C is told. */
  async #kernelsOf(cpu, how = "none") {
    if (cpu || how === "none") return {};
    if (how !== "auto") return { gpu_kernels: how };
    return { gpu_kernels: this.#drive ? await readKernels(this.#drive) : "", gpu_measures: true };
  }

  #keepKernels(text) {
    const write = async () => this.#drive && writeKernels(this.#drive, text);
    this.#model.kernels = write().catch(e => this.#notice(`measured kernels are not kept: ${e.message}`));
  }

  /** Until C is ready. */
  #untilReady(m) {
    const ready = new Promise((resolve, reject) => { m.ready = { resolve, reject }; });
    this.#turns.schedule();
    return ready;
  }

  /** What plan() has read, if it was of this file; else it goes, and so does a plan() that is under way. */
  #takePlanned(id) {
    this.unplan();
    const { reader } = this.#planned, fits = reader && id === this.#planned.id;
    if (!fits) reader?.close();
    this.#planned = { id: this.#planned.id + 1, reader: null };
    return fits ? reader : null;
  }

  // ---- requests: before a model is loaded -----------------------------------------------------------------
  async init(config) {
    this.#config = config;
    this.#drive = config.cache === "none" ? null : await host.openDrive(config.cache, config.cacheDir);
    const probe = await Gpu.probe(config);
    if (probe.line) this.#stage("gpu_limits", probe.line);
    this.#outbox.flush();
    this.#hasGpu = probe.ok;
    return { gpu: probe.ok, software: !!probe.software, isolated: host.shares(), cores: await cores(),
      cache: this.#cacheKind };
  }

  /** Reads the header alone: what the model is, and what loading it would use. The model that is loaded goes
   * on. The bytes are kept for a load that says planned: id. */
  async plan({ source, options: { chunk, gpu_kernels: _k, ...options } }) {
    this.#takePlanned(0);
    const { id } = this.#planned, head = new Head(), planning = this.#planning = new AbortController();
    const reader = await this.#openReader(source, chunk, planning.signal);
    try {
      const hooks = { ...this.#wasmHooks(new Opened()), head: (...args) => head.at(wasm, ...args) };
      const wasm = await this.#openModule(1, hooks);
      const backend = this.#onCpu(options) ? "cpu" : "gpu";
      const request = { ...options, backend, sources: namesOf(reader) };
      const ask = () => this.#give(request, (p, n) => wasm.call.goss_wasm_plan(p, n), wasm);
      let code;
      while ((code = ask()) < 0 && head.lacks) await head.fetch(reader);
      const { kind: _, level: _l, chat: _c, kv: _v, n_threads: _n, ...plan } = this.#told(code);
      const kept = reader.sources.reduce((n, s) => n + s.kept, 0);
      planning.signal.throwIfAborted();
      this.#planned.reader = reader;
      this.#planning = null;
      return { ...plan, backend, kept, id };
    } catch (e) {
      reader.close();
      throw e;
    }
  }

  /** Ends a plan() that is under way. */
  unplan() {
    this.#planning?.abort(aborted("it was stopped"));
    this.#planning = null;
  }

  async load({ source, planned, options: { chunk, rows, gpu_kernels, ...options } }) {
    this.close();
    const m = this.#model = new Opened(), { signal } = m.over;
    const cpu = this.#onCpu(options), { backend } = options;
    m.gpu = cpu ? null : new Gpu(this.#gpuHooks(m));
    const opening = this.#openModule(options.threads, this.#wasmHooks(m));
    const failing = new Promise((_, reject) => { opening.catch(reject); });
    failing.catch(() => {});
    try {
      m.reader = this.#takePlanned(planned)
        ?? await Promise.race([this.#openReader(source, chunk, signal), failing]);
      if (options.prefix_cache) m.prefixes = await unless(signal, this.#openPrefixes(m, cpu));
      m.wasm = await unless(signal, opening);
      const runsOn = !cpu ? backend ?? "auto" : backend === "ref" ? "ref" : "cpu";
      const missing = this.#sayKept(m.reader.sources);
      this.#sayChunks(m.reader.chunks);
      const kernels = await unless(signal, this.#kernelsOf(cpu, gpu_kernels));
      const request = this.#request(m, { ...options, ...kernels }, { backend: runsOn, missing });
      this.#must(this.#give(request, (p, n) => m.wasm.call.goss_wasm_open(p, n)));
      m.wasm.opened = true;
      await unless(signal, this.#untilReady(m));
    } catch (e) {
      const why = signal.aborted ? signal.reason : m.readError ?? e;
      if (!m.wasm) opening.then(w => w.close(), () => {});
      this.#end(m);
      throw why;
    }
    const { kind: _, ...info } = this.#ask("info");
    this.#outbox.rows(rows ? this.#rowsOf(m, info) : null);
    return { ...info, fetched: m.reader.fetched, relaxed: m.wasm.relaxed };
  }

  #rowsOf({ wasm }, { n_layer, n_expert, n_expert_used }) {
    const shape = { layers: n_layer, used: n_expert ? n_expert_used : 0 };
    return new Rows(wasm, shape, id => this.#textOf(wasm, [id]));
  }

  /** What happens is told at most so often, in ms. */
  pace({ ms }) { this.#outbox.pace = ms; }
  panels({ canvases, calm }) { this.#panels = new Panels(canvases, { calm, notice: this.#notice }); }
  resize({ sizes }) { this.#panels?.resize(sizes); }

  // ---- requests: of a loaded model ------------------------------------------------------------------------
  stats() {
    const memory = this.#wasm.memory.buffer.byteLength, frames = this.#panels?.frames ?? 0;
    return { ...this.#ask("stats"), fetched: this.#model.reader.fetched, memory, frames };
  }

  tokenize({ text, flags = 0 }) {
    return this.#told(this.#give(text, (p, n) => this.#wasm.call.goss_wasm_tokenize(p, n, flags))).ids;
  }

  render({ request }) {
    return this.#told(this.#give(request, (p, n) => this.#wasm.call.goss_wasm_render(p, n))).ids;
  }

  schema({ schema }) {
    this.#give(schema, (p, n) => this.#wasm.call.goss_wasm_schema(p, n));
    const { kind: _, ...report } = this.#answer;
    return report;
  }

  detokenize({ ids }) { return this.#textOf(this.#wasm, ids); }

  #textOf(wasm, ids) {
    const p = wasm.alloc(4 * ids.length + 4);
    new Int32Array(wasm.memory.buffer, p, ids.length).set(ids);
    wasm.call.goss_wasm_detokenize(p, ids.length);
    wasm.call.goss_wasm_free(p);
    return this.#answer.text;
  }

  watch({ layer, head }) { this.#wasm?.call.goss_wasm_watch?.(layer, head); }

  /** A session's number. */
  open() { return this.#must(this.#wasm.call.goss_wasm_session_open()); }

  /** The number of a session that begins with the first n tokens of another one; -1: with all of them. */
  fork({ session, n }) { return this.#must(this.#wasm.call.goss_wasm_session_fork(session, n)); }

  prompt({ session, request }) {
    this.#must(this.#give(request, (p, n) => this.#wasm.call.goss_wasm_session_prompt(session, p, n)));
    this.#turns.schedule();
  }

  cancel({ session }) {
    this.#wasm?.call.goss_wasm_session_cancel(session);
    this.#turns.schedule();
  }

  /** The rows that a call says of tokens. */
  #look(call, ids) {
    const wasm = this.#wasm, p = wasm.alloc(4 * ids.length + 4);
    new Int32Array(wasm.memory.buffer, p, ids.length).set(ids);
    try { return this.#told(call(p, ids.length)).rows; } finally { wasm.call.goss_wasm_free(p); }
  }

  lens({ ids }) { return this.#look(this.#wasm.call.goss_wasm_lens, ids); }

  parity({ ids }) { return this.#look(this.#wasm.call.goss_wasm_parity, ids); }

  attention({ session, row, layer }) {
    const { at, heads } = this.#told(this.#wasm.call.goss_wasm_attention(session, row, layer));
    const weights = new Float32Array(this.#wasm.memory.buffer, at, heads * (row + 1)).slice();
    return new Moved({ heads, weights }, [weights.buffer]);
  }

  shut({ session }) { if (this.opened) this.#wasm.call.goss_wasm_session_close(session); }

  // ---- the end --------------------------------------------------------------------------------------------
  #end(m) {
    if (this.#model === m) {
      this.#outbox.flush();
      this.#outbox.rows(null);
      this.#model = null;
    }
    const end = m.end();
    if (end) this.#closing = Promise.all([this.#closing, end]);
  }

  /** Ends the load that is under way, or the model. */
  async close() {
    if (this.#model) this.#end(this.#model);
    await this.#closing;
  }

  /** Node's package for WebGPU aborts the process if it is torn down while it has callbacks to make. Prefixes
   * are still written. */
  async end() {
    const m = this.#model;
    if (m) m.asleep = true;
    while (host.node && m?.gpu?.busy) await pause();
    this.#takePlanned(0);
    await this.close();
  }
}
