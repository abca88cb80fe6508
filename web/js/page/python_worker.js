// python_worker.js - Python (Pyodide) in a worker without a network. It is given Pyodide's files as bytes,
// takes everything that could reach out, or keep something, out of its scope, and only then starts Python.
//   to it: {files: {name: bytes}}, then {id, code};  from it: {ready}, {failed: why}, {id, text}
const GONE = ["fetch", "XMLHttpRequest", "WebSocket", "WebSocketStream", "EventSource", "WebTransport",
  "RTCPeerConnection", "importScripts", "indexedDB", "caches", "cookieStore", "BroadcastChannel", "Worker",
  "SharedWorker", "FontFace", "fonts", "storageBuckets", "Notification", "webkitRequestFileSystem",
  "webkitRequestFileSystemSync", "webkitResolveLocalFileSystemURL", "webkitResolveLocalFileSystemSyncURL"];
const PYODIDE = "https://pyodide.invalid/";

/** Runs a cell as a notebook does: what it prints, then its last expression; an error as a traceback. */
const HARNESS = `
import io, os, sys, traceback
from contextlib import redirect_stderr, redirect_stdout
from pyodide.code import eval_code_async

class Output(io.TextIOBase):
    def __init__(self, most):
        self.parts, self.left, self.cut = [], most, False
    def writable(self): return True
    def write(self, text):
        if self.left > 0: self.parts.append(text[:self.left])
        self.cut = self.cut or len(text) > self.left
        self.left -= min(self.left, len(text))
        return len(text)

def told(error):
    trace = error.__traceback__
    while trace and not trace.tb_frame.f_code.co_filename.startswith("<cell"): trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))

cells, scope = 0, {"__name__": "__main__", "__builtins__": __builtins__}
os.makedirs("/mnt/data", exist_ok=True)

async def run(code, most):
    global cells
    cells += 1
    out = Output(most)
    with redirect_stdout(out), redirect_stderr(out):
        try:
            value = await eval_code_async(code, scope, filename=f"<cell {cells}>")
            if value is not None: print(repr(value))
        except BaseException as error:
            out.write(told(error))
    return "".join(out.parts) + ("\\n[the output was cut here]" if out.cut else "")
run
`;
/** Characters of an answer. */
const MOST = 65536;

const say = globalThis.postMessage.bind(globalThis);

/** None of these names can be had any more, by whatever way. */
function forget(names, from = globalThis) {
  for (const name of names) {
    for (let o = from; o; o = Object.getPrototypeOf(o)) Reflect.deleteProperty(o, name);
    if (name in from) Object.defineProperty(from, name, { value: undefined });
  }
}

const scriptOf = bytes => URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));

async function start(files) {
  const { userAgent } = navigator, type = name => name.endsWith(".wasm") ? "application/wasm" : "";
  forget([...GONE, "navigator"]);
  globalThis.navigator = { userAgent };
  globalThis.fetch = async at => {
    const name = String(at).slice(PYODIDE.length);
    return new Response(files[name], { headers: { "content-type": type(name) } });
  };
  const [own, asm] = ["pyodide.mjs", "pyodide.asm.mjs"].map(name => import(scriptOf(files[name])));
  const python = await (await own).loadPyodide({ indexURL: PYODIDE, stdin: () => null,
    createPyodideModule: (await asm).default,
    lockFileContents: JSON.parse(new TextDecoder().decode(files["pyodide-lock.json"])) });
  forget(["fetch", "postMessage"]);
  return python.runPython(HARNESS, { globals: python.toPy({}) });
}

let run;
addEventListener("message", async ({ data: { files, id, code } }) => {
  if (files) {
    run = start(files);
    return run.then(() => say({ ready: true }), e => say({ failed: String(e?.message ?? e) }));
  }
  try { say({ id, text: await (await run)(code, MOST) }); } catch (e) {
    say({ failed: String(e?.message ?? e) });
  }
});
