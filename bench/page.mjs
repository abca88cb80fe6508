// page.mjs - what a page costs while it generates, in Chromium. node bench/page.mjs MODE [TOKENS] [WIDTHxHEIGHT], prints JSON.
//   cpu, gpu  frames a second of /gptoss, everything shown, on the CPU's kernels or (backend=gpu) on WebGPU
//   share     the package alone on WebGPU: of a token's time, what the GPU's passes take (a timestamp query around each) and what
//             wasm and JavaScript take in the worker (the clock around every call into the engine; what it submits is in it)
// CHROMIUM_ARGS: e.g. --disable-gpu-compositing, where the page itself is drawn as by a browser without any GPU.
// Stop tokens are ignored, so that there are as many tokens as asked for.
import { browser, framesWhile, loaded, open, openPatched, ready, start } from "../tests/web/harness.mjs";

const [mode = "cpu", tokens = 400, size = "1280x800"] = process.argv.slice(2), [width, height] = size.split("x").map(Number);
const TIMED = `
  globalThis.spent = { poll: 0, polls: 0 };
  const make = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...args) => {
    const made = await make(...args), poll = made.exports.goss_wasm_poll;
    if (!poll) return made;
    const timed = n => { const t = performance.now(), r = poll(n); spent.poll += performance.now() - t; spent.polls++; return r; };
    return { exports: { ...made.exports, goss_wasm_poll: timed } };
  };
  const begin = GPUCommandEncoder.prototype.beginComputePass, finish = GPUCommandEncoder.prototype.finish, N = 4096;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const d = await request.apply(this, args);
    globalThis.clocks = { d, set: d.createQuerySet({ type: "timestamp", count: N }), at: 0, on: false,
      buffer: d.createBuffer({ size: 8 * N, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC }) };
    return d;
  };
  GPUCommandEncoder.prototype.beginComputePass = function (o) {
    if (!globalThis.clocks?.on || o?.timestampWrites || clocks.at + 2 > N) return begin.call(this, o);
    clocks.at += 2;
    return begin.call(this, { timestampWrites: { querySet: clocks.set, beginningOfPassWriteIndex: clocks.at - 2, endOfPassWriteIndex: clocks.at - 1 } });
  };
  globalThis.readClocks = async () => {
    const { d, set, at, buffer } = clocks, n = Math.max(at, 2), back = d.createBuffer({ size: 8 * n, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const e = d.createCommandEncoder();
    e.resolveQuerySet(set, 0, n, buffer, 0);
    e.copyBufferToBuffer(buffer, 0, back, 0, 8 * n);
    d.queue.submit([e.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const t = new BigUint64Array(back.getMappedRange());
    return Array.from({ length: at / 2 }, (_, i) => [Number(t[2 * i] - t[0]) / 1e6, Number(t[2 * i + 1] - t[0]) / 1e6]);
  };`;

const site = await start(), b = await browser({ gpu: true, args: (process.env.CHROMIUM_ARGS ?? "").split(" ").filter(Boolean) });

/** One generation in the chat, as a user's, but on past its stop token; frames are counted from the first token to the last. */
async function frames() {
  const page = await open(b.context, `${site.url}/gptoss?date=2025-06-28&max_kv=4096${mode === "gpu" ? "&backend=gpu" : ""}`);
  await page.setViewportSize({ width, height });
  await ready(page);
  await page.click("#load");
  await loaded(page, 240000);
  await framesWhile(page, 16);
  return framesWhile(page, +tokens);
}

async function share() {
  const page = await openPatched(b.context, `${site.url}/check`, TIMED);
  await page.evaluate(async () => {
    const { init } = await import("/js/core/gossamer.js");
    globalThis.llm = await init({ backend: "gpu" });
    globalThis.model = await llm.loadModel("/models/demo-gptoss.gguf", { max_kv: 4096 });
  });
  const worker = page.workers().find(w => w.url().startsWith("blob:")), run = n => page.evaluate(async n => {
    const at = [], session = model.createSession();
    for await (const t of session.generate({ prompt: "Once upon a time", temperature: 0, ignore_stop: true, max_tokens: n, top_logprobs: 0 }))
      if (t.token >= 0) at.push(performance.now());
    session.close();
    return at;
  }, n);
  await run(16);
  await worker.evaluate(() => { spent.poll = spent.polls = clocks.at = 0; clocks.on = true; });
  const at = await run(+tokens), spent = await worker.evaluate(() => globalThis.spent), passes = await worker.evaluate(() => readClocks());
  const tail = passes.slice(-(at.length - 1)), gpu = tail.reduce((n, [a, z]) => n + z - a, 0), span = tail.at(-1)[1] - tail[0][0];
  return { tokens: at.length, passes: passes.length, token_ms: (at.at(-1) - at[0]) / (at.length - 1), gpu_ms: gpu / tail.length,
    gpu_step_ms: span / tail.length, wasm_js_ms: spent.poll / at.length, polls: spent.polls / at.length };
}

const r = mode === "share" ? await share() : await frames();
console.log(JSON.stringify({ mode, size, ...Object.fromEntries(Object.entries(r).map(([k, v]) => [k, +v.toFixed(2)])) }));
await b.close();
await site.close();
process.exit(0);
