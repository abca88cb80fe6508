// wllama.mjs - see wllama.sh. Every round opens each engine anew, loads the demo model from what the browser
// has kept, asks one conversation of the goldens in raw text with 128 tokens to come, and closes it. The
// sides take turns, and who begins changes.
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { extname, join } from "node:path";
import { browser, open, start } from "../../tests/web/harness.mjs";

const [folder, rounds, threads] = [process.argv[2], +process.argv[3], +process.argv[4]], N = 128;
const goldens = JSON.parse(
  await readFile(new URL("../../tests/golden/demo-gptoss.golden.json", import.meta.url)));
const prompt = goldens.find(g => /June/.test(g.prompt)).prompt;
const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };

const site = await start({ fault: async (request, response, { path, headers }) => {
  if (!path.startsWith("/peer/")) return false;
  const bytes = await readFile(join(folder, path.slice(6))).catch(() => null);
  response.writeHead(bytes ? 200 : 404,
    { ...headers, "content-type": TYPES[extname(path)] ?? "text/plain" }).end(bytes ?? "");
  return true;
} });
const b = await browser({ gpu: false }), page = await open(b.context, `${site.url}/check`);

const ours = request => page.evaluate(async ({ prompt, N, threads }) => {
  const { init } = await import("/js/core/gossamer.js"), t0 = performance.now(),
    llm = await init({ backend: "cpu", threads });
  const model = await llm.loadModel("/models/demo-gptoss.gguf", { max_kv: 1024 }), t1 = performance.now(),
    at = [];
  const session = model.createSession();
  for await (const t of session.generate({ prompt, special: true, temperature: 0, ignore_stop: true,
    max_tokens: N, top_logprobs: 0 }))
    if (t.token >= 0) at.push(performance.now());
  model.close();
  llm.close();
  return { load: t1 - t0, first: at[0] - t1, rate: (at.length - 1) / (at.at(-1) - at[0]) * 1000,
    n: at.length };
}, request);

const theirs = request => page.evaluate(async ({ prompt, N, threads }) => {
  const { Wllama } = await import("/peer/index.js"), t0 = performance.now();
  const w = new Wllama({ default: "/peer/wasm/wllama.wasm" }, { suppressNativeLog: true });
  await w.loadModelFromUrl(new URL("/models/demo-gptoss.gguf", location.href).href,
    { n_threads: threads, n_ctx: 1024, n_gpu_layers: 0 });
  const t1 = performance.now(), at = [];
  const stream = await w.createCompletion({ prompt, stream: true, max_tokens: N, temperature: 0,
    ignore_eos: true });
  for await (const c of stream) if (c.choices?.[0]?.text !== undefined) at.push(performance.now());
  const used = w.getNumThreads();
  await w.exit();
  return { load: t1 - t0, first: at[0] - t1, rate: (at.length - 1) / (at.at(-1) - at[0]) * 1000,
    n: at.length, threads: used };
}, request);

const median = v => [...v].sort((x, y) => x - y)[v.length >> 1];
const sum = (runs, name) => ({ median: +median(runs.map(r => r[name])).toFixed(1),
  best: +(name === "rate" ? Math.max : Math.min)(...runs.map(r => r[name])).toFixed(1) });
const all = { ours: [], wllama: [] }, request = { prompt, N, threads };
await ours(request);
await theirs(request);
for (let i = 0; i < rounds; i++) for (const side of i % 2 ? ["wllama", "ours"] : ["ours", "wllama"]) {
  // what the one before still takes down is not the next one's time
  await new Promise(done => setTimeout(done, 1500));
  const r = side === "ours" ? await ours(request) : await theirs(request);
  all[side].push(r);
  console.error(`${side.padEnd(7)} load ${r.load.toFixed(0)} ms  first token ${r.first.toFixed(1)} ms  ` +
    `decode ${r.rate.toFixed(1)} tok/s  (${r.n} tokens${r.threads ? `, ${r.threads} threads` : ""})`);
}
await page.close();

/** The page itself: first paint to a button that can be pressed, and the click to a model that answers, from
 * OPFS. */
async function pageTimes() {
  const p = await open(b.context, `${site.url}/gptoss?backend=cpu&threads=${threads}`);
  await p.waitForSelector("body[data-ready='1']");
  await p.click("#load");
  await p.waitForFunction(() => performance.getEntriesByName("loaded").length);
  const r = await p.evaluate(() => {
    const at = name => performance.getEntriesByName(name)[0]?.startTime;
    return { ready: at("ready") - at("first-contentful-paint"), opened: at("ready"),
      load: at("loaded") - at("load") };
  });
  await p.close();
  return r;
}
const pages = [];
await pageTimes();
for (let i = 0; i < rounds; i++) pages.push(await pageTimes());
const version = b.context.browser()?.version() ?? "";
await b.close();
await site.close();
const out = { machine: `${cpus()[0].model}, ${cpus().length} cores`, chromium: version, threads, rounds,
  ours: { rate: sum(all.ours, "rate"), first_ms: sum(all.ours, "first"), load_ms: sum(all.ours, "load") },
  wllama: { rate: sum(all.wllama, "rate"), first_ms: sum(all.wllama, "first"),
    load_ms: sum(all.wllama, "load") },
  page: { first_paint_to_ready_ms: sum(pages, "ready"), navigation_to_ready_ms: sum(pages, "opened"),
    click_to_loaded_from_opfs_ms: sum(pages, "load") } };
out.ratio = { decode: +(out.ours.rate.median / out.wllama.rate.median).toFixed(2),
  first: +(out.ours.first_ms.median / out.wllama.first_ms.median).toFixed(2) };
console.log(JSON.stringify(out, null, 2));
process.exit(0);
