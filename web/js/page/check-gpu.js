// check-gpu.js - the worker of the page /check that runs the GPU half of gossamer-check on this browser's WebGPU.
// Posts {line, failed}, now and then {passed, failed, skipped}, and at the end {done, ...} or {none: why}.
import { Gpu } from "../core/gpu.js";
import { systemImports } from "../core/wasm.js";

const PAGE = 65536, BURST_MS = 12, WAIT_MS = 250;
let woken = null;
const wake = () => { woken?.(); woken = null; };

onmessage = async ({ data: { url, defaults, seed, only, most, mutants } }) => {
  try {
    const memory = new WebAssembly.Memory({ initial: 256, maximum: 16384, shared: true }), decoder = new TextDecoder();
    const view = { memory, bytes: (p, n) => new Uint8Array(memory.buffer, p >>> 0, n), text: (p, n) => decoder.decode(view.bytes(p, n).slice()) };
    const gpu = new Gpu({ wake, source() { throw new Error("no sources here"); }, notice() {}, readFailed() {}, readDone() {} });
    const imports = { ...systemImports(memory, 16384 * PAGE, 1), ...gpu.imports(view),
      host: { line: (p, n, failed) => { if (failed) postMessage({ line: view.text(p, n), failed: true }); } } };
    const { instance: { exports: c } } = await WebAssembly.instantiateStreaming(fetch(url), imports);
    const wait = () => new Promise(r => { woken = r; setTimeout(wake, WAIT_MS); });
    const counts = () => ({ passed: c.gpu_check_count(0), bad: c.gpu_check_count(1), skipped: c.gpu_check_count(2) });
    view.bytes(c.gpu_check_only(), 32).set(new TextEncoder().encode(only).subarray(0, 31));
    if (c.gpu_check_open(defaults ? 1 : 0, seed, most, mutants ? 0 : 1) < 0) return postMessage({ none: "WebGPU could not be opened" });
    for (let r; (r = c.gpu_check_ready());) {
      if (r < 0) return postMessage({ none: "no device" });
      await wait();
    }
    for (let told = 0, start = performance.now(); c.gpu_check_advance();) {
      if (gpu.busy) { await wait(); start = performance.now(); } else if (performance.now() - start > BURST_MS) {
        await new Promise(r => setTimeout(r));
        start = performance.now();
      }
      if (performance.now() - told > 300) { told = performance.now(); postMessage(counts()); }
    }
    postMessage({ done: true, ...counts(), compared: c.gpu_check_count(3), kernels: c.gpu_check_count(4) });
    c.gpu_check_close();
  } catch (e) { postMessage({ none: e.message, broken: true }); }
};
