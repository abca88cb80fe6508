// gossamer.js - the API of the npm package: init(config) -> llm, llm.loadModel(...) -> model,
// model.createSession() -> session. Everything runs in a worker (js/core/worker.js); this side holds promises
// and queues. It promises: every promise settles; when a model or llm is closed, or the worker dies, what is
// awaited of it fails with a sentence. See gossamer.d.ts.
import { host } from "./host.js";
import { Link } from "./link.js";
import { Completions } from "./openai.js";
import { aborted, Remote } from "./port.js";
import { Session } from "./session.js";
import { want, wantMembers, wantSource } from "./wants.js";

/** goss_telemetry's kinds: by default load, stages and tokens; rows instead of lines of tokens and layers. */
const TELEMETRY = { all: 319, rows: 435, none: 0, default: 7 };
const MOST_EARLY = 256;
const BACKENDS = ["auto", "gpu", "cpu", "ref"];
const CONFIG = { threads: "count", backend: BACKENDS, cache: ["auto", "indexeddb", "none"], cacheDir: "text",
  wasm: "address", base: "address", hub: "address" };
const OPTIONS = { onProgress: "function", signal: "signal", telemetry: Object.keys(TELEMETRY),
  threads: "count", backend: BACKENDS, chunk: "chunk", gpu_kernels: "text" };
const LISTENERS = ["telemetry", "rows", "notice", "error"];
const WORKER = { name: "gossamer", file: "worker.js",
  make: () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" }) };

/** What the worker can be given: pages know addresses that are relative to them. */
function addressOf(source) {
  if (Array.isArray(source)) return source.map(addressOf);
  if (source instanceof URL) return source.href;
  if (typeof source !== "string" || /^hf:/i.test(source)) return source;
  try { return host.address(source); } catch { throw new TypeError(`source: "${source}" is no address`); }
}

/** A folder's address. */
const folderOf = address => address && host.address(`${address}`.replace(/\/*$/, "/"));

class Model {
  #link;
  #close;

  constructor(link, info, close) {
    this.info = info;
    this.#link = link;
    this.#close = close;
  }

  createSession(options = {}) {
    wantMembers("options", options, { system: "text", tools: "list", effort: "text", params: "object" });
    this.#link.check();
    return new Session(this.#link, options);
  }

  async tokenize(text, { special } = {}) {
    want("text", text, "text");
    return this.#link.ask("tokenize", { text, flags: special ? 1 : 0 });
  }

  async detokenize(ids) {
    want("ids", ids, "ids");
    return this.#link.ask("detokenize", { ids: [...ids] });
  }

  async render(request) {
    want("request", request, "object");
    return this.#link.ask("render", { request });
  }

  /** What each layer would have said behind the last of these tokens. */
  async lens(ids) {
    want("ids", ids, "ids");
    const rows = await this.#link.ask("lens", { ids: [...ids] });
    const tops = top => top.map(t => ({ token: t.token, text: t.text, probability: Math.exp(t.logprob) }));
    return rows.map(({ layer, kl, entropy, top }) => ({ layer, kl, entropy, topK: tops(top) }));
  }

  /** How far each stage is from the reference's for these tokens. */
  async parity(ids) {
    want("ids", ids, "ids");
    return this.#link.ask("parity", { ids: [...ids] });
  }

  async checkSchema(schema) {
    want("schema", schema, "object");
    return this.#link.ask("schema", { schema });
  }

  stats() { return this.#link.ask("stats"); }

  watchAttention(layer, head) {
    want("layer", layer, "count");
    want("head", head, "count");
    this.#link.ask("watch", { layer, head }).catch(() => {});
  }

  close() { return this.#close(); }
}

class Llm {
  #remote;
  #config;
  #listeners = new Map();
  #early = [];                       // telemetry from before anybody listened
  #progress = null;                  // of the load that is under way
  #loading = false;
  #link = null;                      // of the model that is loaded
  #planned = { source: null, id: 0 };
  #lent = host.shares() ? new Int32Array(new SharedArrayBuffer(4)) : null;
  #returning = 0;                    // the timer that takes the core back
  model = null;
  chat = { completions: new Completions(this) };

  static async start(config) {
    wantMembers("config", config, CONFIG);
    const llm = new Llm(), { threads, cache, cacheDir, backend, hub } = config, base = folderOf(config.base);
    const at = base && new URL("js/core/worker.js", base).href;
    llm.#config = { ...config };
    llm.#remote = await Remote.start({ ...WORKER, at },
      { onMessage: m => llm.#onBatch(m.batch), onFailure: e => llm.#failed(e) });
    const asked = { threads, cache, cacheDir, wasm: folderOf(config.wasm), backend, hub: hub && String(hub),
      lent: llm.#lent };
    try { return Object.assign(llm, await llm.#remote.ask("init", asked)); } catch (e) {
      llm.#remote.stop();
      throw e;
    }
  }

  on(type, fn) {
    want("type", type, LISTENERS);
    want("listener", fn, "function");
    const set = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, set.add(fn));
    if (type === "telemetry") for (const e of this.#early.splice(0)) this.#call(fn, e);
    return () => set.delete(fn);
  }

  /** A listener that throws must not keep the others, nor answers, from what they wait for. */
  #call(fn, value) { try { fn(value); } catch (e) { queueMicrotask(() => { throw e; }); } }
  #emit(type, value) { for (const fn of this.#listeners.get(type) ?? []) this.#call(fn, value); }

  #failed(e) {
    this.#link?.fail(e);
    this.#emit("error", e);
  }

  #onBatch({ events, telemetry, notices, rows }) {
    for (const e of events) {
      if (e.kind === "failed") this.#link?.fail(new Error(e.message));
      else this.#link?.push(e);
    }
    for (let i = 0, from = 0; i < telemetry.length; i++) {
      const line = telemetry[i];
      if (typeof line === "string") this.#onTelemetry(JSON.parse(line));
      else this.#emit("rows", { ...rows, from, to: from += line });
    }
    for (const text of notices) this.#emit("notice", text);
  }

  #onTelemetry(e) {
    if (this.#progress) this.#call(this.#progress, e);
    if (this.#listeners.get("telemetry")?.size) this.#emit("telemetry", e);
    else if (this.#early.length < MOST_EARLY) this.#early.push(e);
  }

  /** Reads a model's header: what it is, and what loading it would use, before its bytes are fetched. A model
   * that is loaded goes on. loadModel of the same source goes on with what was read. */
  async plan(source, options = {}) {
    wantSource(source);
    wantMembers("options", options, OPTIONS);
    const { signal, telemetry: _t, onProgress: _p, ...rest } = options;
    signal?.throwIfAborted();
    const all = { backend: this.#config.backend, ...rest };
    const stop = () => this.#remote.ask("unplan").catch(() => {});
    const { id, ...plan } = await this.#unless(signal, stop,
      this.#remote.ask("plan", { source: addressOf(source), options: all }));
    this.#planned = { source, id };
    return plan;
  }

  /** Loads a GGUF from a URL, hf:OWNER/REPO:FILE, a File or Blob, a list of shards, in Node also a path. One
   * model at a time; init() again for another. */
  async loadModel(source, options = {}) {
    wantSource(source);
    wantMembers("options", options, OPTIONS);
    const { onProgress, signal, telemetry = "default", ...rest } = options;
    if (this.model) throw new Error("a model is loaded: close it first, or init() another llm");
    if (this.#loading) {
      throw new Error("a model is being loaded: wait for it, or stop it by the signal that it was given");
    }
    signal?.throwIfAborted();
    this.#progress = onProgress && (e => {
      if (e.stage !== "weights_fetch" || !e.total_bytes) return;
      onProgress({ loaded: e.bytes, total: e.total_bytes, progress: e.bytes / e.total_bytes });
    });
    const planned = source === this.#planned.source ? this.#planned.id : 0;
    const all = { backend: this.#config.backend, telemetry_mask: TELEMETRY[telemetry],
      rows: telemetry === "rows", ...rest };
    const stop = () => this.#remote.ask("close").catch(() => {});
    this.#loading = true;
    try {
      const info = await this.#unless(signal, stop,
        this.#remote.ask("load", { source: addressOf(source), planned, options: all }));
      return this.#opened(info);
    } finally {
      this.#loading = false;
      this.#progress = null;
    }
  }

  /** What a promise brings; an error at once when the signal fires, after stop(). */
  #unless(signal, stop, promise) {
    if (!signal) return promise;
    return new Promise((resolve, reject) => {
      const end = () => {
        reject(signal.reason);
        stop();
      };
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
    });
  }

  #opened(info) {
    const link = this.#link = new Link(this.#remote);
    const close = async () => {
      if (this.#link !== link) return;
      this.model = this.#link = null;
      link.fail(aborted("the model was closed"), true);
      await this.#remote.ask("close").catch(() => {});
    };
    return this.model = new Model(link, info, close);
  }

  /** What happens is told at most so often: a page that draws so many times a second needs no more. */
  pace(ms) {
    want("ms", ms, "count");
    this.#remote.ask("pace", { ms }).catch(() => {});
  }

  /** The page draws: for so many ms one of the engine's threads leaves it its core. */
  lend(ms) {
    want("ms", ms, "count");
    if (!this.#lent) return;
    Atomics.store(this.#lent, 0, 1);
    clearTimeout(this.#returning);
    this.#returning = setTimeout(() => this.#takeBack(), ms);
  }
  #takeBack() {
    clearTimeout(this.#returning);
    if (!this.#lent) return;
    Atomics.store(this.#lent, 0, 0);
    Atomics.notify(this.#lent, 0);
  }

  /** Canvases that the engine's GPU draws itself: {attn, router, kv, activity}, each handed over for good. */
  async attachPanels(canvases, { calm = false } = {}) {
    want("canvases", canvases, "object");
    const given = {};
    for (const [name, canvas] of Object.entries(canvases)) given[name] = canvas.transferControlToOffscreen();
    return this.#remote.ask("panels", { canvases: given, calm }, Object.values(given));
  }

  /** Their sizes in device pixels, and whether they are in view: {attn: {width, height, seen}, ...}. What is
   * not in view is not drawn. */
  resizePanels(sizes) { this.#remote.ask("resize", { sizes }).catch(() => {}); }

  async stats() {
    if (!this.model) return { tok_s: 0, cache_hit: 0, gpu_mem_est: 0 };
    const s = await this.model.stats(), asked = s.expert_hits + s.expert_misses;
    const tok_s = s.decode_ms ? s.n_generated_tokens / s.decode_ms * 1000 : 0;
    return { tok_s, cache_hit: asked ? s.expert_hits / asked : 1, gpu_mem_est: s.gpu_bytes, ...s };
  }

  /** Waits for a GPU that is still at work, which Node must not leave behind, and for prefixes that are being
   * written. */
  async close() {
    const closed = aborted("llm.close() has ended it");
    this.#link?.fail(closed, true);
    this.model = this.#link = null;
    this.#takeBack();
    await this.#remote.stop(closed);
  }
}

/** config: {threads, backend: "auto" | "gpu" | "cpu", cache: "auto" | "indexeddb" | "none", cacheDir, wasm,
 * base, hub} */
export async function init(config = {}) { return Llm.start(config); }
export default { init };
