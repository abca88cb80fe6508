// params.js - URL parameters and the controls: which there are, what they accept, and what they mean for the
// engine.
import { $ } from "./dom.js";

/** The model that ships in models/. */
export const DEMO = "/models/demo-gptoss.gguf";
const FLAG = /^(1|true|yes|on)$/i;
/** So many alternatives of a token are shown. */
const TOP = 8;

const NAMES = ["gguf", "prompt", "effort", "layers", "max_kv", "max_new", "sample", "temp", "top_k", "top_p",
  "seed", "attn", "moe", "model", "data", "date", "backend", "threads", "limits", "speed", "gpu_memory",
  "expert_cache", "prefix_cache", "early", "chunk", "hub", "greet", "at",
  "gpu_kernels"];
const WORDS = { backend: ["auto", "gpu", "cpu", "ref"], moe: ["fallback", "active"],
  limits: ["default", "adapter"], gpu_kernels: ["none", "auto"], attn: ["dense", "full", "window"] };

const fits = (name, value) => !WORDS[name] || WORDS[name].includes(value);

/** What the address asks for; what is absent, or not understood, is undefined. */
export function urlParams(search) {
  const q = new URLSearchParams(search), params = { autostart: FLAG.test(q.get("autostart") ?? "") };
  for (const name of NAMES) params[name] = fits(name, q.get(name)) ? q.get(name) ?? undefined : undefined;
  return params;
}

/** Where a `gguf` value points: {kind: "url" | "file" | "server" | "none", url?}. */
export function resolveSource(text, base) {
  const t = (text ?? "").trim();
  if (!t) return { kind: "none" };
  if (t === "file") return { kind: "file" };
  if (t === "demo") return { kind: "url", url: new URL(DEMO, base).href };
  if (t === "server") return { kind: "server", url: new URL("/", base).href };
  const remote = /^(?:server|pylon):\/\/(.+)$/.exec(t);
  if (remote) return { kind: "server", url: `http://${remote[1].replace(/\/*$/, "")}/` };
  try { return { kind: "url", url: new URL(t, base).href }; } catch { return { kind: "bad" }; }
}

/** What the address says that this page doesn't know, in sentences. */
export function unknownParams(search) {
  const bad = [];
  for (const [name, value] of new URLSearchParams(search)) {
    const known = name === "autostart" || NAMES.includes(name) || name.startsWith("utm_");
    if (!known) bad.push(`"${name}" is no parameter of this page. It knows ${NAMES.join(", ")}, autostart.`);
    else if (!fits(name, value)) {
      bad.push(`${name}=${value} is not understood: ${WORDS[name].join(", ")} are`);
    }
  }
  return bad;
}

/** Puts the address's wishes into the controls; unknown values are said, not guessed. */
export function fillControls(p) {
  const notes = [];
  const put = (id, value, ok = () => true) => {
    if (value === undefined) return;
    if (ok(value)) $(id).value = value;
    else notes.push(`${id}=${value} is not understood`);
  };
  const whole = v => /^\d+$/.test(v), real = v => Number.isFinite(+v) && +v >= 0;
  put("effort", p.effort, v => ["low", "medium", "high"].includes(v));
  put("layers", p.layers, v => v === "all" || whole(v));
  put("max-kv", p.max_kv, whole);
  put("max-new", p.max_new, whole);
  put("temp", p.temp, real);
  put("top-k", p.top_k, whole);
  put("top-p", p.top_p, v => real(v) && +v <= 1);
  put("seed", p.seed, whole);
  if (p.sample !== undefined) $("sample").checked = FLAG.test(p.sample);
  return notes;
}

/** A control's number; where it is empty, "auto" or "all", `absent`. */
function number(id, low, high, absent) {
  const node = $(id), text = node.value.trim(), value = /^(auto|all|)$/.test(text) ? absent : Number(text);
  const bad = !(Number.isFinite(value) && value >= low && value <= high);
  node.setAttribute("aria-invalid", String(bad));
  if (!bad) return value;
  const name = node.closest("label")?.firstChild?.textContent ?? id;
  throw new RangeError(`${name}: a number from ${low} to ${high}`);
}

/** "1.5G" in bytes; 0 where nothing is asked for. */
function size(name, text) {
  const m = /^(\d+(?:\.\d+)?)([kmg]?)i?b?$/i.exec(text ?? "0");
  if (!m) throw new RangeError(`${name}=${text} is no size: 800M and 4G are`);
  return Math.floor(+m[1] * 1024 ** ["", "k", "m", "g"].indexOf(m[2].toLowerCase()));
}

/** What loading needs: LAYERS 0 means no layer at all (embedding and head only), which the engine calls
 * -1. */
export function engineOptions(p) {
  const all = /^all$/i.test($("layers").value.trim());
  const layers = all ? 0 : number("layers", 0, 1000, 0) || -1;
  return {
    layers, max_kv: number("max-kv", 0, 1 << 24, 0),
    attn_dense: /^(dense|full)$/.test(p.attn ?? ""), moe_fallback: p.moe === "fallback",
    backend: p.backend, threads: p.threads ? +p.threads : undefined,
    gpu_kernels: p.gpu_kernels, gpu_limits_default: p.limits === "default",
    gpu_memory: size("gpu_memory", p.gpu_memory),
    expert_cache: size("expert_cache", p.expert_cache), prefix_cache: size("prefix_cache", p.prefix_cache),
    early: p.early === undefined ? undefined : FLAG.test(p.early), chunk: size("chunk", p.chunk) || undefined,
  };
}

/** The functions that the model may call; the user answers for them. */
export function tools() {
  const node = $("tools"), text = node.value.trim();
  if (!text) return {};
  let list;
  try { list = [].concat(JSON.parse(text)); } catch { list = null; }
  const bad = !list?.length || !list.every(t => typeof t?.function?.name === "string");
  node.setAttribute("aria-invalid", String(bad));
  if (bad) throw new RangeError("TOOLS: a JSON list of {type: \"function\", function: {name, parameters}}");
  return { tools: list };
}

/** What a generation needs. Without SAMPLE the best token is taken; an empty SEED is another one each
 * time. */
export function samplingOptions(p) {
  const sampled = { temperature: number("temp", 0, 2, 1), top_k: number("top-k", 0, 1 << 20, 0),
    top_p: number("top-p", 0, 1, 1), min_p: number("min-p", 0, 1, 0) };
  const greedy = { temperature: 0, top_k: 0, top_p: 1, min_p: 0 }, any = Math.floor(Math.random() * 2 ** 32);
  const stop = $("stop").value.split("|").map(s => s.trim()).filter(Boolean);
  return {
    reasoning_effort: $("effort").value, max_tokens: number("max-new", 0, 1 << 24, 0),
    ...($("sample").checked ? sampled : greedy), seed: number("seed", 0, 2 ** 53, any), top_logprobs: TOP,
    repetition_penalty: number("repeat", 0.1, 10, 1), presence_penalty: number("presence", -2, 2, 0),
    frequency_penalty: number("frequency", -2, 2, 0), ...(stop.length && { stop }),
    ...(p.date && { date: p.date }), ...(p.model && { model: p.model }),
  };
}
