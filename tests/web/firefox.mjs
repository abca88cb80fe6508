// firefox.mjs - the page in Firefox: WebGPU on Mesa's lavapipe, and the CPU path with WebGPU off. node tests/web/firefox.mjs [NAME]
import { firefox } from "./bidi.mjs";
import { goldens, runGoldens } from "./goldens.mjs";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, start, test } from "./harness.mjs";

const SLOW = 240000;
const site = await start();

async function open(browser, query) {
  const page = await browser.open(`${site.url}/gptoss?date=${DATE}&max_kv=1024${query}`);
  await page.until("document.body.dataset.ready === '1'", "the page");
  return page;
}

async function click_to_tokens(page, limit) {
  await page.click("#load");
  await page.until("/READY|FAILED/.test(document.getElementById('progress-text').textContent)", "the model", limit);
  equal(await page.text("#errors"), "", "errors");
  await page.eval(`(document.getElementById("prompt").value = ${JSON.stringify(QUESTION)}, document.getElementById("send").click(), 0)`);
  await page.until("!!document.querySelector('.turn.assistant[aria-busy=false]')", "the answer", limit);
  equal((await page.text(".turn.assistant .part.final")).trim(), ANSWER);
  console.log(`     ${await page.text(".stop-note")}`);
}

const check = async page => {
  await page.click("#run");
  await page.until("!!document.body.dataset.check", "the kernel check", 2 * SLOW);
  matches(await page.text("#verdict"), /^\d{3,} passed, 0 failed/, "verdict");
  console.log(`     ${(await page.text("#table")).replace(/\s*\n\s*/g, " | ")}`);
};
const same = async (page, request) => {
  const r = await page.eval(`(${runGoldens})(${JSON.stringify(request)})`);
  equal(r.bad, [], "goldens");
  equal(r.backend, request.backend, "backend");
};

const without = await firefox({ gpu: false });
await test("Firefox without WebGPU: click to tokens on the CPU, in orange", async () => {
  const page = await open(without, "");
  await click_to_tokens(page, 60000);
  matches(await page.text("#chip-backend"), /CPU/, "backend");
  ok(await page.eval("!!document.querySelector('#chip-backend.cpu') && !!document.querySelector('#banner.cpu')"), "not marked");
  equal(page.said, [], "console");
  await page.close();
}, 90000);
await test("Firefox without WebGPU: goldens", async () => {
  const page = await open(without, "");
  await same(page, { backend: "cpu", list: goldens(200), together: true });
  await page.close();
}, 90000);
await without.close();

const gpu = await firefox({ gpu: true });
await test("Firefox: kernel check", async () => {
  const page = await gpu.open(`${site.url}/check`);
  await check(page);
  equal(page.said, [], "console");
  await page.close();
}, 2 * SLOW);
await test("Firefox with WebGPU: click to tokens", async () => {
  const page = await open(gpu, "&backend=gpu"), before = gpu.mappings();
  await click_to_tokens(page, SLOW / 4);
  const more = gpu.mappings() - before; // of 65,530 that a process may have: a shader compiled anew for every draw takes ten thousand
  console.log(`     ${more} mappings of memory more than before`);
  ok(before > 100 && more < 4000, `${more} mappings more than ${before}`);
  matches(await page.text("#chip-backend"), /WEBGPU/, "backend");
  matches(await page.text("#gpu-limits"), /maxBinding: 128MB .*f16: yes {3}subgroups: no/s, "limits");
  equal(page.said, [], "console");
  await page.close();
}, SLOW);
await test("Firefox with WebGPU: goldens", async () => {
  const page = await open(gpu, "&backend=gpu");
  await same(page, { backend: "gpu", list: goldens(40), together: true });
  await page.close();
}, SLOW);
await gpu.close();
await site.close();
finish();
