// server.mjs - the page as `gossamer serve` serves it, in Chromium: its own demo model, USE SERVER with
// telemetry, its key, /check. node tests/web/server.mjs [NAME]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { serve } from "../http/lib.mjs";
import { ANSWER, answerOf, ask, browser, DATE, equal, errorText, finish, loaded, matches, ok, open, put,
  QUESTION, ready, start, test } from "./harness.mjs";

const folder = mkdtempSync(`${tmpdir()}/gossamer-tools-`);
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const s = await serve(), cpu = await browser({ gpu: false });
const at = (query = "", base = s.url) => `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const connected = page => page.waitForFunction(() =>
  /^Connected to/.test(document.getElementById("banner").textContent), null, { timeout: 20000 });
const toggle = page => page.locator("label:has(#use-server)").click();

await test("/ and /gptoss offer the server's demo model, which loads by Range", async () => {
  for (const path of ["/", "/gptoss"]) {
    const page = await open(cpu.context, s.url + path);
    await ready(page);
    equal(await page.locator("#source").inputValue(), "/models/demo-gptoss.gguf", path);
    await page.close();
  }
  const page = await open(cpu.context, at());
  ok(await page.evaluate(() => crossOriginIsolated), "not isolated: no threads");
  await ready(page);
  await page.click("#load");
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
});

await test("/gptoss/ is /gptoss; autostart takes the demo; the second visit needs no server", async () => {
  const own = await serve(), b = await browser({ gpu: false }), url = at("", own.url);
  let page = await open(b.context, `${url.replace("/gptoss?", "/gptoss/?")}&autostart=1`);
  await loaded(page);
  const worker = await fetch(`${own.url}/service-worker.js`);
  const policy = worker.headers.get("cross-origin-embedder-policy");
  equal([worker.status, policy], [200, null], "the service worker");
  const path = "/gptoss/", kept = () => page.evaluate(path => caches.match(path).then(r => !!r), path);
  while (!await kept()) await page.waitForTimeout(50);
  page.quiet();
  await page.close();
  await own.stop();
  page = await open(b.context, url.replace("/gptoss?", "/gptoss/?"));
  await ready(page);
  await page.fill("#source", "demo");
  await page.click("#load");
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  await page.close();
  await b.close();
});

await test("a recording that ships is served, and plays", async () => {
  const page = await open(cpu.context, `${s.url}/gptoss?greet=0`);
  await ready(page);
  await page.locator(".hello button", { hasText: "Watch a recording" }).click();
  await page.locator("#tokens span:not(.prompt)").first().waitFor();
  matches(await page.locator("#banner").innerText(), /^Replaying .*demo-greeting\.grec/);
  page.quiet();
  await page.close();
});

await test("USE SERVER: answers and panels come from the server", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  await toggle(page);
  await connected(page);
  equal(await ask(page, QUESTION), ANSWER);
  equal(await page.locator("#load-rows [data-stage=server_connect] .s").innerText(), "OK");
  for (const stage of ["prefill", "decode", "generation"]) {
    equal(await page.locator(`#infer-rows [data-stage=${stage}] .s`).innerText(), "OK", stage);
  }
  ok(await page.locator("#topk li.hit").count() === 1, "the chosen token is not marked in TOP-K");
  ok(await page.locator("#tokens span").count() > 10, "no tokens");
  matches(await page.locator("#tok-id").innerText(), /^ID \d+$/, "token id");
  ok(await page.locator(".part.analysis").count() === 1, "no reasoning");
  equal(await ask(page, "What is 12 + 30?"), "12 + 30 = 42.");
  page.quiet();
  await toggle(page);
  ok(await page.locator("#banner").isHidden(), "the banner stays");
  await page.close();
});

await test("USE SERVER: its backend, attention as this page's engine has it, the same counts", async () => {
  const page = await open(cpu.context, at()), said = page.locator("#attn-said");
  const slide = (layer, head) => page.evaluate(given => ["attn-layer", "attn-head"].forEach((id, i) => {
    const slider = document.getElementById(id);
    slider.value = given[i];
    slider.dispatchEvent(new Event("input"));
  }), [layer, head]);
  // What the newest rows of the answer looked at, and how many words are lit.
  const looked = () => page.evaluate(() => {
    const { history } = gossamer.state, n = history.count, rows = [n - 9, n - 5, n - 2];
    return { looks: rows.map(i => history.looks(i).map(l => [history.text(l.n), l.w])),
      experts: rows.map(i => history.experts(i, 3).map(x => x.expert)),
      maps: history.maps.filter(m => m.layer === 3 && m.head === 5).length };
  });
  await ready(page);
  await toggle(page);
  await connected(page);
  equal(await page.locator("#chip-backend").innerText(), "SERVER · CPU");
  equal(await ask(page, QUESTION), ANSWER);
  await said.filter({ hasText: /^Layer 0, head 0 looked at ".+" \d/ }).waitFor();
  equal(await page.evaluate(() => ["attn-layer", "attn-head"].map(id => document.getElementById(id).max)),
    ["5", "15"], "the sliders end where the model does");
  await slide(3, 5);
  await said.filter({ hasText: "Layer 3, head 5: from the next question on." }).waitFor();
  await page.click("#new-chat");
  equal(await ask(page, QUESTION), ANSWER);
  await said.filter({ hasText: /^Layer 3, head 5 looked at [^:]*$/ }).waitFor();
  ok(await page.locator("#attn-text .lit").count() > 3, "no words are lit");
  const theirs = await looked(), answer = await page.locator(".turn.assistant").last().innerText();
  const [, n] = /(\d+) tokens ·/.exec(answer);
  equal(await page.locator("#stats").evaluate(s => /\btokens\s+(\d+)/.exec(s.innerText)[1]), n, "tokens");
  equal(theirs.maps, +n, "rows of the map");
  await toggle(page);
  await page.click("#load");
  await loaded(page);
  await slide(3, 5);
  await page.click("#new-chat");
  equal(await ask(page, QUESTION), ANSWER);
  const own = await looked();
  equal(theirs.experts, own.experts, "experts");
  theirs.looks.forEach((row, i) => {
    ok(row.length > 4, `row ${i} looked at ${row.length}`);
    for (const [text, w] of row.slice(0, 5)) {
      const like = own.looks[i].filter(l => l[0] === text).map(l => Math.abs(l[1] - w));
      ok(Math.min(...like) < 0.02, `row ${i}: "${text}" ${w}; own: ${JSON.stringify(own.looks[i])}`);
    }
  });
  page.quiet();
  await page.close();
});

await test("USE SERVER: two chats at once, STOP cancels on the server", async () => {
  const page = await open(cpu.context, at("&max_new=2000"));
  await ready(page);
  await toggle(page);
  await connected(page);
  await page.click("#split");
  const boxes = [await put(page, QUESTION, 0), await put(page, "What is 12 + 30?", 1)];
  equal(await Promise.all(boxes.map(b => answerOf(page, b))), [ANSWER, "The answer is 42."]);
  await page.click("#split");
  await page.locator("#prompt").fill("Tell me a story about a fox and a golden key.");
  // In the page: a busy machine may be too late from here.
  const stopping = page.waitForFunction(() =>
    document.querySelector(".turn.assistant[aria-busy=true] .body")
    && (document.getElementById("send").click(), true));
  await page.keyboard.press("Enter");
  await stopping;
  await page.locator(".turn.assistant[aria-busy=false]").last().waitFor();
  for (let i = 0; ; i++) {
    if (/^gossamer_jobs_running 0$/m.test(await (await fetch(s.url + "/metrics")).text())) break;
    ok(i < 40, "the server still generates");
    await page.waitForTimeout(50);
  }
  await page.close();
});

await test("USE SERVER: its tools are listed; a call is allowed, then all of its tool", async () => {
  const stdio = ["good", "mute"].map(mode => ({ command: process.execPath,
    args: [new URL("../mcp/stdio_server.mjs", import.meta.url).pathname, mode, `${folder}/${mode}`] }));
  writeFileSync(`${folder}/mcp.json`, JSON.stringify({ mcpServers: { weather: stdio[0], other: stdio[1] } }));
  const t = await serve(["--mcp", `${folder}/mcp.json`]);
  const offered = async () => (await (await fetch(`${t.url}/v1/tools`)).json()).data.length;
  while (await offered() < 2) await new Promise(done => setTimeout(done, 50));
  const page = await open(cpu.context, at("", t.url));
  const calls = () => readFileSync(`${folder}/good`, "utf8").split("tools/call").length - 1;
  const question = "What is the weather in Paris?", last = page.locator(".turn.assistant").last();
  const press = name => last.locator(".result button", { hasText: new RegExp(`^${name}$`) }).click();
  await ready(page);
  ok(await page.locator("#server-tools").isHidden(), "there is no server yet");
  await toggle(page);
  await connected(page);
  equal(await page.locator("#server-tools label").allInnerTexts(),
    ["weather: get_weather", "other: wait"]);
  await page.evaluate(() => document.querySelector("#server-tools input").click());
  await put(page, question, 0);
  await last.locator(".result").waitFor();
  equal(calls(), 0, "calls that nobody allowed");
  await press("RUN");
  await page.locator(".part.final", { hasText: "sunny" }).waitFor();
  equal(calls(), 1);
  for (const n of [2, 3]) {
    await page.click("#new-chat");
    await put(page, question, 0);
    if (n === 2) await press("ALWAYS RUN");
    await page.locator(".part.final", { hasText: "sunny" }).waitFor();
    equal(calls(), n);
  }
  page.quiet();
  await toggle(page);
  ok(await page.locator("#server-tools").isHidden(), "the list stays");
  await page.close();
  await t.stop();
});

await test("a key: asked for, refused when wrong, used when right", async () => {
  const k = await serve(["--api-key", "sesame"]), page = await open(cpu.context, at("", k.url));
  await ready(page);
  ok(await page.locator("#server-key").isHidden(), "the field shows before it is needed");
  await toggle(page);
  await page.locator("#server-key").waitFor();
  matches(await page.locator("#banner").innerText(), /wants its API key/, "banner");
  await page.locator("#server-key").fill("wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() =>
    /this is not its API key/.test(document.getElementById("banner").textContent));
  await page.locator("#server-key").fill("sesame");
  await page.keyboard.press("Enter");
  await connected(page);
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet(/401/);
  await page.close();
  await k.stop();
});

await test("another origin: refused, then allowed; a server that is not there", async () => {
  const site = await start();
  let page = await open(cpu.context, at(`&gguf=${encodeURIComponent(`server://127.0.0.1:${s.port}`)}`,
    site.url));
  await ready(page);
  await page.click("#load");
  await page.waitForFunction(() => /connection failed/.test(document.getElementById("banner").textContent));
  await page.close();
  const open_to = await serve(["--allow-origin", site.url]);
  page = await open(cpu.context, at(`&gguf=${encodeURIComponent(`server://127.0.0.1:${open_to.port}`)}`,
    site.url));
  await ready(page);
  await page.click("#load");
  await connected(page);
  equal(await ask(page, QUESTION), ANSWER);
  await open_to.stop();
  await put(page, "Hello!", 0);
  matches(await errorText(page), /can't be reached/, "error");
  await page.close();
  await site.close();
});

await test("/check runs the kernels in this browser", async () => {
  const page = await open(cpu.context, s.url + "/check");
  await page.click("#run");
  await page.waitForFunction(() => document.body.dataset.check, null, { timeout: 100000 });
  equal(await page.evaluate(() => document.body.dataset.check), "passed");
  page.quiet();
  await page.close();
});

await cpu.close();
await s.stop();
finish();
