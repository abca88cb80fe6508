// node_gpu.mjs - the npm package in Node on WebGPU, by the npm package `webgpu` (Dawn). NODE_WEBGPU: a folder that has
// node_modules/webgpu; ours is packed and put beside it. Without a real GPU: VK_ICD_FILENAMES=.../vk_swiftshader_icd.json.
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { goldens } from "./goldens.mjs";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, ROOT, start, test } from "./harness.mjs";
import { unpack } from "./pack.mjs";

const folder = resolve(process.env.NODE_WEBGPU), MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT)), SLOW = 200000;
unpack(folder);
const { init } = await import(pathToFileURL(join(folder, "node_modules/gossamer-llm/js/core/gossamer.js")));
const site = await start(), messages = [{ role: "user", content: QUESTION }];

await test("Node with the package webgpu: the answer, goldens and statistics", async () => {
  const llm = await init({ backend: "gpu", cacheDir: join(folder, "cache") }), lines = [];
  llm.on("telemetry", e => lines.push(e));
  const model = await llm.loadModel(`${site.url}/models/demo-gptoss.gguf`, { max_kv: 1024 });
  equal(model.info.backend, "gpu", "backend");
  matches(lines.find(e => e.stage === "gpu_limits").detail, /max_buffer=\d+ .*adapter="[^"]+"/, "limits");
  const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
  equal(r.choices[0].message.content, ANSWER);
  const bad = await Promise.all(goldens(29).map(async ({ prompt, greedy }) => {
    const session = model.createSession(), got = [];
    for await (const t of session.generate({ prompt, special: true, temperature: 0, ignore_stop: true, max_tokens: greedy.length }))
      if (t.token >= 0) got.push(t.token);
    return JSON.stringify(got) === JSON.stringify(greedy) ? null : { prompt, got, greedy };
  }));
  equal(bad.filter(Boolean), [], "goldens");
  ok((await llm.stats()).gpu_mem_est > 1e7, "no GPU memory is counted");
  llm.close();
}, SLOW);

await test("Node with the package webgpu: a software adapter is not used unasked", async () => {
  const llm = await init({});
  const model = await llm.loadModel(MODEL);
  equal(model.info.backend, llm.software ? "cpu" : "gpu", "backend");
  llm.close();
});

await site.close();
finish();
