// gossamer.js - the API of the npm package: init(config) -> llm, llm.loadModel(...) -> model, model.createSession() -> session.
// Everything runs in a worker (js/core/worker.js); this side holds promises and queues. See gossamer.d.ts.
import { completions } from "./openai.js";
import { NODE, Remote } from "./port.js";

const TOP = 8;

/** A queue that is iterated: events of one session. */
class Queue {
  #items = []; #wake = null;
  push(item) { this.#items.push(item); this.#wake?.(); this.#wake = null; }
  async next() {
    while (!this.#items.length) await new Promise(r => { this.#wake = r; });
    return this.#items.shift();
  }
}

class Session {
  #model; #options; #id = null; #queue = null; #running = null; #base;
  constructor(model, options) { this.#model = model; this.#options = options ?? {}; this.messages = []; }

  async #open() { this.#id ??= await this.#model.remote.ask("open"); return this.#id; }

  #request(input) {
    const { system, tools, effort, params } = this.#options;
    const base = { top_logprobs: TOP, ...params, ...(tools ? { tools } : {}), ...(effort ? { reasoning_effort: effort } : {}) };
    const own = typeof input === "string" ? { messages: [{ role: "user", content: input }] } : Array.isArray(input) ? { messages: input } : { ...input };
    if (own.messages && system && !own.messages.some(m => m.role === "system" || m.role === "developer")) own.messages = [{ role: "system",
      content: system }, ...own.messages];
    return { ...base, ...own };
  }

  /** Puts a text or messages through the model, so that what follows starts at once. Remembers them for decodeNext and generate. */
  async prefill(input) {
    this.#base = this.#request(input);
    for await (const _ of this.#stream({ ...this.#base, prefill_only: true })) { /* only counts */ }
  }

  /** The next token of a generation that begins with the first call: {token, text, channel, probability, topK} or {done: true, ...}. */
  async decodeNext() {
    this.#running ??= this.#stream(this.#base ?? this.#request({ messages: this.messages }));
    const { value, done } = await this.#running.next();
    if (done) this.#running = null;
    return done ? { done: true, ...value } : value;
  }

  /** generate(maxTokens) continues after prefill; generate({messages | prompt, max_tokens, ...}, {signal}) begins anew. Yields tokens
   * and returns how it ended. */
  generate(options, { signal } = {}) {
    const request = typeof options === "number" || options === undefined ? { ...(this.#base ?? this.#request({ messages: this.messages })),
      ...(options ? { max_tokens: options } : {}) } : this.#request({ ...this.#base, ...options });
    return this.#stream(request, signal);
  }

  async *#stream(request, signal) {
    const remote = this.#model.remote, id = await this.#open();
    if (this.#queue) throw new Error("this session is already generating; open another one");
    const queue = this.#queue = this.#model.queues[id] = new Queue(), t0 = performance.now();
    const cancel = () => remote.ask("cancel", { session: id }).catch(() => {});
    let ended = false, firstMs;
    remote.keep(true);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      await remote.ask("prompt", { session: id, request });
      if (signal?.aborted) cancel();
      for (;;) {
        const e = await queue.next();
        if (e.kind === "token") { firstMs ??= performance.now() - t0; yield token(e); } else if (e.kind === "done") {
          ended = true;
          if (e.text) yield token({ ...e, token: -1 });
          if (e.stop === "error") throw new Error(e.error || "the engine failed");
          return { stop: e.stop, nPrompt: e.n_prompt, nGenerated: e.n_generated, nReused: this.reused ?? 0, prefillMs: e.prefill_ms, decodeMs: e.decode_ms,
            firstMs };
        } else if (e.kind === "prefill") this.reused = e.reused;
        else if (e.kind === "failed") { ended = true; throw new Error(e.message); }
      }
    } catch (e) { ended = true; throw e; } finally {
      signal?.removeEventListener("abort", cancel);
      if (!ended) { await cancel(); while ((await queue.next()).kind !== "done") { /* what was on its way */ } }
      this.#queue = null;
      remote.keep(false);
    }
  }

  cancel() { if (this.#id !== null) this.#model.remote.ask("cancel", { session: this.#id }).catch(() => {}); }
  close() {
    if (this.#id !== null) this.#model.remote.ask("shut", { session: this.#id }).catch(() => {});
    this.#id = null;
  }
}

function token(e) {
  const topK = (e.top ?? []).map(t => ({ token: t.token, text: t.text, probability: Math.exp(t.logprob) }));
  return { token: e.token, text: e.text, channel: e.channel, recipient: e.recipient, message: e.message, position: e.position, logprob: e.logprob,
    probability: e.logprob === undefined ? undefined : Math.exp(e.logprob), entropy: e.entropy, topK };
}

class Model {
  constructor(llm, remote, info) { Object.assign(this, { llm, remote, info, queues: {} }); }
  createSession(options) { return new Session(this, options); }
  tokenize(text, { special } = {}) { return this.remote.ask("tokenize", { text, flags: special ? 1 : 0 }); }
  detokenize(ids) { return this.remote.ask("detokenize", { ids: [...ids] }); }
  render(request) { return this.remote.ask("render", { request }); }
  stats() { return this.remote.ask("stats"); }
  watchAttention(layer, head) { this.remote.ask("watch", { layer, head }).catch(() => {}); }
  close() {
    if (this.llm.model === this) this.llm.model = null;
    this.remote.ask("close").catch(() => {});
  }
}

class Llm {
  #listeners = new Map(); #remote; #config;
  model = null;
  chat = { completions: { create: (request, options) => completions(this, request, options) } };

  static async start(config) {
    const llm = new Llm();
    llm.#config = { ...config };
    llm.#remote = await Remote.start(new URL("worker.js", import.meta.url), "gossamer",
      { onMessage: m => llm.#onBatch(m.batch), onFailure: e => llm.#tell("error", e) });
    Object.assign(llm, await llm.#remote.ask("init", { threads: config.threads, cache: config.cache, cacheDir: config.cacheDir, wasm: config.wasm
      && new URL(config.wasm, globalThis.location?.href ?? "file:///").href, backend: config.backend, gpu: config.gpu }));
    return llm;
  }

  on(type, fn) {
    const set = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, set.add(fn));
    if (type === "telemetry") for (const e of this.#early.splice(0)) fn(e);
    return () => set.delete(fn);
  }
  #early = [];
  #tell(type, value) { for (const fn of this.#listeners.get(type) ?? []) fn(value); }

  #onBatch({ events, telemetry, notices }) {
    for (const e of events) {
      if (e.kind === "failed") for (const q of Object.values(this.model?.queues ?? {})) q.push(e);
      else this.model?.queues[e.session]?.push(e);
    }
    const heard = this.#listeners.get("telemetry")?.size;
    for (const line of telemetry) { const e = JSON.parse(line); this.#progress?.(e); if (heard) this.#tell("telemetry", e);
      else if (this.#early.length < 256) this.#early.push(e); }
    for (const text of notices) this.#tell("notice", text);
  }
  #progress = null;

  /** Loads a GGUF from a URL, a File or Blob, a list of shards, in Node also a path. One model at a time; init() again for another. */
  async loadModel(source, { onProgress, signal, telemetry, ...options } = {}) {
    if (this.model) throw new Error("a model is loaded; close it first");
    const what = typeof source === "string" && !NODE ? new URL(source, location.href).href : source instanceof URL ? source.href : source;
    this.#progress = onProgress ? e => { if (e.stage === "weights_fetch" && e.total_bytes) onProgress({ loaded: e.bytes, total: e.total_bytes,
      progress: e.bytes / e.total_bytes }); } : null;
    const stop = () => this.#remote.ask("stop").catch(() => {});
    signal?.throwIfAborted();
    signal?.addEventListener("abort", stop, { once: true });
    const mask = telemetry === "all" ? 63 : telemetry === "none" ? 0 : 7;
    try {
      const info = await this.#remote.ask("load", { source: what, options: { backend: this.#config.backend, telemetry_mask: mask, ...options } });
      return this.model = new Model(this, this.#remote, info);
    } finally { signal?.removeEventListener("abort", stop); this.#progress = null; }
  }

  /** Canvases that the engine's GPU draws itself: {attn, router, kv, activity}, each handed over for good. */
  attachPanels(canvases, { calm = false } = {}) {
    const given = Object.fromEntries(Object.entries(canvases).map(([name, c]) => [name, c.transferControlToOffscreen()]));
    return this.#remote.ask("panels", { canvases: given, calm }, Object.values(given));
  }
  /** Their sizes in device pixels: {attn: {width, height}, ...}. */
  resizePanels(sizes) { this.#remote.ask("resize", { sizes }).catch(() => {}); }

  async stats() {
    if (!this.model) return { tok_s: 0, cache_hit: 0, gpu_mem_est: 0 };
    const s = await this.model.stats(), asked = s.expert_hits + s.expert_misses;
    return { tok_s: s.decode_ms ? s.n_generated_tokens / s.decode_ms * 1000 : 0, cache_hit: asked ? s.expert_hits / asked : 1, gpu_mem_est: s.gpu_bytes,
      ...s };
  }

  /** Waits for a GPU that is still at work, which Node must not leave behind, and for prefixes that are being written. */
  async close() { this.model = null; await this.#remote.stop(); }
}

/** config: {threads, backend: "auto" | "gpu" | "cpu", cache: "auto" | "indexeddb" | "none", cacheDir, wasm} */
export function init(config = {}) { return Llm.start(config); }
export default { init };
