// node.mjs - the npm package in Node: path and URL, sessions, OpenAI's shape, cache, cancel, errors.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { init } from "../../web/js/node/node.js";
import { NodeFiles } from "../../web/js/node/node_files.js";
import { CHUNK, Store } from "../../web/js/core/bytes/store.js";
import { columns } from "../../web/js/core/columns.js";
import { breaches, MemoryDrive } from "./drives.mjs";
import { ANSWER, DATE, equal, finish, matches, ok, QUESTION, ROOT, start, test } from "./harness.mjs";
import { unpack } from "./unpack.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT));
const cacheDir = mkdtempSync(join(tmpdir(), "gossamer-node-"));
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
  equal([r.object, r.choices[0].finish_reason, r.usage.total_tokens],
    ["chat.completion", "stop", r.usage.prompt_tokens + r.usage.completion_tokens]);
}));

await test("chat.completions.create, streamed, with usage", () => with_model(MODEL, async (model, llm) => {
  let content = "", last, usage;
  for await (const c of await llm.chat.completions.create({ messages, ...greedy, stream: true,
    stream_options: { include_usage: true } })) {
    content += c.choices[0]?.delta.content ?? "";
    last = c.choices[0]?.finish_reason ?? last;
    usage = c.usage ?? usage;
  }
  equal([content, last], [ANSWER, "stop"]);
  ok(usage.completion_tokens > 5, "usage");
}));

await test("a tool call comes as tool_calls", () => with_model(MODEL, async (model, llm) => {
  const tools = [{ type: "function", function: { name: "get_weather",
    description: "Gets the current weather in a city.", parameters: { type: "object",
    properties: { city: { type: "string", description: "The name of the city" } }, required: ["city"] } } }];
  const r = await llm.chat.completions.create({ messages: [{ role: "user",
    content: "What is the weather in Paris?" }], tools, ...greedy,
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
    for await (const t of s.generate({ messages })) {
      if (t.channel === "final") out += t.text;
      ok(t.token < 0 || t.topK.length === 8, "top-k");
    }
    return out;
  }));
  equal(finals, [ANSWER, ANSWER]);
  a.close();
  b.close();
}));

await test("a thread's core is lent, and taken back", () => with_model(MODEL, async (model, llm) => {
  const { notify } = Atomics, waited = [];
  Atomics.notify = (...args) => {
    waited.push(notify.apply(Atomics, args));
    return waited.at(-1);
  };
  try {
    const s = model.createSession({ params: { ...greedy, ignore_stop: true } });
    let n = 0;
    for await (const _ of s.generate({ messages, max_tokens: 400 })) if (n++ % 40 === 0) llm.lend(20);
    const cores = availableParallelism(), one = cores > 1 && llm.cores === cores;
    ok(waited.length > 0 && waited.some(n => n === 1) === one, `${cores} cores, slept: ${waited}`);
  } finally { Atomics.notify = notify; }
  llm.lend(600000);
  const r = await llm.chat.completions.create({ messages, ...greedy });
  equal(r.choices[0].message.content, ANSWER);
}, { threads: undefined }));

await test("an answer can be stopped", () => with_model(MODEL, async model => {
  const control = new AbortController();
  const s = model.createSession({ params: { ...greedy, ignore_stop: true } });
  let n = 0, end;
  for (const g = s.generate({ messages, max_tokens: 400 }, { signal: control.signal }); ;) {
    const { value, done } = await g.next();
    if (done) {
      end = value;
      break;
    }
    if (++n === 5) control.abort();
  }
  equal(end.stop, "canceled");
  ok(end.nGenerated < 400, "it ran on");
}));

await test("tokens there and back, rendering", () => with_model(MODEL, async model => {
  const ids = await model.tokenize("Once upon a time");
  equal(ids, [894, 863, 261, 598]);
  equal(await model.detokenize(ids), "Once upon a time");
  const good = await model.checkSchema({ enum: ["a", "b"] });
  equal([good.held, good.reason, good.texts.sort().join()], [true, "", '"a","b"']);
  const bad = await model.checkSchema({ type: "object", properties: { a: { pattern: "(" } } });
  equal([bad.held, /#\/properties\/a\/pattern/.test(bad.reason), bad.texts], [false, true, []]);
  ok((await model.render({ messages, date: DATE })).length > 20, "rendered");
}));

await test("rows: each token of prompts and answers, of two sessions; no line of a token", async () => {
  const llm = await init({ backend: "cpu", threads: 2, cache: "none" });
  const seen = [], lines = [], texts = new Map();
  llm.on("telemetry", e => lines.push(e.event?.type ?? e.stage));
  llm.on("rows", batch => {
    const c = columns(batch.shape);
    for (const [id, text] of batch.texts) texts.set(id, text);
    for (let at = batch.from * c.width; at < batch.to * c.width; at += c.width) {
      const of = column => batch.rows[at + c[column]];
      seen.push({ session: of("session"), id: of("id"), position: of("position"), p: of("p"),
        made: of("made"), best: of("tops"), expert: batch.rows[at + c.experts(c.layers - 1)] });
    }
  });
  const model = await llm.loadModel(MODEL, { telemetry: "rows", max_kv: 1024 });
  const asked = ["Which month comes after June?", "What is 17 + 25?"].map(content => ({ temperature: 0,
    messages: [{ role: "user", content }], date: "2025-06-28", reasoning_effort: "low" }));
  const got = await Promise.all(asked.map(async request => {
    const tokens = [];
    for await (const t of model.createSession().generate({ ...request, max_tokens: 20 })) {
      if (t.token >= 0) tokens.push(t);
    }
    return { prompt: await model.render(request), tokens };
  }));
  const whose = [...new Set(seen.map(r => r.session))];
  equal(whose.length, 2, "sessions");
  for (const { prompt, tokens } of got) {
    const own = whose.map(s => seen.filter(r => r.session === s))
      .find(rows => prompt.every((id, i) => rows[i].id === id));
    equal(own?.map(r => r.id), [...prompt, ...tokens.map(t => t.token)], "tokens");
    equal(own.map(r => r.position), own.map((_, i) => i), "positions");
    equal(own.map(r => r.made), own.map((_, i) => +(i >= prompt.length)), "which the model has made");
    tokens.forEach((t, i) => {
      const row = own[prompt.length + i];
      ok(Math.abs(row.p - t.probability) < 1e-4, `probability ${i}: ${row.p}, not ${t.probability}`);
      equal(row.best, t.topK[0].token, "the best");
      equal(texts.get(row.best), t.topK[0].text, "its text");
    });
    ok(own.some(r => r.made && r.expert >= 0), "experts");
  }
  const none = /token_generated|router|attention_weights|layer_activation|attn_|moe_|lm_head/;
  equal(lines.filter(l => none.test(l)), [], "lines of tokens");
  ok(lines.includes("channel") && lines.includes("cache_status"), "lines beside rows");
  await llm.close();
});

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
  const folder = join(cacheDir, "prefixes"), system = "You answer questions about the months. ".repeat(20);
  const said = [];
  const ask = async () => {
    const llm = await init({ backend: "cpu", threads: 2, cacheDir });
    const model = await llm.loadModel(MODEL, { prefix_cache: 64e6 });
    llm.on("notice", text => said.push(text));
    const r = await llm.chat.completions.create({ messages: [{ role: "system", content: system },
      ...messages], ...greedy, max_tokens: 40 });
    const { n_stored_tokens } = await model.stats();
    await llm.close();
    return { text: r.choices[0].message, stored: n_stored_tokens };
  };
  const entries = () => readdirSync(folder).filter(n => n.endsWith(".kv"));
  const cold = await ask(), { length } = entries();
  ok(length > 0 && cold.stored === 0, `${length} entries, ${cold.stored} tokens`);
  const warm = await ask();
  equal(warm.text, cold.text, "answers");
  ok(warm.stored > 100, `${warm.stored} tokens came from the folder`);
  for (const name of entries()) {           // a longer one may have come meanwhile
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
  const why = async (...args) => { try {
    await llm.loadModel(...args);
    return "";
  } catch (e) {
    return e.message;
  } };
  matches(await why(`${site.url}/models/none.gguf`), /404/);
  matches(await why("/no/such/file.gguf"), /no such file/i);
  matches(await why(fileURLToPath(import.meta.url)), /GGUF/);
  const threads = () => readdirSync("/proc/self/task").length, before = threads();
  for (let i = 0; i < 5; i++) matches(await why(`${site.url}/models/none.gguf`, { threads: 4 }), /404/);
  for (let i = 0; i < 100 && threads() > before + 2; i++) await new Promise(r => setTimeout(r, 50));
  ok(threads() <= before + 2, `threads stay after loads that failed: ${threads()}, before them ${before}`);
  await llm.loadModel(MODEL);
  try { await llm.chat.completions.create({ messages: [{ role: "user", content: QUESTION }],
    temperature: -1 }); ok(false, "accepted");
    } catch (e) { matches(e.message, /temperature/); }
  llm.close();
});

await test("npm pack: under 800 kB, with its licence, and its example for Node runs", async () => {
  const folder = join(cacheDir, "pack"), size = unpack(folder);
  const example = join(folder, "node_modules/gossamer-llm/examples/node.mjs");
  ok(size < 800_000, `the package has ${size} bytes compressed`);
  const licence = readFileSync(join(folder, "node_modules/gossamer-llm/LICENSE"), "utf8");
  ok(licence.includes("Apache License"), "its licence");
  console.log(`     ${size} bytes`);
  ok(readFileSync(example, "utf8").trim().split("\n").length <= 20, "the example has more than 20 lines");
  const r = spawnSync(process.execPath, [example, MODEL, QUESTION],
    { encoding: "utf8", env: { ...process.env, XDG_CACHE_HOME: folder }, timeout: 60000 });
  equal([r.status, r.stdout.trim()], [0, ANSWER], `the example's end and words (${r.stderr.slice(-300)})`);
});

/** Lines of TypeScript that hold only if the members of `type` are just these names. */
function members(type, names) {
  const list = names.map(n => JSON.stringify(n)).join(" | ");
  return `const known_${type}: (keyof Type.${type})[] = [${names.map(n => JSON.stringify(n)).join(", ")}];
const all_${type}: Exclude<keyof Type.${type}, ${list}> extends never ? true : false = true;
`;
}

/** Public names of an object: its own and its class's. */
function namesOf(x) {
  const all = new Set([...Object.keys(x), ...Object.getOwnPropertyNames(Object.getPrototypeOf(x))]);
  return [...all].filter(n => n !== "constructor");
}

await test("types: just the names that there are", () => with_model(MODEL, async (model, llm) => {
  const session = model.createSession({ params: greedy }), stream = session.generate({ messages });
  const { value: token } = await stream.next();
  let end;
  while (!end) {
    const { value, done } = await stream.next();
    if (done) end = value;
  }
  const rows = readFileSync(new URL("app/common/engine_table.c", ROOT), "utf8").split("{ .kind");
  const options = rows.filter(r => /\.takers = (ALL|[\w| ]*GOSS_FOR_BROWSER)/.test(r))
    .map(r => /\.key = "(\w+)"/.exec(r)[1]).filter(k => !/^(telemetry_|weights_mark|gpu_measures)/.test(k));
  const all = { Llm: namesOf(llm), Model: namesOf(model), Session: namesOf(session),
    ModelInfo: Object.keys(model.info), Plan: Object.keys(await llm.plan(MODEL)), Token: Object.keys(token),
    Done: Object.keys(end), LoadOptions: [...options, "onProgress", "signal", "telemetry", "chunk"] };
  const file = join(cacheDir, "names.ts");
  const declared = fileURLToPath(new URL("web/gossamer.d.ts", ROOT));
  writeFileSync(file, `import type * as Type from ${JSON.stringify(declared)};
${Object.entries(all).map(([type, names]) => members(type, names)).join("")}`);
  const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", ROOT));
  const args = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", "--types", "", file];
  const r = spawnSync(process.execPath, [tsc, ...args], { encoding: "utf8" });
  equal([r.status, r.stdout], [0, ""], "tsc");
  const entry = readFileSync(new URL("web/gossamer.d.ts", ROOT), "utf8");
  const exported = Object.keys(await import("../../web/js/node/node.js")).filter(n => n !== "default");
  for (const name of exported) ok(entry.includes(`export function ${name}(`), `${name} has no type`);
}));

await test("types: every place that keeps bytes implements Drive", () => {
  const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", ROOT));
  const config = fileURLToPath(new URL("tsconfig.bytes.json", import.meta.url));
  const r = spawnSync(process.execPath, [tsc, "-p", config], { encoding: "utf8" });
  equal([r.status, r.stdout], [0, ""], "tsc");
});

await test("drives: files and memory keep, list, replace and drop as they must", async () => {
  for (const drive of [await NodeFiles.open(join(cacheDir, "drive")), new MemoryDrive()]) {
    equal(await breaches(drive), [], drive.kind);
  }
});

await test("least recently opened files go first when the cache is full", async () => {
  const said = [], drive = new MemoryDrive(3 * CHUNK + 20000);
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
