// app.js - the page: wires controls, the engine's worker and the panels. State comes from telemetry lines only; this file
// decides what may be pressed and says what went wrong.
import { init } from "../core/gossamer.js";
import { Chat } from "./chat.js";
import { $, bytes, el, seconds, setText, takeTurn } from "./dom.js";
import { draw, resetPipe } from "./panels.js";
import { engineOptions, fillControls, resolveSource, samplingOptions, urlParams } from "./params.js";
import { play, readRecording } from "./replay.js";
import { connect } from "./server.js";
import { apply, freshState, Queue } from "./telemetry.js";
import { report } from "./report.js";

const params = urlParams(location.search), queue = new Queue();
let state = freshState();
const app = { llm: null, model: null, loading: null, files: null, replay: null, chats: [], server: null, status: "idle" };
globalThis.gossamer = app;                 // for the browser's console: gossamer.model.createSession() and so on

// ---- messages -----------------------------------------------------------------------------------------------
const now = () => performance.now();

function note(text, bad) { queue.push({ type: "page", text, bad, ts_ms: now() }); }

function showError(text) {
  const line = el("p", null, text, el("button", { type: "button", "aria-label": "Dismiss", onclick: () => line.remove() }, "×"));
  if ([...$("errors").children].some(p => p.firstChild.data === text)) return;
  $("errors").append(line);
  while ($("errors").childElementCount > 3) $("errors").firstElementChild.remove();
  state.errors.push(text);
  note(text, true);
}

function banner(text, kind) {
  $("banner").hidden = !text;
  $("banner").className = `banner ${kind ?? ""}`;
  setText($("banner"), text ?? "");
}

addEventListener("error", e => showError(`Page error: ${e.message}`));
addEventListener("unhandledrejection", e => { e.preventDefault(); showError(`Page error: ${e.reason?.message ?? e.reason}`); });

// ---- one frame ------------------------------------------------------------------------------------------------
/** Panels and chats are drawn once a frame, 30 times a second where the CPU draws. Where frames come late they are drawn more
 * seldom and in turn, until frames come in time again. */
const LATE_MS = 24, SELDOM_MS = 360;
let tick = 0, late = 16, every = 0, drawn = 0, chatsTurn = false;
function frame(t) {
  requestAnimationFrame(frame);
  late += (Math.min(t - tick, 250) - late) / 8;
  tick = t;
  every = late > LATE_MS ? Math.min(SELDOM_MS, every + 8) : Math.max(app.calm ? LATE_MS : 0, every - 2);
  const inTurn = every > 2 * LATE_MS;
  if (t - drawn < (inTurn ? every / 2 : every)) return;
  drawn = t;
  hear();
  chatsTurn = !chatsTurn;
  if (!inTurn || chatsTurn) takeTurn();
  if (state.dirty.size && !(inTurn && chatsTurn)) drawPanels();
}

function hear() { for (const e of queue.take()) apply(state, e); }
function drawPanels() { sliders(); progress(); draw(state); }

/** Where an answer ends the panels say the same as the chat, at once. */
function drawAll() {
  hear();
  takeTurn();
  drawPanels();
}

function sliders() {
  const layers = +state.config.blocks || 0, heads = +state.config.heads || 0;
  if (layers) $("attn-layer").max = String(layers - 1);
  if (heads) $("attn-head").max = String(heads - 1);
}

function progress() {
  const io = state.io, bar = $("progress"), failed = state.loadFailed;
  const part = io.total ? io.bytes / io.total : 0, complete = state.load.get("load_complete")?.status === "completed";
  const usable = !complete && state.load.get("first_token_ready")?.status === "completed";      // experts are still coming
  const v = complete ? 1 : app.loading || app.replay || usable ? part : 0;
  bar.style.setProperty("--v", String(v));
  bar.setAttribute("aria-valuenow", String(Math.round(v * 100)));
  bar.classList.toggle("run", app.status === "loading");
  const rate = io.rate ? ` · ${bytes(io.rate)}/s · ${seconds(+io.eta)} left` : "";
  const words = failed && !complete ? "LOAD FAILED" : complete ? `READY · ${bytes(io.total)}` : usable ? `READY · ${Math.floor(v * 100)}% here${rate}` : app.status === "loading"
    || io.total ? `${Math.round(v * 100)}%${rate}` : "STANDBY";
  setText($("progress-text"), words);
}

// ---- controls --------------------------------------------------------------------------------------------------
function refresh() {
  const source = $("source").value.trim(), loading = app.status === "loading";
  const has = app.files || (source && source !== "file");
  setText($("load"), loading ? "LOADING…" : has ? "LOAD MODEL" : "PICK FILE");
  $("load").disabled = loading;
  $("load").setAttribute("aria-busy", String(loading));
  for (const chat of app.chats) chat.update();
}

const chatHost = {
  ready: () => app.status === "ready", model: () => app.server ?? app.model, error: showError, sampling: () => samplingOptions(params),
  wants(chat, text) { app.pending = { chat, text }; chat.input.value = ""; if (app.status === "idle") load();
    note(`asked before a model was there: "${text}"`); },
  busy(chat, on) { app.active = on ? chat : app.active; if (on) { resetPipe($("infer-rows")); state.infer.clear(); state.channel = ""; } else drawAll(); refresh(); },
};

function addChat() {
  const chat = new Chat(chatHost, app.chats.length ? `CHAT ${app.chats.length + 1}` : "CHAT");
  chat.index = app.chats.push(chat) - 1;
  $("chats").append(chat.root);
  chat.update();
}

function split() {
  if (app.chats.length > 1) app.chats.pop().dispose();
  else addChat();
  $("split").setAttribute("aria-pressed", String(app.chats.length > 1));
}

// ---- loading ---------------------------------------------------------------------------------------------------
async function load() {
  if (app.status === "loading") return;
  const source = app.files ? { kind: "files" } : resolveSource($("source").value, location.href);
  if (source.kind === "none" || source.kind === "file") { $("file").click(); return; }
  if (source.kind === "bad") return showError(`"${$("source").value}" is no address. Give an http(s) URL, a /path, "demo", "server" or pick a file.`);
  if (source.kind === "server") { $("use-server").checked = true; return useServer(source.url); }
  let options;
  try { options = engineOptions(params); } catch (e) { return showError(e.message); }
  app.status = "loading";
  performance.mark("load");
  $("errors").replaceChildren();
  for (const name of ["load-rows", "infer-rows"]) resetPipe($(name));
  state = freshState(state);
  refresh();
  app.loading = new AbortController();
  try {
    app.model?.close();
    app.model = null;
    app.model = await app.llm.loadModel(app.files ?? source.url, { ...options, signal: app.loading.signal, telemetry: "all" });
    app.status = "ready";
    loaded();
  } catch (e) {
    app.status = "idle";
    if (e.name !== "AbortError") { state.loadFailed = e.message; state.dirty.add("load"); showError(e.message); }
  }
  app.loading = null;
  refresh();
}

/** Maps that the engine's GPU draws: handed over once, their sizes told whenever they may have changed. */
const MAPS = ["attn", "router", "kv", "activity"];
function sizeMaps() {
  if (!document.body.classList.contains("on-gpu")) return;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  app.llm?.resizePanels(Object.fromEntries(MAPS.map(name => [name, { width: Math.round($(`gpu-${name}`).clientWidth * ratio),
    height: Math.round($(`gpu-${name}`).clientHeight * ratio) }])));
}

function loaded() {
  performance.mark("loaded");
  const m = app.model.info;
  setText($("chip-backend"), m.backend === "gpu" ? "WEBGPU" : `CPU · ${m.level}`);
  $("chip-backend").classList.toggle("cpu", m.backend !== "gpu");
  setText($("chip-threads"), m.backend === "gpu" ? "" : `${m.n_threads} thread${m.n_threads > 1 ? "s" : ""}`);
  if (m.backend !== "gpu") banner(`Running on the CPU: ${params.backend === "cpu" ? "as asked" : app.llm.software ? "the only WebGPU adapter here is software, which is slower" : "no WebGPU here"}. `
    + `wasm SIMD kernels do the work; large models need a GPU.`, "cpu");
  else banner("");
  state.backend = m.backend;
  document.body.classList.toggle("on-gpu", m.backend === "gpu");
  sizeMaps();
  for (const id of ["attn-layer", "attn-head"]) $(id).dispatchEvent(new Event("input"));
  const pending = app.pending ?? (params.autostart && params.prompt ? { chat: app.chats[0], text: params.prompt } : null);
  app.pending = null;
  refresh();
  if (pending) { pending.chat.input.value = ""; pending.chat.ask(pending.text); }
  else app.chats[0].input.focus({ preventScroll: true });
}

function takeFiles(list) {
  const files = [...list].filter(f => /\.gguf$/i.test(f.name));
  if (!files.length) return showError(list.length ? `${list[0].name} is not a .gguf file` : "no file was chosen");
  app.files = files.length > 1 ? files.sort((a, b) => a.name.localeCompare(b.name)) : files[0];
  $("source").value = files[0].name;
  refresh();
  load();
}

// ---- server and replay ------------------------------------------------------------------------------------------
async function useServer(url) {
  const at = app.serverUrl = url ?? new URL("/", location.href).href;
  queue.push({ type: "load_stage", stage: "server_connect", status: "started", detail: `source=server url=${at}`, ts_ms: now() });
  try {
    app.server = await connect(at, line => queue.push(line), params.model, $("server-key").value);
    app.status = "ready";
    banner(`Connected to ${at} · ${app.server.info.name}`);
    queue.push({ type: "load_stage", stage: "server_connect", status: "completed", detail: `source=server url=${at} model=${app.server.info.name}`,
      ts_ms: now() });
    if (params.autostart && params.prompt) app.chats[0].ask(params.prompt);
  } catch (e) {
    app.server = null;
    $("use-server").checked = false;
    banner(`Server connection failed: ${e.message}`, "bad");
    $("server-key").hidden = !e.needsKey;
    if (e.needsKey) $("server-key").focus();
    queue.push({ type: "load_stage", stage: "server_connect", status: "failed", detail: `url=${at} ${e.message}`, ts_ms: now() });
  }
  refresh();
}

function leaveServer() {
  app.server = null;
  app.status = app.model ? "ready" : "idle";
  banner("");
  refresh();
}

async function startReplay(url) {
  try {
    const events = await readRecording(url);
    state = freshState();
    app.replay = play(events, e => queue.push(e), params.speed === undefined ? 1 : +params.speed, () => { note("replay ended");
      document.body.dataset.replay = "ended"; });
    banner(`Replaying ${url} · ${events.length} events · no model is loaded`);
  } catch (e) { showError(e.message); }
}

// ---- start --------------------------------------------------------------------------------------------------------
function wire() {
  $("source-form").addEventListener("submit", e => { e.preventDefault(); load(); });
  $("source").addEventListener("input", () => { app.files = null; refresh(); });
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { if ($("file").files.length) takeFiles($("file").files); $("file").value = ""; });
  $("use-server").addEventListener("change", e => e.target.checked ? useServer() : leaveServer());
  $("server-key").addEventListener("change", () => { $("use-server").checked = true; useServer(app.serverUrl); });
  $("new-chat").addEventListener("click", () => { for (const c of app.chats) c.clear(); app.chats[0].input.focus(); });
  $("split").addEventListener("click", split);
  $("copy-logs").addEventListener("click", async () => {
    const text = report(state, app, params);
    try { await navigator.clipboard.writeText(text); setText($("copy-logs"), "COPIED");
      } catch { showError("The clipboard is not allowed here; the report is in the event log."); note(text); }
    setTimeout(() => setText($("copy-logs"), "COPY LOGS"), 1200);
  });
  for (const id of ["attn-layer", "attn-head"]) $(id).addEventListener("input", () => {
    setText($(id).nextElementSibling, $(id).value);
    app.model?.watchAttention?.(+$("attn-layer").value, +$("attn-head").value);
    state.dirty.add("attn");
  });
  for (const b of document.querySelectorAll(".views button")) b.addEventListener("click", () => {
    document.body.dataset.view = b.dataset.goto;
    sizeMaps();
    for (const other of b.parentElement.children) other.setAttribute("aria-pressed", String(other === b));
    for (const name of ["attn", "router", "layers", "kv", "tokens", "stats"]) state.dirty.add(name);
  });
  addEventListener("resize", () => { sizeMaps(); for (const name of ["attn", "router", "layers", "kv", "tokens", "stats"]) state.dirty.add(name); });
  addEventListener("keydown", e => { if (e.key === "Escape") app.chats.forEach(c => c.stop()); });
  dragAndDrop();
}

function dragAndDrop() {
  let depth = 0;
  const files = e => [...e.dataTransfer?.types ?? []].includes("Files");
  addEventListener("dragenter", e => { if (files(e)) { depth++; $("drop").hidden = false; e.preventDefault(); } });
  addEventListener("dragover", e => { if (files(e)) e.preventDefault(); });
  addEventListener("dragleave", e => { if (files(e) && --depth <= 0) { depth = 0; $("drop").hidden = true; } });
  addEventListener("drop", e => { if (!files(e)) return; e.preventDefault(); depth = 0; $("drop").hidden = true; takeFiles(e.dataTransfer.files); });
}

/** Served by `gossamer serve`, which has /models/ and says so in a Server-Timing header. */
function servedByUs() {
  const timing = performance.getEntriesByType("navigation")[0]?.serverTiming ?? [];
  return location.pathname.endsWith("/gptoss") || timing.some(t => t.name === "gossamer");
}

async function start() {
  wire();
  addChat();
  for (const text of fillControls(params)) showError(text);
  const source = params.gguf ?? (servedByUs() ? "/models/demo-gptoss.gguf" : "");
  $("source").value = source === "demo" ? "/models/demo-gptoss.gguf" : source;
  if (params.prompt) app.chats[0].input.value = params.prompt;
  refresh();
  requestAnimationFrame(frame);
  if (!isSecureContext) banner("Opened over plain HTTP from another machine: browsers give such pages no WebGPU, OPFS or crypto. Use https or localhost.",
    "bad");
  if (params.data) { await startReplay(params.data); return; }
  app.llm = await init({ threads: params.threads ? +params.threads : undefined, backend: params.backend });
  app.llm.on("telemetry", e => queue.push(e));
  app.llm.on("notice", text => note(text));
  app.llm.on("error", e => showError(e.message));
  $("chip-backend").classList.toggle("cpu", !app.llm.gpu);
  app.calm = app.llm.software || !app.llm.gpu;
  document.body.classList.toggle("calm", app.calm);
  setText($("chip-backend"), app.llm.gpu ? "WEBGPU" : "CPU · wasm SIMD");
  setText($("chip-threads"), app.llm.isolated ? "" : "1 thread");
  if (app.llm.gpu || params.backend === "gpu")
    app.llm.attachPanels(Object.fromEntries(MAPS.map(name => [name, $(`gpu-${name}`)])), { calm: app.calm });
  document.body.dataset.ready = "1";
  performance.mark("ready");
  const s = resolveSource(params.gguf, location.href);
  if (s.kind === "server" || (params.autostart && s.kind !== "none")) load();
}

start().catch(e => showError(e.message));
