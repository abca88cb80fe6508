// telemetry.js - the queue of telemetry lines and rows and what they mean: one state object that the panels
// read once per frame. The queue holds at most 8192 of them and drops the oldest. What belongs to a token
// comes as rows from this page's worker; lines of servers and recordings are made into rows here.
import { Packer } from "../core/packer.js";
import { repeatRow } from "./branch.js";
import { History } from "./history.js";
import { OF_TOKENS } from "./moment.js";
import { Whole } from "./whole.js";

const QUEUE_MAX = 8192;

export const LOAD_STAGES = ["load_start", "range_check", "gguf_parse", "gguf_meta", "model_config",
  "memory_plan", "layer_limit", "moe_mode", "gpu_limits", "token_limits", "tokenizer_load", "cache_open",
  "weights_fetch", "first_token_ready", "load_complete"];
export const INFER_STAGES = ["runtime_mode", "prompt_encode", "prefix_reuse", "prefill", "decode",
  "generation"];

const LOG = 4000, TENSORS = 24, KEPT = 0.995;

const PAIR = /([\w.+/-]+)=("[^"]*"|\S+)/g;

/** "k=v k2=v2 text" -> {k: v, k2: v2}; values may be quoted. */
function details(text) {
  const out = {};
  for (const [, key, value] of String(text ?? "").matchAll(PAIR)) {
    out[key] = value.replace(/^"|"$/g, "");
  }
  return out;
}

export class Queue {
  #items = [];
  dropped = 0;
  push(event) {
    this.#items.push(event);
    if (this.#items.length > 2 * QUEUE_MAX) this.#trim();
  }
  #trim() {
    const extra = this.#items.length - QUEUE_MAX;
    if (extra <= 0) return;
    this.dropped += extra;
    this.#items.splice(0, extra);
  }
  take() {
    this.#trim();
    const all = this.#items;
    this.#items = [];
    return all;
  }
}

/** What the browser's probe said of its GPU outlives the state of one model, and so does the log. */
export function freshState(before) {
  const probe = before?.load.get("gpu_limits");
  return {
    // loading
    load: new Map(probe ? [["gpu_limits", probe]] : []), loadFailed: null, loadBegan: NaN,
    config: {}, io: {}, memory: {},
    limits: before?.limits ?? null, tensors: [], tensorCount: 0,
    // a generation
    /** Whose: the session that was asked last; undefined: the lines say none. stream counts the changes. */
    session: undefined, stream: 0,
    /** Of a session that is another one's branch: whose rows are its first (branch.js). */
    fork: null,
    infer: new Map(), stage: "idle", backend: "", facts: {}, rate: 0, drafted: 0, accepted: 0,
    /** What is known of every token, and which of them all panels show; null: the newest. */
    history: new History(), moment: null, packer: new Packer(),
    /** How often experts were asked, by layer, the oldest counting least. */
    use: [], cache: new Map(),
    // all
    kernels: new Map(), experts: null, sessions: null, wasm: 0, whole: new Whole(),
    log: before?.log ?? [], logCount: before?.logCount ?? 0, errors: before?.errors ?? [],
    /** Panels (panels.js) whose part has changed. */
    dirty: new Set([...OF_TOKENS, "load", "infer", "io", "kv", "kernels", "log", "memory", "roof"]),
  };
}

function append(list, item, max) {
  list.push(item);
  if (list.length > max) list.splice(0, list.length - max);
}

function onLoad(s, e) {
  const d = details(e.detail);
  const row = s.load.get(e.stage) ?? {};
  s.load.set(e.stage, { status: e.status, detail: e.detail ?? row.detail ?? "", d: { ...row.d, ...d },
    bytes: e.bytes ?? row.bytes, total: e.total_bytes ?? row.total });
  if (e.stage === "load_start" && e.status === "started") {
    Object.assign(s, { tensors: [], tensorCount: 0, loadFailed: null, loadBegan: e.ts_ms });
  }
  if (e.stage === "model_config") {
    Object.assign(s.config, d);
    s.packer.shape({ layers: +d.blocks || 0, used: +d.experts ? +d.topk || 0 : 0 });
    s.dirty.add("router").add("map");
  }
  if (e.stage === "gpu_limits") s.limits = d;
  if (e.stage === "weights_fetch") {
    s.io = { bytes: e.bytes, total: e.total_bytes, rate: +d.rate || 0, eta: d.eta };
  }
  if (e.stage === "load_failed") s.loadFailed = e.detail;
  s.dirty.add("load").add("io").add("memory");
}

/** A prompt has come: the panels show its session from now on, and nothing of another. */
function onPrompt(s, { session }) {
  s.infer.clear();
  Object.assign(s, { rate: 0, moment: null });
  for (const name of ["stop_reason", "coherence", "budget"]) delete s.facts[name];
  if (session === s.session) return;
  Object.assign(s, { session, stream: s.stream + 1, use: [] });
  s.history.clear();
  s.cache.clear();
  for (const name of [...OF_TOKENS, "kv"]) s.dirty.add(name);
}

/** What a session is doing, as its stages say. */
function phase(s, { stage, status }) {
  if (!/^(prefill|decode|generation)$/.test(stage)) return s.stage;
  const over = status === "completed" || status === "failed";
  return over ? "idle" : stage === "generation" ? s.stage : stage;
}

function onStage(s, e) {
  if (e.stage === "runtime_mode") onPrompt(s, e);
  const row = s.infer.get(e.stage) ?? {};
  const d = { ...row.d, ...details(e.detail) };
  s.infer.set(e.stage, { status: e.status, detail: e.detail ?? row.detail ?? "", d, step: e.step ?? row.step,
    total: e.total_steps ?? row.total });
  if (e.stage === "runtime_mode") {
    s.backend = d.backend ?? s.backend;
    Object.assign(s.facts, d);
  }
  if (/^(generation|decode)$/.test(e.stage)) s.facts.stop_reason = d.stop_reason ?? s.facts.stop_reason;
  if (e.stage === "coherence_check") s.facts.coherence = `${d.score ?? ""} ${d.label ?? ""}`.trim();
  if (e.stage === "decode_budget") s.facts.budget = `${d.avg_ms ?? "?"} ms ${d.label ?? ""}`.trim();
  if (e.stage === "expert_cache") s.experts = d;
  if (e.stage === "sessions") s.sessions = d;
  s.stage = phase(s, e);
  if (e.stage === "generation") s.dirty.add("router");
  s.dirty.add("infer").add("stats");
}

// ---- rows -------------------------------------------------------------------------------------------------
/** The experts of a token count; those of the tokens before a little less. */
function countExperts(s, n) {
  const { history } = s, { columns: c } = history;
  for (let layer = 0; layer < c.layers; layer++) {
    const use = s.use[layer] ??= new Float32Array(+s.config.experts || 0), at = c.experts(layer);
    for (let i = 0; i < use.length; i++) use[i] *= KEPT;
    for (let i = 0; i < c.used; i++) {
      const expert = history.get(n, at + i);
      if (expert < use.length) use[expert] += history.get(n, at + c.used + i);
    }
  }
}

/** Rows whose attention came along: {a row's place in the batch: its map}. */
function mapsOf(maps) {
  const out = new Map();
  for (let at = 0; at < maps.length;) {
    const n = maps[at + 1], from = at + 3;
    out.set(maps[at], { first: maps[at + 2], w: maps.subarray(from, from + n) });
    at = from + n;
  }
  return out;
}

/** Rows [from, to) of a batch: those of the session that is shown. */
function onRows(s, { rows, from, to, maps, texts, shape }) {
  const { history } = s;
  history.shape(shape);
  const { columns: c } = history, with_ = mapsOf(maps), before = history.count;
  for (const [id, text] of texts) history.texts.set(id, text);
  for (let i = from; i < to; i++) {
    const session = rows[i * c.width + c.session];
    if (session >= 0 && s.session !== undefined && session !== s.session) continue;
    const made = rows[i * c.width + c.made] === 1;
    if (made) s.fork = null;
    else if (repeatRow(s, session, rows[i * c.width + c.position])) continue;
    const n = history.append(rows, i), whole = with_.get(i);
    const map = whole ? { n, layer: history.get(n, c.layer), head: history.get(n, c.watched), ...whole }
      : history.mapOfLooks(n);
    if (map) history.keepMap(map);
    if (history.made(n)) countExperts(s, n);
  }
  if (history.count === before) return;
  if (s.moment !== null && !history.has(s.moment)) s.moment = null;
  sayDecode(s);
  for (const name of OF_TOKENS) s.dirty.add(name);
}

/** How far the answer is, from its newest row. */
function sayDecode(s) {
  const { history } = s, { columns: c } = history, n = history.count - 1;
  if (n < 0 || !history.made(n)) return;
  s.rate = history.get(n, c.rate) || s.rate;
  const step = history.get(n, c.step), total = history.get(n, c.most);
  if (!(step > 0)) return;
  s.infer.set("decode", { d: {}, ...s.infer.get("decode"), status: "progress", step, total,
    detail: `tok/s=${s.rate.toFixed(1)}` });
  s.stage = "decode";
  s.dirty.add("infer");
}

/** A line of a token or of a layer; false: it is none. Rows that it makes whole are taken. */
function onPacked(s, e) {
  const taken = s.packer.object(e);
  if (s.packer.count) {
    const batch = s.packer.take();
    onRows(s, { ...batch, from: 0, to: batch.count });
  } else if (taken && e.stage === "decode") onStage(s, e);
  return taken;
}

const EVENTS = {
  cache_status(s, v) { s.cache.set(v.layer, v); s.dirty.add("kv").add("stats"); },
  memory_usage(s, v) { s.memory = v; s.dirty.add("io").add("memory"); },
  tensor_resident(s, v, ts) {
    s.tensorCount++;
    append(s.tensors, { ...v, ms: ts - s.loadBegan }, TENSORS);
    s.dirty.add("io");
  },
  kernel_time(s, v) {
    const old = s.kernels.get(v.kernel);
    s.kernels.set(v.kernel, old ? { ...v, gpu_us: old.gpu_us * 0.8 + v.gpu_us * 0.2 } : v);
    s.dirty.add("kernels").add("roof");
  },
  speculation(s, v) { s.drafted += v.drafted; s.accepted += v.accepted; s.dirty.add("stats"); },
};

const OF_A_LAYER = /^(token_embd|attn_|rope|post_attn|moe_|layer_|output_norm|lm_head|sample)/;

/** Which lines the log shows: everything but what comes once a token or oftener. */
function logged(e) {
  if (e.type === "inference_event") return e.event.type === "channel";
  if (e.type === "inference_stage") return e.status !== "progress" && !OF_A_LAYER.test(e.stage);
  return e.type !== "load_stage" || e.status !== "progress";
}

function logText(e) {
  if (e.type === "page") return e.text;
  if (e.type === "inference_event") {
    const { channel, recipient } = e.event;
    return `channel ${channel}${recipient ? ` to ${recipient}` : ""}`;
  }
  return `${e.stage} ${e.status}${e.detail ? ` ${e.detail}` : ""}`;
}

/** A row of a pipeline that the CPU did. Names and addresses, which are values, say nothing. */
export const onCpu = ({ detail, d }) => /\b(cpu|CPU|fallback|slow)\b/.test(detail.replace(PAIR, ""))
  || d.backend === "cpu" || d.moe === "fallback" || d.label === "slow";

/** Is a line about another session than the one that the panels show? Another prompt makes it the shown. */
function ofAnother(s, e) {
  const session = e.session ?? e.event?.session;
  if (session === undefined || s.session === undefined || e.stage === "runtime_mode") return false;
  return session !== s.session;
}

export function apply(s, e) {
  if (e.type === "rows") return onRows(s, e);
  const part = s.whole.take(e);
  if (part) s.dirty.add(part);
  if (e.stage === "chunks") return;
  const shown = !ofAnother(s, e);
  if (e.type === "load_stage") onLoad(s, e);
  else if (shown && onPacked(s, e)) return;
  else if (shown && e.type === "inference_stage") onStage(s, e);
  else if (shown && e.type === "inference_event") EVENTS[e.event?.type]?.(s, e.event, e.ts_ms);
  if (logged(e)) {
    const ok = e.status === "completed" && /load_complete|generation/.test(e.stage);
    const bad = e.status === "failed" || e.bad, cpu = /fallback/.test(e.stage ?? "");
    append(s.log, { ts: e.ts_ms, text: logText(e), bad, ok, cpu }, LOG);
    s.logCount++;
    s.dirty.add("log");
  }
}
