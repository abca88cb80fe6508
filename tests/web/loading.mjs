// loading.mjs - LOAD MODEL in Chromium: during an answer, cancelled, another file meanwhile, files that are
// none, hosts that serve badly; without a network; after a replay. node tests/web/loading.mjs [NAME]
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ANSWER, ask, browser, DATE, equal, errorText, finish, loaded, matches, ok, open, QUESTION, ready,
  ROOT, start, test } from "./harness.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT)), FILE = readFileSync(MODEL);
const SIZE = FILE.length;
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "", base = site.url) =>
  `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const gguf = url => `&gguf=${encodeURIComponent(url)}`;
const load = async page => {
  await ready(page);
  await page.click("#load");
};
const text = (page, id) => page.locator(id).innerText();
const says = (page, id, pattern) => page.waitForFunction(([id, source]) =>
  new RegExp(source).test(document.querySelector(id).textContent), [id, pattern.source], { timeout: 20000 });

/** A page with the demo loaded. */
async function withDemo(query) {
  const page = await open(cpu.context, at(query));
  await load(page);
  await loaded(page);
  return page;
}

/** Serves models as `fault` says, on an origin of its own. */
async function hosted(fault, fn, options) {
  const s = await start({ fault: (request, response, about) =>
    about.path.startsWith("/models/") ? fault(request, response, about) : false, ...options });
  try { await fn(s); } finally { await s.close(); }
}
/** Answers that never end. */
const mute = (request, response, { headers }) => {
  response.writeHead(206, { ...headers, "content-range": `bytes 0-0/${SIZE}` }).write("");
  return true;
};

/** From now on answers go on past their stop tokens. */
const withoutEnd = page => page.evaluate(() => {
  const { model, chats } = gossamer, create = model.createSession.bind(model);
  model.createSession = () => {
    const session = create(), generate = session.generate.bind(session);
    return Object.assign(session, { generate: (o, c) => generate({ ...o, ignore_stop: true }, c) });
  };
  chats[0].model = null;             // so that it takes a new session
});

await test("LOAD during an answer stops it, and the next question is answered", async () => {
  const page = await withDemo("&max_new=8000");
  for (const way of ["the first time", "again"]) {
    await withoutEnd(page);
    await page.locator("#prompt").fill("Tell me a story about a fox and a golden key.");
    await page.keyboard.press("Enter");
    const turn = page.locator(".turn.assistant").last();
    await turn.locator(".part").first().waitFor();
    await page.click("#load");
    await turn.and(page.locator("[aria-busy=false]")).waitFor({ timeout: 10000 });
    matches(await turn.locator(".stop-note").innerText(), /^stopped/, way);
    await says(page, "#load", /LOAD MODEL/);
    await loaded(page);
    equal(await ask(page, QUESTION), ANSWER, way);
  }
  equal(await text(page, "#errors"), "", "errors");
  page.quiet();
  await page.close();
});

await test("a load is cancelled by its button and by Esc; then one works", () => hosted(mute, async s => {
  const page = await open(cpu.context, at(gguf(`${s.url}/models/never.gguf`)));
  await ready(page);
  for (const cancel of [() => page.click("#load"), () => page.keyboard.press("Escape")]) {
    await page.click("#load");
    await says(page, "#load", /^CANCEL$/);
    await cancel();
    await says(page, "#load", /^LOAD MODEL$/);
    await says(page, "#progress-text", /^STANDBY$/);
  }
  equal(await text(page, "#errors"), "", "errors");
  await page.fill("#source", "demo");
  await page.click("#load");
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
}));

await test("asked while a load is under way that is then cancelled: the model that is there answers", () =>
  hosted(mute, async s => {
    const page = await withDemo("");
    await page.fill("#source", `${s.url}/models/never.gguf`);
    await page.click("#load");
    await says(page, "#load", /^CANCEL$/);
    await page.locator("#prompt").fill(QUESTION);
    await page.keyboard.press("Enter");
    await page.locator(".turn.user").waitFor();
    equal(await page.locator(".turn.assistant").count(), 0, "answers while it loads");
    await page.click("#load");
    equal((await page.locator(".turn.assistant[aria-busy=false] .part.final").innerText()).trim(), ANSWER);
    page.quiet();
    await page.close();
  }));

await test("another file or address chosen meanwhile wins", () => hosted(mute, async s => {
  const page = await open(cpu.context, at(gguf(`${s.url}/models/never.gguf`)));
  await load(page);
  await says(page, "#load", /^CANCEL$/);
  await page.setInputFiles("#file", MODEL);
  await loaded(page);
  equal(await page.inputValue("#source"), "demo-gptoss.gguf", "the name that is shown");
  equal(await ask(page, QUESTION), ANSWER);
  await page.fill("#source", `${s.url}/models/never.gguf`);
  await page.click("#load");
  await says(page, "#load", /^CANCEL$/);
  await page.fill("#source", "/models/demo-llama-Q4_K_M.gguf");
  await says(page, "#load", /^LOAD MODEL$/);
  await page.click("#load");
  await page.waitForFunction(() => gossamer.model?.info.arch === "llama", null, { timeout: 20000 });
  page.quiet();
  await page.close();
}));

await test("a file that is no model leaves the one that works", async () => {
  const page = await withDemo("");
  const still = async (pattern, what) => {
    matches(await errorText(page), pattern, what);
    await says(page, "#load", /^LOAD MODEL$/);
    await says(page, "#progress-text", /^READY/);
    equal(await ask(page, QUESTION), ANSWER, what);
  };
  const buffer = Buffer.alloc(100000, "no model");
  await page.setInputFiles("#file", { name: "bad.gguf", mimeType: "application/octet-stream", buffer });
  await still(/GGUF/, "bytes of something else");
  await page.setInputFiles("#file", { name: "cut.gguf", mimeType: "application/octet-stream",
    buffer: FILE.subarray(0, 50000) });
  await still(/cut\.gguf|header|ends|short/i, "a file that was cut");
  const addresses = [["/models/none.gguf", /404/], ["hf:x", /does not have the form hf:OWNER/]];
  for (const [address, pattern] of addresses) {
    await page.fill("#source", address);
    await page.click("#load");
    await still(pattern, address);
  }
  await page.evaluate(() => {
    const { plan } = gossamer.llm;
    const none = { fits: false, memory: 5e6 };
    gossamer.llm.plan = async (...args) => ({ ...await plan.apply(gossamer.llm, args), ...none });
  });
  await page.fill("#source", "demo");
  await page.click("#load");
  const why = /does not fit here\. It needs 11\.5 MB of memory; WebAssembly has 5\.00 MB/;
  await still(why, "one that doesn't fit");
  page.quiet(/404/);
  await page.close();
});

await test("what a model is and needs is said before it is fetched", async () => {
  let go;
  const held = new Promise(r => { go = r; });
  const late = async request => {
    if (+(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0) > 4e6) await held;
    return false;
  };
  await hosted(late, async s => {
    const page = await open(cpu.context, at("", s.url));
    await load(page);
    const said = /^demo-gptoss · 11\.5 MB · All 11 MB of weights stay in memory/;
    await says(page, "#banner", said);
    ok(s.stats.bytes < SIZE / 2, `${s.stats.bytes} bytes had come`);
    go();
    await loaded(page);
    matches(await text(page, "#log"), /demo-gptoss · 11\.5 MB · All 11 MB/, "log");
    await page.close();
  });
});

const body = (head, bytes) => (request, response, { headers }) => {
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range).map(Number);
  response.writeHead(206, { ...headers, etag: '"x"', ...head(from, Math.min(to, SIZE - 1)) });
  bytes(response, from, Math.min(to, SIZE - 1));
  return true;
};
const plain = (from, to) => ({ "content-range": `bytes ${from}-${to}/${SIZE}` });
const whole = response => response.end(FILE);
const part = (response, from, to) => response.end(FILE.subarray(from, to + 1));

await test("a host that sends the whole file for one byte is served, once", () => hosted(
  body((from, to) => to ? plain(from, to) : { "content-range": `bytes 0-${SIZE - 1}/${SIZE}` },
    (response, from, to) => to ? part(response, from, to) : whole(response)), async s => {
    const page = await open(cpu.context, at("", s.url));
    await load(page);
    await loaded(page);
    equal(await ask(page, QUESTION), ANSWER);
    await page.close();
  }));

await test("a body without an end is left when there is enough", () => hosted(
  body(plain, (response, from, to) => {
    response.write(FILE.subarray(from, to + 1));
    const more = () => { while (!response.destroyed && response.write("x".repeat(65536))) { /* on */ } };
    response.on("drain", more);
    more();
  }), async s => {
    const page = await open(cpu.context, at("", s.url));
    await load(page);
    await loaded(page);
    equal(await ask(page, QUESTION), ANSWER);
    await page.close();
  }));

for (const [what, fault, pattern] of [
  ["a size that changes", body((from, to) =>
    ({ "content-range": `bytes ${from}-${to}/${to ? SIZE + 1 : SIZE}` }), part),
  /changed while it was loading/],
  ["a size that is too small", body((from, to) =>
    ({ "content-range": `bytes ${from}-${Math.min(to, 199999)}/200000` }), (response, from, to) =>
    part(response, from, Math.min(to, 199999))), /demo-gptoss|ends|short|beyond|bytes/],
  ["parts from elsewhere", body((from, to) => plain(from + 1, to + 1), part), /with bytes from 1 on/],
  ["200 and the whole file", (request, response, { headers }) => {
    response.writeHead(200, headers).end(FILE);
    return true;
  }, /answered 200 with the whole file/]]) {
  await test(`a host with ${what} is refused in a sentence`, () => hosted(fault, async s => {
    const page = await open(cpu.context, at("", s.url));
    await load(page);
    matches(await errorText(page), pattern, what);
    await says(page, "#load", /^LOAD MODEL$/);
    await says(page, "#progress-text", /LOAD FAILED/);
    await page.close();
  }));
}

await test("a host without CORS is told from one that is not there, also under cross-origin isolation", () =>
  hosted((request, response) => !!response.writeHead(206, { "content-range": `bytes 0-0/${SIZE}` }).end("G"),
    async s => {
    const page = await open(cpu.context, at(gguf(`${s.url}/models/x.gguf`)));
    ok(await page.evaluate(() => crossOriginIsolated), "not isolated");
    await load(page);
    matches(await errorText(page), /CORS: 127\.0\.0\.1:\d+ is there, but does not let this/, "there");
    await page.fill("#source", "http://127.0.0.1:9/x.gguf");
    await page.click("#load");
    await says(page, "#errors", /Network: 127\.0\.0\.1:9 can't be reached/);
    await page.close();
  }));

await test("the second visit needs no network: page, model and answer", async () => {
  const s = await start(), b = await browser({ gpu: false });
  let page = await open(b.context, at("", s.url));
  await load(page);
  await loaded(page);
  const kept = () => page.evaluate(() => caches.match(new URL("/gptoss", location.href).href).then(r => !!r));
  while (!await kept()) await page.waitForTimeout(50);
  await page.close();
  await s.close();                   // nobody is there any more
  page = await open(b.context, at("&offline=1", s.url));
  await load(page);
  await loaded(page);
  ok(await page.evaluate(() => crossOriginIsolated), "not isolated: no threads");
  equal(await ask(page, QUESTION), ANSWER);
  await page.close();
  await b.close();
});

await test("the page can be installed", async () => {
  const page = await open(cpu.context, at()), client = await cpu.context.newCDPSession(page);
  await ready(page);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  const { errors, data } = await client.send("Page.getAppManifest");
  equal(errors, [], "the manifest's errors");
  equal(JSON.parse(data).start_url, "gptoss");
  const { installabilityErrors } = await client.send("Page.getInstallabilityErrors");
  equal(installabilityErrors.map(e => e.errorId).filter(e => e !== "in-incognito"), [], "what forbids it");
  await page.close();
});

await test("/gptoss/ is /gptoss", async () => {
  const page = await open(cpu.context, at().replace("/gptoss?", "/gptoss/?"));
  await load(page);
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
});

await test("a replay, then LOAD MODEL", async () => {
  const page = await open(cpu.context, at("&data=/data/sample.jsonl&speed=1"));
  await page.waitForFunction(() => document.querySelectorAll("#load-rows .ok, #load-rows .run").length > 0);
  await page.click("#load");
  await page.waitForFunction(() => gossamer.model && gossamer.status === "ready", null, { timeout: 20000 });
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
});

await cpu.close();
await site.close();
finish();
