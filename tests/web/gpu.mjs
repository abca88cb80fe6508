// gpu.mjs - the page on WebGPU (SwiftShader): from a click to tokens, WebGPU's default limits, a device that
// is lost in mid generation, the kernel check, and what the page says where there is no WebGPU. node
// tests/web/gpu.mjs [NAME] Time goes into the software adapter's shader compiler, which uses one core: so
// there are two browsers at once, and one page goes from the click to the lost device, in a browser that does
// not clear workgroup memory: kernels must not need it, and clearing it is half of that compiler's work. All
// cases of all kernels run natively (gpu-check) and in Firefox.
import { goldens, runGoldens } from "./goldens.mjs";
import { ANSWER, answerOf, ask, browser, DATE, equal, finish, framesEnough, framesWhile, loaded, matches, ok,
  open, openPatched, put, QUESTION, ready, REAL, skip, start, test } from "./harness.mjs";

const SLOW = 240000;
const site = await start();
const at = query => `${site.url}/gptoss?date=${DATE}&max_kv=1024${query}&sample=0&greet=0`;
const run = async (context, query) => {
  const page = await open(context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page, SLOW);
  return page;
};
const workerOf = page => page.workers().find(w => /\/worker\.js/.test(w.url()));
const text = (page, id) => page.locator(id).innerText();

/** The pixels of a node, as numbers. */
async function pixels(page, selector) {
  const png = (await page.locator(selector).screenshot()).toString("base64");
  return page.evaluate(async data => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(data), c => c.charCodeAt(0))]));
    const canvas = new OffscreenCanvas(image.width, image.height), c = canvas.getContext("2d");
    c.drawImage(image, 0, 0);
    return [...new Uint32Array(c.getImageData(0, 0, image.width, image.height).data.buffer)];
  }, png);
}
/** How many colours a node shows. */
const colours = async (page, selector) => new Set(await pixels(page, selector)).size;

/** Whether what WebGPU draws gets onto this browser's screen. Chromium without a display draws no canvas of a
 * real GPU's. */
async function drawsShow(context) {
  const page = await open(context, `${site.url}/check`);
  await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { id: "red", width: 8, height: 8 });
    const c = canvas.getContext("webgpu");
    document.body.prepend(canvas);
    const device = await (await navigator.gpu.requestAdapter()
      ?? await navigator.gpu.requestAdapter()).requestDevice();
    c.configure({ device, format: navigator.gpu.getPreferredCanvasFormat() });
    const e = device.createCommandEncoder();
    e.beginRenderPass({ colorAttachments: [{ view: c.getCurrentTexture().createView(), loadOp: "clear",
      storeOp: "store", clearValue: [1, 0, 0, 1] }] }).end();
    device.queue.submit([e.finish()]);
    await new Promise(r => setTimeout(r, 300));
  });
  const middle = (await pixels(page, "#red"))[36];
  await page.close();
  return (middle & 255) > 200 && (middle >> 8 & 255) < 60;
}

async function whole_way(gpu) {
  let page, worker, shown = true;
  await test("what WebGPU draws gets onto the screen", async () => {
    shown = await drawsShow(gpu.context);
    ok(shown || REAL, "a canvas that was made red is not red");
  }, SLOW);
  if (!shown) {
    skip("what the maps show", "no canvas that WebGPU draws on gets onto the screen of this browser");
  }
  await test("click to tokens on WebGPU, and what the panels say", async () => {
    page = await open(gpu.context, at("&backend=gpu"));
    await page.emulateMedia({ colorScheme: "dark" });
    await ready(page);
    worker = workerOf(page);
    await worker.evaluate(() => {
      const own = GPUAdapter.prototype.requestDevice;
      globalThis.devices = [];
      GPUAdapter.prototype.requestDevice = async function (...args) {
        const d = await own.apply(this, args);
        devices.push(d);
        return d;
      };
    });
    await page.click("#load");
    await loaded(page, SLOW);
    equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
    matches(await text(page, "#chip-backend"), /WEBGPU/, "backend");
    equal(await page.locator("#chip-backend.cpu").count(), 0, "marked as CPU");
    matches(await text(page, "#gpu-limits"),
      new RegExp("maxBuffer: \\d+MB {3}maxBinding: \\d+MB {3}bindGroups: \\d+ {3}bindingsPerGroup: \\d+ {3}"
        + "f16: (yes|no) {3}subgroups: (yes|no)"));
    for (const words of [/RMSNorm: GPU/, /RoPE: GPU/, /Attention: GPU \((decode|prefill)\)/, /MoE: active/]) {
      matches(await text(page, "#stats"), words, "stats");
    }
    matches(await page.locator("#infer-rows [data-stage=runtime_mode] .d").innerText(), /layers=6/);
    for (const map of ["attn", "router", "kv", "activity"]) {
      const n = await colours(page, `#gpu-${map}`);
      // the cache: what is held, what is free, between the rows, the frame (where a CPU draws the ground
      // is plain)
      ok(n > (map === "kv" ? 3 : 6) || !shown, `the map ${map} shows ${n} colours`);
      ok(await page.locator(`#${map}`).isHidden(), `${map} is shown twice`);
    }
    ok(await page.locator("#kernels .n").count() >= 8, "no kernel times");
    matches(await page.locator("#tensors div").last().innerText(), /\n\d+\.\d\d s$/, "a tensor's time");
    for (const stage of ["token_embd", "norms", "products", "attn_score", "moe_router", "moe_mlp",
      "sample"]) {
      const row = page.locator(`#infer-rows [data-stage=${stage}]`);
      matches(await row.locator(".d").innerText(), /^dispatches=\d+ us=[1-9]\d*$/, stage);
      ok(!await row.evaluate(r => r.classList.contains("cpu")), `${stage} is marked as the CPU's`);
    }
    page.quiet();
  }, SLOW);

  await test("goldens on WebGPU, on the same page; another head has another map", async () => {
    const before = await page.locator("#gpu-attn").screenshot();
    await page.locator("#attn-head").fill("5");
    const request = { backend: "gpu", list: goldens(29), together: true };
    const r = await page.evaluate(`(${runGoldens})(${JSON.stringify(request)})`);
    equal([r.backend, r.bad], ["gpu", []], "goldens");
    ok(!shown || !before.equals(await page.locator("#gpu-attn").screenshot()),
      "another head shows the same map");
  }, SLOW);

  await test("a device that is lost in mid generation comes back, and the answer is whole", async () => {
    await page.click("#new-chat");
    const box = await put(page, QUESTION, 0);
    await page.locator(".turn.assistant .part.analysis em",
      { hasText: /REASONING · [5-9]/ }).waitFor({ timeout: SLOW });
    equal(await worker.evaluate(() => {
      devices.at(-1).destroy();
      return devices.length;
    }), 1, "devices before");
    const answer = await answerOf(page, box, SLOW);
    equal(answer, ANSWER,
      `${await page.locator(".stop-note").last().innerText()} ${await text(page, "#errors")}: answer`);
    equal(await worker.evaluate(() => devices.length), 2, "devices asked for");
    matches(await text(page, "#log"), /device_lost[\s\S]*device_restored/, "log");
    await page.close();
  }, SLOW);
}

const failures = page => page.locator(".failure").allInnerTexts().then(lines => lines.join("\n     "));
async function check(page, timeout) {
  await page.click("#run");
  await page.waitForSelector("body[data-check]", { timeout });
  return text(page, "#verdict");
}

async function smaller_ways(gpu) {
  if (REAL) skip("a software adapter is not used unasked", "the adapter is a real one");
  else await test("a software adapter is not used unasked: the CPU, in orange, and why", async () => {
    const page = await run(gpu.context, "");
    ok(await page.locator("#chip-backend.cpu").count(), "the CPU is not marked");
    ok(await page.locator("#banner.cpu").count(), "no orange banner");
    matches(await text(page, "#banner"), /the only WebGPU adapter here is software/, "banner");
    equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
    page.quiet();
    await page.close();
  }, SLOW);

  await test("the whole way with WebGPU's default limits; kernels are measured behind it", async () => {
    const page = await run(gpu.context, "&backend=gpu&limits=default&gpu_kernels=auto");
    equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
    matches(await text(page, "#gpu-limits"),
      /maxBuffer: 256MB {3}maxBinding: 128MB .* f16: no {3}subgroups: no/s);
    await page.locator("#log", { hasText: /gpu_kernels .*measured=4 / }).waitFor({ timeout: SLOW });
    const kept = await page.evaluate(async () => {
      const { openDrive } = await import("/js/core/bytes/drives.js");
      const { readKernels } = await import("/js/core/bytes/kernels.js"), drive = await openDrive();
      for (let text; ;) {
        if ((text = await readKernels(drive))) return text;
        await new Promise(r => setTimeout(r, 50));
      }
    });
    matches(kept, /^device .*; \w*Chrome\/\d.*\ndense .*\nexperts .* fixed\nfew .* fixed\nend\n/ms,
      "what is kept");
    page.quiet();
    await page.close();
  }, SLOW);

  await test("computed prefixes outlive the page on a GPU, once the whole file is kept", async () => {
    const page = await open(gpu.context, `${site.url}/check`);
    const visit = (asks, stay) => page.evaluate(async ({ question, date, asks, stay }) => {
      const { init } = await import("/js/core/gossamer.js"), said = [];
      const llm = await init({ backend: "gpu" });
      llm.on("notice", text => said.push(text));
      const model = await llm.loadModel("/models/demo-gptoss.gguf", { prefix_cache: 64e6, max_kv: 1024 });
      const messages = [{ role: "system", content: "You answer questions about the months. ".repeat(8) },
        { role: "user", content: question }];
      const request = { messages, temperature: 0, date, max_tokens: 8 };
      const r = asks ? await llm.chat.completions.create(request) : null;
      const kept = async () => {
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("gossamer");
        const folder = await root.getDirectoryHandle("prefixes").catch(() => null);
        for await (const name of folder?.keys() ?? []) if (name.endsWith(".kv")) return true;
        return false;
      };
      while (stay && !await kept()) await new Promise(r => setTimeout(r, 50));
      const { n_stored_tokens } = await model.stats(), { backend } = model.info;
      await llm.close();
      return { backend, answer: r?.choices[0].message, stored: n_stored_tokens, said };
    }, { question: QUESTION, date: DATE, asks, stay });
    await page.evaluate(async () => {              // as at a first visit
      const root = await navigator.storage.getDirectory();
      await root.removeEntry("gossamer", { recursive: true }).catch(() => {});
    });
    const first = await visit(false, false);
    equal([first.backend, first.stored], ["gpu", 0]);
    matches(first.said.join(), /kept from the next load on/, "what is said at first");
    const cold = await visit(true, true);
    equal(cold.stored, 0, "tokens that were there at the second visit");
    await page.reload();
    const warm = await visit(true, false);
    equal(warm.answer, cold.answer, "answers");
    ok(warm.stored > 60, `${warm.stored} tokens were there`);
    await page.close();
  }, 2 * SLOW);

  await test("kernel check: wasm SIMD, and on WebGPU one case of every kernel's test", async () => {
    const page = await open(gpu.context, `${site.url}/check?cases=1&mutants=0`);
    const verdict = await check(page, SLOW);
    ok(/^\d{3,} passed, 0 failed, 0 skipped/.test(verdict), `${verdict}\n     ${await failures(page)}`);
    console.log(`     ${(await text(page, "#table")).replace(/\s*\n\s*/g, " | ")}`);
    page.quiet();
    await page.close();
  }, SLOW);

  await test("kernel check: a wrong kernel and a blind mutant are named", async () => {
    const page = await openPatched(gpu.context, `${site.url}/check?test=norm&levels=default&seed=5`, `
      const make = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (d) {
        return make.call(this, { ...d, code: d.code.replaceAll("+ eps)", "+ 0.02)").replaceAll("+ 0.01)",
          "+ eps)") });
      };`);
    matches(await check(page, SLOW), /^\d+ passed, [1-9]\d* failed, 0 skipped, seed 5$/, "verdict");
    const said = await failures(page);
    matches(said, /default limits: gpu default norm: .*outside its bound.*seed 5\)/, "the failing case");
    matches(said, /the mutant "\+ 0.01\)" of norm passed: the checker is blind to it/, "the blind mutant");
    await page.close();
  }, SLOW);
}

async function no_gpu() {
  await test("no navigator.gpu: the CPU, in orange, and why", async () => {
    const none = await browser({ gpu: false });
    try {
      const page = await open(none.context, at(""));
      await page.emulateMedia({ colorScheme: "dark" });
      await ready(page);
      await page.click("#load");
      await loaded(page);
      matches(await text(page, "#banner"), /no WebGPU here/, "banner");
      ok(await page.locator("#load-rows [data-stage=gpu_limits].fail").count(), "gpu_limits is not marked");
      equal(await page.evaluate(() => getComputedStyle(document.getElementById("chip-backend")).color),
        "rgb(255, 162, 74)", "colour of the chip");
      equal(await ask(page, QUESTION), ANSWER);
      page.quiet();
      await page.close();
    } finally { await none.close(); }
  }, SLOW);
}

const lane = async (ways, args) => {
  const b = await browser({ gpu: true, args });
  try {
    await ways(b);
  } finally {
    await b.close();
  }
};
await Promise.all([lane(whole_way, ["--enable-dawn-features=disable_workgroup_init"]),
  lane(smaller_ways).then(no_gpu)]);

/** Alone, at the end: SwiftShader draws the page with the same cores that it makes tokens with. */
await lane(async gpu => test("the page goes on being drawn while the GPU generates: a step is cut in parts; "
  + "a map that nobody sees is not drawn", async () => {
  const page = await run(gpu.context, "&backend=gpu");
  equal((await framesWhile(page, 4)).maps_s, 0, "maps drawn where all are further down");
  await page.locator("#gpu-attn").scrollIntoViewIfNeeded();
  const r = await framesEnough(page, 16, r => r.frames_s >= 20 && r.maps_s >= 8, { all: true });
  ok(r.frames_s >= 20 && r.maps_s >= 8,
    `${r.frames_s.toFixed(1)} frames, ${r.maps_s.toFixed(1)} maps a second`);
  page.quiet();
  await page.close();
}, SLOW), ["--enable-dawn-features=disable_workgroup_init"]);
await site.close();
finish();
