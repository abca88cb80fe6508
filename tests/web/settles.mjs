// settles.mjs - every promise of the package settles, with a sentence: in Node here, in Chromium by
// tests/web/settles_page.mjs. node tests/web/settles.mjs [NAME]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { init } from "../../web/js/node/node.js";
import { readRange } from "../../web/js/core/bytes/range.js";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, ROOT, start, test } from "./harness.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT));
const cacheDir = mkdtempSync(join(tmpdir(), "gossamer-settles-"));
const messages = [{ role: "user", content: QUESTION }];
const open = config => init({ backend: "cpu", threads: 2, cacheDir, ...config });
const LIMIT = 5000;                  // a busy machine's second

/** What a promise fails with; it must do so soon. */
async function failure(promise, pattern, name = "Error") {
  const t0 = performance.now(), late = new Promise(r => setTimeout(r, LIMIT, "it did not settle").unref());
  const e = await Promise.race([promise.then(() => "it did not fail", e => e), late]);
  ok(e instanceof Error, e);
  matches(e.message, pattern, "the sentence");
  equal(e.name, name, "the error's name");
  return Math.round(performance.now() - t0);
}

/** Begins a long answer; resolves with {rest}, a promise, once tokens come. */
async function begun(session) {
  const stream = session.generate({ messages, temperature: 0, ignore_stop: true, max_tokens: 4000 });
  await stream.next();
  const rest = (async () => { for await (const _ of stream) { /* until it fails */ } })();
  rest.catch(() => {});
  return { rest };
}

/** A server whose model never comes: its answers stay open. */
const mute = () => start({ fault: (request, response, { path }) => {
  if (!path.startsWith("/models/")) return false;
  response.writeHead(206, { "content-range": "bytes 0-0/1000000", etag: '"m"' }).write("");
  return true;
} });

await test("a model, a session or an llm that is closed ends what is awaited", async () => {
  const llm = await open();
  let model = await llm.loadModel(MODEL);
  const session = model.createSession();
  let { rest } = await begun(session);
  session.close();
  await failure(rest, /the session was closed/, "AbortError");
  await failure(session.prefill("x"), /the session was closed/, "AbortError");
  ({ rest } = await begun(model.createSession()));
  await model.close();
  await failure(rest, /the model was closed/, "AbortError");
  for (const p of [model.stats(), model.tokenize("x"), begun(session)]) {
    await failure(p, /closed/, "AbortError");
  }
  await failure(llm.chat.completions.create({ messages }), /no model is loaded/);
  model = await llm.loadModel(MODEL);
  const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
  equal(r.choices[0].message.content, ANSWER, "after another load");
  ({ rest } = await begun(model.createSession()));
  const whole = llm.chat.completions.create({ messages, ignore_stop: true, max_tokens: 4000 });
  whole.catch(() => {});
  await llm.close();
  for (const p of [rest, whole, llm.loadModel(MODEL), model.stats()]) {
    await failure(p, /llm.close\(\) has ended it/, "AbortError");
  }
  await llm.close();
});

await test("loads: two at once, aborted, closed; the next one works", async () => {
  const site = await mute(), llm = await open(), url = `${site.url}/models/x.gguf`;
  const control = new AbortController(), first = llm.loadModel(url, { signal: control.signal });
  await failure(llm.loadModel(MODEL), /is being loaded/);
  while (!site.stats.requests.length) await new Promise(r => setTimeout(r, 10));
  control.abort();
  console.log(`     an aborted load fails after ${await failure(first, /abort/i, "AbortError")} ms`);
  await failure(llm.loadModel(url, { signal: control.signal }), /abort/i, "AbortError");
  const reason = new AbortController(), other = llm.loadModel(url, { signal: reason.signal });
  reason.abort(new Error("another file was chosen"));
  await failure(other, /another file was chosen/);
  const planning = new AbortController(), plan = llm.plan(url, { signal: planning.signal });
  await failure(llm.plan(url, { signal: reason.signal }), /another file was chosen/);
  planning.abort();
  await failure(plan, /abort/i, "AbortError");
  const replaced = llm.plan(url);
  replaced.catch(() => {});
  const model = await llm.loadModel(MODEL);
  await failure(replaced, /it was stopped/, "AbortError");
  await failure(llm.loadModel(MODEL), /a model is loaded: close it first/);
  model.close();
  const last = llm.loadModel(url);
  last.catch(() => {});
  await llm.close();
  await failure(last, /llm.close\(\)/, "AbortError");
  await site.close();
});

await test("plan: what a file is and needs, beside a model; loadModel takes what it read", async () => {
  const site = await start(), llm = await open({ cache: "none" });
  const url = `${site.url}/models/demo-gptoss.gguf`;
  const plan = await llm.plan(url);
  equal([plan.name, plan.arch, plan.backend, plan.fits, plan.kept], [plan.name, "gpt-oss", "cpu", true, 0]);
  matches(plan.text, /MB of weights stay in memory/, "its sentences");
  ok(site.stats.bytes < plan.file_bytes / 4, `${site.stats.bytes} bytes were read of ${plan.file_bytes}`);
  const model = await llm.loadModel(url), opened = site.stats.requests.filter(r => r.range === "bytes=0-0");
  equal(opened.length, 1, "times that the file was opened");
  await failure(llm.plan(fileURLToPath(import.meta.url)), /GGUF/);
  await failure(llm.plan(`${site.url}/models/none.gguf`), /404/);
  const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
  equal(r.choices[0].message.content, ANSWER, "the model beside it");
  equal(model.info.file_bytes, plan.file_bytes, "bytes");
  await llm.close();
  await site.close();
});

await test("the engine's module is missing, or something else", async () => {
  const llm = await open({ wasm: "file:///nowhere" });
  await failure(llm.loadModel(MODEL), /module is missing: file:\/\/\/nowhere\/gossamer.*answered 404/);
  await failure(llm.plan(MODEL), /module is missing/);
  await llm.close();
  const site = await start({ fault: (request, response) => !!response.end("<!doctype html>hello") });
  const other = await open({ wasm: site.url });
  await failure(other.loadModel(MODEL), /something else than WebAssembly/);
  await other.close();
  await site.close();
});

await test("wrong arguments are named", async () => {
  const wrong = [[{ threads: "2" }, /config\.threads must be a whole number from 0 on, not "2"/],
    [{ backend: "cuda" }, /config\.backend must be one of "auto", .*, not "cuda"/],
    [null, /config must be an object, not null/], [{ cache: true }, /config\.cache must be one of .*true/],
    [{ base: 3 }, /config\.base must be an address, not 3/]];
  for (const [config, pattern] of wrong) await failure(init(config), pattern, "TypeError");
  const llm = await open(), sources = [[undefined, "undefined"], [null, "null"], [7, "7"], ["", '""'],
    [[], "a list of 0"], [{}, "an object \\(Object\\)"], [[MODEL, 3], "a list of 2"]];
  for (const [source, said] of sources) {
    const pattern = new RegExp(`^source must be a URL, hf:OWNER/REPO:FILE, .* not ${said}$`);
    await failure(llm.loadModel(source), pattern, "TypeError");
    await failure(llm.plan(source), pattern, "TypeError");
  }
  await failure(llm.loadModel(MODEL, { onProgress: 1 }), /options\.onProgress must be a func/, "TypeError");
  await failure(llm.loadModel(MODEL, { signal: {} }), /options\.signal must be an AbortSignal/, "TypeError");
  await failure(llm.loadModel(MODEL, { telemetry: "much" }), /options\.telemetry must be one/, "TypeError");
  await failure(llm.loadModel(MODEL, { kv_type: "q9" }), /kv_type must be one of f16/);
  await failure(llm.loadModel(MODEL, { chunk: 5 }), /options\.chunk must be a power of two/, "TypeError");
  await failure(llm.loadModel("hf:nobody"), /does not have the form hf:OWNER\/REPO, hf:OWNER\/REPO:FILE/);
  const model = await llm.loadModel(MODEL), session = model.createSession();
  const calls = [[() => llm.on("noise", () => {}), /type must be one of "telemetry"/],
    [() => llm.on("notice"), /listener must be a function, not undefined/],
    [() => model.createSession({ system: 3 }), /options\.system must be a text, not 3/],
    [() => model.tokenize(3), /text must be a text/],
    [() => model.detokenize([1.5]), /ids must be a list of token ids/],
    [() => model.render("x"), /request must be an object/],
    [() => model.checkSchema("x"), /schema must be an object/],
    [() => model.watchAttention(-1, 0), /layer must be a whole number/],
    [() => session.generate({ messages: "x" }), /request\.messages must be a list/],
    [() => session.generate(-3), /maxTokens must be a whole number/],
    [() => session.generate({ messages }, { signal: 1 }), /signal must be an AbortSignal/],
    [() => session.prefill(3), /request must be an object, not 3/],
    [() => llm.chat.completions.create(), /request must be an object, not undefined/],
    [() => llm.chat.completions.create({}), /request\.messages must be a list/]];
  for (const [call, pattern] of calls) await failure((async () => call())(), pattern, "TypeError");
  await failure(session.decodeNext(), /there is nothing to go on with/);
  await llm.close();
});

await test("a listener that throws keeps nobody from an answer", async () => {
  const llm = await open(), thrown = [], keep = e => thrown.push(e.message);
  process.on("uncaughtException", keep);
  llm.on("telemetry", () => { throw new Error("mine"); });
  await llm.loadModel(MODEL, { onProgress: () => { throw new Error("mine"); } });
  const r = await llm.chat.completions.create({ messages, temperature: 0, date: DATE });
  equal(r.choices[0].message.content, ANSWER);
  await llm.close();
  process.off("uncaughtException", keep);
  ok(thrown.length > 1 && thrown.every(t => t === "mine"), `what was thrown is lost: ${thrown}`);
});

await test("hf: names a file of a repository at a host that can be chosen", async () => {
  const siblings = ["README.md", "a.gguf", "part-00001-of-00002.gguf", "part-00002-of-00002.gguf"];
  const files = { "/api/models/me/one": ["demo.gguf", "x.txt"], "/api/models/me/many": siblings,
    "/api/models/me/none": [] };
  const site = await start({ fault: (request, response, { path }) => {
    const list = files[path];
    if (list) response.end(JSON.stringify({ siblings: list.map(rfilename => ({ rfilename })) }));
    else if (/^\/me\/one\/resolve\/main\/(demo|sub\/deep)\.gguf$/.test(path)) {
      response.writeHead(302, { location: "/models/demo-gptoss.gguf" }).end();
    } else return false;
    return true;
  } });
  const llm = await open({ hub: `${site.url}/` });
  for (const form of ["hf:me/one", "hf:me/one:demo.gguf", "hf:me/one/sub/deep.gguf"]) {
    const model = await llm.loadModel(form);
    equal((await model.tokenize("Hi")).length, 1, form);
    await model.close();
  }
  const which = /no GGUF file of the kind Q9; it has a\.gguf, part-00001-of-00002\.gguf\.$/;
  await failure(llm.loadModel("hf:me/many:Q9"), which);
  await failure(llm.loadModel("hf:me/none"), /has no GGUF file/);
  await failure(llm.loadModel("hf:me/missing"), /404: there is no public repository me\/missing/);
  await failure(llm.loadModel("hf:me/one:no.gguf"), /404: there is no file/);
  await llm.close();
  await site.close();
});

// ---- hosts that serve badly -------------------------------------------------------------------------------
/** Reads n bytes from 0 on of a host that answers with `head` and then what body(response) writes. */
async function from(head, body, { n = 8, ...hooks } = {}) {
  let asked = 0;
  const site = await start({ fault: (request, response, { path }) => {
    if (!path.startsWith("/models/")) return false;
    asked++;
    response.writeHead(206, typeof head === "function" ? head(asked, request) : head);
    body(response);
    return true;
  } });
  try {
    const bytes = await readRange(`${site.url}/models/x`, 0, new Uint8Array(n), { tries: 3, ...hooks });
    return { text: new TextDecoder().decode(bytes), asked };
  } catch (e) { return { text: e.message, asked }; } finally { await site.close(); }
}
const endless = response => {
  const more = () => { while (!response.destroyed && response.write("x".repeat(65536))) { /* on */ } };
  response.on("drain", more);
  more();
};

await test("bodies without an end, whole files for a part, parts from elsewhere", async () => {
  const part = { "content-range": "bytes 0-7/1000" };
  equal(await from(part, endless), { text: "xxxxxxxx", asked: 1 }, "an endless body");
  equal(await from({ "content-range": "bytes 0-999/1000" }, r => r.end("y".repeat(1000))),
    { text: "yyyyyyyy", asked: 1 }, "the whole file");
  const open = await from(part, r => r.write("zzzzzzzz"));
  equal(open, { text: "zzzzzzzz", asked: 1 }, "a body that is not ended");
  const bad = [["bytes 5-12/1000", /It answered with bytes from 5 on where those from 0 on were asked for/],
    ["bytes 0-7/4", /makes no sense/], ["bytes 0-7/99999999999999999999", /makes no sense/],
    ["bytes 0-7/*", /no readable Content-Range/]];
  for (const [range, pattern] of bad) {
    const r = await from({ "content-range": range }, r => r.end("xxxxxxxx"));
    matches(r.text, pattern, range);
    equal(r.asked, 1, `requests for ${range}`);
  }
  matches((await from({ ...part, "content-encoding": "gzip" }, r => r.end())).text, /sent a part .* as gzip/);
});

await test("short bodies and silent hosts are asked again, but not for ever", async () => {
  const rest = (_, request) => {
    const at = +/bytes=(\d+)/.exec(request.headers.range)[1];
    return { "content-range": `bytes ${at}-7/1000` };
  };
  const two = await from(rest, r => r.end("ab"), { n: 8, tries: 6 });
  equal(two, { text: "abababab", asked: 4 }, "two at a time");
  const said = [], short = await from(rest, r => r.end("a"), { retry: text => said.push(text) });
  equal(short.asked, 3, "requests");
  matches(short.text, /ended its answer after 1 bytes of 6/, "the sentence");
  matches(said[0], /trying again from byte 1 \(1\/2\)/, "what is said meanwhile");
  const silent = await from({ "content-range": "bytes 0-7/1000" }, r => r.write(""), { stall: 50 });
  equal(silent, { text: "the host sent nothing for 0.05 s", asked: 3 });
});

rmSync(cacheDir, { recursive: true, force: true });
finish();
