// firefox.mjs - the page in Firefox: WebGPU on Mesa's lavapipe, and the CPU path with WebGPU off. node
// tests/web/firefox.mjs [NAME]
import { firefox } from "./bidi.mjs";
import { goldens, runGoldens } from "./goldens.mjs";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, start, test } from "./harness.mjs";

const SLOW = 240000;
const site = await start();
/** Its model never comes. */
const never = await start({ fault: (request, response, { path, headers }) => path.startsWith("/models/")
  && !!response.writeHead(206, { ...headers, "content-range": "bytes 0-0/1000" }).write("") });

async function open(browser, query) {
  const page = await browser.open(`${site.url}/gptoss?date=${DATE}&max_kv=1024${query}&sample=0&greet=0`);
  await page.until("document.body.dataset.ready === '1'", "the page");
  return page;
}

async function click_to_tokens(page, limit) {
  await page.click("#load");
  await page.until("/READY|FAILED/.test(document.getElementById('progress-text').textContent)", "the model",
    limit);
  equal(await page.text("#errors"), "", "errors");
  await page.eval(`(document.getElementById("prompt").value = ${JSON.stringify(QUESTION)},
    document.getElementById("send").click(), 0)`);
  await page.until("!!document.querySelector('.turn.assistant[aria-busy=false]')", "the answer", limit);
  equal((await page.text(".turn.assistant .part.final")).trim(), ANSWER);
  console.log(`     ${await page.text(".stop-note")}`);
}

const check = async page => {
  await page.click("#run");
  await page.until("!!document.body.dataset.check", "the kernel check", 4 * SLOW);
  matches(await page.text("#verdict"), /^\d{3,} passed, 0 failed/, "verdict");
  console.log(`     ${(await page.text("#table")).replace(/\s*\n\s*/g, " | ")}`);
};
const same = async (page, request) => {
  const r = await page.eval(`(${runGoldens})(${JSON.stringify(request)})`);
  equal(r.bad, [], "goldens");
  if (r.close.length) console.log(`     parted where the best two are close: ${r.close.join(", ")}`);
  equal(r.backend, request.backend, "backend");
};

const without = await firefox({ gpu: false });
await test("Firefox without WebGPU: click to tokens on the CPU, in orange", async () => {
  const page = await open(without, "");
  await click_to_tokens(page, 180000);
  matches(await page.text("#chip-backend"), /CPU/, "backend");
  const marked = "!!document.querySelector('#chip-backend.cpu') && !!document.querySelector('#banner.cpu')";
  ok(await page.eval(marked), "not marked");
  equal(page.said, [], "console");
  await page.close();
}, SLOW);
await test("Firefox without WebGPU: goldens", async () => {
  const page = await open(without, "");
  await same(page, { backend: "cpu", list: goldens(200), together: true });
  await page.close();
}, SLOW);
await test("Firefox: LOAD during an answer, cancelled, a bad file; the model goes on", async () => {
  const page = await open(without, "&max_new=8000"), quiet = "gossamer.chats[0].running === null";
  const put = (id, text) => page.eval(`(document.getElementById("${id}").value = ${JSON.stringify(text)},
    document.getElementById("${id}").dispatchEvent(new Event("input")), 0)`);
  await click_to_tokens(page, 180000);
  await put("prompt", "Tell me a story about a fox and a golden key.");
  await page.click("#send");
  await page.until("document.querySelectorAll('.turn.assistant .part').length > 2", "a second answer");
  await page.click("#load");
  await page.until(`${quiet} && gossamer.status === "ready" && !!gossamer.model`, "the model, again");
  await put("source", "/models/none.gguf");
  await page.click("#load");
  await page.until("/404/.test(document.getElementById('errors').innerText)", "the error");
  ok(await page.eval("gossamer.status === 'ready' && !!gossamer.model"), "the model is gone");
  await put("source", `${never.url}/models/never.gguf`);
  await page.click("#load");
  await page.until("document.getElementById('load').textContent === 'CANCEL'", "CANCEL");
  await page.click("#load");
  await page.until("document.getElementById('load').textContent === 'LOAD MODEL'", "LOAD MODEL");
  await put("prompt", QUESTION);
  await page.click("#send");
  const last = "[...document.querySelectorAll('.turn.assistant[aria-busy=false]')][2]";
  await page.until(`!!${last}`, "the third answer");
  equal(await page.eval(`${last}.querySelector(".part.final").innerText.trim()`), ANSWER);
  await page.close();
}, SLOW);
await test("Firefox: twenty loads, one after the other", async () => {
  const page = await open(without, "");
  await click_to_tokens(page, 180000);
  for (let i = 0; i < 20; i++) {
    await page.eval("(document.getElementById('load').click(), window.was = gossamer.model, 0)");
    await page.until("gossamer.status === 'ready' && gossamer.model !== window.was", `load ${i}`, 60000);
  }
  await page.close();
}, SLOW);
await without.close();

let gpu = await firefox({ gpu: true });
/** Firefox itself ends by a signal on lavapipe now and then, the sooner the busier the machine is: it is
 * started anew. */
const STARTS = 4;
const again = run => async () => {
  for (let i = 1; ; i++) {
    try { return await run(); } catch (e) {
      if (!/Firefox ended with/.test(e.message) || i === STARTS) throw e;
      console.log(`     started once more: ${e.message.slice(0, 30)}`);
      gpu = await firefox({ gpu: true });
    }
  }
};
await test("Firefox: kernel check", again(async () => {
  const page = await gpu.open(`${site.url}/check`);
  await check(page);
  console.log(`     ${gpu.mappings()} mappings of memory`);
  equal(page.said, [], "console");
  await page.close();
}), 5 * SLOW);
await test("Firefox with WebGPU: click to tokens", again(async () => {
  const page = await open(gpu, "&backend=gpu"), before = gpu.mappings();
  await click_to_tokens(page, SLOW / 4);
  // Of 65,530 that a process may have: a shader compiled anew for every draw takes ten thousand.
  const more = gpu.mappings() - before;
  console.log(`     ${more} mappings of memory more than before`);
  ok(before > 100 && more < 4000, `${more} mappings more than ${before}`);
  matches(await page.text("#chip-backend"), /WEBGPU/, "backend");
  matches(await page.text("#gpu-limits"), /maxBinding: 128MB .*f16: yes {3}subgroups: no/s, "limits");
  equal(page.said, [], "console");
  await page.close();
}), 2 * SLOW);
await test("Firefox with WebGPU: goldens", again(async () => {
  const page = await open(gpu, "&backend=gpu");
  await same(page, { backend: "gpu", list: goldens(40), together: true });
  await page.close();
}), 2 * SLOW);
await gpu.close();
await site.close();
await never.close();
finish();
