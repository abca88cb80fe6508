// python.js - the model's own Python, run by Pyodide in this tab: one worker for each conversation, two at
// most, each without a network (../../python.html, python_worker.js). What a call defines is there at the
// next one; a worker that was stopped, or was in the way, has lost it, and the model is told.

const FILES = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip",
  "pyodide-lock.json"];
const FRAME = new URL("../../python.html", import.meta.url);
const WORKER = new URL("python_worker.js", import.meta.url);
const LIMIT_MS = 60000, MOST_WORKERS = 2, MOST_TEXT = 66000;
const AGAIN = "[Python was started anew: nothing that earlier calls defined is there.]\n";
const LOST = "All variables are lost; the next call starts anew.";

/** A file of Pyodide's folder, or the sentence that says how it gets there. */
async function bytesOf(at) {
  const response = await fetch(at).catch(() => null);
  if (response?.ok && !/html/.test(response.headers.get("content-type"))) {
    return new Uint8Array(await response.arrayBuffer());
  }
  throw new Error(`Python: ${at.href} ${response ? `is not there (${response.status})` : "can't be read"}. `
    + "Put the npm package pyodide there: npm install pyodide, then copy node_modules/pyodide.");
}

/** Pyodide's files, as bytes: {name: Uint8Array}. folder: an address, by the page's own. */
export async function fetchPyodide(folder) {
  const base = new URL(`${folder.replace(/\/*$/, "")}/`, document.baseURI);
  const all = await Promise.all(FILES.map(name => bytesOf(new URL(name, base))));
  return Object.fromEntries(FILES.map((name, i) => [name, all[i]]));
}

/** The frame whose policy the workers inherit. */
let framing = null;
function frame() {
  framing ??= new Promise((resolve, reject) => {
    const node = document.createElement("iframe");
    node.hidden = true;
    node.title = "Python";
    node.onload = () => node.contentDocument?.title === "Python" ? resolve(node.contentWindow)
      : reject(new Error("Python: python.html is not there"));
    node.src = FRAME;
    document.body.append(node);
  });
  framing.catch(() => { framing = null; });
  return framing;
}

/** A worker in that frame. */
async function begin() {
  const [within, source] = await Promise.all([frame(), fetch(WORKER).then(r => r.text())]);
  const at = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return new within.Worker(at, { type: "module" });
}

export class Python {
  #files;
  #limit;
  #workers = new Map();              // by conversation, the one used last at the end: {worker, ready, busy,
                                     // ended}

  /** files: what fetchPyodide gave. */
  constructor(files, { limit = LIMIT_MS } = {}) {
    this.#files = files;
    this.#limit = limit;
  }

  close() { for (const [talk, entry] of this.#workers) this.#end(talk, entry); }

  #end(talk, entry) {
    entry.worker?.terminate();
    entry.ended.abort();
    if (this.#workers.get(talk) === entry) this.#workers.delete(talk);
  }

  #start(talk) {
    for (const [old, entry] of this.#workers) {
      if (this.#workers.size >= MOST_WORKERS && !entry.busy) this.#end(old, entry);
    }
    const entry = { worker: null, busy: 0, ended: new AbortController() };
    const start = async () => {
      const worker = await begin();
      if (entry.ended.signal.aborted) return worker.terminate();
      entry.worker = worker;
      await new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => data.ready ? resolve() : reject(new Error(`Python: ${data.failed}`));
        worker.onerror = e => reject(new Error(`Python can't start: ${e.message ?? "its worker failed"}`));
        worker.postMessage({ files: this.#files });
      });
    };
    entry.ready = start();
    return entry;
  }

  /** What the model is told of its code. talk: the conversation's id; before: it has run code earlier. */
  async run(code, { talk, before, signal }) {
    const known = this.#workers.get(talk), entry = known ?? this.#start(talk);
    entry.busy++;
    this.#workers.delete(talk);
    this.#workers.set(talk, entry);
    try {
      const { text, over } = await this.#one(entry, code, signal);
      if (over) this.#end(talk, entry);
      return (before && !known ? AGAIN : "") + text;
    } catch (e) {
      this.#end(talk, entry);
      throw e;
    } finally { entry.busy--; }
  }

  /** {text, over: its worker is of no use any more} */
  #one(entry, code, signal) {
    const { promise, resolve, reject } = Promise.withResolvers(), limit = this.#limit;
    const id = `${Math.random()}`, done = new AbortController();
    let timer;
    const over = text => resolve({ over: true, text: `${text} ${LOST}` });
    const on = (from, type, fn) => from.addEventListener(type, fn, { signal: done.signal });
    on(signal, "abort", () => over("The user stopped this call."));
    on(entry.ended.signal, "abort", () => over("Python was ended."));
    const ask = () => {
      const { worker } = entry;
      if (done.signal.aborted || !worker) return;
      on(worker, "message", ({ data }) => {
        if (data.id === id) resolve({ text: String(data.text).slice(0, MOST_TEXT) });
        else if (data.failed) over(`Python ended: ${String(data.failed).slice(0, 2000)}`);
      });
      on(worker, "error", e => over(`Python ended: ${e.message ?? "its worker failed"}`));
      timer = setTimeout(over, limit, `Timed out after ${limit / 1000} seconds.`);
      worker.postMessage({ id, code });
    };
    entry.ready.then(ask, reject);
    return promise.finally(() => {
      clearTimeout(timer);
      done.abort();
    });
  }
}
