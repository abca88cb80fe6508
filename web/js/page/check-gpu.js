// check-gpu.js - the worker of the page /check that runs the GPU half of gossamer-check on this browser's
// WebGPU. Posts {line, failed}, now and then {passed, bad, skipped}, and at the end {done, ...} or {none:
// why}.
import { Gpu } from "../core/gpu.js";
import { systemImports } from "../core/system.js";

const PAGE = 65536, FIRST = 256, MOST = 16384, NAME = 32;
const BURST_MS = 12, WAIT_MS = 250, TELL_MS = 300;

/** A promise that the GPU ends, or a little time. */
class Wait {
  #woken = null;
  wake = () => {
    this.#woken?.();
    this.#woken = null;
  };
  next() {
    return new Promise(r => {
      this.#woken = r;
      setTimeout(this.wake, WAIT_MS);
    });
  }
}

/** What gpu.js asks of a module: its memory. */
function newView() {
  const memory = new WebAssembly.Memory({ initial: FIRST, maximum: MOST, shared: true });
  const decoder = new TextDecoder(), bytes = (p, n) => new Uint8Array(memory.buffer, p >>> 0, n);
  return { memory, bytes, text: (p, n) => decoder.decode(bytes(p, n).slice()) };
}

/** Opens the device; returns why there is none. */
async function open(c, wait, { defaults, seed, most, mutants }) {
  const opened = c.gpu_check_open(defaults ? 1 : 0, seed, most, mutants ? 0 : 1);
  if (opened < 0) return "WebGPU could not be opened";
  for (let r; (r = c.gpu_check_ready());) {
    if (r < 0) return "no device";
    await wait.next();
  }
  return "";
}

/** Runs the tests in bursts, so that what the GPU has done gets in between. */
async function run(c, wait, gpu, tell) {
  for (let told = 0, start = performance.now(); c.gpu_check_advance();) {
    const busy = gpu.busy > 0;
    if (busy || performance.now() - start > BURST_MS) {
      await (busy ? wait.next() : new Promise(r => setTimeout(r)));
      start = performance.now();
    }
    if (performance.now() - told > TELL_MS) {
      told = performance.now();
      tell();
    }
  }
}

async function check({ url, only, ...how }) {
  const view = newView(), wait = new Wait(), none = () => { throw new Error("no model is read here"); };
  const gpu = new Gpu({ wake: wait.wake, reader: none, notice() {}, readFailed() {}, readDone() {} });
  const line = (p, n, failed) => { if (failed) postMessage({ line: view.text(p, n), failed: true }); };
  const system = systemImports({ memory: view.memory, maximum: MOST * PAGE, cores: 1 });
  const imports = { ...system, ...gpu.imports(view), host: { line } };
  const { instance: { exports: c } } = await WebAssembly.instantiateStreaming(fetch(url), imports);
  const count = i => c.gpu_check_count(i);
  const counts = () => ({ passed: count(0), bad: count(1), skipped: count(2) });
  view.bytes(c.gpu_check_only(), NAME).set(new TextEncoder().encode(only).subarray(0, NAME - 1));
  const why = await open(c, wait, how);
  if (why) return postMessage({ none: why });
  await run(c, wait, gpu, () => postMessage(counts()));
  postMessage({ done: true, ...counts(), compared: count(3), kernels: count(4) });
  c.gpu_check_close();
}

onmessage = ({ data }) => check(data).catch(e => postMessage({ none: e.message, broken: true }));
