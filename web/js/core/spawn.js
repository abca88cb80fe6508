// spawn.js - module workers in a browser, from wherever their file is. Bundlers find workers by the words
// `new Worker(new URL("./x.js", import.meta.url), ...)` and know alone where the file will be; a browser
// starts no worker from another origin. So those words are first run with a Worker that only notes the
// address; where that is another origin's (a CDN), a small worker of this origin imports it. Workers that
// workers need are started by the page as well.

/** What `make` gives to `new Worker`. */
function asked(make) {
  const own = globalThis.Worker, noted = {};
  globalThis.Worker = function (url, options) { Object.assign(noted, { url: String(url), options }); };
  try { make(); } finally { globalThis.Worker = own; }
  return noted;
}

/** The address of a script of this origin that runs the one at url. */
function relay(url, { type } = {}) {
  const text = JSON.stringify(url);
  const code = type === "module" ? `import ${text};` : `importScripts(${text});`;
  return URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}

const isForeign = url => /^https?:/.test(url) && new URL(url).origin !== globalThis.origin;

function why(url) {
  const where = isForeign(url) ? `${url}, which is another origin: CORS must allow it there, and this page's `
    + "Content-Security-Policy blob: workers" : url;
  return new Error(`A worker of gossamer-llm could not be started from ${where}. The file is missing, or is `
    + "not served as JavaScript, or the page's Content-Security-Policy forbids it. A bundler that leaves "
    + "workers out needs init({ base }), the address of a copy of the package.");
}

/** How a worker and who asked for it talk: a channel, whose one end comes with the worker's first message. */
function channelTo(name, give) {
  const { port1: own, port2: port } = new MessageChannel();
  give(port);
  return {
    listen(onMessage, onFailure) {
      own.onmessage = e => onMessage(e.data);
      own.onmessageerror = () => onFailure(new Error(`a message of the worker ${name} can't be read`));
    },
    post: (message, transfer) => own.postMessage(message, transfer),
    end: () => own.close(),
  };
}

/** A worker of this page's. fail(e) hears of it when it can't be started or dies. Returns how to end it. */
function startHere({ url, options }, port, fail) {
  const worker = new Worker(isForeign(url) ? relay(url, options) : url, options);
  const theirs = new Map();          // the workers that it has asked for: how to end each
  worker.postMessage({ port }, [port]);
  worker.addEventListener("error", e => {
    e.preventDefault?.();
    fail(e.message ? new Error(e.message) : why(url));
  });
  worker.addEventListener("message", ({ data: { start, end, port: given } }) => {
    theirs.get(end)?.();
    theirs.delete(end);
    const failed = e => worker.postMessage({ failed: start.id, message: e.message });
    if (start) theirs.set(start.id, startHere(start, given, failed));
  });
  return () => {
    worker.terminate();
    for (const stop of theirs.values()) stop();
  };
}

/** In a worker that was started here: it asks the page for workers instead of starting them itself. Firefox
 * (140) now and then leaves a worker that starts or ends another one waiting for ever. */
const asking = { page: null, next: 1, failures: new Map() };

function startThere({ url, options }, port, fail) {
  const id = asking.next++;
  asking.failures.set(id, fail);
  asking.page.postMessage({ start: { id, url, options }, port }, [port]);
  return () => {
    asking.failures.delete(id);
    asking.page.postMessage({ end: id });
  };
}

/** The worker's own side: {listen(fn), post(message, transfer)}. */
export async function browserParent() {
  const { self } = globalThis;
  asking.page = self;
  const port = await new Promise(resolve => {
    self.addEventListener("message", ({ data: { port: given, failed, message } }) => {
      if (given) resolve(given);
      else asking.failures.get(failed)?.(new Error(message));
    });
  });
  return {
    listen: fn => { port.onmessage = e => fn(e.data); },
    post: (message, transfer) => port.postMessage(message, transfer),
  };
}

/** make() says the worker; at: its address, where it is known. See host.js. */
export function browserWorker({ name, make, at }) {
  const { url, options } = at ? { url: at, options: { type: "module" } } : asked(make);
  const what = { url, options: { ...options, name } };
  let failed = () => {}, stop;
  const channel = channelTo(name, port => {
    stop = (asking.page ? startThere : startHere)(what, port, e => failed(e));
  });
  return {
    listen(onMessage, onFailure) {
      failed = onFailure;
      channel.listen(onMessage, onFailure);
    },
    post: channel.post,
    hold() {},
    stop() {
      channel.end();
      stop();
    },
  };
}
