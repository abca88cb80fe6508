// worker.js - the worker that owns one engine: its module and its GPU device; bytes come from a worker of their own (bytes/io.js). The page
// only sends requests and gets, at most once every few milliseconds, one message with everything that happened: {events, telemetry, notices}.
import { Gpu } from "./gpu.js";
import { Panels } from "./panels.js";
import { NODE, serve } from "./port.js";
import { openDrive } from "./bytes/drives.js";
import { Prefixes } from "./bytes/prefixes.js";
import { Reader } from "./bytes/reader.js";
import { canShare, cores, Wasm } from "./wasm.js";

const SLICE_MS = 8;
const IO = -4, AGAIN_MS = 2500;
const EARLY = 64e6;                          // with more than this still to be fetched, tokens start before the last expert is there
let post, wasm, gpu, drive, prefixes = null, config = {}, reader = null, abort = null, answer = null, failure = null, sessions = 0;
const out = { events: [], telemetry: [], notices: [] };
const clock = () => performance.now();

// ---- to the page -------------------------------------------------------------------------------------------
function flush() {
  if (!out.events.length && !out.telemetry.length && !out.notices.length) return;
  post({ batch: { events: out.events, telemetry: out.telemetry, notices: out.notices } });
  out.events = [];
  out.telemetry = [];
  out.notices = [];
}

function notice(text) { out.notices.push(text); schedule(); }

function emit(object) {
  if (object.kind === "error") failure = object;
  else if (object.kind === "notice") notice(object.message);
  else if (object.session !== undefined) out.events.push(object);
  else answer = object;
}

const hooks = { emit, telemetry: line => { if (out.telemetry.length < 16384) out.telemetry.push(line);
  }, read, prefixes: () => prefixes, imports: w => gpu?.imports(w) ?? Gpu.absent() };

/** An engine call that returns a negative code has emitted why. */
function must(code) {
  if (code >= 0) return code;
  const e = new Error(failure?.message ?? `the engine answered ${code}`);
  e.code = failure?.name;
  e.position = failure?.position;
  throw e;
}

// ---- the loop: C advances, then the page hears of it, then messages get in ----------------------------------------
const channel = NODE ? null : new MessageChannel();
let scheduled = false, waiting = false, timer = 0;
if (channel) channel.port1.onmessage = turn;
function schedule(delay = 0) {
  if (scheduled) return;
  scheduled = true;
  waiting = delay > 0;
  if (delay) timer = setTimeout(turn, delay);
  else if (channel) channel.port2.postMessage(0);
  else setImmediate(turn);
}

/** Something that C waits for has come: the next turn is now. */
function hurry() {
  if (waiting) { clearTimeout(timer); scheduled = waiting = false; }
  schedule();
}

let wake = null, reading = 0, hasGpu = false;
function turn() {
  scheduled = waiting = false;
  let more = 0;
  try {
    for (const end = clock() + SLICE_MS; wasm?.opened;) {
      more = must(wasm.call.goss_wasm_poll(0));
      if (more !== 1 || reading || gpu?.busy || clock() > end) break;
    }
    if (wasm?.opened && wake && wasm.call.goss_wasm_state() !== 0) { wake.resolve(); wake = null; }
  } catch (e) {
    out.events.push({ kind: "failed", message: e.message });
    wake?.reject(e);
    wake = null;
    more = 0;
  }
  flush();
  // While C only waits for bytes or for the GPU, their completion schedules the next turn; a slow tick is the safety net.
  if (more === 1) schedule(reading || gpu?.busy ? 4 : 0);
}

/** goss_source.read: 0, and goss_wasm_read_done later. */
function read(index, offset, dst, n, tag) {
  reading++;
  const from = reader;
  from.read(index, offset, n).then(bytes => {
    wasm?.bytes(dst >>> 0, n).set(bytes);
    from.free(bytes);
    done(tag, 0);
  }, e => { readFailed(e); done(tag, IO); });
  return 0;
}
let lastReadError = null;
/** What nobody waits for is asked for again by a later turn. */
function readFailed(e) {
  lastReadError = e;
  setTimeout(() => { if (wasm?.opened) hurry(); }, AGAIN_MS);
}
function done(tag, status) {
  reading--;
  if (!wasm?.opened) return;
  wasm.call.goss_wasm_read_done(tag, status);
  hurry();
}

// ---- requests ---------------------------------------------------------------------------------------------------
const ops = {
  async init(c) {
    config = c;
    drive = await openDrive(c.cache, c.cacheDir);
    const probe = await Gpu.probe(c);
    if (probe.line) hooks.telemetry(JSON.stringify({ type: "load_stage", stage: "gpu_limits", ...probe.line, ts_ms: clock() }));
    flush();
    hasGpu = probe.ok;
    return { gpu: probe.ok, software: !!probe.software, isolated: canShare(), cores: await cores(), cache: cacheKind() };
  },

  async load({ source, options: { chunk, ...options } }) {
    const mine = abort = new AbortController();
    lastReadError = null;
    const cpu = options.backend === "cpu" || options.backend === "ref" || (!hasGpu && options.backend !== "gpu");
    gpu = cpu ? null : new Gpu({ wake: hurry, reader: () => reader, notice, readFailed,
      panels: (device, buffer) => panels?.attach(device, buffer), submitted: () => panels?.touch(), gone: () => panels?.detach(),
      readDone: (tag, status) => { if (wasm?.opened) wasm.call.goss_wasm_read_done(tag, status); } });
    const opened = Wasm.open({ base: new URL(config.wasm ?? "../../dist/", import.meta.url), threads: options.threads ?? config.threads, hooks });
    opened.catch(() => {});
    try {
      reader = await Reader.open(source, { cache: cacheKind(), cacheDir: config.cacheDir, chunk, signal: abort.signal, notice });
      prefixes = drive && cpu && options.prefix_cache ? await Prefixes.open(drive, notice) : null;
      wasm = await opened;
      const { sources } = reader, total = sources.reduce((n, s) => n + s.size, 0), kept = sources.reduce((n, s) => n + s.kept, 0);
      hooks.telemetry(JSON.stringify({ type: "load_stage", stage: "cache_open", status: "completed",
        detail: `hit=${kept >= total ? "all" : kept ? "part" : "none"} bytes=${kept} kind=${cacheKind()}`, ts_ms: clock() }));
      const request = { ...options, early: options.early ?? total - kept > EARLY, backend: gpu ? options.backend ?? "auto" : options.backend === "ref" ? "ref" : "cpu",
        sources: sources.map(s => ({ name: s.name, size: s.size })), prefix_cache: prefixes ? options.prefix_cache : 0, prefixes: prefixes?.list() };
      must(wasm.withText(JSON.stringify(request), (p, n) => wasm.call.goss_wasm_open(p, n)));
      wasm.opened = true;
      const ready = new Promise((resolve, reject) => { wake = { resolve, reject }; });
      abort.signal.addEventListener("abort", () => wake?.reject(new DOMException("loading was stopped", "AbortError")), { once: true });
      schedule();
      await ready;
    } catch (e) {
      if (abort === mine) ops.close();   // else another load has begun
      opened.then(w => w.close(), () => {});
      throw lastReadError ?? e;
    }
    return { ...ask("info"), fetched: reader.fetched, relaxed: wasm.relaxed };
  },

  stop() { abort?.abort(new DOMException("loading was stopped", "AbortError")); },
  info: () => ask("info"),
  stats: () => ({ ...ask("stats"), fetched: reader.fetched, memory: wasm.memory.buffer.byteLength, frames: panels?.frames ?? 0 }),
  tokenize: ({ text, flags }) => told(wasm.withText(text, (p, n) => wasm.call.goss_wasm_tokenize(p, n, flags ?? 0))).ids,
  render: ({ request }) => told(wasm.withText(JSON.stringify(request), (p, n) => wasm.call.goss_wasm_render(p, n))).ids,
  detokenize({ ids }) {
    const p = wasm.alloc(4 * ids.length + 4);
    new Int32Array(wasm.memory.buffer, p, ids.length).set(ids);
    wasm.call.goss_wasm_detokenize(p, ids.length);
    wasm.call.goss_wasm_free(p);
    return answer.text;
  },
  watch({ layer, head }) { wasm?.call.goss_wasm_watch?.(layer, head); },
  open() { sessions++; return must(wasm.call.goss_wasm_session_open()); },
  prompt({ session, request }) {
    must(wasm.withText(JSON.stringify(request), (p, n) => wasm.call.goss_wasm_session_prompt(session, p, n)));
    schedule();
  },
  cancel({ session }) { wasm?.call.goss_wasm_session_cancel(session); schedule(); },
  shut({ session }) { wasm?.opened && wasm.call.goss_wasm_session_close(session); },
  lose() { gpu?.lose(); },
  panels({ canvases, calm }) { panels = new Panels(canvases, { calm, notice }); },
  resize({ sizes }) { panels?.resize(sizes); },
  close() {
    abort?.abort(new DOMException("closed", "AbortError"));
    closing = reader?.close();
    reader = null;
    wasm?.close();
    wasm = null;
    gpu?.close();
    gpu = null;
    reading = 0;
  },
  /** Node's package for WebGPU aborts the process if it is torn down while it has callbacks to make; prefixes are still written. */
  async end() {
    const last = wasm;
    wasm = null;
    while (NODE && gpu?.busy) await new Promise(r => setImmediate(r));
    wasm = last;
    ops.close();
    await Promise.all([closing, prefixes?.settled()]);
  },
};
let panels = null, closing = null;
const cacheKind = () => drive?.kind ?? "none";

function told(code) { must(code); return answer; }
function ask(what) {
  wasm.call[`goss_wasm_${what}`]();
  return answer;
}

const ALWAYS = ["init", "load", "stop", "close", "end", "cancel", "shut", "watch", "lose", "panels", "resize"];
serve(ops, { before: op => { if (!wasm?.opened && !ALWAYS.includes(op)) throw new Error("no model is loaded"); }, after: flush }).then(p => { post = p; });
