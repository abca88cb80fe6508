// branch.mjs - branch and steer, and the lens, by clicking as a user would on the demo model: an alternative
// becomes another version of the answer, computed from there on alone; tokens are pinned and banned; versions
// are compared; the lens says what `gossamer probe lens` does. And the package's calls for them, in Node.
// node tests/web/branch.mjs [NAME]
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { init } from "../../web/js/node/node.js";
import { ANSWER, ask, browser, DATE, equal, finish, loaded, matches, ok, open, QUESTION, ready, ROOT, start,
  test } from "./harness.mjs";

const STORY = "Tell me a story about a fox and a golden key.";
const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT));
const PROGRAM = process.env.GOSSAMER ?? fileURLToPath(new URL("build/cc/gossamer", ROOT));
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", ROOT), "utf8");
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "") => `${site.url}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const near = (a, b, most, what) => ok(Math.abs(a - b) <= most, `${what}: ${a} and ${b}`);
const probe = (what, ...args) => execFileSync(PROGRAM,
  ["probe", what, MODEL, "--backend", "cpu", ...args], { encoding: "utf8" });

// ---- the package ------------------------------------------------------------------------------------------
const llm = await init({ backend: "cpu", threads: 2, cache: "none" });
const model = await llm.loadModel(MODEL, { max_kv: 2048 });
const messages = [{ role: "user", content: QUESTION }];
const greedy = { temperature: 0, date: DATE, top_logprobs: 8 };

/** All of a generation: {ids, text: by message, end}. */
async function all(stream) {
  const ids = [], text = [];
  for (;;) {
    const { value, done } = await stream.next();
    if (done) return { ids, text, end: value };
    if (value.token >= 0) ids.push(value.token);
    text[value.message] = (text[value.message] ?? "") + value.text;
  }
}

await test("package: an answer goes on from any token; its beginning is told, not computed", async () => {
  const session = model.createSession({ params: greedy });
  const whole = await all(session.generate({ messages }));
  const prompt = await model.render({ messages, ...greedy });
  for (const n of [1, Math.floor(whole.ids.length / 2), whole.ids.length - 1, whole.ids.length]) {
    const branch = await session.fork(), before = (await model.stats()).n_reused_tokens;
    ok(branch.number !== session.number, "a number of its own");
    const tokens = [...prompt, ...whole.ids.slice(0, n)];
    const rest = await all(branch.generate({ tokens, chat: true, echo: prompt.length }));
    equal(rest.text, whole.text, `what is said, from token ${n} on`);
    equal(rest.ids, whole.ids.slice(n), `tokens, from token ${n} on`);
    equal(rest.end.stop, "eos", "its end");
    const reused = (await model.stats()).n_reused_tokens - before;
    ok(reused >= tokens.length - 1, `${reused} of ${tokens.length} tokens were reused`);
    branch.close();
  }
  const early = await session.fork(4);
  equal((await all(early.generate({ tokens: prompt, chat: true }))).ids, whole.ids, "forked at 4");
  early.close();
  session.close();
});

await test("package: the attention of all heads, the lens; what is refused is said", async () => {
  const session = model.createSession({ params: greedy });
  const prompt = await model.render({ messages, ...greedy });
  await session.prefill({ tokens: prompt });
  const row = prompt.length - 2, { heads, sinks } = await session.attention({ row, layer: 2 });
  equal([heads.length, heads[0].length], [model.info.n_head, row + 1]);
  const tokens = prompt.slice(0, row + 1).join(",");
  const said = probe("attention", "--tokens", tokens, "--layer", "2", "--head", "3");
  const [, list] = /looks at:(.*)/.exec(said);
  for (const [, n, w] of list.matchAll(/(\d+) (0\.\d+)/g)) near(heads[3][n], +w, 0.002, `position ${n}`);
  sinks.forEach((sink, i) => near(heads[i].reduce((a, b) => a + b, 0) + sink, 1, 1e-4, `sum of head ${i}`));
  const rows = await model.lens(prompt);
  equal(rows.map(r => r.layer), [-1, ...Array(model.info.n_layer).keys()]);
  equal(rows.at(-1).topK.length, 5);
  for (const [call, why] of [[() => session.attention({ row: 9999, layer: 0 }), /position 9999: the session/],
    [() => session.attention({ row: 3, layer: 99 }), /no such layer/],
    [() => model.lens([]), /1 to \d+ can be/],
    [() => session.generate({ tokens: [] }).next(), /tokens must be a list/],
    [() => session.generate({ tokens: [1e6] }).next(), /outside the vocabulary/],
    [() => session.fork(9999), /the session holds/]]) {
    matches(await Promise.resolve().then(call).then(() => "nothing", e => e.message), why);
  }
  session.close();
});
await llm.close();

// ---- the page ---------------------------------------------------------------------------------------------
async function withDemo(question, query) {
  const page = await open(cpu.context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  if (question) await ask(page, question);
  return page;
}
const count = page => page.evaluate(() => gossamer.state.history.count);
/** The moment by the slider, when TOP-K shows it. */
async function moment(page, n) {
  await page.locator("#scrub").fill(String(n));
  await page.locator("#p-topk .tag", { hasText: new RegExp(`^AT #${n}$`) }).waitFor();
}
const finalText = page => page.locator(".turn.assistant .part.final").last().innerText();
/** The answer that a click began has ended: `versions` of them there are. */
async function answered(page, versions) {
  await page.locator(".turn.assistant .do .at", { hasText: `/${versions}` }).last().waitFor();
  await page.locator(".turn.assistant[aria-busy=false]").last().waitFor();
  await page.waitForFunction(() => !gossamer.chats[0].running);
}
/** The newest row of the answer whose token is this word. */
const rowOf = (page, text) => page.evaluate(text => {
  const { history } = gossamer.state;
  let n = history.count - 1;
  while (n >= 0 && !(history.made(n) && history.text(n).trim() === text)) n--;
  return n;
}, text);
/** The second best there. */
const second = (page, n) => page.evaluate(n => {
  const { history } = gossamer.state, id = history.get(n, history.columns.id);
  return history.tops(n).find(t => t.id !== id);
}, n);

const page = await withDemo(QUESTION);
let row, other;

await test("an alternative clicked: another version goes on there, nothing is computed twice", async () => {
  row = await rowOf(page, "July");
  other = await second(page, row);
  const before = await page.evaluate(async row => {
    const { history } = gossamer.state;
    return { rows: history.count, position: history.get(row, history.columns.position),
      reused: (await gossamer.llm.stats()).n_reused_tokens, session: gossamer.state.session,
      tops: history.tops(row - 2), channel: history.channel(row) };
  }, row);
  await moment(page, row);
  await page.locator("#topk li", { has: page.locator("button.alt:enabled") }).nth(1).locator(".alt").click();
  await answered(page, 2);
  const after = await page.evaluate(async ({ rows, position }) => {
    const { history } = gossamer.state, c = history.columns, at = rows + position;
    return { reused: (await gossamer.llm.stats()).n_reused_tokens, session: gossamer.state.session,
      id: history.get(at, c.id), p: history.get(at, c.p), made: history.made(at), tops: history.tops(at - 2),
      position: history.get(at, c.position), channel: history.channel(at + 1),
      next: history.made(at + 1) || at + 1 === history.count };
  }, before);
  ok(after.session !== before.session, "a session of its own");
  ok(after.reused - before.reused >= before.position,
    `${after.reused - before.reused} of ${before.position} tokens before it were reused`);
  equal([after.id, after.position], [other.id, before.position], "the alternative's row");
  near(after.p, other.p, 1e-6, "its probability");
  equal(after.tops, before.tops, "alternatives of the common beginning");
  equal([after.made, after.next, after.channel], [true, true, before.channel]);
  ok((await finalText(page)).includes(other.text.trim()), `"${other.text}" in "${await finalText(page)}"`);
  const n = await page.evaluate(() =>
    gossamer.chats[0].talk.path().at(-1).tokens.filter(t => t[3] === "analysis").length);
  equal(await page.locator(".part.analysis summary em").innerText(), `REASONING · ${n}`);
  await page.getByRole("button", { name: "Version before" }).last().click();
  equal(await finalText(page), ANSWER, "the version before");
  await page.getByRole("button", { name: "Next version" }).last().click();
});

await test("versions compared: the common beginning, the first difference, probabilities", async () => {
  await page.locator(".turn.assistant").last().hover();
  await page.getByRole("button", { name: "COMPARE" }).last().click();
  const sides = page.locator(".versus .two > div");
  equal(await sides.count(), 2);
  const [mine, theirs] = await page.evaluate(() => {
    const { talk } = gossamer.chats[0], last = talk.path().at(-1);
    return talk.versions(last.parent).toReversed().map(t => t.tokens);
  });
  const same = mine.findIndex((t, i) => t[0] !== theirs[i]?.[0]);
  const note = await page.locator(".versus .note").first().innerText();
  matches(note, new RegExp(`^${same} tokens are the same`));
  equal(await sides.nth(1).locator(".first").textContent(), mine[same][1], "the first difference");
  equal(mine[same][0], other.id, "is the alternative");
  const then = await sides.nth(1).locator(".note").innerText();
  matches(then, /^then ".+" [\d.e-]+%; from there [\d.]+% a token$/);
  equal(await sides.nth(0).locator(".same").count(), same);
  await page.getByRole("button", { name: "COMPARE" }).last().click();
  equal(await sides.count(), 0, "once more closes it");
});

await test("the next question goes on behind the version that is shown", async () => {
  const said = await finalText(page);
  await ask(page, "Tell me a joke.");
  const { messages } = await page.evaluate(() => ({ messages: gossamer.chats[0].messages }));
  equal(messages.filter(m => m.role === "assistant")[0].content, said);
});

await test("alternatives in the text; one that ends the answer; a prompt's token says why not", async () => {
  await page.click("#new-chat");
  await ask(page, QUESTION);
  const n = await count(page) - 1;                        // <|return|>
  await moment(page, n - 1);
  await page.locator("#alts").waitFor();
  equal(await page.locator("#alts button.hit").count(), 1);
  const end = await page.evaluate(n => gossamer.state.history.get(n, gossamer.state.history.columns.id), n);
  const list = await page.evaluate(n => gossamer.state.history.tops(n).map(t => t.id), n - 1);
  if (list.includes(end)) {
    await page.locator("#alts button").nth(list.indexOf(end)).click();
    await answered(page, 2);
    equal(await page.evaluate(() => gossamer.chats[0].talk.path().at(-1).done.stop), "eos");
  }
  await moment(page, 3);
  await page.waitForFunction(() => document.querySelector("#alts").hidden);
});

await test("a ban and a pin: chips that can be taken off; they hold for the next answers", async () => {
  await page.click("#new-chat");
  await ask(page, QUESTION);
  const july = await rowOf(page, "July");
  const id = await page.evaluate(n => gossamer.state.history.get(n, gossamer.state.history.columns.id), july);
  await moment(page, july);
  const line = page.locator("#topk li.hit");
  await line.getByRole("button", { name: /^Ban/ }).click();
  const chip = page.locator(".beside .steered");
  matches(await chip.innerText(), /^banned ".*July" ×$/);
  await line.getByRole("button", { name: /^Ban/, pressed: true }).waitFor();
  await page.locator(".turn.assistant").last().hover();
  await page.getByRole("button", { name: "RETRY" }).last().click();
  await answered(page, 2);
  const ids = await page.evaluate(() => gossamer.chats[0].talk.path().at(-1).tokens.map(t => t[0]));
  ok(ids.length > 0 && !ids.includes(id), "the banned token came");
  await chip.click();
  equal(await chip.count(), 0);
  await page.getByRole("button", { name: "RETRY" }).last().click();
  await answered(page, 3);
  equal(await finalText(page), ANSWER);
});

await test("a ban while an answer is under way: it goes on from where it is, without the token", async () => {
  await page.click("#new-chat");
  await page.locator(".hello").waitFor();
  await page.evaluate(() => {                // what a click calls, when the answer has its fortieth token
    const { talk } = gossamer.chats[0], add = talk.add.bind(talk);
    const fortieth = tokens => {
      const [id, text] = tokens.find(t => t[1] === " the") ?? tokens[20];
      globalThis.steered = { n: tokens.length, id, before: tokens.map(t => t[0]) };
      gossamer.steer.toggle(id, text, "ban");
    };
    talk.add = (parent, turn) => {
      const kept = add(parent, turn), push = t => {
        const n = Array.prototype.push.call(kept.tokens, t);
        if (n === 40) fortieth(kept.tokens);
      };
      if (kept.tokens) Object.defineProperty(kept.tokens, "push", { value: push });
      return kept;
    };
  });
  await ask(page, STORY);
  const { n, id, before, after, shown } = await page.evaluate(() => {
    const turn = gossamer.chats[0].talk.path().at(-1);
    return { ...steered, after: turn.tokens.map(t => t[0]), shown: turn.parts.map(p => p.text) };
  });
  equal(after.slice(0, n), before, "its beginning");
  ok(after.length > n + 5, "it did not go on");
  equal(after.slice(n + 4).includes(id), false, "the banned token came");
  const told = await page.evaluate(ids => gossamer.model.detokenize(ids), after);
  equal(shown.length, 2, "parts");
  for (const part of shown) ok(told.includes(part), `"${part}" is not in the tokens`);
  equal(await page.locator(".turn.assistant").count(), 1, "one answer");
  await page.locator(".beside .steered").click();
});

await test("the lens: its cost first; each layer as probe says; the last is what was said", async () => {
  await page.click("#new-chat");
  await ask(page, QUESTION);
  const n = await count(page) - 4;
  await moment(page, n);
  await page.locator("#p-lens").scrollIntoViewIfNeeded();
  await page.locator("#p-lens .tag", { hasText: `AT #${n}` }).waitFor();
  const cost = await page.locator("#lens-note").innerText();
  matches(cost, /one row through 6 layers, and 7 times .*: about \d+ ms/);
  await page.click("#lens-go");
  await page.locator("#lens tbody tr").first().waitFor();
  const got = (await page.locator("#lens tbody tr").evaluateAll(list => list.map(tr => ({
    kl: +tr.children[1].textContent, ids: [...tr.children].slice(2).map(td => +td.title.slice(3)),
    shares: [...tr.querySelectorAll("small")].map(s => parseFloat(s.textContent) / 100) })))).reverse();
  const ids = await page.evaluate(n => {
    const { history } = gossamer.state;
    const from = n - history.get(n, history.columns.position);
    return Array.from({ length: n - from }, (_, i) => history.get(from + i, history.columns.id));
  }, n);
  const said = probe("lens", "--tokens", ids.join(",")).split("\n").filter(l => /^(layer|embedding)/.test(l));
  equal(got.length, said.length, "layers");
  for (const [i, line] of said.entries()) {
    const kl = +/kl +([\d.]+)/.exec(line)[1];
    near(got[i].kl, kl, 0.012 + 0.02 * kl, `KL in line ${i}`);
    const words = line.replace(/.*entropy +\S+/, "").matchAll(/ {2}(\d+) .*? (\d\.\d{6})/g);
    const best = [...words].map(m => [+m[1], +m[2]]);
    equal(got[i].ids[0], best[0][0], `best in line ${i}`);
    near(got[i].shares[0], best[0][1], 0.012, `its probability in line ${i}`);
  }
  const tops = await page.evaluate(n => gossamer.state.history.tops(n), n);
  equal(got.at(-1).ids[0], tops[0].id, "the last layer's best");
  got.at(-1).shares.forEach((p, i) => near(p, tops[i].p, 0.012, `the last layer's ${i}`));
  equal(got.at(-1).kl, 0, "KL of the last layer");
});

await test("the lens over a range: a column a token; stopped between two of them", async () => {
  await page.fill("#lens-range", "6");
  await page.click("#lens-go");
  await page.waitForFunction(() => document.querySelectorAll("#lens thead button").length === 6);
  equal(await page.locator("#lens tbody tr").count(), 7);
  await page.evaluate(() => {                // STOP is clicked while the third is computed
    const { model } = gossamer, lens = model.lens.bind(model);
    globalThis.asked = 0;
    model.lens = ids => {
      if (++asked === 3) document.getElementById("lens-go").click();
      return lens(ids);
    };
  });
  await page.fill("#lens-range", "60");
  await page.click("#lens-go");
  await page.waitForFunction(() => asked === 3 && document.getElementById("lens-go").textContent === "LOOK");
  equal(await page.locator("#lens thead button").count(), 9, "what was there, and three more");
  equal(await page.evaluate(() => asked), 3);
  await page.locator("#lens thead button").last().click();
  const n = await page.evaluate(() => gossamer.state.moment);
  ok(n > 0, "a column's head is the moment");
  await page.fill("#lens-range", "1");
});

await test("parity: its cost first; each stage by the reference; stopped between two rounds", async () => {
  const note = page.locator("#parity-note"), go = page.locator("#parity-go");
  const over = () => page.waitForFunction(() =>
    document.getElementById("parity-go").textContent === "PROBE" && document.querySelector("#parity table"));
  await page.keyboard.press("l");
  await page.fill("#parity-range", "3");
  await page.locator("#p-parity").scrollIntoViewIfNeeded();
  await note.filter({ hasText: /first 1 to 3 of these 3 tokens.*: 6 rows, about \d+ ms/ }).waitFor();
  await page.evaluate(() => {
    const { model } = gossamer, parity = model.parity.bind(model);
    Object.assign(globalThis, { rounds: [], wrong: null, stopAt: 0 });
    model.parity = async ids => {
      const rows = await parity(ids);
      rounds.push({ ids, rows: structuredClone(rows) });
      if (rounds.length === stopAt) document.getElementById("parity-go").click();
      for (const r of rows) if (r.stage === wrong && r.layer === 0) r.max = 0.06 * r.rms;
      return rows;
    };
  });
  await go.click();
  await over();
  const cells = () => page.locator("#parity tbody tr").evaluateAll(list =>
    list.map(tr => [...tr.children].map(c => c.textContent)));
  const told = await page.evaluate(() => rounds), [,, { ids, rows }] = told;
  equal(told.map(r => r.ids.length), [1, 2, 3], "rounds");
  equal(rows.length, 2 + 6 * 5, "two ends, and five stages of six layers");
  const table = await cells();
  equal(table.map(r => r[0]),
    ["embedding", "q, k, v", "attention", "attention's out", "router", "experts", "head"]);
  for (const [name, first] of table.slice(0, -1)) matches(first, /^\d\.\d% ✓$/, name);
  ok(rows.some(r => r.max > 0), "the two sides are one");
  const said = probe("attention", "--tokens", ids.join(","), "--layer", "0", "--backend", "ref");
  near(rows.find(r => r.stage === "attend" && r.layer === 0).rms, +/rms ([\d.]+)/.exec(said)[1], 1e-4,
    "the reference's attention, as probe has it");
  await page.evaluate(() => { rounds.length = 0; wrong = "route"; });
  await go.click();
  await page.locator("#parity td.bad", { hasText: "6.0% ✗" }).waitFor();
  await over();
  equal((await cells()).filter(r => r[1].endsWith("✗")).map(r => r[0]), ["router"], "what is judged wrong");
  await page.evaluate(() => { rounds.length = 0; wrong = null; stopAt = 2; });
  await page.fill("#parity-range", "16");
  await go.click();
  await over();
  equal(await page.evaluate(() => rounds.length), 2, "rounds until STOP");
  equal(await ask(page, QUESTION), ANSWER, "the engine goes on");
});

await test("a recording says that it does not hold the lens, and nothing goes on there", async () => {
  const p = await open(cpu.context, `${site.url}/gptoss?data=/data/sample.jsonl&speed=0`);
  await p.waitForSelector("body[data-replay=ended]");
  await moment(p, 30);
  await p.locator("#lens-note", { hasText: "A recording does not hold it" }).waitFor();
  equal(await p.locator("#lens-go").isDisabled(), true);
  await p.locator("#parity-note", { hasText: "A recording does not hold the model" }).waitFor();
  equal(await p.locator("#parity-go").isDisabled(), true);
  await p.locator("#topk .alt:enabled").first().click();
  await p.locator("#topk-note", { hasText: "no model here" }).waitFor();
  equal(await p.locator("#alts").isVisible(), false);
  await p.close();
});

for (const colorScheme of ["dark", "light"]) {
  await test(`axe finds nothing with versions compared, a chip and a lens, ${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    if (colorScheme === "dark") {
      await moment(page, await rowOf(page, "July"));
      await page.locator("#topk .alt:enabled").nth(1).click();
      await answered(page, 2);
      await page.locator(".turn.assistant").last().hover();
      await page.getByRole("button", { name: "COMPARE" }).last().click();
      await moment(page, await count(page) - 4);
      await page.locator("#topk li").first().getByRole("button", { name: /^Pin/ }).click();
      await page.click("#lens-go");
      await page.locator("#lens tbody tr").first().waitFor();
      await page.evaluate(AXE);
    }
    for (const size of [{ width: 1280, height: 800 }, { width: 1920, height: 1080 }]) {
      await page.setViewportSize(size);
      const bad = await page.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] }))
        .violations.map(v => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map(n => n.target).join("; ")}`));
      equal(bad, [], `at ${size.width}`);
      const { SHOTS } = process.env;
      if (SHOTS) await page.screenshot({ path: `${SHOTS}/${colorScheme}-${size.width}.png` });
    }
  });
}

page.quiet();
await cpu.close();
await site.close();
finish();
