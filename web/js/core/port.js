// port.js - workers, their messages and requests to them, the same in browsers and in Node.
export const NODE = typeof process !== "undefined" && !!process.versions?.node && process.type !== "renderer";

/** Starts a module worker; resolves when it has said {ready: true}. The result: {post(message, transfer), on(fn), stop()}. */
export async function startWorker(url, name, onFailure) {
  let worker, listen;
  if (NODE) {
    const { Worker } = await import("node:worker_threads");
    worker = new Worker(url, { name });
    worker.unref();
    listen = fn => worker.on("message", fn);
    worker.on("error", e => onFailure?.(e));
  } else {
    worker = new Worker(url, { type: "module", name });
    listen = fn => worker.addEventListener("message", e => fn(e.data));
    worker.addEventListener("error", e => { e.preventDefault?.(); onFailure?.(new Error(e.message || `the worker ${name} could not be started`)); });
  }
  const handlers = new Set();
  const ready = new Promise(resolve => listen(m => { if (m?.ready) resolve(); else for (const fn of handlers) fn(m); }));
  const out = { post: (m, transfer) => worker.postMessage(m, transfer ?? []), on: fn => handlers.add(fn), stop: () => worker.terminate(), keep: on => NODE
    && (on ? worker.ref() : worker.unref()) };
  await ready;
  return out;
}

/** In a worker: calls onMessage for every message and says {ready: true}. Returns post(message, transfer). */
export async function serveWorker(onMessage) {
  let post;
  if (NODE) {
    const { parentPort } = await import("node:worker_threads");
    parentPort.on("message", onMessage);
    post = (m, transfer) => parentPort.postMessage(m, transfer ?? []);
  } else {
    self.addEventListener("message", e => onMessage(e.data));
    post = (m, transfer) => self.postMessage(m, transfer ?? []);
  }
  post({ ready: true });
  return post;
}

/** One worker that `serve`s, and requests to it by number. */
export class Remote {
  #next = 1; #waiting = new Map(); #worker; #held = 0; #dead = false;
  /** onMessage: what it posts besides answers; onFailure: it could not be started, or died. */
  static async start(url, name, { onMessage, onFailure }) {
    const r = new Remote();
    r.#worker = await startWorker(url, name, e => { r.#dead = true; r.#fail(e); onFailure?.(e); });
    r.#worker.on(m => {
      if (m.id === undefined) return onMessage(m);
      const w = r.#waiting.get(m.id);
      r.#waiting.delete(m.id);
      r.keep(false);
      if (m.error) w?.reject(Object.assign(m.error.name === "AbortError" ? new DOMException(m.error.message, "AbortError") : new Error(m.error.message),
        m.error.code ? { code: m.error.code } : {}));
      else w?.resolve(m.result);
    });
    return r;
  }
  #fail(e) { for (const w of this.#waiting.values()) w.reject(e); this.#waiting.clear(); }
  ask(op, args, transfer) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.keep(true);
      this.#worker.post({ id, op, args }, transfer);
    });
  }
  /** Node: the process lives as long as something is awaited. */
  keep(on) { this.#held += on ? 1 : -1; this.#worker.keep(this.#held > 0); }
  /** What is awaited fails; the worker's own `end` is the last that it does. */
  stop() {
    this.#fail(new DOMException("closed", "AbortError"));
    return (this.#dead ? Promise.resolve() : this.ask("end")).catch(() => {}).then(() => this.#worker.stop());
  }
}

/** An answer that takes buffers along. */
export class Moved { constructor(result, transfer) { Object.assign(this, { result, transfer }); } }

/** In a worker: answers requests with `ops`. before(op) throws where one is refused; after() comes before every answer. Returns post. */
export async function serve(ops, { before, after } = {}) {
  const post = await serveWorker(async ({ id, op, args }) => {
    let message, transfer;
    try {
      if (!ops[op]) throw new Error(`no such request: ${op}`);
      before?.(op);
      const result = await ops[op](args ?? {});
      if (result instanceof Moved) ({ transfer } = result);
      message = { id, result: transfer ? result.result : result };
    } catch (e) { message = { id, error: { message: e.message, name: e.name, code: e.code } }; }
    after?.();
    post(message, transfer);
  });
  return post;
}
