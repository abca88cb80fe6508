// check.js - runs gossamer-check's wasm modules in a worker and shows what they say.
import { $, el, setText } from "./dom.js";

const WORKER = `onmessage = async ({ data: { url, bench } }) => {
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
  const r = instance.exports.check_main(Date.now() % 1000007, bench ? 1 : 0);
  postMessage({ passed: r % 1000, failed: Math.floor(r / 1000) });
};`;

function runModule(name, bench) {
  return new Promise((resolve, reject) => {
    const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })), worker = new Worker(url);
    const close = result => { worker.terminate(); URL.revokeObjectURL(url); resolve(result); };
    worker.onerror = e => reject(new Error(e.message));
    worker.onmessage = ({ data }) => {
      if (data.bad) $("rows").append(el("span", null, data.bad[0]), el("span", null, data.bad[1]), el("span", { style: { color: "var(--rd)" } },
        data.bad[2]), el("span"));
      else if (data.time) $("rows").append(...data.time.map(t => el("span", null, t)));
      else close({ name, ...data });
    };
    worker.postMessage({ url: new URL(`../../dist/${name}.wasm`, import.meta.url).href, bench });
  });
}

$("run").addEventListener("click", async () => {
  $("run").disabled = true;
  $("rows").replaceChildren();
  const said = [];
  let failed = 0;
  for (const name of ["check", "check-relaxed"]) {
    setText($("verdict"), [...said, `${name}: running…`].join(" · "));
    const r = await runModule(name, $("bench").checked);
    failed += r.failed ?? 0;
    said.push(r.skipped ? `${name}: not in this browser` : `${name}: ${r.passed} passed, ${r.failed} failed`);
  }
  setText($("verdict"), said.join(" · "));
  $("verdict").style.color = failed ? "var(--rd)" : "var(--gr)";
  document.body.dataset.check = failed ? "failed" : "passed";
  $("run").disabled = false;
});
setText($("where"), navigator.userAgent);
