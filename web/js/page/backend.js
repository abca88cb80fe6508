// backend.js - what runs the model in this page: starts the package's worker, says in chips and banner what
// there is, and hands over the canvases that the engine's GPU draws by itself.
import { init } from "../core/gossamer.js";
import { $, setText, whatIsSeen } from "./dom.js";

/** Maps that the GPU draws: handed over once, their sizes told whenever they may have changed. */
const MAPS = ["attn", "router", "kv", "activity"];
/** How often the page wants to hear what happens: a little oftener than it draws. */
const FRAME_MS = 14, CALM_MS = 44;
/** Pixels that a map is drawn beyond what is seen. */
const NEAR = "40px";
const canvasOf = map => $(`gpu-${map}`);
const ofMaps = fn => Object.fromEntries(MAPS.map(map => [map, fn(canvasOf(map))]));

export class Backend {
  #shared;
  #messages;
  constructor(shared, messages) {
    this.#shared = shared;
    this.#messages = messages;
  }

  /** The package, which is started once. */
  start() {
    return this.#starting ??= this.#start().catch(e => {
      this.#starting = null;
      throw e;
    });
  }
  #starting = null;

  async #start() {
    const shared = this.#shared, { threads, backend, hub } = shared.params;
    const llm = shared.llm = await init({ threads: threads ? +threads : undefined, backend, hub });
    llm.on("telemetry", line => shared.push(line));
    llm.on("rows", rows => shared.push({ type: "rows", ...rows }));
    llm.on("notice", text => this.#messages.note(text));
    llm.on("error", e => this.#messages.error(e.message));
    shared.calm = llm.software || !llm.gpu;
    document.body.classList.toggle("calm", shared.calm);
    llm.pace(shared.calm ? CALM_MS : FRAME_MS);
    this.#chips(llm.gpu, "CPU · wasm SIMD", llm.isolated ? "" : "1 thread");
    if (llm.gpu || backend === "gpu") this.#maps(llm);
    return llm;
  }

  /** The engine draws the maps; whichever comes into view, or leaves it, is told to it. */
  #maps(llm) {
    this.#seen = whatIsSeen(Object.values(ofMaps(canvas => canvas)), () => this.sizeMaps(),
      { rootMargin: NEAR, scrollMargin: NEAR });
    llm.attachPanels(ofMaps(canvas => canvas), { calm: this.#shared.calm });
  }
  #seen = new Set();                 // canvases

  #chips(gpu, cpu, threads) {
    setText($("chip-backend"), gpu ? "WEBGPU" : cpu);
    $("chip-backend").classList.toggle("cpu", !gpu);
    setText($("chip-threads"), threads);
  }

  /** A model has been loaded: says what runs it. */
  loaded({ backend, level, n_threads }) {
    const gpu = backend === "gpu";
    this.#chips(gpu, `CPU · ${level}`, gpu ? "" : `${n_threads} thread${n_threads > 1 ? "s" : ""}`);
    if (gpu) this.#messages.banner();
    else this.#messages.banner(`Running on the CPU: ${this.#whyCpu()}. wasm SIMD kernels do the work; `
      + "large models need a GPU.", "cpu");
    this.#shared.state.backend = backend;
    document.body.classList.toggle("on-gpu", gpu);
    this.sizeMaps();
  }

  /** A server answers, on the backend that it said, or nobody any more. */
  server() {
    const { model, llm, server } = this.#shared;
    document.body.classList.toggle("on-gpu", !server && model?.info.backend === "gpu");
    if (server) {
      const { name, backend } = server.info;
      setText($("chip-backend"), ["SERVER", backend.toUpperCase()].filter(Boolean).join(" · "));
      $("chip-backend").classList.toggle("cpu", backend === "cpu");
      setText($("chip-threads"), name);
    } else if (model) this.loaded(model.info);
    else this.#chips(llm?.gpu, "CPU · wasm SIMD", llm?.isolated ? "" : "1 thread");
  }

  /** What the module's memory takes now. */
  async measure() {
    const { llm, model, state } = this.#shared;
    if (!model || this.#shared.server) return;
    state.wasm = (await llm.stats()).memory ?? 0;
    state.dirty.add("io").add("memory");
    this.#shared.news();
  }

  #whyCpu() {
    if (this.#shared.params.backend === "cpu") return "as asked";
    if (this.#shared.llm.software) return "the only WebGPU adapter here is software, which is slower";
    return "no WebGPU here";
  }

  sizeMaps() {
    if (!document.body.classList.contains("on-gpu")) return;
    const ratio = Math.min(devicePixelRatio || 1, 2), pixels = n => Math.round(n * ratio);
    const size = c => ({ width: pixels(c.clientWidth), height: pixels(c.clientHeight),
      seen: this.#seen.has(c) });
    this.#shared.llm?.resizePanels(ofMaps(size));
  }
}
