// page.mjs - what a page costs while it generates, in Chromium. node bench/page.mjs MODE [TOKENS]
// [WIDTHxHEIGHT], prints JSON.
//   cpu, gpu  frames a second that /gptoss draws, everything shown, on the CPU's kernels or (backend=gpu) on
//             WebGPU
//   share     the package alone on WebGPU: of a token's time, what the GPU's passes take (a timestamp query
//             around each) and what wasm and JavaScript take in the worker (the clock around every call into
//             the engine; what it submits is in it)
//   load      the whole way of a model on /gptoss: from the click to a model that answers, to its last byte,
//             to the first token; then the page anew, from what was kept. SHOTS=DIR keeps a picture of each
//   ratio     the page's rate over the package's without a page, and the page's frames a second: on the CPU's
//             kernels, with CHROMIUM_GPU=real on the GPU. Three browsers load once and are measured in turn
//             (one behind the other on a GPU, which the idle ones draw on too), ROUNDS=5 times: the package
//             alone, the same telling what the page records, the page. Beside the rates processor time a
//             token of all of a browser (ms_*), THREADS=1: by thread
//   speed     the package alone on WebGPU: prompts of 512 and 2,048 tokens, decode of TOKENS, 8 sessions at
//             once
// CHROMIUM_ARGS: e.g. --disable-gpu-compositing, where the page itself is drawn as by a browser without any
// GPU.
// MODEL=FILE: another model than the demo. CHROMIUM_GPU=real: this machine's GPU instead of SwiftShader.
// Stop tokens are ignored, so that there are as many tokens as asked for.
import { basename, dirname, resolve } from "node:path";
import { framesWhile, REAL, start } from "../tests/web/harness.mjs";
import { chromium } from "./chromium.mjs";

const [mode = "cpu", tokens = 400, size = "1280x800"] = process.argv.slice(2),
  [width, height] = size.split("x").map(Number);
const TIMED = `
  globalThis.spent = { poll: 0, polls: 0 };
  const make = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...args) => {
    const made = await make(...args), poll = made.exports.goss_wasm_poll;
    if (!poll) return made;
    const timed = n => {
      const t = performance.now(), r = poll(n);
      spent.poll += performance.now() - t;
      spent.polls++;
      return r;
    };
    return { exports: { ...made.exports, goss_wasm_poll: timed } };
  };
  const begin = GPUCommandEncoder.prototype.beginComputePass,
    finish = GPUCommandEncoder.prototype.finish, N = 4096;
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const d = await request.apply(this, args);
    globalThis.clocks = { d, set: d.createQuerySet({ type: "timestamp", count: N }), at: 0, on: false,
      buffer: d.createBuffer({ size: 8 * N,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC }) };
    return d;
  };
  GPUCommandEncoder.prototype.beginComputePass = function (o) {
    if (!globalThis.clocks?.on || o?.timestampWrites || clocks.at + 2 > N) return begin.call(this, o);
    clocks.at += 2;
    return begin.call(this, { timestampWrites: { querySet: clocks.set,
      beginningOfPassWriteIndex: clocks.at - 2, endOfPassWriteIndex: clocks.at - 1 } });
  };
  globalThis.readClocks = async () => {
    const { d, set, at, buffer } = clocks, n = Math.max(at, 2),
      back = d.createBuffer({ size: 8 * n, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const e = d.createCommandEncoder();
    e.resolveQuerySet(set, 0, n, buffer, 0);
    e.copyBufferToBuffer(buffer, 0, back, 0, 8 * n);
    d.queue.submit([e.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const t = new BigUint64Array(back.getMappedRange());
    const ms = i => Number(t[i] - t[0]) / 1e6;
    return Array.from({ length: at / 2 }, (_, i) => [ms(2 * i), ms(2 * i + 1)]);
  };`;

const file = process.env.MODEL && resolve(process.env.MODEL),
  name = file ? basename(file) : "demo-gptoss.gguf";
const site = await start(file ? { models: dirname(file) } : {});
const browsers = [];
async function browser() {
  const b = await chromium({ width, height, gpu: mode !== "ratio" || REAL,
    args: (process.env.CHROMIUM_ARGS ?? "").split(" ").filter(Boolean) });
  browsers.push(b);
  return b;
}
function end(b) {
  browsers.splice(browsers.indexOf(b), 1);
  return b.close();
}

const address = more => `${site.url}/gptoss?date=2025-06-28&max_kv=4096&greet=0&gguf=/models/${name}${more}`;

const ready = page => page.until(() => document.body?.dataset.ready === "1");
const WHOLE = "READY · [^%]*$";
/** Until the bar says so; what it failed with, if it did. */
async function says(page, pattern) {
  await page.until(p =>
    new RegExp(`${p}|FAILED`).test(document.getElementById("progress-text").textContent), pattern);
  if (/FAILED/.test(await page.text("#progress-text"))) throw new Error(await page.text("#errors"));
}

/** One generation in the chat, as a user's, but on past its stop token; frames are counted from the first
 * token to the last. */
async function frames() {
  const b = await browser(), page = await b.open(address(mode === "gpu" ? "&backend=gpu" : ""));
  await ready(page);
  await page.click("#load");
  await says(page, WHOLE);
  await framesWhile(page, 16);
  return framesWhile(page, +tokens);
}

async function share() {
  const b = await browser(), page = await b.open(`${site.url}/check`, TIMED);
  await page.evaluate(async url => {
    const { init } = await import("/js/core/gossamer.js");
    globalThis.llm = await init({ backend: "gpu", cache: "none" });
    globalThis.model = await llm.loadModel(url, { max_kv: 4096, early: false });
  }, `/models/${name}`);
  const worker = page.workers[0], run = n => page.evaluate(async n => {
    const at = [], session = model.createSession();
    for await (const t of session.generate({ prompt: "Once upon a time", temperature: 0, ignore_stop: true,
      max_tokens: n, top_logprobs: 0 }))
      if (t.token >= 0) at.push(performance.now());
    session.close();
    return at;
  }, n);
  await run(16);
  await worker.evaluate(() => { spent.poll = spent.polls = clocks.at = 0; clocks.on = true; });
  const at = await run(+tokens), spent = await worker.evaluate(() => globalThis.spent),
    passes = await worker.evaluate(() => readClocks());
  const tail = passes.slice(-(at.length - 1)), gpu = tail.reduce((n, [a, z]) => n + z - a, 0),
    span = tail.at(-1)[1] - tail[0][0];
  return { tokens: at.length, passes: passes.length, token_ms: (at.at(-1) - at[0]) / (at.length - 1),
    gpu_ms: gpu / tail.length, gpu_step_ms: span / tail.length,
    wasm_js_ms: spent.poll / at.length, polls: spent.polls / at.length };
}

/** The seconds from the click to each of what the page says, the first token's too; then what it goes on
 * at. */
async function timed(page, shot) {
  await ready(page);
  const t0 = performance.now(), s = () => (performance.now() - t0) / 1000;
  await page.click("#load");
  await says(page, "READY");
  const usable = s(), first = await framesWhile(page, 1), first_token = s();
  await says(page, WHOLE);
  const whole = s(), r = await framesWhile(page, +tokens),
    stats = await page.evaluate(() => globalThis.gossamer.llm.stats());
  if (process.env.SHOTS) await page.screenshot(`${process.env.SHOTS}/${shot}.png`);
  return { usable, first_token, whole, tokens: first.tokens + r.tokens, tok_s: r.tok_s,
    frames_s: r.frames_s, gap_95: r.gap_95, maps_s: r.maps_s,
    wasm_mb: stats.memory / 1e6, gpu_gb: stats.gpu_bytes / 1e9, fetched_gb: stats.fetched / 1e9 };
}
async function load() {
  const b = await browser(), page = await b.open(address("")), out = {};
  for (const [k, v] of Object.entries(await timed(page, "fetched"))) out[`fetched_${k}`] = v;
  await page.reload();
  for (const [k, v] of Object.entries(await timed(page, "kept"))) out[`kept_${k}`] = v;
  return out;
}

async function speed() {
  const b = await browser(), page = await b.open(`${site.url}/check`);
  return page.evaluate(async ({ url, n }) => {
    const { init } = await import("/js/core/gossamer.js"),
      llm = await init({ backend: "gpu", cache: "none" }), t0 = performance.now();
    const model = await llm.loadModel(url, { max_kv: 4096, max_sessions: 8, early: false }),
      out = { load_s: (performance.now() - t0) / 1000 };
    const make = async (prompt, max_tokens) => {
      const session = model.createSession(), run = session.generate(
        { prompt, temperature: 0, ignore_stop: true, max_tokens, top_logprobs: 0 }), at = [];
      let x;
      while (!(x = await run.next()).done) if (x.value.token >= 0) at.push(performance.now());
      session.close();
      return { at, ...x.value };
    };
    await make("Hello", 32);
    for (const [i, length] of [512, 2048, 512, 2048].entries()) {
      const ids = await model.tokenize(
        Array.from({ length }, (_, k) => " " + (k * 7919 + i) % 1000).join(""));
      const r = await make(await model.detokenize(ids.slice(0, length)), 2);
      out[`prefill_${i}`] = `${r.nPrompt} tokens, ${(r.nPrompt / r.prefillMs * 1000).toFixed(0)} tok/s`;
    }
    for (let i = 0; i < 3; i++) {
      const { at } = await make(`Hello ${i}`, n);
      out[`decode_${i}`] = (at.length - 1) / (at.at(-1) - at[0]) * 1000;
    }
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => make(`Number ${i}`, n)));
    const from = Math.max(...all.map(r => r.at[0])), to = Math.min(...all.map(r => r.at.at(-1)));
    out.sessions_8 = all.reduce((sum, r) =>
      sum + r.at.filter(t => t > from && t <= to).length, 0) / (to - from) * 1000;
    const s = await llm.stats();
    return { ...out, wasm_mb: s.memory / 1e6, gpu_gb: s.gpu_bytes / 1e9 };
  }, { url: `/models/${name}`, n: +tokens });
}

/** What fn() brings, and the processor time that it took a token, in ms: all of that Chromium's, and by
 * thread. */
async function spending(b, fn) {
  const before = b.times(), got = await fn(), after = b.times(), by = {};
  for (const [name, ms] of Object.entries(after)) by[name] = (ms - (before[name] ?? 0)) / +tokens;
  const all = Object.values(by).reduce((sum, ms) => sum + ms, 0);
  const most = Object.entries(by).filter(([, ms]) => ms > 0.01).sort((a, z) => z[1] - a[1]);
  return { got, all, by: Object.fromEntries(most) };
}

/** The package in a page that shows nothing; telemetry: what it tells. */
async function alone(backend, telemetry) {
  const b = await browser(), page = await b.open(`${site.url}/check`);
  await page.evaluate(async ({ url, backend, telemetry }) => {
    const { init } = await import("/js/core/gossamer.js"), llm = await init({ backend, cache: "none" });
    const model = await llm.loadModel(url, { max_kv: 4096, early: false, telemetry });
    globalThis.run = async max_tokens => {
      const session = model.createSession(), at = [];
      const messages = [{ role: "user", content: "Tell me a short story." }];
      for await (const t of session.generate({ messages, temperature: 0, ignore_stop: true, max_tokens,
        top_logprobs: 0 })) {
        if (t.token >= 0) at.push(performance.now());
      }
      session.close();
      return { tok_s: (at.length - 1) / (at.at(-1) - at[0]) * 1000 };
    };
    await run(16);
  }, { url: `/models/${name}`, backend, telemetry });
  return { close: () => end(b), measure: () => spending(b, () => page.evaluate(n => run(n), +tokens)) };
}

/** /gptoss with everything shown; every measurement is of a new chat. MODEL is picked as a file, so that it
 * is not written to OPFS first. */
async function shown(backend) {
  const b = await browser(), page = await b.open(address(`&backend=${backend}&sample=0`));
  await ready(page);
  await (file ? page.pick("#file", file) : page.click("#load"));
  await says(page, WHOLE);
  await framesWhile(page, 16);
  return { close: () => end(b), measure: async () => {
    await page.click("#new-chat");
    return spending(b, () => framesWhile(page, +tokens));
  } };
}

const rounded = what => JSON.stringify(what, (_, v) => typeof v === "number" ? +v.toFixed(2) : v);

/** What each side measured, round by round. On the CPU all are there and take turns, since a machine's speed
 * varies; on a GPU one is there at a time, since the idle ones would draw on it too. */
async function* rounds_of(makers, n) {
  if (!REAL) {
    const sides = [];
    for (const make of makers) sides.push(await make());
    for (let i = 0; i < n; i++) {
      const got = [];
      for (const side of sides) got.push(await side.measure());
      yield got;
    }
    return;
  }
  const columns = [];
  for (const make of makers) {
    const side = await make(), got = [];
    for (let i = 0; i < n; i++) got.push(await side.measure());
    columns.push(got);
    await side.close();
  }
  for (let i = 0; i < n; i++) yield columns.map(c => c[i]);
}

async function ratio() {
  const backend = REAL ? "gpu" : "cpu", rounds = [],
    makers = [() => alone(backend, "none"), () => alone(backend, "rows"), () => shown(backend)];
  for await (const got of rounds_of(makers, +(process.env.ROUNDS ?? 5))) {
    const [without, recorded, within] = got, { tok_s, frames_s, gap_95, maps_s } = within.got;
    rounds.push({ without: without.got.tok_s, recorded: recorded.got.tok_s, tok_s,
      ratio: tok_s / without.got.tok_s, ratio_recorded: recorded.got.tok_s / without.got.tok_s,
      frames_s, gap_95, maps_s, ms_without: without.all, ms_page: within.all,
      ms_ratio: without.all / within.all });
    if (process.env.THREADS) for (const { by } of got) console.log(rounded(by));
    console.log(rounded(rounds.at(-1)));
  }
  const middle = name => rounds.map(r => r[name]).sort((a, b) => a - b)[rounds.length >> 1];
  return Object.fromEntries(Object.keys(rounds[0]).map(name => [name, middle(name)]));
}

const r = await { share, load, speed, ratio }[mode]?.() ?? await frames();
console.log(JSON.stringify({ mode, size, model: name, ...Object.fromEntries(Object.entries(r)
  .map(([k, v]) => [k, typeof v === "number" ? +v.toFixed(2) : v])) }));
for (const b of browsers) await b.close();
await site.close();
process.exit(0);
