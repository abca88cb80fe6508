// facts.js - I/O + MEMORY and INFERENCE STATS: names with figures.
import { $, bytes, el, percent, seconds, setText, tag } from "./dom.js";
import * as charts from "./charts.js";
import { momentOf, tagOf } from "./moment.js";

/** Nodes stay where the names do. list: a <dl>; pairs: [name, value, class]; without a name the value has the
 * line for itself. */
function facts(list, pairs) {
  const shape = JSON.stringify(pairs.map(([name, , cls]) => [name, cls]));
  if (list.dataset.shape !== shape) {
    list.dataset.shape = shape;
    list.replaceChildren(...pairs.flatMap(([name, , cls = ""]) => name
      ? [el("dt", null, name), el("dd", { class: cls })] : [el("dd", { class: `line ${cls}` })]));
  }
  const values = list.querySelectorAll("dd");
  for (const [i, [name, value]] of pairs.entries()) {
    setText(values[i], value);
    if (name && values[i].title !== value) values[i].title = value;
  }
}

// ---- I/O + MEMORY -----------------------------------------------------------------------------------------
function gauge(name, value, max, colour) {
  const id = `g-${name.replace(/\W+/g, "-")}`;
  let g = $(id);
  if (!g) {
    const meter = el("div.meter", { style: { "--c": colour } }, el("i"));
    g = el("div.gauge", { id }, el("span", null, name, el("b")), meter);
    $("gauges").append(g);
  }
  const share = max ? Math.min(1, value / max) : 0;
  g.lastChild.hidden = !max;         // a bar without a scale would say nothing
  setText(g.querySelector("b"), max ? `${bytes(value)} / ${bytes(max)}` : bytes(value));
  g.querySelector("i").style.setProperty("--v", String(share));
}

/** In the words that scripts look for. */
function limitsText(d) {
  const mb = v => /^\d+$/.test(v ?? "") ? `${Math.round(+v / 1048576)}MB` : v ?? "?";
  const yes = v => v === "1" || v === "yes" || v === "true" ? "yes" : "no";
  const words = [`maxBuffer: ${mb(d.max_buffer)}`, `maxBinding: ${mb(d.max_binding)}`,
    `bindGroups: ${d.bind_groups ?? "?"}`, `bindingsPerGroup: ${d.bindings_per_group ?? "?"}`,
    `f16: ${yes(d.f16)}`, `subgroups: ${yes(d.subgroups)}`];
  return `GPU Limits:\n  ${words.join("   ")}`;
}

function modelText({ blocks, embd, experts }) {
  return blocks ? `${blocks}×${embd} ${+experts ? `· ${experts} experts` : ""}` : "—";
}

export function ioPanel(s) {
  const detailsOf = stage => s.load.get(stage)?.d ?? {}, { io, memory } = s;
  const { vocab, model = "", pre = "" } = detailsOf("tokenizer_load"), plan = detailsOf("memory_plan");
  facts($("io-facts"), [
    ["weights", io.total ? `${bytes(io.bytes)} / ${bytes(io.total)}` : "—"],
    ["rate · eta", io.rate && io.bytes < io.total ? `${bytes(io.rate)}/s · ${seconds(+io.eta)}` : "—"],
    ["tokenizer", vocab ? `${vocab} ${model} ${pre}` : "—"],
    ["model", modelText(s.config)],
    ["wasm", s.wasm ? bytes(s.wasm) : "—"],
  ]);
  const resident = +plan.resident || 0, kv = +plan.kv || 0;
  const onGpu = memory.gpu_allocated || +detailsOf("gpu_alloc").bytes || 0;
  if (onGpu) gauge("GPU memory", onGpu, Math.max(onGpu, resident + kv), "var(--cy)");
  else gauge("weights", io.total ? resident * Math.min(1, io.bytes / io.total) : 0, resident, "var(--cy)");
  gauge("KV, all sessions", memory.cache_total ?? 0, kv, "var(--vi)");
  gauge("activations", memory.activations ?? 0, 0, "var(--gr)");
  if (s.limits) setText($("gpu-limits"), limitsText(s.limits));
  const secondsOf = ({ ms }) => Number.isFinite(ms) ? `${(ms / 1000).toFixed(2)} s` : "";
  const tensor = t => el("div", null, el("span", null, t.name), el("span.q", null, t.kind),
    el("span", null, bytes(t.bytes)), el("span", { title: "after the load began" }, secondsOf(t)));
  $("tensors").replaceChildren(...s.tensors.map(tensor));
  tag("p-io", s.tensorCount ? `${s.tensorCount} tensors` : "");
}

// ---- INFERENCE STATS --------------------------------------------------------------------------------------
/** Which of GPU and CPU runs what, in the words that scripts look for. */
function places(s) {
  const backend = s.facts.backend ?? s.backend;
  if (!backend) return [];
  const gpu = /gpu/i.test(backend), where = gpu ? "GPU" : "CPU", cls = where.toLowerCase();
  const phase = s.stage === "prefill" ? "prefill" : "decode", fallback = /fallback/.test(s.facts.moe ?? "");
  return [
    ["", `RMSNorm: ${where}`, cls],
    ["", `RoPE: ${where}`, cls],
    ["", gpu ? `Attention: GPU (${phase})` : "Attention: CPU (SLOW)", cls],
    ["", fallback ? "MoE: fallback mode (expert 0 only)" : "MoE: active", fallback ? "cpu" : cls],
  ];
}

/** What sessions had of one another and of the masks, from the engine's totals. */
function together(s) {
  if (!s.sessions) return [];
  const n = key => +s.sessions[key] || 0, of = key => n(key) && `${n(key)} ${key}`;
  const how = [of("stored"), of("joined")].filter(Boolean).join(", ");
  const reused = n("prompt") ? percent(n("reused") / n("prompt")) + (how && ` (${how})`) : "—";
  return [
    ["rows / step", n("steps") ? (n("rows") / n("steps")).toFixed(1) : "—"],
    ["prompt reused", reused],
    ["guard · schema", `${n("guarded")} · ${n("schema")} tokens`],
    ...(n("kv_shared") ? [["KV shared", bytes(n("kv_shared"))]] : []),
  ];
}

export function stats(s) {
  const { facts: f, history } = s, cache = s.cache.values().next().value;
  const entropy = history.get(momentOf(s), history.columns.entropy);
  const prefill = s.infer.get("prefill")?.d?.["tok/s"], kv = f.kv ? ` ${f.kv}` : "";
  facts($("stats"), [
    ["entropy", Number.isFinite(entropy) ? `${entropy.toFixed(3)} nats` : "—"],
    ["stage", s.stage ?? "idle"],
    ["KV", cache ? `${cache.seq_len} / ${cache.max_len}${kv}` : "—"],
    ["prefill", prefill ? `${prefill} tok/s` : "—"],
    ["tokens", String(s.infer.get("decode")?.step ?? 0)],
    ["budget", f.budget ?? "—"],
    ["coherence", f.coherence ?? "—"],
    ["stop", f.stop_reason ?? "—"],
    ...(s.drafted ? [["drafted", `${s.accepted}/${s.drafted} kept`]] : []),
    ...together(s),
    ...places(s),
  ]);
  tag("p-stats", tagOf(s));
  charts.spark($("entropy"), s);
}
