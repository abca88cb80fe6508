// whole.mjs - the panels of the whole engine: SESSIONS, MEMORY, ROOFLINE. Their figures are stats()',
// `gossamer dump`'s and those of lines whose answers are known. node tests/web/whole.mjs [NAME]
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { answerOf, ask, browser, DATE, equal, finish, loaded, matches, ok, open, put, QUESTION, ready, ROOT,
  start, test } from "./harness.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT));
const PROGRAM = process.env.GOSSAMER ?? fileURLToPath(new URL("build/cc/gossamer", ROOT));
const STORY = "Tell me a story about a fox and a golden key.";
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "") => `${site.url}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const near = (a, b, most, what) => ok(Math.abs(a - b) <= most, `${what}: ${a} and ${b}`);
const text = (page, selector) => page.locator(selector).innerText();

async function withDemo(query) {
  const page = await open(cpu.context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  return page;
}

/** stats(), once all that the engine had done by then is told, and its pages are those that were told last:
 * idle time may still compute what the next turns want. */
const told = page => page.evaluate(async () => {
  const { usedBytes, sharedBytes } = await import("/js/page/memory.js");
  for (;;) {
    const stats = await gossamer.llm.stats(), { steps, pages } = gossamer.state.whole;
    if (steps.length === stats.n_steps && pages && usedBytes(pages) === stats.kv_bytes_used
      && sharedBytes(pages) === stats.kv_bytes_shared) return stats;
    await new Promise(r => setTimeout(r, 20));
  }
});
const bring = (page, id) => page.locator(`#${id}`).scrollIntoViewIfNeeded();

/** The tip where a canvas is pointed at, in parts of its sides. */
async function tip(page, id, x, y) {
  await bring(page, id);
  const box = await page.locator(`#${id}`).boundingBox();
  await page.mouse.move(box.x + x * box.width, box.y + y * box.height);
  return text(page, ".tip");
}

const page = await withDemo("");
await page.click("#split");
const boxes = [await put(page, STORY, 0), await put(page, QUESTION, 1)];
await Promise.all(boxes.map(b => answerOf(page, b)));
const stats = await told(page);

await test("sessions: every row of every step is whose it is", async () => {
  const { rows, turns, together } = await page.evaluate(n => {
    const { turns } = gossamer.state.whole, steps = gossamer.state.whole.steps.slice(0, n);
    return { turns: turns.map(({ first, last, ...t }) => t),
      together: steps.filter(s => s.rows.length > 1).length,
      rows: steps.flatMap(s => s.rows).reduce((n, r) => n + r.n, 0) };
  }, stats.n_steps);
  equal(rows, stats.n_rows, "rows");
  equal(turns.length, 2, "prompts");
  equal(turns.reduce((n, t) => n + t.tokens, 0), stats.n_prompt_tokens, "tokens of prompts");
  equal(turns.reduce((n, t) => n + t.reused, 0), stats.n_reused_tokens, "reused tokens");
  for (const t of turns) equal(t.prompt, t.tokens - t.reused, `computed of session ${t.session}'s prompt`);
  equal(turns.reduce((n, t) => n + t.made + 1, 0), stats.n_generated_tokens, "rows of answers");
  ok(together > 0, "no step had rows of both");
  await bring(page, "p-lanes");
  await page.locator("#lanes-said", { hasText: new RegExp(`^\\d+ steps, ${together} of them`) }).waitFor();
});

await test("sessions: the table says who waited, and what was reused of whom", async () => {
  await page.locator("#lane-list tr").nth(1).waitFor();
  const rows = await page.locator("#lane-list tr").evaluateAll(list =>
    list.map(tr => [...tr.children].map(c => c.textContent)));
  equal(rows.map(r => r[0]).sort(), ["S0", "S1"], "sessions");
  const second = rows.find(r => r[0] === "S1");
  matches(second[2], /^\d+ (joined, )?of S0$/, "reused");
  matches(second[3], /^[\d.]+ ms/, "waited");
  for (const r of rows) matches(r[1], /^(\d+) \/ \1$/, "computed of its prompt");
  for (const r of rows) matches(r[6], /^\d+ of \d+$/, "steps together");
});

await test("sessions: a step at the pointer; a click selects the token that it made", async () => {
  await page.locator("#lanes").scrollIntoViewIfNeeded();
  const i = await page.evaluate(() => {
    const { session, whole: { steps } } = gossamer.state;
    return steps.findLastIndex((s, k) => k < steps.length - 1
      && s.rows.some(r => r.session === session && !r.prompt));
  });
  await page.locator("#lane-step").fill(String(i));
  const place = await page.evaluate(async i => {
    const { viewOf } = await import("/js/page/lanes.js"), { session, whole: { steps } } = gossamer.state;
    const { from, to } = viewOf(steps, i, document.getElementById("lanes").clientWidth);
    const lanes = [...new Set(steps.slice(from, to).flatMap(s => s.rows.map(r => r.session)))]
      .sort((a, b) => (a < 0) - (b < 0) || a - b);
    const { n, rows } = steps[i], { pos } = rows.find(r => r.session === session);
    return { n, pos, session, x: 30 + (i - from) * 5 + 2, lane: lanes.indexOf(session), of: lanes.length };
  }, i);
  const box = await page.locator("#lanes").boundingBox();
  const y = (place.lane + 0.5) * Math.min(34, (box.height - 26) / place.of);
  await page.mouse.move(box.x + place.x, box.y + y);
  const { n, session, pos } = place, own = `session ${session}: position ${pos}`;
  matches(await text(page, ".tip"), new RegExp(`^step ${n}: \\d+ rows?, [\\d.]+ ms · ${own}`));
  await page.mouse.down();
  await page.mouse.up();
  equal(await page.evaluate(() => {
    const { history, moment } = gossamer.state;
    return history.get(moment, history.columns.position);
  }), place.pos + 1, "the position of the token that is selected");
  await page.locator("#lane-step").fill("0");
  await page.locator("#p-lanes output", { hasText: /^0$/ }).waitFor();
  await page.keyboard.press("l");
});

await test("memory: tensors are those of gossamer dump, their areas as large as their bytes", async () => {
  const said = JSON.parse(execFileSync(PROGRAM, ["dump", MODEL, "--json"], { encoding: "utf8" }));
  const list = said.tensors ?? said, got = await page.evaluate(() => gossamer.state.whole.tensors);
  equal(got.length, list.length, "tensors");
  for (const t of list) {
    const same = got.find(g => g.name === t.name);
    equal([same?.type, same?.bytes], [t.type, t.bytes ?? t.n_bytes], t.name);
  }
  const map = await page.evaluate(async () => {
    const { treemap, byType } = await import("/js/page/memory.js"), { tensors } = gossamer.state.whole;
    const box = { x: 0, y: 0, w: 240, h: 150 }, all = treemap(byType(tensors), g => g[2], box)
      .flatMap(({ item, ...area }) => treemap(item[1], t => t.bytes, area));
    return all.map(({ item, x, y, w, h }) => ({ n: item.bytes, x, y, w, h }));
  });
  const total = map.reduce((n, r) => n + r.n, 0);
  for (const r of map) {
    ok(Math.abs(r.w * r.h / (240 * 150) - r.n / total) < 1e-6, `an area: ${JSON.stringify(r)}`);
  }
  for (const [i, a] of map.entries()) for (const b of map.slice(i + 1)) {
    const wide = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
    ok(wide < 1e-6 || Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y) < 1e-6, "areas overlap");
  }
  await bring(page, "p-memory");
  matches(await text(page, "#mem-roles"), new RegExp(`^${list.length} tensors: .*experts [\\d.]+ MB`));
  matches(await tip(page, "mem-map", 0.3, 0.3), /^[\w.]+: [\w ]+, \w+, \d+( × \d+)*, [\d.]+ [KM]?B$/);
});

await test("memory: KV pages by session, their sum and what sharing saves are stats()'", async () => {
  const now = await told(page), { pages, wasm } = await page.evaluate(async () => {
    const m = await import("/js/page/memory.js"), { pages } = gossamer.state.whole;
    const counted = [0, 1].map(cls => m.holders(pages, cls).filter(by => by.length).length);
    const beyond = cls => m.holders(pages, cls).reduce((n, by) => n + Math.max(0, by.length - 1), 0);
    return { pages: { ...pages, counted, extra: [0, 1].map(beyond) }, wasm: gossamer.state.wasm };
  });
  equal(pages.counted, pages.used, "pages that somebody holds");
  equal(pages.extra, pages.shared, "references beyond the first");
  ok(wasm > 1e6 && wasm <= now.memory, `the module's memory: ${wasm} and ${now.memory}`);
  const words = await page.evaluate(async ([a, b]) => {
    const { bytes } = await import("/js/page/dom.js");
    return [bytes(a), bytes(b)];
  }, [now.kv_bytes_used, now.kv_bytes_shared]);
  await bring(page, "mem-kv");
  const says = new RegExp(`^${words[0]} in use by 2 sessions .* saves ${words[1]}$`);
  await page.locator("#mem-kv-said", { hasText: says }).waitFor();
  matches(await text(page, "#mem-figures"), /^weights [\d.]+ MB · KV in use .* · wasm [\d.]+ MB/);
  const box = await page.locator("#mem-kv").boundingBox();
  await page.mouse.move(box.x + 3, box.y + 15);
  matches(await text(page, ".tip"), /^page \d+ of layers that see all: held .*session \d/);
});

await test("memory: the file's chunks, fetched and then kept", async () => {
  const size = await page.evaluate(() => gossamer.model.info.file_bytes);
  const said = async (p, pattern) => {
    await p.locator("#mem-chunks-said", { hasText: pattern }).waitFor();
    const { chunk, states } = await p.evaluate(() => gossamer.state.whole.chunks[0]);
    equal(states.length, Math.ceil(size / chunk), "chunks");
    return states;
  };
  matches(await said(page, /fetched now/), /^3+$/, "of the first load");
  await bring(page, "mem-chunks");
  matches(await tip(page, "mem-chunks", 0.01, 0.5), /^file 0, chunk 0: fetched now and kept$/);
  page.quiet();
  await page.close();
  const again = await withDemo("");
  matches(await said(again, /0 fetched now/), /^1+$/, "of the second");
  await again.close();
});

await test("roofline: kernels of this CPU, counted: experts read what a token reads", async () => {
  const p = await withDemo("");
  await ask(p, STORY);
  await told(p);
  const { kernels, info } = await p.evaluate(() =>
    ({ kernels: [...gossamer.state.kernels.values()], info: gossamer.model.info }));
  const of = name => kernels.find(k => k.kernel === name);
  for (const name of ["attn_in", "attend", "attn_out", "route", "experts", "head", "experts many"]) {
    ok(of(name)?.gb_per_s > 0 && of(name).roofline > 0, `${name}: ${JSON.stringify(of(name))}`);
  }
  equal(of("head").ops, 2 * info.n_embd * info.n_vocab, "the head's operations");
  equal(of("experts").rows, 1, "rows");
  const share = of("experts").bytes / info.step_expert_bytes;
  ok(share > 0.9 && share <= 1, `experts read ${share} of what a token reads`);
  await bring(p, "p-roof");
  await p.locator("#roof-said", { hasText: /^Roof: [\d.]+ [GM]B\/s, measured\. Nearest: / }).waitFor();
  const place = await p.evaluate(async () => {
    const { points, roofOf } = await import("/js/page/roofline.js"), list = points(gossamer.state.kernels);
    return { roof: roofOf(list), all: list.map(q => [q.name, q.rate / q.intensity, q.bytes]) };
  });
  ok(place.roof > 1e8, `the roof is ${place.roof}`);
  for (const [name, bytes, want] of place.all) ok(Math.abs(bytes / want - 1) < 1e-6, name);
  equal(await p.locator("#kernels .n", { hasText: /^experts$/ }).count(), 1, "in the table");
  p.quiet();
  await p.close();
});

/** Lines whose answers are known: S0 answers with drafts, S2 comes, waits for S0's prefix, shares a step. */
const event = (ts_ms, type, rest) => ({ type: "inference_event", event: { type, ...rest }, ts_ms });
const KNOWN = [
  { type: "load_stage", stage: "model_config", status: "completed", detail: "blocks=2 experts=8 topk=2",
    ts_ms: 1 },
  event(100, "prompt", { session: 0, tokens: 10, reused: 0, from: -1, stored: 0, joined: 0, came_ms: 100 }),
  event(105, "wait", { session: 2, tokens: 9, for: 0, came_ms: 105 }),
  event(110, "steps", { first: 7, steps: [[101, 6, [0, 0, 10, 10]], [108, 2, [0, 10, 4, 0, 3, 2]]] }),
  event(110, "prompt", { session: 2, tokens: 9, reused: 8, from: 0, stored: 0, joined: 8, came_ms: 105 }),
  event(118, "steps", { first: 9,
    steps: [[111, 2, [0, 13, 1, 0], [2, 8, 1, 1]], [113, 4, [-1, 20, 16, 0]]] }),
  event(119, "kv_pages", { positions: 64, bytes: [1000, 200], pages: [4, 3], used: [3, 1], shared: [1, 0],
    held: [{ session: 0, cached: 0, n: 70, full: [0, 2], window: [1, 1] },
      { session: 2, cached: 0, n: 80, full: [0, 1, 3, 1], window: [] }] }),
  event(120, "expert_slots", { experts: 8, here: ["30", "c0"] }),
  event(121, "expert_slots", { experts: 8, here: ["50", "c0"] }),
  event(122, "kernel_time", { kernel: "matvec", dispatches: 3, gpu_us: 50, bytes: 1e6, ops: 4e6, gb_per_s: 20,
    roofline: 0.5, steps: 1 })];

await test("lines whose answers are known: drafts, a wait, pages, paged experts, a kernel", async () => {
  const p = await open(cpu.context, at("&speed=0"));
  await ready(p);
  const data = await p.evaluateHandle(lines => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([lines], "known.jsonl"));
    return transfer;
  }, KNOWN.map(l => JSON.stringify(l)).join("\n"));
  await p.dispatchEvent("body", "drop", { dataTransfer: data });
  await p.locator("body[data-replay=ended]").waitFor();
  await bring(p, "p-lanes");
  await p.locator("#lane-list tr").nth(1).waitFor();
  const rows = await p.locator("#lane-list tr").evaluateAll(list =>
    list.map(tr => [...tr.children].map(c => c.textContent)));
  const waited = "6.00 ms for session 0's prefix (S0 4.00 ms)";
  equal(rows, [["S2", "1 / 1", "8 joined, of S0", waited, "0", "—", "1 of 1"],
    ["S0", "10 / 10", "0", "1.00 ms", "4", "2 of 3", "1 of 3"]]);
  equal(await text(p, "#lanes-said"), "4 steps, 1 of them with rows of several sessions.");
  const box = await p.locator("#lanes").boundingBox(), tips = [];
  for (const [i, lane] of [[0, 1], [1, 0], [2, 1], [3, 2]]) {
    await p.mouse.move(box.x + 30 + 5 * i + 2, box.y + (lane + 0.5) * 34);
    tips.push(await text(p, ".tip"));
  }
  equal(tips, ["step 7: 10 rows, 6.00 ms · session 2 waits · session 0: 10 of its prompt from 0 on",
    "step 8: 4 rows, 2.00 ms · session 0: position 10 and 3 drafts, 2 right",
    "step 9: 2 rows, 2.00 ms · session 2: 1 of its prompt from 8 on · session 0: position 13",
    "step 10: 16 rows, 4.00 ms · idle time computes 16 positions of a prefix from 20 on"]);
  equal(await text(p, "#mem-kv-said"),
    "3.20 KB in use by 2 sessions and what is kept of them; sharing saves 1.00 KB");
  await bring(p, "mem-kv");
  const kv = await p.locator("#mem-kv").boundingBox();
  await p.mouse.move(kv.x + 3, kv.y + 15);
  equal(await text(p, ".tip"), "page 0 of layers that see all: held 2 times (session 0, session 2)");
  await p.mouse.move(kv.x + 19, kv.y + 15);
  equal(await text(p, ".tip"), "page 2 of layers that see all: free");
  matches(await text(p, "#mem-slots-said"), /^4 of 16 experts are on the GPU/);
  equal(await tip(p, "mem-slots", 0.25, 2.5 / 8), "layer 0, expert 2: here");
  equal(await tip(p, "mem-slots", 0.25, 1.5 / 8), "layer 0, expert 1: absent");
  await bring(p, "p-roof");
  equal(await text(p, "#roof-said"), "Roof: 40.0 GB/s, measured. Nearest: matvec 20.0 GB/s (50%); "
    + "longest: matvec 20.0 GB/s (50%).");
  p.quiet();
  await p.close();
});

await test("attention: all heads of a layer on demand, the cost said first; each is probe's", async () => {
  const p = await withDemo("");
  await p.locator("#heads-cost", { hasText: /^$/ }).waitFor({ state: "attached" });
  await ask(p, QUESTION);
  const n = await p.evaluate(() => gossamer.state.history.count) - 6;
  await p.locator("#scrub").fill(String(n));
  await p.locator("#attn-layer").fill("2");
  await bring(p, "heads-go");
  const cost = new RegExp(`^All heads of layer 2 at #${n}: ${n} tokens are computed again, about \\d+ s\\.$`);
  await p.locator("#heads-cost", { hasText: cost }).waitFor();
  await p.click("#heads-go");
  const done = `Layer 2, 16 heads, what position ${n - 1} looks at.`;
  await p.locator("#heads-cost", { hasText: done }).waitFor();
  const ids = await p.evaluate(n => {
    const { history } = gossamer.state;
    return Array.from({ length: n }, (_, i) => history.get(i, history.columns.id));
  }, n);
  const heads = await p.evaluate(([session, row]) => gossamer.chats.find(c => c.current?.number === session)
    .current.attention({ row, layer: 2 }).then(a => a.heads.map(w => [...w])),
  [await p.evaluate(() => gossamer.state.session), n - 1]);
  for (const head of [0, 3]) {
    const said = execFileSync(PROGRAM, ["probe", "attention", MODEL, "--backend", "cpu", "--layer", "2",
      "--tokens", ids.join(","), "--head", String(head)], { encoding: "utf8" });
    const all = [.../looks at:(.*)$/m.exec(said)[1].matchAll(/(\d+) ([\d.]+)/g)];
    ok(all.length >= 5, said);
    for (const [, at, w] of all) near(heads[head][+at], +w, 0.005, `head ${head} at ${at}`);
  }
  await bring(p, "heads");
  const box = await p.locator("#heads").boundingBox();
  await p.mouse.move(box.x + 8, box.y + 8);
  const best = heads[0].indexOf(Math.max(...heads[0]));
  matches(await text(p, ".tip"), new RegExp(`^head 0: #${best} ".*" [\\d.]+%`));
  const most = heads[0].reduce((a, b) => a + b, 0);
  ok(most <= 1.001, `head 0's weights sum to ${most}`);
  const three = await p.evaluate(async () => {
    const { grid } = await import("/js/page/heads.js"), { clientWidth: w, clientHeight: h } =
      document.getElementById("heads"), { columns, rows } = grid(16, w, h);
    return [(3 % columns + 0.5) * w / columns, (Math.floor(3 / columns) + 0.5) * h / rows];
  });
  await p.mouse.click(box.x + three[0], box.y + three[1]);
  equal(await p.locator("#attn-head").inputValue(), "3", "the head that ATTENTION watches");
  p.quiet();
  await p.close();
});

await cpu.close();
await site.close();
finish();
