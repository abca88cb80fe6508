// spawn.js - module workers in a browser, from wherever their file is. Bundlers find workers by the words
// `new Worker(new URL("./x.js", import.meta.url), ...)` and know alone where the file will be; a browser
// starts no worker from another origin. So those words are first run with a Worker that only notes the
// address; where that is another origin's (a CDN), a small worker of this origin imports it.

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

/** make() says the worker; at: its address, where it is known. See host.js. */
export function browserWorker({ name, make, at }) {
  const { url, options } = at ? { url: at, options: { type: "module" } } : asked(make);
  const first = isForeign(url) ? relay(url, options) : url;
  const worker = new Worker(first, { ...options, name });
  return {
    listen(onMessage, onFailure) {
      worker.addEventListener("message", e => onMessage(e.data));
      const unread = () => onFailure(new Error(`a message of the worker ${name} can't be read`));
      worker.addEventListener("messageerror", unread);
      worker.addEventListener("error", e => {
        e.preventDefault?.();
        onFailure(e.message ? new Error(e.message) : why(url));
      });
    },
    post: (message, transfer) => worker.postMessage(message, transfer),
    hold() {},
    stop: () => worker.terminate(),
  };
}
