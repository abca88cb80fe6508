// node_gpu.mjs - the npm package in Node on WebGPU, by the npm package `webgpu` (Dawn) beside it, as users
// install both. Without a real GPU: VK_ICD_FILENAMES=.../vk_swiftshader_icd.json. Also with SYSTEM_NODE (20).
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
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
