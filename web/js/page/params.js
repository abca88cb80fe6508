// params.js - URL parameters and the controls: which there are, what they accept, and what they mean for the engine.
import { $ } from "./dom.js";

const FLAG = /^(1|true|yes|on)$/i;

/** What the address asks for; absent parameters are undefined. */
export function urlParams(search) {
  const q = new URLSearchParams(search), get = k => q.get(k) ?? undefined;
  return {
    gguf: get("gguf"), prompt: get("prompt"), effort: get("effort"), layers: get("layers"), max_kv: get("max_kv"), max_new: get("max_new"),
    sample: get("sample"), temp: get("temp"), top_k: get("top_k"), top_p: get("top_p"), seed: get("seed"), attn: get("attn"), moe: get("moe"),
    model: get("model"), data: get("data"), autostart: FLAG.test(q.get("autostart") ?? ""), date: get("date"), backend: get("backend"),
    threads: get("threads"), limits: get("limits"), speed: get("speed"), gpu_memory: get("gpu_memory"), expert_cache: get("expert_cache"),
    prefix_cache: get("prefix_cache"),
    early: get("early"), chunk: get("chunk"),
  };
}

/** Where a `gguf` value points: {kind: "url" | "file" | "server" | "none", url?}. */
export function resolveSource(text, base) {
  const t = (text ?? "").trim();
  if (!t) return { kind: "none" };
  if (t === "file") return { kind: "file" };
  if (t === "demo") return { kind: "url", url: new URL("/models/demo-gptoss.gguf", base).href };
  if (t === "server") return { kind: "server", url: new URL("/", base).href };
  const remote = /^(?:server|pylon):\/\/(.+)$/.exec(t);
  if (remote) return { kind: "server", url: `http://${remote[1].replace(/\/*$/, "")}/` };
  try { return { kind: "url", url: new URL(t, base).href }; } catch { return { kind: "bad" }; }
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

const number = (id, low, high, absent) => {
  const node = $(id), text = node.value.trim(), value = text === "" || text === "auto" || text === "all" ? absent : Number(text);
  const bad = !(Number.isFinite(value) && value >= low && value <= high);
  node.setAttribute("aria-invalid", String(bad));
  if (bad) throw new RangeError(`${node.closest("label")?.firstChild?.textContent ?? id}: a number from ${low} to ${high}`);
  return value;
};

/** "1.5G" in bytes; 0 where nothing is asked for. */
function size(name, text) {
  const m = /^(\d+(?:\.\d+)?)([kmg]?)i?b?$/i.exec(text ?? "0");
  if (!m) throw new RangeError(`${name}=${text} is no size: 800M and 4G are`);
  return Math.floor(+m[1] * 1024 ** ["", "k", "m", "g"].indexOf(m[2].toLowerCase()));
}

/** What loading needs: LAYERS 0 means no layer at all (embedding and head only), which the engine calls -1. */
export function engineOptions(p) {
  const all = /^all$/i.test($("layers").value.trim());
  const layers = all ? 0 : number("layers", 0, 1000, 0) || -1;
  return {
    layers, max_kv: number("max-kv", 0, 1 << 24, 0), attn_dense: /^(dense|full)$/.test(p.attn ?? ""), moe_fallback: p.moe === "fallback",
    backend: p.backend, threads: p.threads ? +p.threads : undefined, gpu_limits_default: p.limits === "default",
    gpu_memory: size("gpu_memory", p.gpu_memory), expert_cache: size("expert_cache", p.expert_cache),
    prefix_cache: size("prefix_cache", p.prefix_cache),
    early: p.early === undefined ? undefined : FLAG.test(p.early), chunk: size("chunk", p.chunk) || undefined,
  };
}

/** What a generation needs. Without SAMPLE the best token is taken. */
export function samplingOptions(p) {
  const sample = $("sample").checked;
  return {
    reasoning_effort: $("effort").value, max_tokens: number("max-new", 0, 1 << 24, 0), temperature: sample ? number("temp", 0, 10, 1) : 0,
    top_k: sample ? number("top-k", 0, 1 << 20, 0) : 0, top_p: sample ? number("top-p", 0, 1, 1) : 1, seed: number("seed", 0, 2 ** 53, 0),
    top_logprobs: 8, ...(p.date ? { date: p.date } : {}), ...(p.model ? { model: p.model } : {}),
  };
}
