// port.js - workers, their messages and requests to them. It promises: whatever is asked of a worker is
// answered or fails; it fails at once when the worker could not be started, has died or was stopped.
import { host } from "./host.js";

/** Starts a worker; resolves when it has said {ready: true}, fails when it can't be started. onFailure: it
 * failed later. The result: {post(message, transfer), on(fn), hold(on), stop()}. Node's process lives as
 * long as a worker is held. what: {name, make, at} as host.worker takes it. */
export async function startWorker(what, onFailure = () => {}) {
  const worker = host.worker(what), handlers = new Set();
  let failed = onFailure;
  await new Promise((resolve, reject) => {
    failed = reject;
    worker.listen(message => {
      if (message?.ready) resolve();
      else if (message?.failed) failed(new Error(message.failed));
      else for (const fn of handlers) fn(message);
    }, e => failed(e));
  }).catch(e => {
    worker.stop();
    throw e;
  });
  failed = onFailure;
  return {
    post: (message, transfer = []) => worker.post(message, transfer),
    on: fn => handlers.add(fn),
    hold: worker.hold,
    stop: worker.stop,
  };
}

/** In a worker: calls onMessage for every message and says {ready: true}; what it throws is told as a failure
 * of the worker. Returns post(message, transfer). */
export async function serveWorker(onMessage) {
  const { listen, post } = await host.parent();
  listen(async message => {
    try { await onMessage(message); } catch (e) { post({ failed: e.message }, []); }
  });
  post({ ready: true }, []);
  return (message, transfer = []) => post(message, transfer);
}

export const aborted = why => new DOMException(why, "AbortError");

/** An answer's error as it was thrown in the worker. */
function thrown({ name, message, code }) {
  if (name === "AbortError") return aborted(message);
  const e = new (name === "TypeError" ? TypeError : name === "RangeError" ? RangeError : Error)(message);
  return code ? Object.assign(e, { code }) : e;
}

/** One worker that `serve`s, and requests to it by number. */
export class Remote {
  #next = 1;
  #waiting = new Map();
  #worker;
  #held = 0;
  #over = null;                      // why it answers no more

  /** onMessage: what it posts besides answers; onFailure: it failed after it had been started. */
  static async start(what, { onMessage, onFailure }) {
    const remote = new Remote();
    remote.#worker = await startWorker(what, e => {
      if (e.ended) remote.#over = e;
      remote.#fail(e);
      onFailure?.(e);
    });
    remote.#worker.on(message => message.id === undefined ? onMessage(message) : remote.#answered(message));
    return remote;
  }

  #answered({ id, result, error }) {
    const asked = this.#waiting.get(id);
    if (!asked) return;
    this.#waiting.delete(id);
    this.hold(false);
    if (error) asked.reject(thrown(error));
    else asked.resolve(result);
  }

  #fail(e) {
    for (const asked of this.#waiting.values()) {
      this.hold(false);
      asked.reject(e);
    }
    this.#waiting.clear();
  }

  ask(op, args, transfer) {
    if (this.#over) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#worker.post({ id, op, args }, transfer);
      this.#waiting.set(id, { resolve, reject });
      this.hold(true);
    });
  }

  /** Node: the process lives as long as something is awaited. */
  hold(on) {
    this.#held += on ? 1 : -1;
    this.#worker.hold(this.#held > 0);
  }

  /** What is awaited fails with `why`, and so does what is asked from now on; the worker's own `end` is the
   * last that it does. */
  async stop(why = aborted("closed")) {
    if (this.#over) return;
    this.#fail(why);
    const end = this.ask("end").catch(() => {});
    this.#over = why;
    await end;
    this.#worker.stop();
  }
}

/** An answer that takes buffers along. */
export class Moved { constructor(result, transfer) { Object.assign(this, { result, transfer }); } }

/** In a worker: answers requests with `ops`. before(op) throws where one is refused; after() comes before
 * every answer. Returns post. */
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
