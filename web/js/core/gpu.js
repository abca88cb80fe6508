// gpu.js - stand-in until the replayer is here.
export class Gpu {
  static async probe() { return { ok: false, line: { status: "failed", detail: "no WebGPU: wasm SIMD on the CPU" } }; }
  static async open() { return null; }
  static absent() { return {}; }
}
