// watch.mjs - recordings played and saved, the map of the forward pass, the guided tour: as a user does it,
// in Chromium. What is saved is read by `gossamer replay`. node tests/web/watch.mjs [NAME]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dueTimes, Player, SPEEDS } from "../../web/js/page/player.js";
import { ask, ANSWER, browser, DATE, equal, finish, loaded, matches, ok, open, QUESTION, ready, ROOT, start,
  test } from "./harness.mjs";

const PROGRAM = process.env.GOSSAMER ?? fileURLToPath(new URL("build/cc/gossamer", ROOT));
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", ROOT), "utf8");
const cpu = await browser({ gpu: false }), site = await start();
const folder = mkdtempSync(join(tmpdir(), "gossamer-watch-"));
const at = (query = "") => `${site.url}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const text = (page, selector) => page.locator(selector).innerText();
const SHIPPED = ["demo-greeting.grec", "demo-tool.grec", "shape-20b.grec"];
const file = name => fileURLToPath(new URL(`web/data/${name}`, ROOT));
const replayed = (...args) => execFileSync(PROGRAM, ["replay", ...args],
  { encoding: "utf8", maxBuffer: 1 << 28 });

/** What the page shows of the recording now. */
const shows = page => page.evaluate(() => {
  const { history } = gossamer.state, made = Array.from({ length: history.count }, (_, n) => n)
    .filter(n => history.made(n)).length;
  const log = gossamer.state.log.filter(line => line.text !== "replay ended").length;
  return { made, count: history.count, log, at: gossamer.replay?.player.at,
    answer: document.querySelector(".turn.assistant:last-child")?.innerText ?? "" };
});
const opened = page => page.locator("#p-player").waitFor();
const ended = page => page.locator("body[data-replay=ended]").waitFor();

// ---- the clock, without a page ----------------------------------------------------------------------------
/** A player of items at these times; what it has given. */
function playerOf(times) {
  const got = [];
  const player = new Player(times.map((ts_ms, i) => ({ ts_ms, i })), { take: item => got.push(item.i),
    restart: () => got.splice(0), landed() {}, changed() {} });
  return { got, player };
}

await test("the clock: pauses are cut, or as they were; seeks give exactly what was due", async () => {
  const times = [5000, 5100, undefined, 5050, 65000, 65010];
  equal([...dueTimes(times.map(ts_ms => ({ ts_ms })), 1000)], [0, 100, 100, 100, 1100, 1110], "cut");
  equal([...dueTimes(times.map(ts_ms => ({ ts_ms })))], [0, 100, 100, 100, 60000, 60010], "as they were");
  const { got, player } = playerOf(times);
  equal(player.length, 1110);
  for (const [ms, want] of [[100, [0, 1, 2, 3]], [1110, [0, 1, 2, 3, 4, 5]], [99, [0]], [0, [0]],
    [1e9, [0, 1, 2, 3, 4, 5]], [1105, [0, 1, 2, 3, 4]]]) {
    player.seek(ms);
    equal(got, want, `at ${ms} ms`);
  }
  player.pace(1, true);
  equal([player.at, player.ms, player.length], [5, 60000, 60010], "another pace, the same place");
  player.seek(59999);
  equal(got, [0, 1, 2, 3], "in the pause");
  const even = item => item.i % 2 === 0;
  player.jump(0);
  for (const [by, to] of [[1, 1], [1, 3], [1, 5], [1, 6], [-1, 5], [-2, 1], [-1, 0], [2, 3]]) {
    player.step(by, even);
    equal(player.at, to, `${by} steps`);
  }
});

await test("the clock plays to its end, in order, and again from the beginning", async () => {
  const { got, player } = playerOf([0, 30, 30, 90]);
  for (let i = 0; i < 2; i++) {
    const over = new Promise(resolve => {
      const tick = () => player.playing ? setTimeout(tick, 5) : resolve();
      player.pace(SPEEDS.at(-1));
      player.play();
      tick();
    });
    await over;
    equal(got, [0, 1, 2, 3], `round ${i}`);
    equal(player.over, true);
  }
});

// ---- recordings that ship ---------------------------------------------------------------------------------
await test("three recordings ship, small, and the program reads them", async () => {
  const there = readdirSync(fileURLToPath(new URL("web/data", ROOT))).filter(n => n.endsWith(".grec")).sort();
  equal(there, SHIPPED, "files");
  const bytes = SHIPPED.reduce((n, name) => n + statSync(file(name)).size, 0);
  ok(bytes < 300e3, `${bytes} bytes`);
  for (const name of SHIPPED) {
    const said = replayed(file(name)), [, n, each] = /: (\d+) tokens .*\((\d+) a token\)$/m.exec(said);
    ok(+n > 20 && +each < 2000, said.slice(0, 200));
    ok(!/it ends early/.test(said), `${name} was cut`);
  }
  matches(replayed(file(SHIPPED[1])), /get_weather/);
});

await test("each opens from RECORDINGS without a model; its chat is there", async () => {
  const page = await open(cpu.context, at()), before = site.stats.requests.length;
  await ready(page);
  for (const [i, says] of [[0, /42/], [1, /get_weather[^]*Paris[^]*sunny/i], [2, /./]]) {
    await page.click("[data-drawer=p-recordings]");
    await page.locator("#p-recordings .name").nth(i).click();
    await opened(page);
    equal(await page.locator("#p-recordings").isHidden(), true, "the list is closed");
    await page.locator("#seek").fill(await page.locator("#seek").getAttribute("max"));
    await ended(page);
    const shown = page.locator(".chat .turns");
    await page.waitForFunction(source => {
      const { innerText } = document.querySelector(".chat .turns");
      return new RegExp(source, "i").test(innerText) && document.querySelector("[aria-busy=false].turn");
    }, says.source);
    ok(await shown.locator(".turn.user").count() > 0, "no question");
    await page.locator("#topk li.hit").first().waitFor();              // its frame may be still to come
    equal(await page.locator("#topk li.hit").count(), 1, "alternatives that were chosen");
    await page.click("#replay-close");
    await page.locator("#p-player").waitFor({ state: "hidden" });
    equal((await shows(page)).count, 0, "tokens, when it is closed");
  }
  equal(site.stats.requests.length, before, "requests for models");
  page.quiet();
  await page.close();
});

await test("play, pause, step, seek, speeds: by keys and buttons; the chat comes with it", async () => {
  const page = await open(cpu.context, at(`&data=/data/${SHIPPED[0]}`));
  await opened(page);
  await page.waitForFunction(() => gossamer.state.history.count > 0);
  await page.locator("body").press("k");
  await page.waitForFunction(() => !gossamer.replay.player.playing);
  equal(await text(page, "#play"), "PLAY");
  await page.evaluate(() => gossamer.replay.player.jump(0));
  equal((await shows(page)).count, 0, "at the beginning");
  for (let i = 1; i <= 12; i++) {
    await page.locator("body").press(".");
    equal((await shows(page)).made, i, `after ${i} steps`);
  }
  await page.locator("body").press(",");
  equal((await shows(page)).made, 11, "a step back");
  await page.locator("#seek").focus();
  await page.keyboard.press("ArrowRight");
  equal((await shows(page)).made, 12, "the slider's arrow");
  await page.locator("body").press(">");
  equal(await page.locator("#speed").inputValue(), "2", ">");
  await page.locator("body").press("<");
  await page.locator("body").press("<");
  equal(await page.locator("#speed").inputValue(), "0.5", "<");
  await page.locator("#speed").selectOption("was");
  equal(await page.evaluate(() => [gossamer.replay.player.asItWas, gossamer.replay.player.speed]), [true, 1]);
  await page.locator("#speed").selectOption("16");
  await page.click("#play");
  await ended(page);
  const end = await shows(page);
  await page.locator(".turn.assistant", { hasText: "42" }).last().waitFor();
  await page.evaluate(() => gossamer.replay.player.seek(gossamer.replay.player.length / 2));
  const half = await shows(page);
  ok(half.made > 0 && half.made < end.made, `${half.made} of ${end.made}`);
  await page.locator("#play").click();
  await ended(page);
  const again = await shows(page);
  equal([again.made, again.log], [end.made, end.log], "again: tokens, lines of the log");
  page.quiet();
  await page.close();
});

await test("half of an answer is half of its text", async () => {
  const page = await open(cpu.context, at(`&data=/data/${SHIPPED[0]}&speed=0`));
  await ended(page);
  await page.locator(".turn.assistant", { hasText: "42" }).last().waitFor();
  const all = await page.locator(".turn.assistant .part.final").last().innerText();
  await page.locator("body").press(",");
  await page.locator("body").press(",");
  await page.waitForFunction(all => {
    const now = document.querySelector(".turn.assistant:last-child .part.final")?.innerText;
    return now && now.length < all.length && all.startsWith(now);
  }, all);
  equal(await page.locator(".turn.assistant").last().getAttribute("aria-busy"), "true", "it is not over");
  await page.close();
});

await test("a link opens the recording at the moment that was picked", async () => {
  const page = await open(cpu.context, at(`&data=/data/${SHIPPED[0]}&speed=0`));
  await ended(page);
  await page.locator("#scrub").fill("40");
  await cpu.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("#replay-link");
  await page.locator("#replay-link", { hasText: "COPIED" }).waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  equal(new URL(link).search, `?data=%2Fdata%2F${SHIPPED[0]}&at=40`);
  await page.goto(link);
  await page.waitForFunction(() => gossamer.state.moment === 40);
  await page.locator("#moment", { hasText: /^#40 / }).waitFor();
  page.quiet();
  await page.close();
});

// ---- the page's own chat ----------------------------------------------------------------------------------
/** What the history knows, for comparing. */
const known = page => page.evaluate(() => {
  const { history: h } = gossamer.state, { columns: c } = h, out = [];
  const made = n => h.made(n) && h.made(n - 1);
  for (let n = h.first; n < h.count; n++) {
    out.push({ id: h.get(n, c.id), position: h.get(n, c.position), text: h.text(n), made: h.made(n),
      p: h.get(n, c.p), entropy: h.get(n, c.entropy), tops: h.tops(n).map(t => [t.id, t.p]),
      looks: h.made(n) ? h.looks(n).map(l => [l.n, l.w]) : [], experts: h.made(n) ? h.experts(n, 3)
        .map(e => [e.expert, e.w]) : [], norm: h.made(n) ? h.get(n, c.norms(3) + 2) : 0,
      ms: made(n) ? h.get(n, c.ms) : 0, part: h.made(n) ? h.get(n, c.parts(2) + 4) : 0 });
  }
  return out;
});
const close = (got, want, path = "") => {
  if (typeof want === "number" && typeof got === "number") {
    const near = Object.is(got, want) || Math.abs(got - want) <= 2e-3 + 1e-4 * Math.abs(want);
    ok(near, `${path}: ${got}, not ${want}`);
  } else if (want && typeof want === "object" && got) {
    equal(Object.keys(got), Object.keys(want), path);
    for (const key of Object.keys(want)) close(got[key], want[key], `${path}.${key}`);
  } else equal(got, want, path);
};

/** Presses SAVE; returns where the file is. */
async function save(page, name) {
  await page.click("[data-drawer=p-recordings]");
  const [download] = await Promise.all([page.waitForEvent("download"),
    page.locator("#p-recordings button", { hasText: "SAVE" }).click()]);
  equal(download.suggestedFilename(), "gossamer.grec");
  const path = join(folder, name);
  await download.saveAs(path);
  await page.click("[data-drawer=p-recordings]");
  return path;
}

await test("this chat: saved, read by gossamer replay, played, and gone on with", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  await page.click("#load");
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  const second = await ask(page, "Tell me a joke.");
  const before = await known(page), path = await save(page, "chat.grec"), said = replayed(path);
  for (const words of [QUESTION, ANSWER, "Tell me a joke.", second.split("\n")[0], "of 2 turns"]) {
    ok(said.includes(words), `${words} is not in ${said}`);
  }
  ok(!/ends early/.test(said), "it is cut");
  const turns = [...said.matchAll(/^turn (\d), .*stop: (\w+)$/gm)].map(m => [m[1], m[2]]);
  equal(turns, [["0", "eos"], ["1", "eos"]]);
  const tokens = [...replayed(path, "--turn", "1", "--tokens").matchAll(/^ +(\d+) +(\d+) ".*  p ([\d.]+)/gm)];
  const made = before.slice(-tokens.length);
  equal(tokens.map(m => +m[2]), made.map(t => t.id), "ids");
  tokens.forEach((m, i) => close(+m[3], made[i].p, `p of ${i}`));
  for (const panel of ["timeline", "experts", "attention", "steps"]) {
    matches(replayed(path, "--svg", panel, "--turn", "1"), /^<svg[^]*<rect[^]*<\/svg>\s*$/, panel);
  }
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings button", { hasText: "PLAY THIS CHAT" }).click();
  await opened(page);
  await page.locator("#seek").fill(await page.locator("#seek").getAttribute("max"));
  await ended(page);
  close(await known(page), before, "history");
  await page.waitForFunction(words => document.querySelector(".turns").innerText.includes(words),
    second.split("\n")[0]);
  equal(await page.evaluate(() => gossamer.chats[0].talk.turns.length), 4, "turns of the chat itself");
  await page.click("#replay-close");
  close(await known(page), before, "history, when it is closed");
  equal(await ask(page, QUESTION), ANSWER, "the model goes on");
  equal(await page.locator(".turn").count(), 6, "turns");
  page.quiet();
  await page.close();
});

await test("asked while a recording is shown: the model answers, the panels are its own", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  await page.click("#load");
  await loaded(page);
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings .name").nth(2).click();
  await opened(page);
  await page.waitForFunction(() => gossamer.state.history.columns.layers === 24);
  await ask(page, QUESTION);
  equal(await page.locator("#p-player").isHidden(), true, "the player is gone");
  equal(await page.evaluate(() => gossamer.state.history.columns.layers), 6, "layers");
  page.quiet();
  await page.close();
});

await test("nothing to save is said; 20b's shape is saved in less than 2 kB a token", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings button", { hasText: "SAVE" }).click();
  matches(await text(page, "#errors"), /nothing to keep/);
  await page.locator("#p-recordings .name").nth(2).click();
  await opened(page);
  await page.locator("#seek").fill(await page.locator("#seek").getAttribute("max"));
  await ended(page);
  const path = await save(page, "shape.grec"), n = (await shows(page)).count;
  ok(statSync(path).size / n < 2000, `${statSync(path).size} bytes for ${n} tokens`);
  matches(replayed(path), new RegExp(`: ${n} tokens of 1 turns`));
  await page.close();
});

// ---- the map ----------------------------------------------------------------------------------------------
await test("the map: every box of the 20b shape, its shapes, the moment's numbers, by keys", async () => {
  const page = await open(cpu.context, at(`&data=/data/${SHIPPED[2]}&speed=0`));
  await ended(page);
  await page.locator("#map svg .box").first().waitFor();
  const boxes = await page.locator("#map .box").evaluateAll(list => list.map(b => b.dataset.box));
  equal(boxes, ["token", "embed", "norm1", "qkv", "rope", "cache", "attend", "out", "add1", "norm2", "router",
    "experts", "add2", "head", "pick"]);
  const label = id => page.locator(`#map [data-box=${id}]`).textContent();
  const shapes = { embed: /201,088 rows of 2,880/, qkv: /q 64×64 · k, v 8×64/, out: /4,096 → 2,880/,
    router: /2,880 → 32 scores/, experts: /4 of 32: 2,880 → 2,880 → 2,880/, cache: /\d+ kept/,
    head: /2,880 → 201,088 scores/ };
  for (const [id, says] of Object.entries(shapes)) matches(await label(id), says, id);
  const steps = [], first = page.locator("#map [data-box=token]");
  await first.click();
  const walk = async n => {
    for (let i = 0; i < n; i++) {
      steps.push(await text(page, "#map-name"));
      ok((await text(page, "#map-what")).length > 60, `${steps.at(-1)} says nothing`);
      await page.keyboard.press("ArrowDown");
    }
  };
  await walk(2 + 2 * 11);
  const name = () => text(page, "#map-name");
  equal([steps.at(-1), await name()], ["Add experts · layer 1", "Scale · layer 2"], "layers");
  for (let layer = 2; layer < 23; layer++) await page.keyboard.press("PageDown");
  await walk(11 + 1);
  equal([steps.at(-1), await name()], ["Output head", "Choose"], "the end");
  equal(new Set(steps).size, steps.length, "each another one");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  equal(await text(page, "#map-name"), "Add experts · layer 23");
  await page.keyboard.press("PageUp");
  equal(await text(page, "#map-name"), "Add experts · layer 22");
  await page.locator("#scrub").fill(String((await shows(page)).count - 5));
  for (const layer of [4, 5]) {
    await page.locator("#map-layer").fill(String(layer));
    await page.locator("#map [data-box=attend]").click();
    const sees = layer % 2 ? /sees all tokens/ : /newest 128 tokens/;
    matches(await text(page, "#map-what"), sees, `layer ${layer}`);
    await page.locator("#map [data-box=router]").click();
    const want = await page.evaluate(layer => gossamer.state.history.experts(gossamer.state.moment, layer)
      .map(e => e.expert), layer);
    const said = [...(await text(page, "#map-says")).matchAll(/expert (\d+)/g)].map(m => +m[1]);
    equal([said.length, said], [4, want], "experts");
    equal(await page.locator("#map [data-box=experts] .marks rect").evaluateAll(list => list
      .map((r, i) => +r.style.getPropertyValue("--w") > 0 ? i : -1).filter(i => i >= 0)),
    want.toSorted((a, b) => a - b), "cells");
  }
  await page.click("#map-next");
  equal(await text(page, "#map-name"), "Experts · layer 5");
  await page.click("#map-back");
  equal(await text(page, "#map-name"), "Router · layer 5");
  page.quiet();
  await page.close();
});

await test("the map of a loaded model: norms and times are the row's; dense: no router", async () => {
  const page = await open(cpu.context, at());
  await ready(page);
  await page.locator("#map-what", { hasText: /No model is here yet/ }).waitFor();
  await page.click("#load");
  await loaded(page);
  await ask(page, QUESTION);
  await page.locator("#map-layer").fill("2");
  const want = await page.evaluate(async () => {
    const { visible } = await import("/js/page/dom.js");
    const { history: h } = gossamer.state, { columns: c } = h, n = h.count - 1, timed = h.timed(n);
    return { add1: h.get(n, c.norms(2)).toFixed(1), add2: h.get(n, c.norms(2) + 2).toFixed(1),
      experts: h.get(timed, c.parts(2) + 4), about: timed < n ? "~" : "", in: visible(h.text(n - 1)),
      out: visible(h.text(n)) };
  });
  await page.waitForFunction(want => document.querySelector("[data-box=add1] .live").textContent
    === `norm ${want.add1}`, want);
  const live = id => page.locator(`#map [data-box=${id}] .live`).textContent();
  equal(await live("add2"), `norm ${want.add2}`);
  // on a busy machine even a layer's experts may take 10 ms and more
  equal(await live("experts"), want.about + (want.experts < 10 ? `${(1000 * want.experts).toFixed(0)} µs`
    : `${want.experts.toFixed(1)} ms`));
  equal([await live("token"), await live("pick")], [`"${want.in}"`, `"${want.out}"`]);
  page.quiet();
  await page.close();
  const dense = await open(cpu.context, at(`&gguf=${encodeURIComponent("/models/demo-llama-Q4_K_M.gguf")}`));
  await ready(dense);
  await dense.click("#load");
  await loaded(dense);
  await dense.locator("#map [data-box=experts]").waitFor();
  equal(await dense.locator("#map [data-box=router]").count(), 0, "routers");
  equal(await dense.locator("#map [data-box=experts] .name").textContent(), "MLP");
  await dense.close();
});

// ---- the tour ---------------------------------------------------------------------------------------------
for (const [width, height] of [[1920, 1080], [1280, 720], [390, 844]]) {
  await test(`the tour at ${width}: asked for, by keyboard, covers nothing it speaks of`, async () => {
    const page = await open(cpu.context, at());
    await page.setViewportSize({ width, height });
    await ready(page);
    equal(await page.locator("#tour").isHidden(), true, "before it is asked for");
    await page.locator(".hello button", { hasText: "A tour" }).click();
    await page.locator("#tour").waitFor();
    const seen = [];
    for (let i = 0; i < 20 && await page.locator("#tour").isVisible(); i++) {
      const { name, bad } = await page.evaluate(() => {
        const panel = document.querySelector(".toured"), a = panel.getBoundingClientRect();
        const b = document.getElementById("tour").getBoundingClientRect();
        const bad = [];
        if (a.bottom < 60 || a.top > b.top - 40 || a.width < 100) bad.push(`out of sight: ${a.top}`);
        const top = document.elementFromPoint((a.left + a.right) / 2, Math.max(a.top, 0) + 8);
        if (!panel.contains(top)) bad.push(`covered by ${top?.id || top?.className}`);
        if (b.bottom > innerHeight + 1 || b.height > innerHeight / 3) bad.push(`the card: ${b.height}`);
        return { name: document.getElementById("tour-name").textContent, bad };
      });
      equal(bad, [], name);
      seen.push(name);
      await page.keyboard.press(i % 2 ? "Enter" : "ArrowRight");
    }
    ok(seen.length >= 9 && new Set(seen).size === seen.length, seen.join(", "));
    await page.locator("#tour").waitFor({ state: "hidden" });
    equal(await page.locator(".toured").count(), 0, "marks that stay");
    page.quiet();
    await page.close();
  });
}

await test("the tour: back, Esc, of a chat that is there", async () => {
  const page = await open(cpu.context, at(`&data=/data/${SHIPPED[0]}&speed=0`));
  await ended(page);
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings button", { hasText: "TOUR" }).click();
  await page.locator("#tour").waitFor();
  const n = (await shows(page)).count, name = () => text(page, "#tour-name"), first = await name();
  await page.click("#tour-next");
  ok(await name() !== first, "NEXT");
  await page.keyboard.press("ArrowLeft");
  equal(await name(), first, "←");
  await page.keyboard.press("Escape");
  await page.locator("#tour").waitFor({ state: "hidden" });
  equal((await shows(page)).count, n, "the recording stays");
  const words = (await page.evaluate(async () => (await fetch("/js/page/tour.js")).text()))
    .match(/const STOPS[^]*?\]\];/)[0].match(/[A-Za-z']{2,}/g).length;
  ok(words > 180 && words < 380, `${words} words are not two minutes`);
  page.quiet();
  await page.close();
});

for (const colorScheme of ["dark", "light"]) {
  await test(`axe finds nothing: player, map, tour, ${colorScheme}`, async () => {
    const page = await open(cpu.context, at(`&data=/data/${SHIPPED[1]}&speed=0`));
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await ended(page);
    await page.evaluate(AXE);
    const axe = async what => equal(await page.evaluate(async () =>
      (await axe.run(document, { resultTypes: ["violations"] })).violations.map(v => `${v.impact} ${v.id}: `
        + v.nodes.slice(0, 3).map(n => `${n.target} ${n.any[0]?.message ?? ""}`).join("; "))), [], what);
    await page.locator("#map [data-box=router]").click();
    for (const [width, height] of colorScheme === "dark" ? [[1280, 800], [390, 844]] : [[1920, 1080]]) {
      await page.setViewportSize({ width, height });
      await axe(`player and map at ${width}`);
    }
    await page.click("[data-drawer=p-recordings]");
    await axe("the list");
    await page.locator("#p-recordings button", { hasText: "TOUR" }).click();
    await page.locator("#tour").waitFor();
    await axe("the tour");
    await page.close();
  });
}

rmSync(folder, { recursive: true });
await cpu.close();
await site.close();
finish();
