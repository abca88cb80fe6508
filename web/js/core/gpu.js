// gpu.js - WebGPU for the engine: tables from the engine's numbers to WebGPU's objects, and the replayer of
// recorded submits (the words are described in src/gpu/device/gpu.h). No decisions are made here;
// src/gpu/device/gpu_web.c is the other side.
import { host } from "./host.js";
import { OP, OP_WORDS } from "./words.js";

const F16 = 1, SUBGROUPS = 2, DOT4 = 4, TIMESTAMPS = 8, MATRIX = 16;
const FEATURES = [[F16, "shader-f16"], [SUBGROUPS, "subgroups"], [TIMESTAMPS, "timestamp-query"],
  [MATRIX, "chromium-experimental-subgroup-matrix"]];
const NONE = 0xffffffff, MAX_QUERIES = 4096, EGPU = -8, ENOMEM = -3;
const PART = 4 << 20;                        // of an upload
const SELDOM_MS = 15;                        // between nudges where no core is to spare
const NAMES = ["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension", "maxBindGroups", "maxBindingsPerBindGroup",
  "minStorageBufferOffsetAlignment", "minUniformBufferOffsetAlignment"];

let entry;
/** navigator.gpu or its like, asked for once; null where there is none. */
const webgpu = () => entry ??= host.gpu();

/** A Chromium that has just started has none for whoever asks first (seven of nine times on an H100), and one
 * for whoever asks again. */
async function requestAdapter() {
  const gpu = await webgpu();
  if (!gpu)
    throw new Error(globalThis.isSecureContext === false
      ? "this page was opened over plain HTTP, where browsers have no WebGPU" : "this browser has no WebGPU");
  const ask = () => gpu.requestAdapter({ powerPreference: "high-performance" });
  const adapter = await ask() ?? await ask();
  if (!adapter) throw new Error("there is no GPU adapter");
  return adapter;
}

/** What an adapter calls itself, "" when it says nothing. */
const called = info => info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(" ");
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software/i;
const software = info => !!info && (info.isFallbackAdapter
  || SOFTWARE.test(`${info.architecture} ${info.description} ${info.device}`));

/** m, n, k of each matrix product of halves with sums in f32 that subgroups of it make. */
const fragments = ({ subgroupMatrixConfigs: all }) => [...all ?? []]
  .filter(c => c.componentType === "f16" && c.resultComponentType === "f32").flatMap(c => [c.M, c.N, c.K]);

export class Gpu {
  #device = null; #queries = null; #state = 0; #failure = ""; #lost = false; #errors = [];
  #names = []; #hooks;
  #buffers = []; #groups = []; #pipelines = []; #reads = []; #layouts = new Map();
  #line = []; #under = 0; #most = Infinity;
  busy = 0;

  /** What there is, without keeping it: {ok, line} with the details of the telemetry stage gpu_limits. A
   * software adapter counts only when it is asked for: the CPU's own kernels are faster than WGSL run on the
   * CPU. */
  static async probe({ backend }) {
    const failed = detail => ({ ok: false, line: { status: "failed", detail } });
    if (backend === "cpu") return failed("backend=cpu was asked for");
    try {
      const adapter = await requestAdapter(), l = adapter.limits, has = f => adapter.features.has(f) ? 1 : 0;
      const slow = software(adapter.info) && backend !== "gpu";
      return { ok: !slow, software: software(adapter.info), line: { status: "completed",
        detail: `max_buffer=${l.maxBufferSize} max_binding=${l.maxStorageBufferBindingSize}`
            + ` bind_groups=${l.maxBindGroups} bindings_per_group=${l.maxBindingsPerBindGroup}`
            + ` f16=${has("shader-f16")} subgroups=${has("subgroups")}`
            + ` adapter="${called(adapter.info) || "unnamed"}"`
            + `${slow ? " a software adapter: the CPU kernels are faster and are used" : ""}` } };
    } catch (e) { return failed(`WebGPU: ${e.message}; the CPU does the work`); }
  }

  /** hooks: {wake(), reader(), notice(text), readDone(tag, status)};
   * who draws: {panels(device, buffer), submitted(), gone()} */
  constructor(hooks) { this.#hooks = hooks; }

  // ---- opening --------------------------------------------------------------------------------------------
  async #open(limitsDefault, mask) {
    const adapter = await requestAdapter();
    const wanted = FEATURES.filter(([bit, name]) =>
      adapter.features.has(name) && !(mask & bit) && (!limitsDefault || bit === TIMESTAMPS));
    const requiredLimits = {};
    for (const name of limitsDefault ? [] : NAMES)
      if (name in adapter.limits) requiredLimits[name] = adapter.limits[name];
    const device = await adapter.requestDevice({ requiredFeatures: wanted.map(f => f[1]), requiredLimits });
    device.lost.then(info => {
      if (this.#device !== device) return;
      this.#lost = true;
      this.#failure = info.message || "the GPU device was lost";
      this.#wake();
    });
    device.addEventListener("uncapturederror", e => {
      e.preventDefault();
      const code = /memory/i.test(e.error.constructor.name) ? ENOMEM : EGPU;
      if (this.#errors.length < 16) this.#errors.push([code, e.error.message]);
    });
    let features = wanted.reduce((sum, [bit]) => sum | bit, 0);
    const packed = (await webgpu()).wgslLanguageFeatures?.has("packed_4x8_integer_dot_product");
    if (!limitsDefault && !(mask & DOT4) && packed) features |= DOT4;
    if (features & TIMESTAMPS)
      this.#queries = device.createQuerySet({ type: "timestamp", count: MAX_QUERIES });
    const info = adapter.info ?? {};
    this.#numbers = [...NAMES.map(n => device.limits[n]), info.subgroupMinSize ?? 0,
      info.subgroupMaxSize ?? 0, features, software(info) ? 1 : 0,
      ...(features & MATRIX ? fragments(info) : [])];
    this.#soft = software(info);
    const name = info.description || info.device || called(info) || "GPU";
    this.#names = ["", name, host.node ? "dawn" : "webgpu", host.gpuLibrary()];
    this.#device = device;
    this.#lost = false;
    this.#state = 1;
  }
  #numbers = []; #soft = false;

  /** An asynchronous piece of work whose end wakes the engine. */
  #pending(promise, then, otherwise) {
    this.busy++;
    promise.then(then, otherwise).finally(() => { this.busy--; this.#wake(); });
  }
  #wake() { this.#hooks.wake(); }

  // ---- nudges: a browser looks for what the GPU has done every few milliseconds (Firefox seldom), and
  // whenever something is submitted. So while a read or a submit's end is waited for, empty submits are made:
  // every millisecond (by messages: its timers are too coarse), of what takes long less often. More of them
  // hinder its GPU process (docs/browser.md). Software adapters and small machines have no core to spare:
  // there a timer does it.
  #nudge(end) {
    this.#waited++;
    this.#since = performance.now();
    end.finally(() => { this.#waited--; this.#since = performance.now(); }).catch(() => {});
    if (this.#nudging || host.node) return;
    const least = !this.#soft && navigator.hardwareConcurrency >= 4 ? 1 : SELDOM_MS;
    const channel = new MessageChannel();
    let last = performance.now();
    channel.port1.onmessage = () => {
      this.#nudging = this.#waited > 0 && !!this.#device;
      if (!this.#nudging) { channel.port1.close(); return; }
      const now = performance.now(), gap = Math.max(least, (now - this.#since) / 16);
      if (now - last >= gap) { this.#device.queue.submit([]); last = now; }
      if (gap > 4) setTimeout(() => channel.port2.postMessage(0), gap);
      else channel.port2.postMessage(0);
    };
    this.#nudging = true;
    channel.port2.postMessage(0);
  }
  #waited = 0; #since = 0; #nudging = false;

  /** A lost device fails what was asked of it before it says that it is lost: wait for that word, but not for
   * long. */
  #maybeLost() { return Promise.race([this.#device?.lost, new Promise(r => setTimeout(r, 250))]); }

  #drop() {
    const device = this.#device;
    for (const run of this.#line.splice(0)) run();
    this.#device = null;
    this.#under = 0;
    this.#most = Infinity;
    this.#hooks.gone?.();
    for (const b of this.#buffers) b?.destroy();
    this.#buffers = []; this.#groups = []; this.#pipelines = []; this.#reads = []; this.#layouts.clear();
    this.#queries?.destroy();
    this.#queries = null;
    device?.destroy();
    this.#state = 0;
    this.#lost = false;
    this.#errors = [];
  }
  close() { this.#drop(); }
  lose() { this.#device?.destroy(); }

  // ---- objects --------------------------------------------------------------------------------------------
  #layout(bindings) {
    let l = this.#layouts.get(bindings);
    if (!l) {
      const entries = [...bindings].map((b, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE,
        buffer: { type: b === "u" ? "uniform" : b === "r" ? "read-only-storage" : "storage",
          hasDynamicOffset: b === "u" } }));
      const group = this.#device.createBindGroupLayout({ entries });
      l = { group, pipeline: this.#device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      this.#layouts.set(bindings, l);
    }
    return l;
  }

  #buffer(id, size, usage, label) {
    const U = GPUBufferUsage;
    const flags = [U.STORAGE, U.UNIFORM, U.COPY_SRC, U.COPY_DST, U.MAP_READ, U.QUERY_RESOLVE]
      .reduce((sum, flag, i) => usage & 1 << i ? sum | flag : sum, 0);
    this.#device.pushErrorScope("out-of-memory");
    this.#buffers[id] = this.#device.createBuffer({ size, usage: flags, label });
    if (label === "panels") {
      if (this.#soft) this.#most = 1;
      this.#hooks.panels?.(this.#device, this.#buffers[id]);
    }
    this.#device.popErrorScope().then(e => { if (e) this.#errors.push([ENOMEM, e.message]); }, () => {});
  }

  #pipeline(id, name, code, bindings) {
    const device = this.#device, layout = this.#layout(bindings);
    const p = this.#pipelines[id] = { layout, state: 0, pipeline: null, why: "" };
    const module = device.createShaderModule({ code, label: name });
    const compute = { module, entryPoint: "main" };
    this.#pending(device.createComputePipelineAsync({ label: name, layout: layout.pipeline, compute }),
      made => { p.pipeline = made; p.state = 1; },
      async e => {
        const info = await module.getCompilationInfo?.().catch(() => null);
        const first = info?.messages.find(m => m.type === "error");
        p.why = `${name}: ${first ? `line ${first.lineNum}: ${first.message}` : e.message}`;
        p.state = -1;
      });
  }

  // ---- pace: where the same cores draw the page and make the tokens, the parts of a cut submit wait for one
  // another: SwiftShader drew 20 frames a second so, 13 with two parts under way, 5 uncut. A real GPU takes
  // its turns between submits by itself.
  /** Now, or when its turn comes: whatever must stay behind what is in line. */
  #later(run) {
    const later = () => { try { run(); } catch (e) { this.#errors.push([EGPU, e.message]); } };
    if (this.#line.length) this.#line.push(later);
    else run();
  }

  #send(commands) {
    const device = this.#device, done = () => {
      if (this.#device !== device) return;
      this.#under--;
      this.#hooks.submitted?.();
      while (this.#line.length && this.#under < this.#most) this.#line.shift()();
    };
    this.#under++;
    device.queue.submit([commands]);
    const end = device.queue.onSubmittedWorkDone();
    this.#nudge(end);
    end.then(done, done);
  }

  #parts(list) {
    for (const commands of list) {
      if (this.#line.length || this.#under >= this.#most) this.#line.push(() => this.#send(commands));
      else this.#send(commands);
    }
  }

  // ---- the replayer ---------------------------------------------------------------------------------------
  #submit(w) {
    const buffers = this.#buffers, groups = this.#groups, pipelines = this.#pipelines, offset = [0];
    const parts = [];
    let encoder = this.#device.createCommandEncoder(), pass = null, current = 0;
    for (let i = 0; i < w.length; i += OP_WORDS[w[i]]) {
      switch (w[i]) {
      case OP.PASS:
        pass = encoder.beginComputePass(w[i + 1] !== NONE && this.#queries
          ? { timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex: w[i + 1] * 2,
            endOfPassWriteIndex: w[i + 1] * 2 + 1 } } : undefined);
        current = 0;
        break;
      case OP.DISPATCH:
        if (w[i + 1] !== current) pass.setPipeline(pipelines[current = w[i + 1]].pipeline);
        if (w[i + 3] === NONE) pass.setBindGroup(0, groups[w[i + 2]]);
        else { offset[0] = w[i + 3]; pass.setBindGroup(0, groups[w[i + 2]], offset); }
        pass.dispatchWorkgroups(w[i + 4], w[i + 5], w[i + 6]);
        break;
      case OP.END: pass.end(); break;
      case OP.COPY:
        encoder.copyBufferToBuffer(buffers[w[i + 1]], w[i + 2] * 4, buffers[w[i + 3]], w[i + 4] * 4,
          w[i + 5] * 4);
        break;
      case OP.CLEAR: encoder.clearBuffer(buffers[w[i + 1]], w[i + 2] * 4, w[i + 3] * 4); break;
      case OP.RESOLVE:
        encoder.resolveQuerySet(this.#queries, w[i + 1], w[i + 2], buffers[w[i + 3]], w[i + 4] * 4);
        break;
      case OP.CUT: parts.push(encoder.finish()); encoder = this.#device.createCommandEncoder(); break;
      default: throw new Error(`word ${i} of a submit is ${w[i]}`);
      }
    }
    parts.push(encoder.finish());
    if (this.#most < Infinity && (parts.length > 1 || this.#line.length)) return this.#parts(parts);
    for (const commands of parts) this.#device.queue.submit([commands]);
    this.#hooks.submitted?.();
  }

  /** All parts are asked for at once; when one fails the others have still come to rest, so that none comes
   * late. */
  async #upload(id, offset, source, at, n) {
    const reader = this.#hooks.reader(), parts = [];
    const put = (from, bytes) => {
      const buffer = this.#buffers[id];
      if (!buffer || !this.#device) throw new Error("the buffer is gone");
      const { queue } = this.#device;
      this.#later(() => {
        queue.writeBuffer(buffer, offset + from, bytes, 0, bytes.length);
        reader.free(bytes);
      });
    };
    for (let from = 0; from < n; from += PART)
      parts.push(reader.read(source, at + from, Math.min(n - from, PART)).then(bytes => put(from, bytes)));
    const failed = (await Promise.allSettled(parts)).find(p => p.status === "rejected");
    if (failed) throw failed.reason;
  }

  // ---- what C calls ---------------------------------------------------------------------------------------
  imports(wasm) {
    const safe = fn => (...args) => { try { return fn(...args) ?? 0; } catch (e) { this.#failure = e.message;
      if (this.#errors.length < 16) this.#errors.push([EGPU, e.message]); return -1; } };
    const text = (p, n) => wasm.text(p >>> 0, n);
    const calls = {
      open: (limitsDefault, mask) => {
        this.#drop();
        this.#pending(this.#open(limitsDefault, mask), () => {},
          e => { this.#state = -1; this.#failure = e.message; });
      },
      ready: (p, n) => {
        if (this.#state === 1)
          new Float64Array(wasm.memory.buffer, p >>> 0, n).set(this.#numbers.slice(0, n));
        return this.#state;
      },
      text: (what, p, cap) => {
        const said = what === 0 ? this.#failure : this.#names[what] ?? "";
        const bytes = new TextEncoder().encode(said).subarray(0, cap);
        wasm.bytes(p >>> 0, bytes.length).set(bytes);
        return bytes.length;
      },
      close: () => this.#drop(),
      buffer: (id, size, usage, label, n) => this.#buffer(id, size, usage, text(label, n)),
      buffer_free: id => {
        const buffer = this.#buffers[id];
        this.#buffers[id] = undefined;
        this.#later(() => buffer?.destroy());
      },
      write: (id, offset, p, n) => {
        const { queue } = this.#device, buffer = this.#buffers[id], bytes = wasm.bytes(p >>> 0, n);
        // Node's package crashes on shared memory
        const kept = host.node || this.#line.length ? bytes.slice() : bytes;
        this.#later(() => queue.writeBuffer(buffer, offset, kept, 0, n));
      },
      upload: (id, offset, source, at, n, tag) => this.#pending(this.#upload(id, offset, source, at, n),
        () => this.#hooks.readDone(tag, 0),
        e => { this.#failure = e.message; this.#hooks.readFailed(e); this.#hooks.readDone(tag, -4); }),
      pipeline: (id, name, nName, wgsl, nWgsl, bindings, nBindings) =>
        this.#pipeline(id, text(name, nName), text(wgsl, nWgsl), text(bindings, nBindings)),
      pipeline_ready: id => {
        const p = this.#pipelines[id];
        if (p.state < 0) this.#failure = p.why;
        return p.state;
      },
      pipeline_free: id => { this.#pipelines[id] = undefined; },
      group: (id, pipeline, p, n) => {
        const v = new Float64Array(wasm.memory.buffer, p >>> 0, 3 * n);
        const entries = Array.from({ length: n }, (_, binding) => ({ binding, resource: {
          buffer: this.#buffers[v[3 * binding]], offset: v[3 * binding + 1], size: v[3 * binding + 2] } }));
        const layout = this.#pipelines[pipeline].layout.group;
        this.#groups[id] = this.#device.createBindGroup({ layout, entries });
      },
      group_free: id => { this.#groups[id] = undefined; },
      submit: (p, n) => this.#submit(new Uint32Array(wasm.memory.buffer, p >>> 0, n)),
      read: (id, offset, n) => {
        const r = this.#reads[id] = { state: 0, offset };
        const buffer = this.#buffers[id];
        const mapped = new Promise((yes, no) =>
          this.#later(() => buffer.mapAsync(GPUMapMode.READ, offset, n).then(yes, no)));
        this.#nudge(mapped);
        this.#pending(mapped, () => { r.state = 1; }, async e => {
          await this.#maybeLost();
          r.state = -1;
          this.#failure = e.message;
        });
      },
      read_poll: (id, p, n) => {
        const r = this.#reads[id];
        if (r.state !== 1) return r.state;
        try {
          wasm.bytes(p >>> 0, n).set(new Uint8Array(this.#buffers[id].getMappedRange(r.offset, n)));
          this.#buffers[id].unmap();
          return 1;
        } catch (e) { // a device that is destroyed takes its mappings along before it says that it is lost
          r.state = 0;
          this.#pending(this.#maybeLost(), () => { r.state = -1; this.#failure = e.message; });
          return 0;
        }
      },
      lost: () => this.#lost ? 1 : 0,
      error: () => {
        const e = this.#errors.shift();
        if (e) this.#failure = e[1];
        return e ? e[0] : 0;
      },
      lose: () => this.lose(),
    };
    return { gpu: Object.fromEntries(Object.entries(calls).map(([name, fn]) => [name, safe(fn)])) };
  }

  /** Imports where no GPU is wanted: opening fails, so that the engine goes on with the CPU. */
  static absent() {
    const names = ["open", "ready", "text", "close", "buffer", "buffer_free", "write", "upload", "pipeline",
      "pipeline_ready", "pipeline_free", "group", "group_free", "submit", "read", "read_poll", "lost",
      "error", "lose"];
    const answer = name => () => ["text", "lost", "error"].includes(name) ? 0 : -1;
    return { gpu: Object.fromEntries(names.map(name => [name, answer(name)])) };
  }
}
