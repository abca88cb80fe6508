// record.mjs - makes the page's sample recording: node tests/web/record.mjs > web/data/sample.jsonl The demo
// model on the CPU, two questions, everything that telemetry can tell; attention rows are thinned to three
// digits.
import { fileURLToPath } from "node:url";
import { init } from "../../web/js/node/node.js";

const lines = [], llm = await init({ backend: "cpu", threads: 2, cache: "none" });
const MAX = 900_000;
llm.on("telemetry", e => { if (e.stage !== "gpu_limits") lines.push(e); });
const model = await llm.loadModel(fileURLToPath(new URL("../../models/demo-gptoss.gguf", import.meta.url)),
  { telemetry: "all", max_kv: 4096 });
const session = model.createSession({ params: { temperature: 0, date: "2025-06-28" } });
for (const content of ["Which month comes after June?", "What is 12 + 30?"])
  for await (const _ of session.generate({ messages: [{ role: "user", content }] })) { /* telemetry */ }
llm.close();
const t0 = lines[0].ts_ms;
let size = 0;
for (const e of lines) {
  e.ts_ms = +(e.ts_ms - t0).toFixed(1);
  if (/source=/.test(e.detail ?? "")) e.detail = "source=/models/demo-gptoss.gguf";
  const short = (k, v) => typeof v === "number" && !Number.isInteger(v) ? +v.toPrecision(4) : v;
  const text = JSON.stringify(e, short);
  if ((size += text.length + 1) < MAX) process.stdout.write(`${text}\n`);
}
