// report.js - COPY LOGS: the page's state as text, for a bug report.
import { $ } from "./dom.js";
import { logText } from "./telemetry.js";

export function report(state, app, params) {
  const inputs = ["effort", "layers", "max-kv", "max-new", "temp", "top-k", "top-p", "seed"].map(id => `${id}=${$(id).value}`).join(" ");
  const stages = rows => [...rows].map(([name, r]) => `  ${name.padEnd(18)} ${String(r.status).padEnd(10)} ${r.detail ?? ""}`).join("\n");
  return [
    "GOSSAMER REPORT", `date     ${new Date().toISOString()}`, `browser  ${navigator.userAgent}`,
    `page     ${location.href}`, `isolated ${globalThis.crossOriginIsolated} · cores ${navigator.hardwareConcurrency} · WebGPU ${!!navigator.gpu}`,
    `source   ${$("source").value}`, `prompt   ${params.prompt ?? app.chats[0]?.messages.filter(m => m.role === "user").at(-1)?.content ?? ""}`,
    `inputs   ${inputs} sample=${$("sample").checked}`, `status   ${app.status}`,
      `errors   ${state.errors.length ? `\n  ${state.errors.join("\n  ")}` : "none"}`,
    "", $("gpu-limits").textContent, "", "LOAD", stages(state.load), "", "INFERENCE", stages(state.infer), "", "EVENTS",
    ...state.log.slice(-200).map(l => `  ${((l.ts ?? 0) / 1000).toFixed(3)} ${l.text ?? logText(l)}`),
  ].join("\n");
}
