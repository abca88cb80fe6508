// pipelines.js - LOAD PIPELINE and INFERENCE PIPELINE: one row a stage, in the order that is known
// beforehand; stages that aren't known come behind.
import { PARTS } from "../core/columns.js";
import { $, bytes, el, setText } from "./dom.js";
import { INFER_STAGES, LOAD_STAGES, onCpu } from "./telemetry.js";

const IDLE = { word: "IDLE", className: "" };
const RUN = { word: "RUN", className: "run" };
const SHOWN = { started: RUN, progress: RUN, completed: { word: "OK", className: "ok" },
  failed: { word: "FAIL", className: "fail" } };

function rowOf(list, stage) {
  const there = list.querySelector(`[data-stage="${CSS.escape(stage)}"]`);
  if (there) return there;
  const row = el("li", { "data-stage": stage }, el("span.n", null, stage), el("span.d"), el("span.s"));
  list.append(row);
  fill(row, IDLE, "");
  return row;
}

function fill(row, { word, className }, detail) {
  if (row.className !== className) row.className = className;
  if (row.title !== detail) row.title = detail;
  setText(row.children[1], detail);
  setText(row.children[2], word);
}

function detailOf(stage, r) {
  if (stage === "weights_fetch" && r.total) return `${bytes(r.bytes)} / ${bytes(r.total)}`;
  const steps = r.total ? `${r.step ?? 0}/${r.total} ` : r.step ? `${r.step} ` : "";
  return steps + (r.detail ?? "");
}

/** Stages that no line has told of are IDLE. */
function draw(list, order, rows) {
  for (const stage of [...order, ...rows.keys()]) rowOf(list, stage);
  for (const row of list.children) {
    const { stage } = row.dataset, r = rows.get(stage), { word, className } = SHOWN[r?.status] ?? IDLE;
    if (!r) fill(row, IDLE, "");
    else fill(row, { word, className: className + (onCpu(r) ? " cpu" : "") }, detailOf(stage, r));
  }
}

/** The row that runs, or the last that ended, is kept in view. */
function follow(list) {
  const row = list.querySelector(".run") ?? [...list.children].findLast(r => r.classList.contains("ok"));
  if (!row || list.scrollHeight <= list.clientHeight) return;
  const { scrollTop, clientHeight } = list;
  const top = row.offsetTop - list.offsetTop, bottom = top + row.offsetHeight;
  const whole = top >= scrollTop && bottom <= scrollTop + clientHeight;
  if (!whole) list.scrollTop = (top + bottom - clientHeight) / 2;
}

export function loadPipeline(s) {
  draw($("load-rows"), LOAD_STAGES, s.load);
  follow($("load-rows"));
}

/** Stages of the newest timed step on the CPU, all layers together. */
function ofStep({ history }) {
  const n = history.timed(history.count - 1), { columns: c } = history, out = new Map();
  if (n < 0) return out;
  const add = (stage, ms, layers) => {
    if (!(ms > 0)) return;
    const detail = `${layers ? `layers=${layers} ` : ""}ms=${ms.toFixed(3)}`;
    out.set(stage, { status: "completed", detail, d: { backend: "cpu" } });
  };
  add("token_embd", history.get(n, c.embed));
  PARTS.forEach((part, i) => {
    let ms = 0;
    for (let layer = 0; layer < c.layers; layer++) ms += history.get(n, c.parts(layer) + i) || 0;
    add(part === "mlp" ? c.used ? "moe_mlp" : "layer_mlp" : part, ms, c.layers);
  });
  add("lm_head", history.get(n, c.head));
  return out;
}

/** What a GPU's kernels are a part of. RoPE is in those that write and read keys: qkv_rows and attend. */
const OPERATIONS = { token_embd: /^embed/, norms: /^norm/, products: /^(mat|qkv_rows|quantize)/,
  attn_score: /^(attend|merge)/, moe_router: /^(route|choose|group)/, moe_mlp: /^experts/,
  sample: /^sample/ };

/** The same of a GPU, whose kernels are timed in some steps: what each operation took of one. */
function ofKernels({ kernels }) {
  const out = new Map();
  for (const [stage, pattern] of Object.entries(OPERATIONS)) {
    const own = [...kernels.values()].filter(k => pattern.test(k.kernel) && !/ many$/.test(k.kernel));
    const us = own.reduce((sum, k) => sum + k.gpu_us, 0);
    const detail = `dispatches=${own.reduce((sum, k) => sum + k.dispatches, 0)} us=${us.toFixed(0)}`;
    if (us > 0) out.set(stage, { status: "completed", detail, d: { backend: "gpu" } });
  }
  return out;
}

export const inferPipeline = s => draw($("infer-rows"), INFER_STAGES,
  new Map([...s.infer, ...s.backend === "gpu" ? ofKernels(s) : ofStep(s)]));
