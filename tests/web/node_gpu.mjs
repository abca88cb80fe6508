// node_gpu.mjs - the npm package in Node on WebGPU, by the npm package `webgpu` (Dawn) beside it, as users
// install both. Without a real GPU: VK_ICD_FILENAMES=.../vk_swiftshader_icd.json. Also with SYSTEM_NODE (20).
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { goldens } from "./goldens.mjs";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, ROOT, start, test } from "./harness.mjs";
import { unpack } from "./unpack.mjs";

const folder = mkdtempSync(join(tmpdir(), "gossamer-node-gpu-"));
const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT)), SLOW = 120000;
unpack(folder);
symlinkSync(fileURLToPath(new URL("node_modules/webgpu", ROOT)), join(folder, "node_modules/webgpu"));
const own = join(folder, "node_modules/gossamer-llm");
const { init } = await import(pathToFileURL(join(own, "js/node/node.js")));
const site = await start(), messages = [{ role: "user", content: QUESTION }];

await test(`Node ${process.versions.node} with the package webgpu: the answer, goldens and statistics`,
  async () => {
  const llm = await init({ backend: "gpu", cacheDir: join(folder, "cache") }), lines = [];
  llm.on("telemetry", e => lines.push(e));
  const model = await llm.loadModel(`${site.url}/models/demo-gptoss.gguf`, { max_kv: 1024 });
  equal(model.info.backend, "gpu", "backend");
  matches(lines.find(e => e.stage === "gpu_limits").detail, /max_buffer=\d+ .*adapter="[^"]+"/, "limits");
  const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
  equal(r.choices[0].message.content, ANSWER);
  const bad = await Promise.all(goldens(29).map(async ({ prompt, greedy }) => {
    const session = model.createSession(), got = [];
    for await (const t of session.generate({ prompt, special: true, temperature: 0, ignore_stop: true,
      max_tokens: greedy.length }))
      if (t.token >= 0) got.push(t.token);
    return JSON.stringify(got) === JSON.stringify(greedy) ? null : { prompt, got, greedy };
  }));
  equal(bad.filter(Boolean), [], "goldens");
  const { gpu_mem_est, tok_s } = await llm.stats();
  ok(gpu_mem_est > 1e7, "no GPU memory is counted");
  console.log(`     ${tok_s.toFixed(1)} tok/s, ${(gpu_mem_est / 1e6).toFixed(0)} MB on the GPU`);
  await llm.close();
}, SLOW);

// The lines that are there already are not measured: compiling their candidates is what takes time.
await test("kernels: what is missing is measured behind the first answer; the next load has it", async () => {
  const cacheDir = join(folder, "measured"), file = join(cacheDir, "kernels/gpu.txt");
  const load = async gpu_kernels => {
    const llm = await init({ backend: "gpu", cacheDir }), said = [];
    llm.on("telemetry", e => { if (e.stage === "gpu_kernels") said.push(e.detail); });
    await llm.loadModel(MODEL, { max_kv: 1024, gpu_kernels });
    const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
    equal(r.choices[0].message.content, ANSWER);
    return { llm, said };
  };
  mkdirSync(join(cacheDir, "kernels"), { recursive: true });
  const there = ["dense q8 256x1280 fixed", "dense q8 1024x256 fixed", "experts mx4 256x128 fixed"];
  writeFileSync(file, `${["device *", ...there, "end"].join("\n")}\n`);
  const first = await load("auto");
  equal(first.said.length, 1, "what is said before the first answer has ended");
  while (!first.said.some(d => /^measured=/.test(d))) await new Promise(r => setTimeout(r, 50));
  await first.llm.close();
  matches(first.said.at(-1), /^measured=1 ms=\d+$/, "how many");
  matches(first.said[0], /^lines=3 .* webgpu \d+\.\d+\.\d+; /, "the device");
  const kept = readFileSync(file, "utf8"), few = /^few mx4 256x128 (?:fixed|\w+ \d+)$/m;
  matches(kept, few, "what is kept");
  const second = await load("auto");
  await new Promise(r => setTimeout(r, 300));
  equal(second.said.map(d => d.split(" ")[0]), ["lines=4"], "what the second load says");
  await second.llm.close();
  const llm = await init({ backend: "gpu", cacheDir });
  const others = { gpu_kernels: kept.replace(/^device .*/gm, "device Another") };
  matches(await llm.loadModel(MODEL, others).then(() => "loaded", e => e.message),
    /no section that begins with .*"device \S.* webgpu /, "another device's");
  await llm.close();
}, SLOW);

await test("unasked, the GPU is taken where it is one; the example ends by itself", async () => {
  const llm = await init(), software = llm.software, model = await llm.loadModel(MODEL);
  ok(llm.gpu || software, "the package webgpu was not found");
  equal(model.info.backend, software ? "cpu" : "gpu", "backend");
  await llm.close();
  const r = spawnSync(process.execPath, [join(own, "examples/node.mjs"), MODEL, QUESTION],
    { encoding: "utf8", timeout: SLOW });
  equal([r.status, r.stdout.trim()], [0, ANSWER], `the example's end and words (${r.stderr.slice(-300)})`);
}, SLOW);

await site.close();
rmSync(folder, { recursive: true, force: true });
finish();
