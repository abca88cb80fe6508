// check.js - runs gossamer-check in this browser: the CPU's kernels in wasm and every WGSL kernel over
// WebGPU, in a table. URL parameters: seed (else the clock's), cases (at most so many a WGSL kernel's test),
// mutants=0 (wrong kernels are left out), test (one WGSL kernel's), levels (of default, adapter, wasm; else
// all).
import { $, el, setText } from "./dom.js";

const q = new URLSearchParams(location.search);
const SEED = +(q.get("seed") ?? Date.now() % 1000007), MOST = +(q.get("cases") ?? 0);
const MUTANTS = q.get("mutants") !== "0", ONLY = q.get("test") ?? "";
const LEVELS = (q.get("levels") ?? "wasm,default,adapter").split(",");
const RUNNING = "running…";
const distOf = name => new URL(`../../dist/${name}.wasm`, import.meta.url).href;

function runModule(name, bench) {
  return new Promise(resolve => {
    const worker = new Worker(new URL("check-cpu.js", import.meta.url), { type: "module" });
    const close = result => {
      worker.terminate();
      resolve(result);
    };
    worker.onerror = e => {
      say(name, e.message || "its worker did not start");
      close({ name, passed: 0, failed: 1 });
    };
    worker.onmessage = ({ data }) => {
      if (data.bad) say(name, data.bad);
      else if (data.time) $("rows").append(...data.time.map(t => el("span", null, t)));
      else close({ name, ...data });
    };
    worker.postMessage({ url: distOf(name), bench, seed: SEED });
  });
}

/** The GPU half, at WebGPU's default limits or with all that the adapter has. */
function runGpu(row, defaults) {
  return new Promise(resolve => {
    const worker = new Worker(new URL("check-gpu.js", import.meta.url), { type: "module" });
    const close = result => {
      worker.terminate();
      resolve(result);
    };
    worker.onerror = e => close({ none: e.message, broken: true });
    worker.onmessage = ({ data }) => {
      if (data.line) say(defaults ? "default limits" : "all of the adapter", data.line);
      else if (data.none || data.done) close(data);
      else show(row, data, RUNNING);
    };
    const url = distOf("check-gpu");
    worker.postMessage({ url, defaults, seed: SEED, only: ONLY, most: MOST, mutants: MUTANTS });
  });
}

// ---- the table: one row a module and level ----------------------------------------------------------------
function say(where, text) {
  const style = { color: "var(--rd)", "grid-column": "1 / -1", "white-space": "pre-wrap" };
  $("rows").append(el("span.failure", { style }, `${where}: ${text.trim()}`));
}

function addRow(name) {
  const cells = Array.from({ length: 4 }, () => el("td", null, "—"));
  const row = el("tr", null, el("th", { scope: "row" }, name), ...cells);
  $("table").append(row);
  return row;
}

function show(row, { passed, bad, skipped }, note) {
  [passed, bad, skipped ?? 0, note].forEach((v, i) => setText(row.children[i + 1], String(v ?? "—")));
  row.className = bad ? "fail" : note === RUNNING ? "run" : "ok";
}

/** A run's end in its row; returns its counts. */
function showEnd(row, r) {
  const bad = r.bad ?? r.failed ?? 0, absent = r.skipped === true;
  const values = `${r.kernels} kernels compiled, ${r.compared} thousand values compared`;
  if (absent) show(row, { skipped: 1 }, "not in this browser");
  else if (r.none) show(row, { bad: r.broken ? 1 : 0, skipped: 1 }, r.none);
  else show(row, { ...r, bad }, r.kernels ? values : "");
  return { passed: r.passed ?? 0, failed: bad + (r.broken ? 1 : 0), skipped: absent || r.none ? 1 : 0 };
}

const RUNS = [
  ["wasm", "wasm SIMD", async () => runModule("check", $("bench").checked)],
  ["wasm", "wasm relaxed SIMD", async () => runModule("check-relaxed", $("bench").checked)],
  ["default", "WebGPU, default limits", row => runGpu(row, true)],
  ["adapter", "WebGPU, all that the adapter has", row => runGpu(row, false)],
].filter(([level]) => LEVELS.includes(level));

async function runAll() {
  const sum = { passed: 0, failed: 0, skipped: 0 }, rows = RUNS.map(([, name]) => addRow(name));
  for (const [i, [, name, run]] of RUNS.entries()) {
    setText($("verdict"), `${name}: ${RUNNING}`);
    show(rows[i], {}, RUNNING);
    const counts = showEnd(rows[i], await run(rows[i]));
    for (const key of Object.keys(sum)) sum[key] += counts[key];
  }
  return sum;
}

$("run").addEventListener("click", async () => {
  $("run").disabled = true;
  for (const id of ["rows", "table"]) $(id).replaceChildren();
  const { passed, failed, skipped } = await runAll();
  setText($("verdict"), `${passed} passed, ${failed} failed, ${skipped} skipped, seed ${SEED}`);
  $("verdict").style.color = failed ? "var(--rd)" : "var(--gr)";
  document.body.dataset.check = failed ? "failed" : "passed";
  $("run").disabled = false;
});
setText($("where"), navigator.userAgent);
