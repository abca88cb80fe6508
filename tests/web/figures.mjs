// figures.mjs - what the panels say is right: against the engine's own statistics, /metrics, and recordings
// whose numbers are known. node tests/web/figures.mjs [NAME]
import { serve } from "../http/lib.mjs";
import { answerOf, ask, browser, DATE, equal, errorText, finish, loaded, matches, ok, open, put, QUESTION,
  ready, start, test } from "./harness.mjs";

const STORY = "Tell me a story about a fox and a golden key.";
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "", base = site.url) =>
  `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const text = (page, selector) => page.locator(selector).innerText();
/** Two figures of one thing, each rounded in its own way: no farther apart than that makes. */
const near = (a, b, most, what) => ok(Math.abs(a - b) <= most, `${what}: ${a} and ${b}`);
const row = (page, stage) => page.locator(`[data-stage=${stage}]`);

async function withDemo(query) {
  const page = await open(cpu.context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  return page;
}

/** {name: value} of a list of facts. */
const facts = (page, id) => page.evaluate(id => Object.fromEntries([...document.querySelectorAll(`#${id} dt`)]
  .map(dt => [dt.textContent, dt.nextElementSibling.textContent])), id);
const gauges = page => page.evaluate(() => Object.fromEntries(
  [...document.querySelectorAll("#gauges .gauge span")].map(s =>
    [s.firstChild.data, s.querySelector("b").textContent])));

/** What the page's state `s` says after these lines. */
async function after(page, lines, get) {
  await page.evaluate(async lines => {
    const { apply, freshState } = await import("/js/page/telemetry.js");
    globalThis.s = freshState();
    for (const line of lines) apply(globalThis.s, { ts_ms: 0, ...line });
  }, lines);
  return page.evaluate(get);
}
const stage = (name, status, session, rest) =>
  ({ type: "inference_stage", stage: name, status, session, ...rest });
const token = (session, token_text, token_id = 1) => ({ type: "inference_event",
  event: { type: "token_generated", session, token_id, token_text, top_k: [],
    tokens_per_sec: session } });
const map = session => ({ type: "inference_event",
  event: { type: "attention_weights", session, layer: 0, head: 0, first: 0,
    weights: [[session]] } });

await test("two sessions don't mix: the panels show the one that was asked last", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  const lines = [stage("runtime_mode", "completed", 0), map(0), token(0, "a"),
    stage("runtime_mode", "completed", 1), map(0), token(0, "b"), map(1), token(1, "c"),
    stage("decode", "progress", 0, { step: 90 }), stage("decode", "progress", 1, { step: 1 })];
  const texts = "Array.from({ length: s.history.count }, (_, n) => s.history.text(n)).join('')";
  equal(await after(page, lines, `[${texts}, s.rate, s.infer.get('decode').step, `
    + "s.history.maps.map(r => r.w[0])]"), ["c", 1, 1, [1]]);
  equal(await after(page, [token(undefined, "x", 1), token(undefined, "y", 2)], texts), "xy",
    "lines that say no session");
  await page.close();
});

await test("two chats at once: TOKEN STREAM is one of the answers, from beginning to end", async () => {
  const page = await withDemo("");
  await page.click("#split");
  const boxes = [await put(page, STORY, 0), await put(page, QUESTION, 1)];
  const answers = await Promise.all(boxes.map(b => answerOf(page, b)));
  const shown = await page.evaluate(() => {
    const { history } = gossamer.state;
    return Array.from({ length: history.count }, (_, n) => history.text(n)).join("");
  });
  const whole = answers.find(a => shown.endsWith(`${a}<|return|>`));
  ok(whole, `${JSON.stringify(shown)} ends in neither ${JSON.stringify(answers)}`);
  await page.close();
});

await test("figures agree with one another and with the engine", async () => {
  const page = await withDemo(""), engine = () => page.evaluate(() => gossamer.llm.stats());
  const before = await engine();
  await ask(page, STORY);
  const now = await engine(), info = await page.evaluate(() => gossamer.model.info);
  const n = now.n_generated_tokens - before.n_generated_tokens;
  const note = /^(\d+) tokens · ([\d.]+) tok\/s/.exec(await text(page, ".stop-note"));
  const stats = await facts(page, "stats");
  const detail = await row(page, "decode").locator(".d").innerText();
  const decode = /stop_reason=eos .*tok\/s=([\d.]+)/.exec(detail);
  equal([+note[1], +stats.tokens], [n, n], "tokens of the answer");
  near(+note[2], +decode[1], 0.1, "rate of the answer");
  near(parseFloat(await text(page, "#tok-rate")), +decode[1], 0.55, "TOKEN STREAM's rate");
  matches(stats.prefill, /^\d+\.\d tok\/s$/, "prefill");
  const [positions] = /^(\d+) \/ 8192/.exec(stats.KV) ?? [];
  ok(positions, `KV is ${stats.KV}`);
  await page.waitForFunction(async () => {
    const { bytes } = await import("/js/page/dom.js"), { memory } = await gossamer.llm.stats();
    return [...document.querySelectorAll("#io-facts dd")].some(d => d.textContent === bytes(memory));
  });
  const bytes = n => page.evaluate(n => import("/js/page/dom.js").then(m => m.bytes(n)), n);
  await page.waitForFunction(async () => {
    const { bytes } = await import("/js/page/dom.js"), { kv_bytes_used } = await gossamer.llm.stats();
    const text = `${bytes(kv_bytes_used)} / ${bytes(gossamer.model.info.kv_bytes)}`;
    return document.getElementById("g-KV-all-sessions").querySelector("b").textContent === text;
  });
  const shown = await gauges(page);
  const resident = await bytes(info.resident_bytes);
  equal(shown.weights, `${resident} / ${resident}`, "weights");
  equal([stats.stage, stats.stop], ["idle", "eos"], "afterwards");
  await page.close();
});

await test("bars have true scales", async () => {
  const page = await withDemo("&max_kv=512");
  await ask(page, STORY);
  const r = await page.evaluate(() => {
    const c = document.getElementById("kv"), [{ seq_len, max_len }] = gossamer.state.cache.values();
    const line = c.getContext("2d").getImageData(0, 3, c.width, 1).data;
    let n = 0;
    for (let x = 0; x < c.width; x++) if (line[4 * x + 3] > 200) n++;
    return { drawn: n / c.width, is: seq_len / max_len,
      bar: [...document.querySelectorAll(".gauge")].map(g => [g.querySelector("b").textContent.includes("/"),
        g.querySelector(".meter").hidden]) };
  });
  ok(Math.abs(r.drawn - r.is) < 0.02, `KV CACHE draws ${r.drawn}, it is ${r.is}`);
  for (const [scale, hidden] of r.bar) equal(hidden, !scale, "a bar has a scale, or there is none");
  await page.close();
});

await test("a prompt of many tokens shows its prefill while it runs", async () => {
  const page = await withDemo("");
  await page.evaluate(() => {
    globalThis.seen = new Set();
    gossamer.llm.on("telemetry", e => { if (e.stage === "prefill") seen.add(`${e.status} ${e.step > 0}`); });
  });
  await ask(page, `${"One word after another. ".repeat(80)} ${QUESTION}`);
  equal(await page.evaluate(() => seen.has("completed true")), true);
  matches((await facts(page, "stats")).prefill, /^\d+\.\d tok\/s$/, "prefill");
  await page.close();
});

await test("an address with slow and cpu in it is not orange", async () => {
  const page = await withDemo(`&gguf=${encodeURIComponent("/models/demo-gptoss.gguf?slow=cpu fallback")}`);
  matches(await row(page, "load_start").innerText(), /slow/, "the row");
  equal(await row(page, "load_start").getAttribute("class"), "ok");
  await page.close();
});

for (const [what, load, stage] of [
  ["a file that is not there", page => page.fill("#source", "/models/none.gguf"), "range_check"],
  ["a file that is no model", null, "gguf_parse"]]) {
  await test(`${what} marks the row that failed`, async () => {
    const page = await open(cpu.context, at());
    await ready(page);
    if (load) {
      await load(page);
      await page.click("#load");
    } else {
      await page.setInputFiles("#file", { name: "bad.gguf", mimeType: "", buffer: Buffer.alloc(1e5, "no ") });
    }
    const said = await errorText(page);
    await page.locator(`#load-rows [data-stage=${stage}].fail`).waitFor();
    equal(await row(page, stage).locator(".d").innerText(), said.replace(/\s*×$/, ""));
    equal(await page.locator("#load-rows .fail").evaluateAll(n => n.map(r => r.dataset.stage)
      .filter(s => s !== "gpu_limits")), [stage], "rows that failed");
    await page.close();
  });
}

await test("the log keeps its lines, also when a recording is played", async () => {
  const page = await open(cpu.context, `${site.url}/gptoss?data=/data/sample.jsonl&speed=0`);
  await page.waitForSelector("body[data-replay=ended]");
  await page.evaluate(() => {
    for (let i = 0; i < 3000; i++) gossamer.tell({ type: "page", text: `n${i}` });
  });
  await page.waitForFunction(() => document.getElementById("log").lastChild?.textContent.endsWith("n2999"));
  const lines = await page.evaluate(() => [...document.querySelectorAll("#log div")].map(d => d.textContent));
  equal(lines.filter(l => /n\d+$/.test(l)).length, 3000, "lines of the page");
  ok(lines.some(l => /load_complete/.test(l)), "the recording's lines are gone");
  await page.close();
});

await test("experts: none yet, none at all", async () => {
  const page = await withDemo("");
  equal(await text(page, "#router-note"), "16 experts a layer, none asked yet");
  await ask(page, QUESTION);
  equal(await text(page, "#router-note"), "all experts resident");
  await page.close();
  const dense = await withDemo(`&gguf=${encodeURIComponent("/models/demo-llama-Q4_K_M.gguf")}`);
  equal(await text(dense, "#router-note"), "this model has no experts");
  await dense.close();
});

await test("coherence: an answer's is high, garbage's is low", async () => {
  const page = await withDemo("");
  await ask(page, STORY);
  const [, good] = /^([\d.]+) ok$/.exec((await facts(page, "stats")).coherence);
  ok(good > 0.6, `a story has ${good}`);
  await page.close();
  const garbage = await withDemo("&layers=1&max_new=60&temp=1&sample=1&seed=7");
  await ask(garbage, STORY);
  const [, bad, label] = /^([\d.]+) (\w+)$/.exec((await facts(garbage, "stats")).coherence);
  ok(bad < 0.2 && label === "low", `one layer of six has ${bad} ${label}`);
  await garbage.close();
});

await test("USE SERVER: tokens and rate are those of /metrics", async () => {
  const s = await serve(), page = await open(cpu.context, at("", s.url));
  await ready(page);
  await page.locator("label:has(#use-server)").click();
  await page.locator("#banner", { hasText: /^Connected to/ }).waitFor();
  matches(await text(page, ".chips"), /SERVER/, "chip");
  const metric = async name => {
    const all = await (await fetch(`${s.url}/metrics`)).text();
    return +new RegExp(`^gossamer_${name} (\\S+)$`, "m").exec(all)[1];
  };
  const before = await metric("generated_tokens_total");
  await ask(page, STORY);
  const note = /^(\d+) tokens · ([\d.]+) tok\/s/.exec(await text(page, ".stop-note"));
  const stats = await facts(page, "stats");
  // The server counts when it has written the answer's last byte.
  const counted = async () => await metric("generated_tokens_total") - before;
  for (let i = 0; i < 50 && await counted() < +note[1]; i++) await new Promise(r => setTimeout(r, 100));
  const n = await counted();
  equal([+note[1], +stats.tokens], [n, n], "tokens");
  // The page's rate is of the server's time, which is told in tenths of a millisecond.
  const detail = await row(page, "decode").locator(".d").innerText();
  const [, ms, rate] = /\bms=([\d.]+) tok\/s=([\d.]+)/.exec(detail);
  const own = (n - 1) / ms * 1000;
  near(+note[2], own, 0.051, "the answer's rate");
  near(+rate, own, own * 0.05 / ms + 0.051, "the server's rate");
  const kv = await page.evaluate(() => import("/js/page/dom.js")
    .then(m => m.bytes(+gossamer.state.sessions.kv_used)));
  equal((await gauges(page))["KV, all sessions"].split(" / ")[0], kv, "KV");
  await page.close();
  await s.stop();
});

await cpu.close();
await site.close();
finish();
