// gpu.mjs - the page on WebGPU (SwiftShader): from a click to tokens, WebGPU's default limits, a device that is lost in mid
// generation, and what the page says where there is no WebGPU. node tests/web/gpu.mjs [NAME]
import { goldens, runGoldens } from "./goldens.mjs";
import { ANSWER, answerOf, ask, browser, DATE, equal, finish, loaded, matches, ok, open, put, QUESTION, ready, start, test } from "./harness.mjs";

const SLOW = 240000;
const site = await start(), gpu = await browser({ gpu: true });
const at = query => `${site.url}/gptoss?date=${DATE}&max_kv=1024${query}`;
const run = async (context, query) => {
  const page = await open(context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page, SLOW);
  return page;
};
const text = (page, id) => page.locator(id).innerText();

/** How many colours a node shows. */
async function colours(page, selector) {
  const png = (await page.locator(selector).screenshot()).toString("base64");
  return page.evaluate(async data => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height), c = canvas.getContext("2d");
    c.drawImage(image, 0, 0);
    return new Set(new Uint32Array(c.getImageData(0, 0, image.width, image.height).data.buffer)).size;
  }, png);
}

await test("click to tokens on WebGPU, and what the panels say", async () => {
  const page = await run(gpu.context, "&backend=gpu");
  equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
  matches(await text(page, "#chip-backend"), /WEBGPU/, "backend");
  equal(await page.locator("#chip-backend.cpu").count(), 0, "marked as CPU");
  matches(await text(page, "#gpu-limits"), /maxBuffer: \d+MB {3}maxBinding: \d+MB {3}bindGroups: \d+ {3}bindingsPerGroup: \d+ {3}f16: (yes|no) {3}subgroups: (yes|no)/);
  for (const words of [/RMSNorm: GPU/, /RoPE: GPU/, /Attention: GPU \((decode|prefill)\)/, /MoE: active/]) matches(await text(page, "#stats"), words, "stats");
  matches(await page.locator("#infer-rows [data-stage=runtime_mode] .d").innerText(), /layers=6/);
  for (const map of ["attn", "router", "kv", "activity"]) {
    const n = await colours(page, `#gpu-${map}`);
    ok(n > 6, `the map ${map} shows ${n} colours`);
    ok(await page.locator(`#${map}`).isHidden(), `${map} is shown twice`);
  }
  const before = await page.locator("#gpu-attn").screenshot();
  await page.locator("#attn-head").fill("5");
  await ask(page, "What is 7 + 5?", 0, SLOW);
  ok(!before.equals(await page.locator("#gpu-attn").screenshot()), "another head shows the same map");
  ok(await page.locator("#kernels .n").count() >= 8, "no kernel times");
  ok(await page.locator("#tensors div").count() > 0, "no resident tensors");
  page.quiet();
  await page.close();
}, SLOW);

await test("kernel check: wasm SIMD and WebGPU, both levels", async () => {
  const page = await open(gpu.context, `${site.url}/check`);
  await page.click("#run");
  await page.waitForSelector("body[data-check]", { timeout: 2 * SLOW });
  matches(await text(page, "#verdict"), /^\d{3,} passed, 0 failed, 0 skipped$/, "verdict");
  console.log(`     ${(await text(page, "#table")).replace(/\s*\n\s*/g, " | ")}`);
  page.quiet();
  await page.close();
}, 2 * SLOW);

await test("goldens on WebGPU", async () => {
  const page = await open(gpu.context, at("&backend=gpu"));
  await ready(page);
  const r = await page.evaluate(`(${runGoldens})(${JSON.stringify({ backend: "gpu", list: goldens(29), together: true })})`);
  equal(r, { backend: "gpu", bad: [] }, "goldens");
  await page.close();
}, SLOW);

await test("the same with WebGPU's default limits", async () => {
  const page = await run(gpu.context, "&backend=gpu&limits=default");
  equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
  matches(await text(page, "#gpu-limits"), /maxBuffer: 256MB {3}maxBinding: 128MB .* f16: no {3}subgroups: no/s);
  page.quiet();
  await page.close();
}, SLOW);

await test("a device that is lost in mid generation comes back, and the answer is whole", async () => {
  const page = await open(gpu.context, at("&backend=gpu"));
  await ready(page);
  const worker = page.workers().find(w => /worker\.js/.test(w.url()));
  await worker.evaluate(() => {
    const own = GPUAdapter.prototype.requestDevice;
    globalThis.devices = [];
    GPUAdapter.prototype.requestDevice = async function (...args) { const d = await own.apply(this, args); devices.push(d); return d; };
  });
  await page.click("#load");
  await loaded(page, SLOW);
  const box = await put(page, QUESTION, 0);
  await page.waitForFunction(() => document.querySelectorAll("#tokens span").length > 8, null, { timeout: SLOW });
  equal(await worker.evaluate(() => { devices.at(-1).destroy(); return devices.length; }), 1, "devices before");
  equal(await answerOf(page, box, SLOW), ANSWER);
  ok(await worker.evaluate(() => devices.length) === 2, "no new device was asked for");
  matches(await text(page, "#log"), /device_lost[\s\S]*device_restored/, "log");
  await page.close();
}, 2 * SLOW);

await test("a software adapter is not used unasked: the CPU, in orange, and why", async () => {
  const page = await run(gpu.context, "");
  ok(await page.locator("#chip-backend.cpu").count(), "the CPU is not marked");
  ok(await page.locator("#banner.cpu").count(), "no orange banner");
  matches(await text(page, "#banner"), /the only WebGPU adapter here is software/, "banner");
  equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
  page.quiet();
  await page.close();
}, SLOW);

await test("no navigator.gpu: the CPU, in orange, and why", async () => {
  const none = await browser({ gpu: false });
  try {
    const page = await open(none.context, at(""));
    await ready(page);
    const worker = page.workers().find(w => /worker\.js/.test(w.url()));
    equal(await worker.evaluate(() => !!navigator.gpu && !!navigator.gpu.requestAdapter && false), false);
    await page.click("#load");
    await loaded(page);
    matches(await text(page, "#banner"), /no WebGPU here/, "banner");
    ok(await page.locator("#load-rows [data-stage=gpu_limits].fail").count(), "gpu_limits is not marked");
    equal(await page.evaluate(() => getComputedStyle(document.getElementById("chip-backend")).color), "rgb(255, 162, 74)", "colour of the chip");
    equal(await ask(page, QUESTION), ANSWER);
    page.quiet();
    await page.close();
  } finally { await none.close(); }
}, SLOW);

await gpu.close();
await site.close();
finish();
