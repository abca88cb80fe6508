// telemetry.js - the queue of telemetry lines and what they mean: one state object that the panels read once per frame.
// The queue holds at most 8192 events and drops the oldest; apply() is called once per frame.

export const QUEUE_MAX = 8192;

export const LOAD_STAGES = ["load_start", "range_check", "gguf_parse", "gguf_meta", "model_config", "memory_plan", "layer_limit", "moe_mode",
  "gpu_limits", "token_limits", "tokenizer_load", "cache_open", "weights_fetch", "first_token_ready", "load_complete"];
export const INFER_STAGES = ["runtime_mode", "prompt_encode", "prefix_reuse", "prefill", "decode", "generation"];

const HISTORY = 512, LOG = 600, TENSORS = 24;

/** "k=v k2=v2 text" -> {k: v, k2: v2}; values may be quoted. */
export function details(text) {
  const out = {};
  for (const m of String(text ?? "").matchAll(/([\w.+-]+)=("[^"]*"|\S+)/g)) out[m[1]] = m[2].replace(/^"|"$/g, "");
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
    if (extra > 0) { this.dropped += extra; this.#items.splice(0, extra); }
  }
  take() {
    this.#trim();
    const all = this.#items;
    this.#items = [];
    return all;
  }
  get length() { return this.#items.length; }
}

/** What the browser's probe said of its GPU outlives the state of one model. */
export function freshState(before) {
  const probe = before?.load.get("gpu_limits");
  return {
    load: new Map(probe ? [["gpu_limits", probe]] : []), infer: new Map(), config: {}, io: {}, memory: {}, limits: before?.limits ?? null, backend: "", tensors: [], tensorCount: 0,
    tokens: [], tokenCount: 0, rate: 0, topK: [], probs: [], entropies: [], attention: new Map(), activity: new Map(), router: new Map(),
    cache: new Map(), kernels: new Map(), experts: null, sessions: null, drafted: 0, accepted: 0, channel: "", facts: {}, log: [], logCount: 0, errors: [],
    dirty: new Set(["load", "infer", "io", "tokens", "topk", "attn", "layers", "router", "kv", "kernels", "stats", "log"]),
  };
}

function keep(list, item, max) {
  list.push(item);
  if (list.length > max) list.splice(0, list.length - max);
}

function onLoad(s, e) {
  const d = details(e.detail);
  const row = s.load.get(e.stage) ?? {};
  s.load.set(e.stage, { ...row, status: e.status, detail: e.detail ?? row.detail ?? "", d: { ...row.d, ...d }, bytes: e.bytes ?? row.bytes,
    total: e.total_bytes ?? row.total, ts: e.ts_ms });
  if (e.stage === "load_start" && e.status === "started") { s.tensors = []; s.tensorCount = 0; s.loadFailed = null; }
  if (e.stage === "model_config") Object.assign(s.config, d);
  if (e.stage === "gpu_limits") s.limits = d;
  if (e.stage === "weights_fetch") s.io = { bytes: e.bytes, total: e.total_bytes, rate: +d.rate || 0, eta: d.eta, tensor: d.tensor, t0: s.io.t0 ?? e.ts_ms };
  if (e.stage === "load_failed") s.loadFailed = e.detail;
  s.dirty.add("load").add("io");
}

function onStage(s, e) {
  const row = s.infer.get(e.stage) ?? {};
  const d = { ...row.d, ...details(e.detail) };
  s.infer.set(e.stage, { ...row, status: e.status, detail: e.detail ?? row.detail ?? "", d, step: e.step ?? row.step, total: e.total_steps ?? row.total,
    ts: e.ts_ms });
  if (e.stage === "runtime_mode") { s.backend = d.backend ?? s.backend; Object.assign(s.facts, d); }
  if (e.stage === "generation" || e.stage === "decode") s.facts.stop_reason = d.stop_reason ?? s.facts.stop_reason;
  if (e.stage === "coherence_check") s.facts.coherence = `${d.score ?? ""} ${d.label ?? ""}`.trim();
  if (e.stage === "decode_budget") s.facts.budget = `${d.avg_ms ?? "?"} ms ${d.label ?? ""}`.trim();
  if (e.stage === "expert_cache") s.experts = d;
  if (e.stage === "sessions") s.sessions = d;
  s.stage = e.stage;
  if (e.stage === "generation") s.dirty.add("router");
  s.dirty.add("infer").add("stats");
}

function onToken(s, v) {
  const top = v.top_k ?? [];
  const p = top.find(t => t.token_id === v.token_id)?.probability ?? (top.length ? 0 : NaN);
  keep(s.tokens, { n: s.tokenCount++, id: v.token_id, text: v.token_text ?? "", p, channel: s.channel }, 240);
  keep(s.probs, p, HISTORY);
  if (Number.isFinite(v.entropy)) keep(s.entropies, v.entropy, HISTORY);
  if (top.length) s.topK = top;
  s.rate = v.tokens_per_sec ?? s.rate;
  s.lastToken = v;
  s.dirty.add("tokens").add("topk").add("stats");
}

function onAttention(s, v) {
  const key = `${v.layer}/${v.head}`, old = s.attention.get(key) ?? [];
  const rows = (v.weights ?? []).map(w => ({ first: v.first ?? 0, w }));
  s.attention.set(key, [...old, ...rows].slice(-160));
  if (s.attention.size > 64) s.attention.delete(s.attention.keys().next().value);
  s.lastAttention = key;
  s.dirty.add("attn");
}

function onRouter(s, v) {
  const row = s.router.get(v.layer) ?? { use: [], last: [], weights: [] };
  for (let i = 0; i < row.use.length; i++) row.use[i] = (row.use[i] ?? 0) * 0.995;
  v.experts.forEach((x, i) => { row.use[x] = (row.use[x] ?? 0) + (v.weights?.[i] ?? 0.25); });
  row.last = v.experts;
  row.weights = v.weights ?? [];
  s.router.set(v.layer, row);
  s.dirty.add("router");
}

const EVENTS = {
  token_generated: onToken, attention_weights: onAttention, router: onRouter,
  layer_activation(s, v) { s.activity.set(v.layer, v); s.dirty.add("layers"); },
  cache_status(s, v) { s.cache.set(v.layer, v); s.dirty.add("kv").add("stats"); },
  memory_usage(s, v) { s.memory = v; s.dirty.add("io"); },
  tensor_resident(s, v) { s.tensorCount++; keep(s.tensors, v, TENSORS); s.dirty.add("io"); },
  kernel_time(s, v) {
    const old = s.kernels.get(v.kernel);
    s.kernels.set(v.kernel, old ? { ...v, gpu_us: old.gpu_us * 0.8 + v.gpu_us * 0.2 } : v);
    s.dirty.add("kernels");
  },
  speculation(s, v) { s.drafted += v.drafted; s.accepted += v.accepted; s.dirty.add("stats"); },
  channel(s, v) { s.channel = v.channel ?? ""; },
};

/** Which lines the log shows: everything but what comes once a token or oftener. */
function logged(e) {
  if (e.type === "inference_event") return e.event.type === "channel";
  if (e.type === "inference_stage") return e.status !== "progress"
    && !/^(token_embd|attn_|rope|post_attn|moe_|layer_|output_norm|lm_head|sample)/.test(e.stage);
  return e.type !== "load_stage" || e.status !== "progress";
}

export function logText(e) {
  if (e.type === "page") return e.text;
  if (e.type === "inference_event") return `channel ${e.event.channel}${e.event.recipient ? ` to ${e.event.recipient}` : ""}`;
  return `${e.stage} ${e.status}${e.detail ? ` ${e.detail}` : ""}`;
}

export const onCpu = row => /\b(cpu|CPU|fallback|slow)\b/.test(row?.detail ?? "") || row?.d?.backend === "cpu";

export function apply(s, e) {
  if (e.type === "load_stage") onLoad(s, e);
  else if (e.type === "inference_stage") onStage(s, e);
  else if (e.type === "inference_event") EVENTS[e.event?.type]?.(s, e.event);
  if (logged(e)) {
    keep(s.log, { ts: e.ts_ms, text: logText(e), bad: e.status === "failed" || e.bad, ok: e.status === "completed"
      && /load_complete|generation/.test(e.stage), cpu: /fallback/.test(e.stage ?? "") }, LOG);
    s.logCount++;
    s.dirty.add("log");
  }
}
