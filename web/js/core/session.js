// session.js - one session of a loaded model: its requests, and its events as tokens. What a token means
// (channel, recipient, text) is the engine's to say.

import { aborted } from "./port.js";
import { want, wantMembers } from "./wants.js";

const TOP = 8;
const REQUEST = { messages: "list", prompt: "text", tools: "list", tokens: "ids", echo: "count" };

export class Session {
  #link;
  #options;
  #opening = null;                   // its number, when it comes
  #queue = null;                     // of the generation that is under way
  #running = null;                   // decodeNext's generation
  #base = null;                      // what prefill was given
  #closed = null;                    // why nothing is generated any more
  #number = null;

  /** opening: the number of a session that the worker is opening already. */
  constructor(link, options, opening = null) {
    this.#link = link;
    this.#options = options;
    this.#opening = opening;
  }

  get number() { return this.#number; }

  async #open() {
    if (this.#closed) throw this.#closed;
    this.#opening ??= this.#link.ask("open");
    const id = await this.#opening.catch(e => {
      this.#opening = null;
      throw e;
    });
    if (this.#closed) throw this.#closed;
    return this.#number = id;
  }

  #request(input) {
    if (typeof input !== "string" && !Array.isArray(input)) wantMembers("request", input, REQUEST);
    const { system, tools, effort, params } = this.#options;
    const base = { top_logprobs: TOP, ...params, ...(tools && { tools }),
      ...(effort && { reasoning_effort: effort }) };
    const own = typeof input === "string" ? { messages: [{ role: "user", content: input }] }
      : Array.isArray(input) ? { messages: input } : { ...input };
    const instructed = own.messages?.some(m => m.role === "system" || m.role === "developer");
    if (own.messages && system && !instructed) {
      own.messages = [{ role: "system", content: system }, ...own.messages];
    }
    if (own.tokens) own.tokens = [...own.tokens];
    return { ...base, ...own };
  }

  /** What a generation without a request of its own continues. */
  #remembered() {
    if (this.#base) return this.#base;
    throw new Error("there is nothing to go on with: prefill() comes first, or generate({messages}) or "
      + "generate({prompt})");
  }

  /** Puts a text or messages through the model, so that what follows starts at once. Remembers them for
   * decodeNext and generate. */
  async prefill(input) {
    this.#base = this.#request(input);
    for await (const _ of this.#stream({ ...this.#base, prefill_only: true })) { /* only counts */ }
  }

  /** The next token of a generation that begins with the first call: {token, text, channel, probability,
   * topK} or {done: true, ...}. */
  async decodeNext() {
    this.#running ??= this.#stream(this.#remembered());
    const { value, done } = await this.#running.next().catch(e => {
      this.#running = null;
      throw e;
    });
    if (done) this.#running = null;
    return done ? { done: true, ...value } : value;
  }

  /** generate(maxTokens) continues after prefill; generate({messages | prompt, max_tokens, ...}, {signal})
   * begins anew. Yields tokens and returns how it ended. */
  generate(options, { signal } = {}) {
    if (signal !== undefined) want("signal", signal, "signal");
    const goesOn = typeof options === "number" || options === undefined;
    if (goesOn && options !== undefined) want("maxTokens", options, "count");
    const request = goesOn ? { ...this.#remembered(), ...(options && { max_tokens: options }) }
      : this.#request({ ...this.#base, ...options });
    return this.#stream(request, signal);
  }

  /** A session that begins with the first `at` tokens that this one holds, or with all of them: nothing of
   * them is computed again. */
  async fork(at) {
    if (at !== undefined) want("at", at, "count");
    const session = await this.#open(), link = this.#link;
    const branch = new Session(link, this.#options, link.ask("fork", { session, n: at ?? -1 }));
    await branch.#open();
    return branch;
  }

  /** Where the token at position `row` of what the session holds looks: weights by position, of each head of
   * a layer, and what its sink takes. */
  async attention({ row, layer }) {
    want("row", row, "count");
    want("layer", layer, "count");
    const session = await this.#open();
    const { heads, weights } = await this.#link.ask("attention", { session, row, layer });
    const n = row + 1, each = Array.from({ length: heads }, (_, i) => weights.subarray(i * n, (i + 1) * n));
    return { row, layer, heads: each, sinks: each.map(w => Math.max(0, 1 - w.reduce((a, b) => a + b, 0))) };
  }

  async *#stream(request, signal) {
    const link = this.#link, session = await this.#open();
    if (this.#queue) throw new Error("this session is already generating; open another one");
    const queue = this.#queue = link.listen(session);
    const cancel = () => link.ask("cancel", { session }).catch(() => {});
    link.hold(true);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const asked = performance.now();
      await link.ask("prompt", { session, request }).catch(e => {
        queue.over = true;
        throw e;
      });
      if (signal?.aborted) cancel();
      return yield* tokensOf(queue, asked);
    } finally {
      signal?.removeEventListener("abort", cancel);
      if (!queue.over) await this.#drain(queue, cancel);
      this.#queue = null;
      link.hold(false);
    }
  }

  /** Left in the middle: ends it, and lets pass what was on its way. */
  async #drain(queue, cancel) {
    await cancel();
    try { while ((await queue.next()).kind !== "done") { /* passes */ } } catch { /* over as well */ }
  }

  /** Tells the worker something whose failure nobody waits for. */
  #send(op) {
    this.#opening?.then(session => this.#link.ask(op, { session })).catch(() => {});
  }

  cancel() { this.#send("cancel"); }

  close() {
    if (this.#closed) return;
    this.#closed = aborted("the session was closed");
    this.#send("shut");
    this.#queue?.fail(this.#closed);
  }
}

/** A token as callers get it. */
function token(e) {
  const { text, channel, recipient, message, position, logprob, entropy } = e;
  const topK = (e.top ?? []).map(t => ({ token: t.token, text: t.text, probability: Math.exp(t.logprob) }));
  const probability = logprob === undefined ? undefined : Math.exp(logprob);
  return { token: e.token, text, channel, recipient, message, position, logprob, probability, entropy, topK };
}

/** Yields one generation's tokens from the events of its session; returns how it ended. */
async function* tokensOf(queue, asked) {
  let firstMs, nReused = 0;
  for (;;) {
    const e = await queue.next();
    if (e.kind === "prefill") nReused = e.reused;
    else if (e.kind === "failed") throw new Error(e.message);
    else if (e.kind === "token") {
      firstMs ??= performance.now() - asked;
      yield token(e);
    } else if (e.kind === "done") {
      queue.over = true;
      if (e.text) yield token({ ...e, token: -1 });
      if (e.stop === "error") throw new Error(e.error || "the engine failed");
      return { stop: e.stop, nPrompt: e.n_prompt, nGenerated: e.n_generated, nReused,
        prefillMs: e.prefill_ms, decodeMs: e.decode_ms, firstMs };
    }
  }
}
