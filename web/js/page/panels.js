// panels.js - panels made of DOM: pipelines, I/O and memory, token stream, top-k, kernels, stats, log. Called once a frame with
// the state; each redraws only when its name is in state.dirty.
import { $, bytes, el, percent, seconds, setText, visible } from "./dom.js";
import { INFER_STAGES, LOAD_STAGES, onCpu } from "./telemetry.js";
import * as charts from "./charts.js";

const WORDS = { started: "RUN", progress: "RUN", completed: "OK", failed: "FAIL" };
const CLASSES = { started: "run", progress: "run", completed: "ok", failed: "fail" };

// ---- pipelines -----------------------------------------------------------------------------------------
function pipeRow(list, stage) {
  let row = list.querySelector(`[data-stage="${CSS.escape(stage)}"]`);
  if (!row) list.append(row = el("li", { "data-stage": stage }, el("span.n", null, stage), el("span.d"), el("span.s", null, "IDLE")));
  return row;
}

function shortDetail(stage, r) {
  if (stage === "weights_fetch" && r.total) return `${bytes(r.bytes)} / ${bytes(r.total)}`;
  const steps = r.total ? `${r.step ?? 0}/${r.total} ` : r.step ? `${r.step} ` : "";
  return steps + (r.detail ?? "");
}

function pipeline(list, order, rows) {
  for (const stage of order) pipeRow(list, stage);
  for (const [stage, r] of rows) {
    const row = pipeRow(list, stage);
    const name = `${CLASSES[r.status] ?? ""}${onCpu(r) ? " cpu" : ""}`;
    if (row.className !== name) row.className = name;
    const text = shortDetail(stage, r);
    setText(row.children[1], text);
    if (row.title !== text) row.title = text;
    setText(row.children[2], WORDS[r.status] ?? "IDLE");
  }
}

/** Rows of runs that are over go back to IDLE. */
export function resetPipe(list) {
  for (const row of list.children) { row.className = ""; row.title = ""; setText(row.children[1], ""); setText(row.children[2], "IDLE"); }
}

// ---- facts ----------------------------------------------------------------------------------------------
function facts(list, pairs) {
  const want = pairs.map(([k, v, cls]) => `${k}\u0000${v}\u0000${cls ?? ""}`).join("\u0001");
  if (list.dataset.now === want) return;
  list.dataset.now = want;
  list.replaceChildren(...pairs.flatMap(([k, v, cls]) => k ? [el("dt", null, k), el("dd", { class: cls, title: v }, v)] : [el("dd.line",
    { class: `line ${cls ?? ""}` }, v)]));
}

function gauge(name, value, max, colour) {
  const id = `g-${name.replace(/\W+/g, "-")}`;
  let g = $(id);
  if (!g) {
    g = el("div.gauge", { id }, el("span", null, name, el("b")), el("div.meter", { style: { "--c": colour } }, el("i")));
    $("gauges").append(g);
  }
  setText(g.querySelector("b"), max ? `${bytes(value)} / ${bytes(max)}` : bytes(value));
  g.querySelector("i").style.setProperty("--v", String(max ? Math.min(1, value / max) : value ? 1 : 0));
}

function limitsText(d) {
  const mb = v => /^\d+$/.test(v ?? "") ? `${Math.round(+v / 1048576)}MB` : v ?? "?";
  const yes = v => v === "1" || v === "yes" || v === "true" ? "yes" : "no";
  return `GPU Limits:\n  maxBuffer: ${mb(d.max_buffer)}   maxBinding: ${mb(d.max_binding)}   bindGroups: ${d.bind_groups ?? "?"}   ` +
    `bindingsPerGroup: ${d.bindings_per_group ?? "?"}   f16: ${yes(d.f16)}   subgroups: ${yes(d.subgroups)}`;
}

function ioPanel(s) {
  const d = s.load.get("tokenizer_load")?.d ?? {}, io = s.io, m = s.memory, plan = s.load.get("memory_plan")?.d ?? {};
  facts($("io-facts"), [
    ["weights", io.total ? `${bytes(io.bytes)} / ${bytes(io.total)}` : "—"],
    ["rate · eta", io.rate ? `${bytes(io.rate)}/s · ${seconds(+io.eta)}` : "—"],
    ["tokenizer", d.vocab ? `${d.vocab} ${d.model ?? ""} ${d.pre ?? ""}` : "—"],
    ["model", s.config.blocks ? `${s.config.blocks}×${s.config.embd} ${+s.config.experts ? `· ${s.config.experts} experts` : ""}` : "—"],
  ]);
  const gpu = +s.load.get("gpu_alloc")?.d?.bytes || 0, held = m.gpu_allocated || gpu, all = Math.max(held, +plan.resident || 0);
  gauge("memory", held || (io.bytes ?? 0), all, "var(--cy)");
  gauge("KV cache", m.cache_total ?? 0, +plan.kv || 0, "var(--vi)");
  gauge("activations", m.activations ?? 0, 0, "var(--gr)");
  if (s.limits) setText($("gpu-limits"), limitsText(s.limits));
  $("tensors").replaceChildren(...s.tensors.map(t => el("div", null, el("span", null, t.name), el("span.q", null, t.kind), el("span", null,
    bytes(t.bytes)))));
  tag("p-io", s.tensorCount ? `${s.tensorCount} tensors` : "");
}

function tag(panel, text) {
  const h = $(panel).querySelector("h2");
  let t = h.querySelector(".tag");
  if (!t) h.append(t = el("span.tag"));
  setText(t, text);
}

// ---- tokens -----------------------------------------------------------------------------------------------
let shown = 0;
function stream(s) {
  let line = $("tokens").firstElementChild;
  if (!line) $("tokens").append(line = el("div", null, el("span.cursor")));
  const news = s.tokens.filter(t => t.n >= shown);
  if (s.tokenCount < shown || !s.tokens.length) line.replaceChildren(el("span.cursor"));
  shown = s.tokenCount;
  const cursor = line.lastElementChild;
  for (const t of news.slice(-200)) {
    const control = /^<\|.*\|>$/.test(t.text);
    cursor.before(el(`span.new${control ? ".ctl" : ""}${t.channel === "analysis" ? ".analysis" : ""}`,
      { style: { "--p": Number.isFinite(t.p) ? t.p : 0.5 }, title: `#${t.id}  p=${Number.isFinite(t.p) ? percent(t.p) : "?"}` }, visible(t.text)));
  }
  while (line.childElementCount > 200) line.firstElementChild.remove();
  const last = s.tokens.at(-1);
  setText($("tok-id"), last ? `ID ${last.id}` : "ID —");
  setText($("tok-rate"), s.rate >= 100 ? s.rate.toFixed(0) : s.rate.toFixed(1));
}

function topK(s) {
  const list = $("topk"), n = Math.max(8, Math.min(10, s.topK.length));
  while (list.childElementCount < n) list.append(el("li", null, el("span"), el("span")));
  [...list.children].forEach((li, i) => {
    const t = s.topK[i];
    setText(li.children[0], t ? visible(t.token_text) : "");
    setText(li.children[1], t ? percent(t.probability) : "");
    li.style.setProperty("--p", t ? String(t.probability) : "0");
    li.classList.toggle("hit", !!t && t.token_id === s.lastToken?.token_id);
  });
}

// ---- kernels, stats, log ------------------------------------------------------------------------------------
function kernels(s) {
  const rows = [...s.kernels.values()].sort((a, b) => b.gpu_us - a.gpu_us).slice(0, 16);
  const head = ["kernel", "µs", "GB/s", "roof"].map((h, i) => el(`span.h${i ? ".v" : ""}`, null, h));
  const cells = rows.flatMap(k => [el("span.n", { title: `${k.dispatches} dispatches` }, k.kernel), el("span.v", null,
    k.gpu_us.toFixed(k.gpu_us < 100 ? 1 : 0)),
    el("span.v", null, k.gb_per_s ? k.gb_per_s.toFixed(1) : "—"), el("span.r", null, k.roofline ? percent(k.roofline) : "—")]);
  $("kernels").replaceChildren(...head, ...(rows.length ? cells : [el("span.none", null, "no timings: they need WebGPU timestamp queries")]));
}

/** Which of GPU and CPU runs what, in the words scripts look for. */
function places(s) {
  const gpu = /gpu|webgpu/i.test(s.facts.backend ?? s.backend ?? "");
  if (!(s.facts.backend ?? s.backend)) return [];
  const where = gpu ? "GPU" : "CPU", cls = gpu ? "gpu" : "cpu";
  const phase = s.stage === "prefill" ? "prefill" : "decode";
  const fallback = /fallback/.test(s.facts.moe ?? "");
  return [["", `RMSNorm: ${where}`, cls], ["", `RoPE: ${where}`, cls], ["", gpu ? `Attention: GPU (${phase})` : "Attention: CPU (SLOW)", cls],
    ["", fallback ? "MoE: fallback mode (expert 0 only)" : "MoE: active", fallback ? "cpu" : cls]];
}

/** What sessions had of one another and of the masks, from the engine's totals. */
function together(s) {
  const d = s.sessions, n = key => +d?.[key] || 0;
  if (!d) return [];
  const how = [n("stored") && `${n("stored")} stored`, n("joined") && `${n("joined")} joined`].filter(Boolean).join(", ");
  return [["rows / step", n("steps") ? (n("rows") / n("steps")).toFixed(1) : "—"],
    ["prompt reused", n("prompt") ? `${percent(n("reused") / n("prompt"))}${how ? ` (${how})` : ""}` : "—"],
    ["guard · schema", `${n("guarded")} · ${n("schema")} tokens`],
    ...(n("kv_shared") ? [["KV shared", bytes(n("kv_shared"))]] : [])];
}

function stats(s) {
  const e = s.entropies.at(-1), c = s.cache.values().next().value, p = s.infer.get("prefill");
  facts($("stats"), [
    ["entropy", Number.isFinite(e) ? `${e.toFixed(3)} nats` : "—"], ["stage", s.stage ?? "idle"],
    ["KV", c ? `${c.seq_len} / ${c.max_len}${s.facts.kv ? ` ${s.facts.kv}` : ""}` : "—"], ["prefill", p?.d?.["tok/s"] ? `${p.d["tok/s"]} tok/s` : "—"],
    ["tokens", String(s.tokenCount)], ["budget", s.facts.budget ?? "—"],
    ["coherence", s.facts.coherence ?? "—"], ["stop", s.facts.stop_reason ?? "—"],
    ...(s.drafted ? [["drafted", `${s.accepted}/${s.drafted} kept`]] : []), ...together(s), ...places(s),
  ]);
  charts.spark($("entropy"), s.entropies, 1);
}

let logged = 0;
function log(s) {
  const box = $("log"), stick = box.scrollTop + box.clientHeight > box.scrollHeight - 30;
  const news = Math.min(s.logCount - logged, s.log.length);
  if (news < 0 || (news && !s.log.length)) box.replaceChildren();
  for (const l of news > 0 ? s.log.slice(-news) : [])
    box.append(el("div", { class: l.bad ? "bad" : l.cpu ? "cpu" : l.ok ? "ok" : null }, el("time", null, ((l.ts ?? 0) / 1000).toFixed(3).padStart(8)),
      l.text));
  logged = s.logCount;
  while (box.childElementCount > 600) box.firstElementChild.remove();
  if (stick) box.scrollTop = box.scrollHeight;
}

// ---- all ------------------------------------------------------------------------------------------------
const DRAW = {
  load: s => pipeline($("load-rows"), LOAD_STAGES, s.load), infer: s => pipeline($("infer-rows"), INFER_STAGES, s.infer), io: ioPanel,
  tokens(s) { stream(s); charts.history($("hist"), s.probs); }, topk: topK, kernels, stats, log,
  attn(s) {
    const key = `${$("attn-layer").value}/${$("attn-head").value}`;
    charts.attention($("attn"), s.attention.get(key) ?? []);
    tag("p-attn", s.attention.has(key) ? `L${$("attn-layer").value} H${$("attn-head").value}` : "");
  },
  router(s) {
    charts.router($("router"), s.router, +s.config.experts);
    const hit = s.experts?.hits ? `cache ${s.experts.hits} hits · ${s.experts.misses ?? 0} misses · ${s.experts.evict ?? 0} evicted` : "all experts resident";
    const drawn = document.body.classList.contains("on-gpu") && s.tokenCount;
    setText($("router-note"), s.router.size || drawn ? hit : "no experts yet");
  },
  layers: s => charts.activity($("activity"), s.activity),
  kv(s) {
    charts.cache($("kv"), s.cache);
    const first = s.cache.values().next().value;
    const total = [...s.cache.values()].reduce((n, v) => n + (v.memory_bytes ?? 0), 0);
    setText($("kv-note"), first ? `${first.seq_len + (first.offset ?? 0)} / ${first.max_len} positions · ${bytes(total)}` : "empty");
  },
};

export function draw(s) {
  for (const name of s.dirty) DRAW[name]?.(s);
  s.dirty.clear();
}
