// instrument.mjs - the page's timeline and the panels at a moment: by clicking as a user would, on the demo
// model. What panels say of a token is what `gossamer probe` says, and the engine's own lines.
// node tests/web/instrument.mjs [NAME]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { init } from "../../web/js/node/node.js";
import { answerOf, ask, browser, DATE, equal, finish, loaded, matches, ok, open, put, QUESTION, ready, ROOT,
  skip, start, test } from "./harness.mjs";

const STORY = "Tell me a story about a fox and a golden key.";
const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT));
const PROGRAM = process.env.GOSSAMER ?? fileURLToPath(new URL("build/cc/gossamer", ROOT));
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "") => `${site.url}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const text = (page, selector) => page.locator(selector).innerText();
const near = (a, b, most, what) => ok(Math.abs(a - b) <= most, `${what}: ${a} and ${b}`);

async function withDemo(question, query) {
  const page = await open(cpu.context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  if (question) await ask(page, question);
  return page;
}

const probe = (what, ...args) => execFileSync(PROGRAM,
  ["probe", what, MODEL, "--backend", "cpu", ...args], { encoding: "utf8" });
const idsBefore = (page, n) => page.evaluate(n => {
  const { history } = gossamer.state;
  return Array.from({ length: n }, (_, i) => history.get(i, history.columns.id));
}, n);

/** The moment by its slider, as a user's drag ends. */
const scrub = (page, n) => page.locator("#scrub").fill(String(n));
const moment = page => page.evaluate(() => gossamer.state.moment);
const count = page => page.evaluate(() => gossamer.state.history.count);
/** Until the panels show the moment. */
const shown = (page, n) => page.waitForFunction(n => {
  const tag = gossamer.state.moment === null ? "" : `AT #${n}`;
  return document.getElementById("moment").textContent.startsWith(`#${n} `)
    && document.querySelector("#p-topk .tag")?.textContent === tag;
}, n);

const page = await withDemo(QUESTION), total = await count(page);

await test("alternatives at a moment are those of gossamer probe", async () => {
  for (const n of [total - 20, total - 8, total - 3]) {
    await scrub(page, n);
    await shown(page, n);
    const said = probe("lm-head", "--tokens", (await idsBefore(page, n)).join(","), "--show-top", "5");
    const want = [...said.matchAll(/token +(\d+) .* p ([\d.]+)/g)].map(m => [+m[1], +m[2]]);
    equal(want.length, 5, "probe's");
    const rows = await page.locator("#topk li").evaluateAll(list => list.slice(0, 5)
      .map(li => [+li.title.slice(3), parseFloat(li.children[1].textContent) / 100]));
    equal(rows[0][0], want[0][0], `the best at #${n}`);
    for (const [id, p] of want) {
      const got = rows.find(r => r[0] === id);
      if (p > 0.001) near(got?.[1], p, 0.006, `token ${id} at #${n}`);
    }
  }
});

await test("experts at a moment are those of gossamer probe, in every layer", async () => {
  const n = total - 12, tokens = (await idsBefore(page, n)).join(",");
  const said = probe("router", "--tokens", tokens, "--show-experts", "999");
  const want = new Map();              // the last token's line of each layer
  for (const [, layer, rest] of said.matchAll(/^layer +(\d+) token +\d+: +(.*)$/gm)) {
    want.set(+layer, [...rest.matchAll(/(\d+) ([\d.]+)/g)].map(m => [+m[1], +m[2]]));
  }
  equal(want.size, 6, "layers");
  for (const [layer, experts] of want) {
    const got = await page.evaluate(([n, layer]) => gossamer.state.history.experts(n, layer), [n, layer]);
    equal(got.map(e => e.expert), experts.map(e => e[0]), `experts of layer ${layer}`);
    got.forEach((e, i) => near(e.w, experts[i][1], 0.01, `weight of expert ${e.expert} in layer ${layer}`));
  }
});

await test("prompt and answer are there, as the engine has them", async () => {
  const said = await page.evaluate(() => {
    const { history } = gossamer.state, all = Array.from({ length: history.count }, (_, n) => n);
    return { text: all.map(n => history.text(n)).join(""), made: all.filter(n => history.made(n)).length,
      places: all.every(n => history.get(n, history.columns.position) === n) };
  });
  matches(said.text, /^<\|start\|>system<\|message\|>.*<\|start\|>user<\|message\|>Which month comes after/s);
  matches(said.text, /<\|channel\|>final<\|message\|>July comes after June\.<\|return\|>$/);
  equal(said.places, true, "positions");
  const stats = await page.evaluate(() => gossamer.llm.stats());
  equal(said.made, stats.n_generated_tokens, "tokens of the answer");
});

await test("slider, keys, clicks; live again with one key", async () => {
  const n = total - 10;
  await scrub(page, n);
  await shown(page, n);
  for (const id of ["p-topk", "p-stats", "p-hist", "p-attn", "p-router", "p-layers", "p-experts"]) {
    equal(await page.locator(`#${id} .tag`).textContent(), `AT #${n}`, id);
  }
  const aloud = await page.locator("#scrub").getAttribute("aria-valuetext");
  matches(aloud, new RegExp(`^#${n} ".*" · (analysis|final)`));
  await page.locator("#scrub").focus();
  for (const [key, to] of [["ArrowLeft", n - 1], ["ArrowRight", n], ["PageUp", null], ["Home", 0],
    ["PageUp", 10], ["PageDown", 0], ["End", null], ["ArrowLeft", total - 2]]) {
    await page.keyboard.press(key);
    equal(await moment(page), to, key);
  }
  await page.keyboard.press("l");
  equal(await moment(page), null, "L");
  await shown(page, total - 1);
  equal(await page.locator("#live").getAttribute("aria-pressed"), "true");
  const word = page.locator("#tokens span", { hasText: "July" }).last();
  await word.click();
  const picked = await moment(page);
  await shown(page, picked);
  matches(await text(page, "#moment"), new RegExp(`^#${picked} "·?July"`));
  await scrub(page, 20);
  await shown(page, 20);
  for (const id of ["tokens", "attn-text"]) {
    await page.locator(`#${id} .at`).waitFor();
    equal(await page.evaluate(id => {
      const box = document.getElementById(id).getBoundingClientRect();
      const at = document.querySelector(`#${id} .at`).getBoundingClientRect();
      const inside = at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
      return inside && document.querySelector(`#${id} .at`).n === 20;
    }, id), true, `the moment is in sight in #${id}`);
  }
  const box = await page.locator("#timeline").boundingBox();
  await page.mouse.click(box.x + box.width - 2, box.y + 20);
  equal(await moment(page), total - 1, "the newest column");
  await page.fill("#prompt", "l");
  equal(await moment(page), total - 1, "L while one types");
  await page.fill("#prompt", "");
  await page.click("#live");
  equal(await moment(page), null, "LIVE");
});

await test("a prompt's token says what it lacks", async () => {
  await scrub(page, 5);
  await shown(page, 5);
  equal(await page.locator("#topk li.hit").count(), 0, "alternatives");
  matches(await text(page, "#attn-said"), /prompt's token/);
  matches(await text(page, "#moment"), /· prompt$/);
});

await test("attention on the text: the words that a token looked at, as the engine tells them", async () => {
  const llm = await init({ backend: "cpu", threads: 2, cache: "none" }), maps = [];
  llm.on("telemetry", e => { if (e.event?.type === "attention_weights") maps.push(e.event); });
  const model = await llm.loadModel(MODEL, { telemetry: "all", max_kv: 8192 });
  const session = model.createSession({ params: { temperature: 0, date: DATE } });
  const messages = [{ role: "user", content: QUESTION }];
  for await (const _ of session.generate({ messages, reasoning_effort: "medium" })) { /* telemetry */ }
  await llm.close();
  const n = total - 6, prompt = await page.evaluate(() => {
    const { history } = gossamer.state;
    return Array.from({ length: history.count }, (_, i) => i).filter(i => !history.made(i)).length;
  });
  const { first, weights } = maps[n - prompt];
  const want = weights[0].map((w, i) => ({ n: first + i, w })).sort((a, b) => b.w - a.w).slice(0, 16);
  await scrub(page, n);
  await shown(page, n);
  const got = await page.evaluate(n => gossamer.state.history.looks(n), n);
  equal(got.length, 16, "positions");
  got.forEach((g, i) => near(g.w, want[i].w, 0.003, `weight ${i}`));
  equal(got[0].n, want[0].n, "the most looked at");
  const lit = await page.locator("#attn-text .lit").evaluateAll(list => list.map(s => s.n));
  equal(lit.sort((a, b) => a - b), got.map(g => g.n).sort((a, b) => a - b), "words that are lit");
  const named = /looked at "(.*?)" ([\d.]+)/.exec(await text(page, "#attn-said"));
  near(named[2] / 100, want[0].w, 0.006, "the weight that is said");
  await page.locator("#tokens span.at").hover();
  await page.locator(".tip", { hasText: `#${n} ` }).waitFor();
  equal(await page.locator("#tokens .lit").count() > 3, true, "words of the stream");
});

await test("the map of another head comes with the tokens behind the change", async () => {
  await page.locator("#attn-head").fill("3");
  await page.locator("#attn-layer").fill("2");
  await ask(page, QUESTION);
  await page.locator("#p-attn").scrollIntoViewIfNeeded();
  await page.locator("#attn-said", { hasText: "Layer 2, head 3" }).waitFor();
  equal(await page.evaluate(() => gossamer.state.history.maps.at(-1)).then(m => [m.layer, m.head]), [2, 3]);
});

await test("an expert's page: who chose it, by channel and class of word; tokens to pick", async () => {
  await page.locator("#expert-layer").fill("4");
  await page.locator("#expert").selectOption("6");
  const { list, of } = await page.evaluate(async () => {
    const { chosenBy } = await import("/js/page/experts.js");
    return chosenBy(gossamer.state.history, 4, 6);
  });
  const note = page.locator("#expert-page .note");
  await note.filter({ hasText: "Expert 6 of layer 4:" }).waitFor();
  const said = /: (\d+) of (\d+) tokens chose it, mean weight (\d\.\d+)/.exec(await note.first().innerText());
  const [, chose, all, mean] = said;
  equal([+chose, +all], [list.length, of], "tokens");
  near(mean, list.reduce((sum, e) => sum + e.w, 0) / list.length, 0.006, "mean weight");
  for (const [i, name] of ["By channel", "By class of word"].entries()) {
    const line = await note.nth(i + 1).innerText(), parts = [...line.matchAll(/(\d+) of (\d+)/g)];
    ok(line.startsWith(name), line);
    equal(parts.reduce((sum, m) => sum + +m[1], 0), list.length, name);
    equal(parts.reduce((sum, m) => sum + +m[2], 0), of, `${name}, all`);
  }
  const heaviest = list.toSorted((a, b) => b.w - a.w)[0];
  await page.locator("#expert-page .chosen button").first().click();
  const n = await moment(page);
  const first = await page.evaluate(n => gossamer.state.history.experts(n, 4).find(e => e.expert === 6).w, n);
  near(first, heaviest.w, 1e-6, "the first of its tokens is the heaviest");
  await page.keyboard.press("l");
});

await test("the step's times by layer and part", async () => {
  await page.locator("#p-kernels").scrollIntoViewIfNeeded();
  const said = await page.locator("#steps").getAttribute("aria-label");
  const [all, ...rest] = [...said.matchAll(/([\d.]+) ms/g)].map(m => +m[1]);
  near(rest.reduce((a, b) => a + b, 0), all, 0.05, "the parts' sum");
  equal(rest.length, 7, "parts");
});

await test("pointers are told what is there", async () => {
  for (const [id, says, up] of [["hist", /^#\d+ "/, 9], ["experts", /expert \d+/, 30],
    ["router", /^layer \d+, expert \d+/, 60], ["activity", /^layer \d+: attention [\d.]+/, 20],
    ["steps", /: \d+ µs$/, 30], ["attn", /^#\d+ ".*" looked at #\d+ ".*": [\d.]+%$/, 3]]) {
    await page.locator(`#${id}`).scrollIntoViewIfNeeded();
    const box = await page.locator(`#${id}`).boundingBox();
    await page.mouse.move(box.x + box.width - 12, box.y + box.height - up);
    matches(await text(page, ".tip"), says, id);
  }
  await page.mouse.move(2, 2);
  page.quiet();
  await page.close();
});

await test("rows cross once a frame; what is out of view is not drawn while tokens come", async () => {
  const p = await withDemo("");
  await p.setViewportSize({ width: 1280, height: 720 });
  await p.evaluate(() => {
    globalThis.heard = [];
    globalThis.drawn = { experts: 0, timeline: 0 };
    gossamer.llm.on("rows", r => heard.push([performance.now(), r.to - r.from]));
    const { clearRect } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.clearRect = function (...args) {
      if (gossamer.state.stage === "decode" && this.canvas.id in drawn) drawn[this.canvas.id]++;
      return clearRect.apply(this, args);
    };
    globalThis.frames = [];
    const box = document.getElementById("tokens"), far = document.getElementById("p-experts");
    gossamer.drawn = () => {
      const word = box.querySelector("span:last-child")?.getBoundingClientRect();
      if (gossamer.state.stage !== "decode" || !word) return;
      const { top, bottom } = box.getBoundingClientRect();
      frames.push({ seen: word.top >= top && word.bottom <= bottom + 1,
        skipped: getComputedStyle(far).contentVisibility === "hidden" });
    };
  });
  await ask(p, STORY);
  const { heard, drawn, n, frames, after } = await p.evaluate(() =>
    ({ heard, drawn, n: gossamer.state.history.count, frames,
      after: getComputedStyle(document.getElementById("p-experts")).contentVisibility }));
  equal(frames.filter(f => !f.seen).length, 0, "frames without the newest word of TOKEN STREAM");
  ok(frames.some(f => f.skipped), "what is in EXPERTS is not skipped while tokens come");
  equal(after, "visible", "what is in EXPERTS, when the answer is over");
  equal(heard.reduce((sum, h) => sum + h[1], 0), n, "rows");
  const span = heard.at(-1)[0] - heard[0][0];
  ok(heard.length < span / 25 + 12, `${heard.length} batches in ${span.toFixed(0)} ms`);
  equal(drawn.experts, 0, "draws of EXPERTS, which is out of view");
  ok(drawn.timeline > 0, "TOKEN STREAM was not drawn");
  const blank = () => p.evaluate(() => {
    const c = document.getElementById("experts");
    return !c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v > 0);
  });
  equal(await blank(), false, "EXPERTS, when the answer is over, is empty");
  await p.close();
});

await test("two chats at once: the timeline is one session's", async () => {
  const p = await withDemo("");
  await p.click("#split");
  const boxes = [await put(p, STORY, 0), await put(p, QUESTION, 1)];
  await Promise.all(boxes.map(b => answerOf(p, b)));
  const sessions = await p.evaluate(() => {
    const { history } = gossamer.state;
    const all = Array.from({ length: history.count }, (_, n) => history.get(n, history.columns.session));
    return [...new Set(all)];
  });
  equal(sessions.length, 1, "sessions");
  equal(await p.evaluate(() => gossamer.state.stage), "idle", "whose rows came last does not matter");
  await p.close();
});

await test("a recording can be scrubbed: the token at a place has the recording's alternatives", async () => {
  const lines = readFileSync(new URL("web/data/sample.jsonl", ROOT), "utf8").trim().split("\n");
  const events = lines.map(l => JSON.parse(l).event ?? {});
  const tokens = events.filter(e => e.type === "token_generated");
  const p = await open(cpu.context, `${site.url}/gptoss?data=/data/sample.jsonl&speed=0`);
  await p.waitForSelector("body[data-replay=ended]");
  await scrub(p, 30);
  await shown(p, 30);
  const rows = await p.locator("#topk li").evaluateAll(list =>
    list.map(li => [+li.title.slice(3), li.children[1].textContent]));
  const percent = x => `${(100 * x).toFixed(x < 0.0995 ? 1 : 0)}%`;
  equal(rows, tokens[30].top_k.map(t => [t.token_id, percent(t.probability)]), "alternatives at 30");
  await p.close();
});

// ---- recordings in the format of docs/recording.md, written here from what it says ------------------------
const TYPED = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array,
  f64: Float64Array };

/** A block: columns are [name, type, shape, values]. */
function block(header, columns = []) {
  const parts = [];
  let at = 0;
  const told = columns.map(([name, type, shape, values]) => {
    const bytes = Buffer.from(TYPED[type].from(values).buffer);
    const room = Buffer.alloc(Math.ceil(bytes.length / 8) * 8);
    bytes.copy(room);
    parts.push(room);
    at += room.length;
    return { name, type, shape, at: at - room.length };
  });
  const text = JSON.stringify({ ...header, ...(columns.length && { columns: told }) });
  const head = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8));
  const front = Buffer.alloc(16);
  front.write("GREC");
  [1, head.length, at].forEach((n, i) => front.writeUInt32LE(n, 4 + 4 * i));
  return Buffer.concat([front, head, ...parts]);
}

/** As one gzip member with its size in the header. */
function member(bytes, first = 0, n = 0) {
  const plain = gzipSync(bytes);
  const out = Buffer.concat([plain.subarray(0, 10), Buffer.alloc(18), plain.subarray(10)]);
  out[3] = 4;
  out.writeUInt16LE(16, 10);
  out.write("GR", 12);
  out.writeUInt16LE(12, 14);
  [out.length, first, n].forEach((x, i) => out.writeUInt32LE(x, 16 + 4 * i));
  return out;
}

const NONE = 0xffffffff, none = Array(16).fill(NONE), zero = Array(16).fill(0);
const HEAD = block({ kind: "head", t0_ms: 1000, n_top: 5, n_looks: 16, watch: [1, 2], model: { name: "small",
  backend: "cpu", n_layer: 2, n_embd: 8, n_head: 4, n_expert: 4, n_expert_used: 2 } });
/** "a b" asked, "c d" answered: c by the row of b, d by the row of c. */
const TOKENS = block({ kind: "tokens", first: 0, first_step: 0, channels: ["", "final"],
  turns: [{ turn: 0, session: 3, of: -1, from: 0, prompt: 2, reused: 0, ms: 1001,
    request: { messages: [{ role: "user", content: "Say a and b." }] } }],
  ends: [{ turn: 0, stop: "eos", generated: 2, ms: 1020 }] }, [
  ["turn", "u32", [4], [0, 0, 0, 0]], ["position", "u32", [4], [0, 1, 2, 3]],
  ["id", "i32", [4], [1, 2, 3, 4]],
  ["kind", "u8", [4], [0, 0, 1, 1]], ["channel", "u8", [4], [0, 0, 1, 1]],
  ["logprob", "f32", [4], [NaN, NaN, Math.log(0.75), Math.log(0.5)]],
  ["entropy", "f32", [4], [NaN, NaN, 0.5, 1.25]],
  ["step", "u32", [4], [NONE, NONE, 0, 1]],
  ["top_id", "i32", [4, 5], [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 3, 4, 2, -1, -1, 4, 1, -1, -1, -1]],
  ["top_logprob", "f32", [4, 5], [...zero.slice(0, 10), Math.log(0.75), Math.log(0.2), Math.log(0.05), 0, 0,
    Math.log(0.5), Math.log(0.25), 0, 0, 0]],
  ["watch", "u16", [4, 2], [1, 2, 1, 2, 1, 2, 1, 2]],
  ["look", "u32", [4, 16], [...none, 1, 0, ...none.slice(2), 0, 2, ...none.slice(2), ...none]],
  ["look_weight", "u16", [4, 16],
    [...zero, 39321, 13107, ...zero.slice(2), 32768, 6554, ...zero.slice(2), ...zero]],
  ["expert", "u8", [4, 2, 2], [0, 0, 0, 0, 1, 2, 3, 0, 2, 3, 0, 1, 0, 0, 0, 0]],
  ["expert_weight", "u16", [4, 2, 2],
    [0, 0, 0, 0, 45875, 19660, 39321, 26214, 52428, 13107, 32768, 32767, 0, 0, 0, 0]],
  ["word_id", "i32", [4], [1, 2, 3, 4]], ["word_size", "u16", [4], [1, 1, 1, 1]],
  ["word", "u8", [4], [...Buffer.from("abcd")]], ["step_ms", "f64", [2], [1002, 1010]],
  ["step_took", "f32", [2], [6, 5]]]);
const WHOLE = Buffer.concat([member(HEAD), member(TOKENS, 0, 4), member(block({ kind: "end", tokens: 4 }))]);

/** Drops a file on the page, as a user does. */
async function drop(p, name, bytes) {
  const data = await p.evaluateHandle(([name, list]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(list)], name));
    return transfer;
  }, [name, [...bytes]]);
  await p.dispatchEvent("body", "drop", { dataTransfer: data });
}

await test("recordings in their own format: dropped, cut, broken", async () => {
  const p = await open(cpu.context, `${at("")}&speed=0`);
  await ready(p);
  await drop(p, "small.grec", WHOLE);
  await p.locator("body[data-replay=ended]").waitFor();
  await p.waitForFunction(() => gossamer.state.history.count === 4);
  for (const [n, rows, says] of [
    [2, [[3, "75%"], [4, "20%"], [2, "5.0%"]], '#2 "c" · final · 75% · entropy 0.50 nats'],
    [3, [[4, "50%"], [1, "25%"]], '#3 "d" · final · 50% · entropy 1.25 nats · 7.0 ms']]) {
    await scrub(p, n);
    await p.waitForFunction(says => document.getElementById("moment").textContent === says, says);
    equal(await p.locator("#topk li").evaluateAll(list => list.filter(li => li.title)
      .map(li => [+li.title.slice(3), li.children[1].textContent])), rows, `alternatives at ${n}`);
  }
  equal(await text(p, ".turn.user .body"), "Say a and b.", "the question");
  equal(await text(p, ".turn.assistant .part.final"), "cd", "the answer");
  const seen = await p.evaluate(() => [2, 3].map(n => {
    const { history: h } = gossamer.state, two = x => +x.toFixed(2);
    return [h.experts(n, 0).map(e => [e.expert, two(e.w)]), h.looks(n).map(l => [l.n, two(l.w)])];
  }));
  equal(seen, [[[[1, 0.7], [2, 0.3]], [[1, 0.6], [0, 0.2]]], [[[2, 0.8], [3, 0.2]], [[0, 0.5], [2, 0.1]]]],
    "experts and looks are those of the row before");
  await drop(p, "cut.grec", WHOLE.subarray(0, WHOLE.length - 20));
  await p.locator("#banner", { hasText: "it was cut" }).waitFor();
  await p.waitForFunction(() => gossamer.state.history.count === 4);
  const newer = Buffer.from(HEAD);
  newer.writeUInt32LE(7, 4);
  for (const [bytes, says] of [[newer, /has version 7/], [WHOLE.subarray(0, 40), /is no recording|cut/]]) {
    await p.evaluate(() => document.getElementById("errors").replaceChildren());
    await drop(p, "bad.grec", bytes);
    await p.locator("#errors p").waitFor();
    matches(await text(p, "#errors"), says);
  }
  p.quiet();
  await p.close();
});

const records = /--record FILE/.test(execFileSync(PROGRAM, ["help", "run"], { encoding: "utf8" }));
if (!records) skip("a recording that gossamer run has made", "this program makes none");
else await test("a recording that gossamer run has made, by ?data=", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gossamer-grec-")), file = join(folder, "run.grec");
  execFileSync(PROGRAM, ["run", MODEL, "-p", QUESTION, "--temp", "0", "--backend", "cpu", "--record", file]);
  const bytes = readFileSync(file), p = await cpu.context.newPage();
  rmSync(folder, { recursive: true });
  await p.route("**/run.grec", route => route.fulfill({ body: bytes }));
  await p.goto(`${site.url}/gptoss?data=/run.grec&speed=0`);
  await p.locator("body[data-replay=ended]").waitFor();
  await p.waitForFunction(() => gossamer.state.history.count > 90);
  const n = await count(p) - 4;
  await scrub(p, n);
  await shown(p, n);
  const said = probe("lm-head", "--tokens", (await idsBefore(p, n)).join(","), "--show-top", "1");
  const best = await p.locator("#topk li").first().getAttribute("title");
  equal(+best.slice(3), +/token +(\d+)/.exec(said)[1], "the best");
  equal(await p.evaluate(n => gossamer.state.history.experts(n, 5).length, n), 4, "experts");
  await p.close();
});

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", ROOT), "utf8");
for (const colorScheme of ["dark", "light"]) {
  await test(`axe finds nothing at a moment, ${colorScheme}`, async () => {
    const p = await withDemo(QUESTION);
    await p.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await scrub(p, await count(p) - 9);
    await p.locator("#expert").selectOption("2");
    await p.locator("#expert-page .note").first().waitFor();
    await p.locator("#tokens span").last().hover();
    await p.evaluate(AXE);
    for (const size of [{ width: 1280, height: 800 }, { width: 1920, height: 1080 }]) {
      await p.setViewportSize(size);
      const bad = await p.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] }))
        .violations.map(v => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map(n => n.target).join("; ")}`));
      equal(bad, [], `at ${size.width}`);
    }
    p.quiet();
    await p.close();
  });
}

await cpu.close();
await site.close();
finish();
