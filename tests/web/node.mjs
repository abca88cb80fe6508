// node.mjs - the npm package in Node: path and URL, sessions, OpenAI's shape, cache, cancel, errors.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { init } from "../../web/js/core/gossamer.js";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, ROOT, start, test } from "./harness.mjs";
import { unpack } from "./pack.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT)), cacheDir = mkdtempSync(join(tmpdir(), "gossamer-node-"));
const messages = [{ role: "user", content: QUESTION }], greedy = { temperature: 0, date: DATE };
const site = await start(), url = `${site.url}/models/demo-gptoss.gguf`;
const with_model = async (source, fn, config = {}) => {
  const llm = await init({ backend: "cpu", threads: 2, cacheDir, ...config });
  try { await fn(await llm.loadModel(source), llm); } finally { llm.close(); }
};

await test("chat.completions.create, whole", () => with_model(MODEL, async (model, llm) => {
  const r = await llm.chat.completions.create({ messages, ...greedy });
  equal(r.choices[0].message.content, ANSWER);
  ok(r.choices[0].message.reasoning_content.length > 10, "no reasoning");
  equal([r.object, r.choices[0].finish_reason, r.usage.total_tokens], ["chat.completion", "stop", r.usage.prompt_tokens + r.usage.completion_tokens]);
}));

await test("chat.completions.create, streamed, with usage", () => with_model(MODEL, async (model, llm) => {
  let content = "", last, usage;
  for await (const c of await llm.chat.completions.create({ messages, ...greedy, stream: true, stream_options: { include_usage: true } })) {
    content += c.choices[0]?.delta.content ?? "";
    last = c.choices[0]?.finish_reason ?? last;
    usage = c.usage ?? usage;
  }
  equal([content, last], [ANSWER, "stop"]);
  ok(usage.completion_tokens > 5, "usage");
}));

await test("a tool call comes as tool_calls", () => with_model(MODEL, async (model, llm) => {
  const tools = [{ type: "function", function: { name: "get_weather", description: "Gets the weather of a city.", parameters: { type: "object",
    properties: { city: { type: "string" } }, required: ["city"] } } }];
  const r = await llm.chat.completions.create({ messages: [{ role: "user", content: "What is the weather like in Paris?" }], tools, ...greedy,
    max_tokens: 200 });
  equal(r.choices[0].finish_reason, "tool_calls");
  equal(r.choices[0].message.tool_calls[0].function.name, "get_weather");
  equal(Object.keys(JSON.parse(r.choices[0].message.tool_calls[0].function.arguments)), ["city"]);
}));

await test("sessions: prefill, decodeNext, generate, two at once", () => with_model(MODEL, async model => {
  const [a, b] = [model.createSession({ params: greedy }), model.createSession({ params: greedy })];
  await a.prefill(messages);
  let text = "";
  for (let t; !(t = await a.decodeNext()).done;) if (t.channel === "final") text += t.text;
  equal(text, ANSWER);
  const finals = await Promise.all([a, b].map(async s => {
    let out = "";
    for await (const t of s.generate({ messages })) { if (t.channel === "final") out += t.text; ok(t.token < 0 || t.topK.length === 8, "top-k"); }
    return out;
  }));
  equal(finals, [ANSWER, ANSWER]);
  a.close();
  b.close();
}));

await test("an answer can be stopped", () => with_model(MODEL, async model => {
  const control = new AbortController(), s = model.createSession({ params: { ...greedy, ignore_stop: true } });
  let n = 0, end;
  for (const g = s.generate({ messages, max_tokens: 400 }, { signal: control.signal }); ;) {
    const { value, done } = await g.next();
    if (done) { end = value; break; }
    if (++n === 5) control.abort();
  }
  equal(end.stop, "canceled");
  ok(end.nGenerated < 400, "it ran on");
}));

await test("tokens there and back, rendering", () => with_model(MODEL, async model => {
  const ids = await model.tokenize("Once upon a time");
  equal(ids, [779, 759, 262, 625]);
  equal(await model.detokenize(ids), "Once upon a time");
  ok((await model.render({ messages, date: DATE })).length > 20, "rendered");
}));

await test("a URL is kept in files and read from there", async () => {
  await with_model(url, async model => { ok(model.info.fetched >= model.info.file_bytes, "fetched"); });
  const before = site.stats.bytes;
  await with_model(url, async model => { equal(model.info.fetched, 0); });
  equal(site.stats.bytes, before, "bytes served");
});

await test("with no cache each byte comes once", async () => {
  const size = readFileSync(MODEL).length, before = site.stats.bytes, n = site.stats.requests.length;
  await with_model(url, async model => { equal((await model.tokenize("Hi")).length, 1); }, { cache: "none" });
  const bytes = site.stats.bytes - before;
  ok(bytes >= size && bytes < 1.1 * size, `${bytes} bytes of ${size} were fetched`);
  ok(site.stats.requests.length - n < 60, `in ${site.stats.requests.length - n} requests`);
});

await test("computed prefixes outlive the program; a damaged one is said, and computed again", async () => {
  const folder = join(cacheDir, "prefixes"), system = "You answer questions about the months. ".repeat(20), said = [];
  const ask = async () => {
    const llm = await init({ backend: "cpu", threads: 2, cacheDir }), model = await llm.loadModel(MODEL, { prefix_cache: 64e6 });
    llm.on("notice", text => said.push(text));
    const r = await llm.chat.completions.create({ messages: [{ role: "system", content: system }, ...messages], ...greedy, max_tokens: 40 });
    const { n_stored_tokens } = await model.stats();
    await llm.close();
    return { text: r.choices[0].message, stored: n_stored_tokens };
  };
  const cold = await ask(), names = readdirSync(folder).filter(n => n.endsWith(".kv"));
  ok(names.length > 0 && cold.stored === 0, `${names.length} entries, ${cold.stored} tokens`);
  const warm = await ask();
  equal(warm.text, cold.text, "answers");
  ok(warm.stored > 100, `${warm.stored} tokens came from the folder`);
  for (const name of names) {
    const bytes = readFileSync(join(folder, name));
    bytes[bytes.length - 100] ^= 1;
    writeFileSync(join(folder, name), bytes);
  }
  const again = await ask();
  equal(again.text, cold.text, "answers after damage");
  matches(said.join(), /is ignored and removed: it is damaged/);
});

await test("what is wrong is said", async () => {
  const llm = await init({ backend: "cpu", cacheDir });
  const why = async (...args) => { try { await llm.loadModel(...args); return ""; } catch (e) { return e.message; } };
  matches(await why(`${site.url}/models/none.gguf`), /404/);
  matches(await why("/no/such/file.gguf"), /no such file/i);
  matches(await why(fileURLToPath(import.meta.url)), /GGUF/);
  const threads = () => readdirSync("/proc/self/task").length, before = threads();
  for (let i = 0; i < 5; i++) matches(await why(`${site.url}/models/none.gguf`, { threads: 4 }), /404/);
  for (let i = 0; i < 100 && threads() > before + 2; i++) await new Promise(r => setTimeout(r, 50));
  ok(threads() <= before + 2, `threads stay after loads that failed: ${threads()}, before them ${before}`);
  await llm.loadModel(MODEL);
  try { await llm.chat.completions.create({ messages: [{ role: "user", content: QUESTION }], temperature: -1 }); ok(false, "accepted");
    } catch (e) { matches(e.message, /temperature/); }
  llm.close();
});

await test("npm pack: under 600 kB, and its example for Node runs", async () => {
  const folder = join(cacheDir, "pack"), size = unpack(folder), example = join(folder, "node_modules/gossamer-llm/examples/node.mjs");
  ok(size < 600_000, `the package has ${size} bytes compressed`);
  console.log(`     ${size} bytes`);
  ok(readFileSync(example, "utf8").trim().split("\n").length <= 20, "the example has more than 20 lines");
  const r = spawnSync(process.execPath, [example, MODEL, QUESTION], { encoding: "utf8", env: { ...process.env, XDG_CACHE_HOME: folder }, timeout: 60000 });
  equal([r.status, r.stdout.trim()], [0, ANSWER], `the example's end and words (${r.stderr.slice(-300)})`);
});

await test("least recently opened files go first when the cache is full", async () => {
  const { Store, CHUNK } = await import("../../web/js/core/bytes/store.js"), files = new Map(), said = [];
  const drive = { kind: "test", room: 3 * CHUNK + 20000,
    list: async () => [...new Set([...files.keys()].map(k => k.split("/")[0]))],
    read: async (folder, name) => files.get(`${folder}/${name}`) ?? null,
    remove: async folder => { for (const k of [...files.keys()]) if (k.startsWith(`${folder}/`)) files.delete(k); },
    async write(folder, name, bytes) {
      const used = [...files].reduce((n, [k, v]) => n + (k === `${folder}/${name}` ? 0 : v.length), 0);
      if (used + bytes.length > drive.room) throw new DOMException("full", "QuotaExceededError");
      files.set(`${folder}/${name}`, bytes.slice());
    } };
  const one = async (name, chunks) => {
    const kept = await new Store(drive, text => said.push(text)).open(`http://x/${name}`);
    await kept.identify(chunks * CHUNK, "1");
    for (let i = 0; i < chunks; i++) if (!await kept.get(i)) await kept.put(i, new Uint8Array(CHUNK).fill(i));
    await kept.touch();
    await new Promise(r => setTimeout(r, 3));
    return kept;
  };
  for (const name of ["a", "b", "c", "a"]) await one(name, 1);
  ok(!said.length, `something was dropped: ${said}`);
  await one("d", 1);
  equal(said.map(s => /copy of (\w)/.exec(s)[1]), ["b"], "dropped");
  await one("e", 2);
  equal(said.map(s => /copy of (\w)/.exec(s)[1]), ["b", "c", "a"], "dropped");
  await one("f", 4);
  ok(/Storage is full/.test(said.at(-1)), `a file that never fits: ${said.at(-1)}`);
});

await site.close();
rmSync(cacheDir, { recursive: true, force: true });
finish();
