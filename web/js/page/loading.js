// loading.js - LOAD: the address or the files, the model that comes of them, and the bar that says how far it
// is.
import { $, bytes, seconds, setText } from "./dom.js";
import * as offline from "./offline.js";
import { engineOptions, resolveSource } from "./params.js";
import { freshState } from "./telemetry.js";

/** Is this a file that is played, and not one that is loaded or asked about? */
const isPlayed = file => /\.(grec|jsonl)$/i.test(file.name);

/** What the file is and needs, before it is fetched. */
function saidOf({ name, file_bytes, kept, text }) {
  const here = kept >= file_bytes ? "kept here already" : kept ? `${bytes(kept)} of them kept here` : "";
  return `${name} · ${bytes(file_bytes)}${here && `, ${here}`} · ${text.replaceAll("--max-kv", "MAX KV")}`;
}

export class Loading {
  #shared;
  #page;
  #load = null;                      // the load that is under way: {key, abort, checks}
  /** page: {messages, backend, chats, refresh(), useServer(url), play(file)} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  /** LOAD MODEL. What is asked for last wins: a load that is under way ends. */
  async load() {
    const shared = this.#shared, { messages } = this.#page;
    const source = shared.files ? { kind: "files" } : resolveSource($("source").value, location.href);
    if (source.kind === "none" || source.kind === "file") return $("file").click();
    if (source.kind === "bad") {
      return messages.error(`"${$("source").value}" is no address. `
        + "Give an http(s) URL, a /path, hf:OWNER/REPO:FILE, \"demo\", \"server\" or pick a file.");
    }
    if (source.kind === "server") {
      this.cancel();
      return this.#page.useServer(source.url);
    }
    let options;
    try { options = engineOptions(shared.params); } catch (e) { return messages.error(e.message); }
    await this.#begin(shared.files ?? source.url, options);
  }

  /** One load from its beginning to its end, however that comes. */
  async #begin(source, options) {
    const shared = this.#shared, load = { key: this.#key, abort: new AbortController(), checks: true };
    this.#load?.abort.abort();
    this.#load = load;
    shared.status = "loading";
    shared.state.loadFailed = null;
    performance.mark("load");
    this.#page.messages.clear();
    this.#page.refresh();
    try {
      await this.#run(load, source, { ...options, signal: load.abort.signal });
    } catch (e) { if (this.#load === load) await this.#failed(e, source); }
    if (this.#load !== load) return;           // another one has begun
    this.#load = null;
    shared.status = shared.model || shared.server ? "ready" : "idle";
    if (shared.model && !load.abort.signal.aborted) this.#loaded();
    else if (shared.model && shared.pending) this.#page.chats.askPending();  // the model before answers
    this.#page.refresh();
  }

  /** A file that is no model, or does not fit, leaves the model that is there. */
  async #run(load, source, options) {
    const shared = this.#shared, { signal } = options, { messages, chats, backend } = this.#page;
    const llm = await backend.start();
    shared.endReplay();
    const plan = await llm.plan(source, options), said = saidOf(plan);
    if (!plan.fits) throw new Error(`This model does not fit here. ${this.#whyNot(plan)}`);
    await chats.halt();
    signal.throwIfAborted();
    const { model } = shared;
    shared.model = null;
    model?.close();
    this.#reset();
    load.checks = false;
    messages.note(said);
    messages.banner(said);
    shared.model = await llm.loadModel(source, { ...options, telemetry: "rows" });
    this.#loadedWith = options;
    this.#sayReload();
  }

  #whyNot({ backend, file_bytes, memory, text }) {
    if (backend === "gpu") return text;
    return `It needs ${bytes(file_bytes)} of memory; WebAssembly has ${bytes(memory)} in this browser. `
      + "A GPU (WebGPU) has room for it, or `gossamer serve` on a computer.";
  }

  #reset() {
    this.#shared.hear();
    this.#shared.state = freshState(this.#shared.state);
  }

  /** CANCEL and Esc. */
  cancel() { this.#load?.abort.abort(); }

  get loading() { return this.#load !== null; }

  /** What the controls ask for now. */
  get #key() { return this.#shared.files ?? $("source").value.trim(); }

  #loaded() {
    performance.mark("loaded");
    this.#page.backend.loaded(this.#shared.model.info);
    this.#page.backend.measure();
    for (const id of ["attn-layer", "attn-head"]) $(id).dispatchEvent(new Event("input"));
    this.#shared.state.dirty.add("map");
    const { chats } = this.#page;
    chats.greet();
    chats.askPending();
    chats.first.input.focus({ preventScroll: true });
  }

  async #failed(e, source) {
    const { messages } = this.#page, { model } = this.#shared;
    if (model) messages.note("the model that was loaded before goes on");
    else messages.banner();
    if (e.name === "AbortError") {
      if (!model) this.#reset();
      return messages.note("loading was stopped");
    }
    const text = await offline.clearer(e, source);
    if (!model) this.#mark(e, text);
    messages.error(text);
  }

  /** The row that failed: the one that ran, else the one that its error is about. */
  #mark({ message }, text) {
    const { state } = this.#shared, runs = ([, r]) => /^(started|progress)$/.test(r.status);
    const about = /does not fit/.test(message) ? "memory_plan" : /GGUF|\bheader\b|tensor/.test(message)
      ? "gguf_parse" : "range_check";
    const stage = [...state.load].findLast(runs)?.[0] ?? about;
    state.load.set(stage, { ...state.load.get(stage), status: "failed", detail: text, d: {} });
    state.loadFailed = text;
    state.dirty.add("load");
    this.#shared.news();
  }

  takeFiles(list) {
    const files = [...list].filter(f => /\.gguf$/i.test(f.name));
    if (!files.length) {
      const why = list.length ? `${list[0].name} is not a .gguf file` : "no file was chosen";
      return this.#page.messages.error(why);
    }
    files.sort((a, b) => a.name.localeCompare(b.name));
    this.#shared.files = files.length > 1 ? files : files[0];
    $("source").value = files[0].name;
    this.#page.refresh();
    this.load();
  }

  /** Pressed while something else is asked for than is being loaded, the button loads that. */
  #press() {
    if (this.#load?.key === this.#key) this.cancel();
    else this.load();
  }

  /** The button says what it would do. */
  refresh() {
    const key = this.#key, has = key && key !== "file", cancels = this.#load?.key === key;
    setText($("load"), cancels ? "CANCEL" : has ? "LOAD MODEL" : "PICK FILE");
    $("load").classList.toggle("halt", cancels);
    $("load").setAttribute("aria-busy", String(this.loading));
  }

  /** LAYERS and MAX KV belong to the load: what is changed behind it is said. */
  #sayReload() {
    const { model, params } = this.#shared, note = $("reload-note");
    let differs = false;
    try {
      const { layers, max_kv } = engineOptions(params);
      differs = layers !== this.#loadedWith?.layers || max_kv !== this.#loadedWith?.max_kv;
    } catch { /* said when it is loaded */ }
    note.hidden = !(model && differs);
    setText(note, "LAYERS and MAX KV take effect when LOAD MODEL is pressed again.");
  }
  #loadedWith = null;                // the options of the model that is there

  // ---- the bar --------------------------------------------------------------------------------------------
  progress() {
    const { state, status, replay } = this.#shared, { io, load } = state, bar = $("progress");
    const done = stage => load.get(stage)?.status === "completed";
    const complete = done("load_complete");
    const usable = !complete && done("first_token_ready");         // experts are still coming
    const loading = status === "loading", part = io.total ? io.bytes / io.total : 0;
    const share = complete ? 1 : loading || replay || usable ? part : 0;
    if (bar.style.getPropertyValue("--v") !== String(share)) bar.style.setProperty("--v", String(share));
    const now = String(Math.round(share * 100));
    if (bar.getAttribute("aria-valuenow") !== now) bar.setAttribute("aria-valuenow", now);
    bar.classList.toggle("run", loading);
    const rate = io.rate ? ` · ${bytes(io.rate)}/s · ${seconds(+io.eta)} left` : "";
    setText($("progress-text"), this.#load?.checks ? "CHECKING…"
      : complete ? `READY · ${bytes(io.total)}` : state.loadFailed ? "LOAD FAILED"
      : usable ? `READY · ${Math.floor(share * 100)}% here${rate}`
      : loading || io.total ? `${Math.round(share * 100)}%${rate}` : "STANDBY");
  }

  // ---- controls -------------------------------------------------------------------------------------------
  wire() {
    $("source-form").addEventListener("submit", e => {
      e.preventDefault();
      this.#press();
    });
    addEventListener("keydown", e => { if (e.key === "Escape") this.cancel(); });
    $("source").addEventListener("input", () => {
      this.#shared.files = null;
      this.#page.refresh();
    });
    for (const id of ["layers", "max-kv"]) $(id).addEventListener("input", () => this.#sayReload());
    $("pick").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => {
      if ($("file").files.length) this.takeFiles($("file").files);
      $("file").value = "";
    });
    this.#wireDrop();
  }

  #wireDrop() {
    let depth = 0;                   // of the nodes that a file is held over
    const show = n => {
      depth = n;
      $("drop").hidden = n <= 0;
    };
    const on = (type, fn) => addEventListener(type, e => {
      if ([...e.dataTransfer?.types ?? []].includes("Files")) fn(e);
    });
    on("dragenter", e => {
      e.preventDefault();
      show(depth + 1);
    });
    on("dragover", e => e.preventDefault());
    on("dragleave", () => show(Math.max(0, depth - 1)));
    on("drop", e => {
      e.preventDefault();
      show(0);
      const files = [...e.dataTransfer.files], played = files.find(isPlayed);
      const { chats } = this.#page;
      if (played) this.#page.play(played);
      else if (files.some(f => /\.gguf$/i.test(f.name))) this.takeFiles(files);
      else chats.under(e.target).attach(files);
    });
  }
}
