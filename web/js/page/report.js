// report.js - COPY LOGS: the page's state as text, for a bug report.
import { $, setText } from "./dom.js";

const INPUTS = ["effort", "layers", "max-kv", "max-new", "temp", "top-k", "top-p", "seed"];
const LINES = 200, COPIED_MS = 1200;

function stages(rows) {
  const line = ([name, r]) => `  ${name.padEnd(18)} ${String(r.status).padEnd(10)} ${r.detail ?? ""}`;
  return [...rows].map(line).join("\n");
}

const event = ({ ts = 0, text }) => `  ${(ts / 1000).toFixed(3)} ${text}`;

function report({ state, chats, status, params }) {
  const inputs = INPUTS.map(id => `${id}=${$(id).value}`).join(" ");
  const asked = chats[0]?.messages.filter(m => m.role === "user").at(-1)?.content;
  const errors = state.errors.length ? `\n  ${state.errors.join("\n  ")}` : "none";
  const { crossOriginIsolated } = globalThis, { userAgent, hardwareConcurrency, gpu } = navigator;
  return [
    "GOSSAMER REPORT",
    `date     ${new Date().toISOString()}`,
    `browser  ${userAgent}`,
    `page     ${location.href}`,
    `isolated ${crossOriginIsolated} · cores ${hardwareConcurrency} · WebGPU ${!!gpu}`,
    `source   ${$("source").value}`,
    `prompt   ${params.prompt ?? asked ?? ""}`,
    `inputs   ${inputs} sample=${$("sample").checked}`,
    `status   ${status}`,
    `errors   ${errors}`,
    "", $("gpu-limits").textContent,
    "", "LOAD", stages(state.load),
    "", "INFERENCE", stages(state.infer),
    "", "EVENTS", ...state.log.slice(-LINES).map(event),
  ].join("\n");
}

export function wireReport(shared, messages) {
  const button = $("copy-logs"), name = button.textContent;
  button.addEventListener("click", async () => {
    const text = report(shared);
    try {
      await navigator.clipboard.writeText(text);
      setText(button, "COPIED");
    } catch {
      messages.error("The clipboard is not allowed here; the report is in the event log.");
      messages.note(text);
    }
    setTimeout(() => setText(button, name), COPIED_MS);
  });
}
