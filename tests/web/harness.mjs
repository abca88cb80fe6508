// harness.mjs - Chromium with a page of ours, a server that can misbehave, and a count of what passed.
import { createRequire } from "node:module";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../web/dev-server.mjs";

const { chromium } = createRequire(import.meta.url)("playwright-core");
export const ROOT = new URL("../../", import.meta.url);
const BASE = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
  "--disable-sync"];
/** CHROMIUM_GPU=real: the machine's own GPU, through Vulkan, instead of SwiftShader. */
export const REAL = process.env.CHROMIUM_GPU === "real";
const WEBGPU = ["--enable-unsafe-webgpu", "--ignore-gpu-blocklist", "--use-gl=angle",
  "--enable-features=Vulkan",
  ...(REAL ? ["--use-angle=vulkan", "--disable-vulkan-surface"]
    : ["--use-webgpu-adapter=swiftshader", "--use-angle=swiftshader", "--use-vulkan=swiftshader"])];
/** What Chromium is started with. */
export const executable = process.env.CHROMIUM || "/usr/bin/chromium";
export const flags = gpu => [...BASE, ...(gpu ? WEBGPU : ["--disable-gpu", "--disable-features=WebGPU"])];
export const QUESTION = "Which month comes after June?", ANSWER = "July comes after June.",
  DATE = "2025-06-28";

/** How long is waited for what must come: long, since a busy machine is no failure. */
export const PATIENCE = 180000;

let passed = 0, failed = 0, skipped = 0;
const only = process.argv[2];

/** Runs one test with a time limit; prints its name and how long it took. */
export async function test(name, fn, limit = PATIENCE + 60000) {
  if (only && !name.includes(only)) return;
  const t0 = performance.now();
  let timer;
  try {
    await Promise.race([fn(), new Promise((_, no) => {
      timer = setTimeout(() => no(new Error(`not done after ${limit} ms`)), limit);
    })]);
    passed++;
    console.log(`ok   ${name} (${Math.round(performance.now() - t0)} ms)`);
  } catch (e) {
    failed++;
    console.log(`FAIL ${name}: ${e.stack?.split("\n").slice(0, 12).join("\n     ") ?? e}`);
  } finally { clearTimeout(timer); }
}
export function skip(name, why) { skipped++; console.log(`SKIP ${name}: ${why}`); }
export function finish() {
  console.log(`web: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed ? 1 : 0);
}

export function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what ?? "value"}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}
export function ok(value, what) { if (!value) throw new Error(what); }
export function matches(text, pattern, what = "text") {
  if (pattern.test(text ?? "")) return;
  throw new Error(`${what}: ${JSON.stringify(text)} does not match ${pattern}`);
}

/** A browser of its own with a fresh profile. {gpu: false} leaves WebGPU out; {workers: "block"} service
 * workers, which keep the page's files where a test measures what is kept; {touch: true} is a phone. */
export async function browser({ gpu = true, args = [], workers = "allow", touch = false } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gossamer-web-"));
  const context = await chromium.launchPersistentContext(profile,
    { executablePath: executable, headless: true, serviceWorkers: workers,
    viewport: { width: 1280, height: 800 }, ...(touch && { hasTouch: true, isMobile: true }),
    args: [...flags(gpu), ...args] });
  context.setDefaultTimeout(PATIENCE);
  const close = async () => { await context.close(); rmSync(profile, { recursive: true, force: true }); };
  return { context, close };
}

/** A page that remembers everything the console said. `expected`: what it may say. */
export async function open(context, url) {
  const page = await context.newPage(), said = [];
  page.on("console", m => {
    if (m.type() === "error" || m.type() === "warning") said.push(`${m.type()}: ${m.text()}`);
  });
  page.on("pageerror", e => said.push(`exception: ${e.message}`));
  await page.goto(url);
  return Object.assign(page, { said, quiet: (allowed = /^$/) =>
    equal(said.filter(s => !allowed.test(s)), [], "console") });
}

/** Runs in a page before its own scripts: its module workers run `code` before their own, for what they are
 * to find changed or missing. */
export function patchWorkers(code) {
  const Own = globalThis.Worker;
  globalThis.Worker = function (at, options) {
    const first = `data:text/javascript;base64,${btoa(code)}`, then = new URL(at, location.href);
    const both = `import "${first}";\nimport "${then}";`;
    return new Own(URL.createObjectURL(new Blob([both], { type: "text/javascript" })), options);
  };
}
export async function openPatched(context, url, code) {
  const page = await context.newPage();
  await (await context.newCDPSession(page)).send("Page.setBypassCSP", { enabled: true });
  await page.addInitScript(patchWorkers, code);
  await page.goto(url);
  return page;
}

export const ready = page => page.waitForSelector("body[data-ready='1']");
export async function loaded(page, timeout = PATIENCE) {
  await page.waitForFunction(() => /READY|FAILED/.test(document.getElementById("progress-text").textContent),
    null, { timeout });
  const error = await page.locator("#errors").innerText();
  if (!/READY/.test(await page.locator("#progress-text").innerText())) {
    throw new Error(`loading failed: ${error}`);
  }
}
/** A page that is visible, answers, and gets no frame any more: about once in 10,000 changes of its window's
 * size Chromium 156 without a display waits for ever to show what it has drawn (a trace of its compositor
 * says "Not activating because pending tree not ready"). Its other pages go on; nothing wakes this one. */
export class NoFrames extends Error {}
const NO_FRAME_MS = 30000;
/** The next frame of the page. */
export async function frame(page) {
  const got = await page.evaluate(ms => new Promise(resolve => {
    setTimeout(resolve, ms, false);
    requestAnimationFrame(() => resolve(true));
  }), NO_FRAME_MS);
  if (!got) throw new NoFrames(`no frame for ${NO_FRAME_MS} ms`);
}
const without = e => e instanceof NoFrames;
/** Does something with a page of its own; with another one, once, when the browser gives that no frames. */
export async function withFrames(context, url, fn) {
  for (let again = false; ; again = true) {
    const page = await open(context, url);
    try { return await fn(page); } catch (e) {
      if (again || !(without(e) || await frame(page).catch(without))) throw e;
      console.log("     this page answers, but gets no frames: once more with another page");
    } finally { await page.close(); }
  }
}
export const errorText = async page => {
  await page.waitForSelector("#errors p", { timeout: PATIENCE });
  return page.locator("#errors").innerText();
};

/** Types a question and returns the final text of the finished answer. */
export async function ask(page, question, chat = 0, timeout = PATIENCE) {
  const box = await put(page, question, chat);
  return answerOf(page, box, timeout);
}
/** Frames that the page drew a second, and tokens, while one answer is made in the chat as a user's, on
 * past its stop token up to n tokens. The page draws what is new; where tokens are slow, all: the browser's
 * frames are counted, asked for without end. */
export const framesWhile = (page, n, { all = false } = {}) => page.evaluate(async ({ n, all }) => {
  const app = globalThis.gossamer, own = globalThis.ownSession ??= app.model.createSession.bind(app.model);
  const at = [];
  let first = 0, last = 0, count = 0;
  app.model.createSession = (...args) => {
    const s = own(...args), generate = s.generate.bind(s);
    s.generate = async function* (o, c) {
      const stream = generate({ ...o, ignore_stop: true, max_tokens: n }, c);
      for (let x; !(x = await stream.next()).done;) {
        last = performance.now();
        first ||= last;
        count++;
        yield x.value;
      }
    };
    return s;
  };
  app.chats[0].model = null;                 // so that it takes a new session
  const before = (await app.llm.stats()).frames;
  const note = t => { if (first) at.push(t); };
  app.drawn = all ? null : note;
  let over = false;
  const tick = t => { note(t); if (!over) requestAnimationFrame(tick); };
  if (all) requestAnimationFrame(tick);
  await app.chats[0].ask("Tell me a short story.");
  app.drawn = null;
  over = true;
  const gaps = at.slice(1).map((t, i) => t - at[i]).sort((a, b) => a - b), ms = last - first;
  return { tokens: count, tok_s: (count - 1) / ms * 1000, frames_s: gaps.length / (at.at(-1) - at[0]) * 1000,
    gap_median: gaps[gaps.length >> 1], gap_95: gaps[Math.floor(gaps.length * 0.95)], gap_most: gaps.at(-1),
    maps_s: ((await app.llm.stats()).frames - before) / ms * 1000 };
}, { n, all });
/** Processor time that other programs than this one and its children have had, in ms. */
function othersTime() {
  const [, user, nice, system, , , irq, soft] = readFileSync("/proc/stat", "utf8").split(/\s+/).map(Number),
    parent = new Map(), own = new Map();
  for (const pid of readdirSync("/proc").filter(n => +n > 0)) try {
    const f = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*[)] /s, "").split(" ");
    parent.set(+pid, +f[1]);
    own.set(+pid, +f[11] + +f[12]);
  } catch { /* it ended */ }
  const mine = pid => pid === process.pid || (parent.has(pid) && mine(parent.get(pid)));
  let all = user + nice + system + irq + soft;
  for (const [pid, time] of own) if (mine(pid)) all -= time;
  return all * 10;
}

/** framesWhile until `enough`, three times at most; nine while others have an eighth of the machine. */
export async function framesEnough(page, n, enough, how) {
  for (let calm = 0, tries = 1; ; tries++) {
    const before = othersTime(), t0 = performance.now(), r = await framesWhile(page, n, how),
      others = (othersTime() - before) / (performance.now() - t0) / cpus().length;
    const [frames, maps, tokens] = [r.frames_s, r.maps_s, r.tok_s].map(n => n.toFixed(1));
    console.log(`     ${frames} frames/s, maps ${maps}/s at ${tokens} tok/s, others ${others.toFixed(2)}`);
    if (others < 1 / 8) calm++;
    if (enough(r) || calm === 3 || tries === 9) return r;
    if (others >= 1 / 8) await new Promise(done => setTimeout(done, 5000));
  }
}
/** The two halves of ask, for several chats at once: typing happens one after the other, as one person's
 * would. */
export async function put(page, question, chat) {
  const box = page.locator(".chat").nth(chat);
  await box.locator("textarea").fill(question);
  await box.locator(".composer button").click();
  return box;
}
export async function answerOf(page, box, timeout = PATIENCE) {
  const turn = box.locator(".turn.assistant").last();
  await turn.and(page.locator("[aria-busy=false]")).waitFor({ timeout });
  return (await turn.locator(".part.final").allInnerTexts()).join("\n").trim();
}

export { start };
