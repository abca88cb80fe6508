// check-cpu.js - the worker of the page /check that runs gossamer-check's wasm: {url, bench, seed} in; out
// {bad} and {time} lines, at the end {passed, failed} or {skipped}.
onmessage = async ({ data: { url, bench, seed } }) => {
  const bytes = await (await fetch(url)).arrayBuffer();
  if (!WebAssembly.validate(bytes)) return postMessage({ skipped: true });
  let memory;
  const text = p => {
    const b = new Uint8Array(memory.buffer);
    return new TextDecoder().decode(b.slice(p, b.indexOf(0, p)));
  };
  const names = (...list) => list.map(text).join(" ");
  const host = {
    say: (level, test, what, i, got, want) =>
      postMessage({ bad: names(level, test, what) + " at " + i + ": " + got + ", should be " + want }),
    time: (level, test, what, ns, gb) =>
      postMessage({ time: [text(level), names(test, what), ns.toFixed(0) + " ns", gb.toFixed(2) + " GB/s"] }),
    now_ns: () => performance.now() * 1e6,
  };
  const { instance } = await WebAssembly.instantiate(bytes, { host });
  memory = instance.exports.memory;
  const r = instance.exports.check_main(seed, bench ? 1 : 0);
  postMessage({ passed: r % 1000, failed: Math.floor(r / 1000) });
};
