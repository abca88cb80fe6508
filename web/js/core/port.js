// port.js - workers and their messages, the same in browsers and in Node.
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
