// check.js - runs gossamer-check in this browser: the CPU's kernels in wasm and every WGSL kernel over WebGPU, in a table.
// URL parameters: seed (else the clock's), cases (at most so many a WGSL kernel's test), mutants=0 (wrong kernels are left out),
// test (one WGSL kernel's), levels (of default, adapter, wasm; else all).
import { $, el, setText } from "./dom.js";

const q = new URLSearchParams(location.search), SEED = +(q.get("seed") ?? Date.now() % 1000007), MOST = +(q.get("cases") ?? 0),
  MUTANTS = q.get("mutants") !== "0", ONLY = q.get("test") ?? "", LEVELS = (q.get("levels") ?? "wasm,default,adapter").split(",");

const WORKER = `onmessage = async ({ data: { url, bench, seed } }) => {
  const bytes = await (await fetch(url)).arrayBuffer();
  if (!WebAssembly.validate(bytes)) return postMessage({ skipped: true });
  let memory;
  const text = p => { const b = new Uint8Array(memory.buffer); let e = p; while (b[e]) e++; return new TextDecoder().decode(b.slice(p, e)); };
  const host = {
    say: (l, t, w, i, got, want) => postMessage({ bad: [text(l), text(t), text(w) + " at " + i + ": " + got + ", should be " + want] }),
    time: (l, t, w, ns, gb, gmac) => postMessage({ time: [text(l), text(t) + " " + text(w), ns.toFixed(0) + " ns", gb.toFixed(2) + " GB/s"] }),
    now_ns: () => performance.now() * 1e6,
  };
  const { instance } = await WebAssembly.instantiate(bytes, { host });
  memory = instance.exports.memory;
  const r = instance.exports.check_main(seed, bench ? 1 : 0);
  postMessage({ passed: r % 1000, failed: Math.floor(r / 1000) });
};`;

function runModule(name, bench) {
  return new Promise((resolve, reject) => {
    const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })), worker = new Worker(url);
    const close = result => { worker.terminate(); URL.revokeObjectURL(url); resolve(result); };
    worker.onerror = e => reject(new Error(e.message));
    worker.onmessage = ({ data }) => {
      if (data.bad) say(name, data.bad.join(" "));
      else if (data.time) $("rows").append(...data.time.map(t => el("span", null, t)));
      else close({ name, ...data });
    };
    worker.postMessage({ url: new URL(`../../dist/${name}.wasm`, import.meta.url).href, bench, seed: SEED });
  });
}

/** The GPU half, at WebGPU's default limits or with all that the adapter has. */
function runGpu(row, defaults) {
  return new Promise(resolve => {
    const worker = new Worker(new URL("check-gpu.js", import.meta.url), { type: "module" });
    const close = r => { worker.terminate(); resolve(r); };
    worker.onerror = e => close({ none: e.message, broken: true });
    worker.onmessage = ({ data }) => {
      if (data.line) say(defaults ? "default limits" : "all of the adapter", data.line);
      else if (data.none || data.done) close(data);
      else show(row, data, "running…");
    };
    worker.postMessage({ url: new URL("../../dist/check-gpu.wasm", import.meta.url).href, defaults, seed: SEED, only: ONLY, most: MOST, mutants: MUTANTS });
  });
}

// ---- the table: one row a module and level --------------------------------------------------------------------------
const say = (where, text) => $("rows").append(el("span.failure", { style: { color: "var(--rd)", "grid-column": "1 / -1", "white-space": "pre-wrap" } },
  `${where}: ${text.trim()}`));

function addRow(name) {
  const row = el("tr", null, el("th", { scope: "row" }, name), ...Array.from({ length: 4 }, () => el("td", null, "—")));
  $("table").append(row);
  return row;
}

function show(row, { passed, bad, skipped }, note) {
  [passed, bad, skipped ?? 0, note].forEach((v, i) => setText(row.children[i + 1], String(v ?? "—")));
  row.className = bad ? "fail" : note === "running…" ? "run" : "ok";
}

const RUNS = [
  ["wasm", "wasm SIMD", async () => runModule("check", $("bench").checked)],
  ["wasm", "wasm relaxed SIMD", async () => runModule("check-relaxed", $("bench").checked)],
  ["default", "WebGPU, default limits", row => runGpu(row, true)],
  ["adapter", "WebGPU, all that the adapter has", row => runGpu(row, false)],
].filter(([level]) => LEVELS.includes(level));

$("run").addEventListener("click", async () => {
  $("run").disabled = true;
  for (const id of ["rows", "table"]) $(id).replaceChildren();
  let failed = 0, passed = 0, skipped = 0;
  const rows = RUNS.map(([, name]) => addRow(name));
  for (const [i, [, name, run]] of RUNS.entries()) {
    setText($("verdict"), `${name}: running…`);
    show(rows[i], {}, "running…");
    const r = await run(rows[i]), bad = r.bad ?? r.failed ?? 0;
    if (r.skipped === true) show(rows[i], { skipped: 1 }, "not in this browser");
    else if (r.none) show(rows[i], { bad: r.broken ? 1 : 0, skipped: 1 }, r.none);
    else show(rows[i], { ...r, bad }, r.kernels ? `${r.kernels} kernels compiled, ${r.compared} thousand values compared` : "");
    failed += bad + (r.broken ? 1 : 0);
    passed += r.passed ?? 0;
    skipped += r.skipped === true || r.none ? 1 : 0;
  }
  setText($("verdict"), `${passed} passed, ${failed} failed, ${skipped} skipped, seed ${SEED}`);
  $("verdict").style.color = failed ? "var(--rd)" : "var(--gr)";
  document.body.dataset.check = failed ? "failed" : "passed";
  $("run").disabled = false;
});
setText($("where"), navigator.userAgent);
