// layout.mjs - where things are at seven sizes of the page, 200 % zoom and a phone among them: chat and
// composer in view, nothing over anything, fingers' targets of 44 px; what matters while a model loads and
// while it answers is in view at 1280 x 720. node tests/web/layout.mjs [NAME]
import { ask, browser, DATE, equal, finish, frame, loaded, ok, open, PATIENCE, QUESTION, ready, start, test,
  withFrames } from "./harness.mjs";

/** 1280 x 720 at 200 % is 640 x 360. */
const SIZES = [[390, 844], [390, 400], [640, 360], [900, 700], [1280, 720], [1920, 1080], [2560, 1300]];
const cpu = await browser({ gpu: false }), site = await start();
const at = (query = "", base = site.url) =>
  `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;

/** Runs in the page: what is wrong with where things are. least: the sides that a control must have. */
function wrongs(least) {
  const bad = [];
  const name = n => n.id ? `#${n.id}` : `${n.tagName}.${n.className} "${n.textContent.slice(0, 20)}"`;
  const box = n => n.getBoundingClientRect();
  const seen = n => n.checkVisibility({ visibilityProperty: true }) && box(n).width > 0 && box(n).left > -999;
  const all = selector => [...document.querySelectorAll(selector)].filter(seen);
  const scrolls = n => {
    const { overflowY, display } = getComputedStyle(n);
    return /auto|scroll|hidden/.test(overflowY) && display !== "contents";
  };
  /** The part of a node that its scrolling ancestors and the window show. */
  const shown = n => {
    let { left, top, right, bottom } = box(n);
    const cut = b => {
      [left, top] = [Math.max(left, b.left), Math.max(top, b.top)];
      [right, bottom] = [Math.min(right, b.right), Math.min(bottom, b.bottom)];
    };
    cut({ left: 0, top: 0, right: innerWidth, bottom: innerHeight });
    for (let p = n.parentElement; p; p = p.parentElement) if (scrolls(p)) cut(box(p));
    return { left, top, right, bottom, width: right - left, height: bottom - top };
  };
  const whole = n => shown(n).width >= box(n).width - 1 && shown(n).height >= box(n).height - 1;
  if (document.documentElement.scrollWidth > innerWidth) bad.push("the page is wider than its window");
  if (document.documentElement.scrollHeight > innerHeight) bad.push("the page is higher than its window");
  // Parts that stand beside each other.
  const parts = all(".brand, .source, .chips, .overall, .banner, .views, .errors p, .panel");
  for (const [i, a] of parts.entries()) {
    for (const b of parts.slice(i + 1)) {
      const p = shown(a), q = shown(b);
      const w = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const h = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (w > 1 && h > 1) bad.push(`${name(a)} and ${name(b)} overlap by ${w} x ${h}`);
    }
  }
  // Nothing lies over what can be pressed, and a finger hits it.
  for (const n of all("button, input, select, textarea, summary, .toggle, .check")) {
    const b = shown(n), target = n.closest(".toggle, .check") ?? n;
    if (b.width < 2 || b.height < 2) continue;
    const top = document.elementFromPoint((b.left + b.right) / 2, (b.top + b.bottom) / 2);
    const hit = top && (target.contains(top) || top.contains(target));
    if (!hit) bad.push(`${name(top)} lies over ${name(n)}`);
    const { width, height } = box(target);
    if (width < least || height < least) bad.push(`${name(n)} is ${width} x ${height}`);
  }
  return { bad, whole: Object.fromEntries(all("[id], .composer, .turns, #load-rows li, #infer-rows li, dd")
    .map(n => [n.id || n.dataset.stage || n.className || n.title, whole(n)])) };
}

async function check(page, what, least = 0) {
  const at = page.viewportSize(), { bad } = await page.evaluate(wrongs, least);
  equal(bad, [], `${what} at ${at.width} x ${at.height}`);
}

/** Chats with their composers, as many as may be in view. */
async function chatsInView(page, what, n = 1) {
  const { width, height } = page.viewportSize();
  const found = await page.evaluate(() => [...document.querySelectorAll(".chat")].map(c => {
    const turns = c.querySelector(".turns").getBoundingClientRect();
    const b = c.querySelector(".composer").getBoundingClientRect();
    return { turns: turns.height, inside: b.top >= 0 && b.bottom <= innerHeight && b.left >= 0
      && b.right <= innerWidth, wide: b.width };
  }));
  const inside = found.filter(f => f.inside);
  ok(inside.length >= n, `${what} at ${width} x ${height}: ${JSON.stringify(found)}`);
  for (const f of inside) {
    ok(f.turns >= 80 && f.wide >= 180, `${what} at ${width} x ${height}: ${JSON.stringify(f)}`);
  }
}

/** Every state at every size. */
async function everywhere(page, least) {
  const sizes = async (what, n) => {
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      await frame(page);
      await check(page, what, least);
      if (n) await chatsInView(page, what, n);
    }
  };
  await sizes("at first", 1);
  await page.click("#load");
  await loaded(page);
  await ask(page, QUESTION);
  await sizes("after an answer", 1);
  await page.click("#split");
  await sizes("two chats", 1);
  await page.click("#split");
  for (const drawer of ["p-settings", "p-library", "p-models", "p-recordings"]) {
    await page.click(`[data-drawer=${drawer}]`);
    await sizes(drawer);
    await page.click(`[data-drawer=${drawer}]`);
  }
  await page.evaluate(() => ["One thing went wrong.", "Another. ".repeat(30)].forEach(text =>
    dispatchEvent(new ErrorEvent("error", { message: text }))));
  await sizes("with errors", 0);
  await page.evaluate(() => document.getElementById("errors").replaceChildren());
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings .name").first().click();
  await page.locator("#p-player").waitFor();
  await sizes("a recording is open", 1);
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.click("#replay-close");
  await page.locator("#p-player").waitFor({ state: "hidden" });
  await page.click("[data-drawer=p-recordings]");
  await page.locator("#p-recordings button", { hasText: "TOUR" }).click();
  await page.locator("#tour").waitFor();
  await sizes("the tour", 0);
  await page.click("#tour-end");
  await page.setViewportSize({ width: 390, height: 844 });
  for (const view of ["load", "mind", "log", "chat"]) {
    await page.locator(`[data-goto=${view}]`).click();
    await check(page, `the view ${view}`, least);
  }
}

await test("nothing covers anything, chat and composer in view", async () => {
  await withFrames(cpu.context, at(), async page => {
    await ready(page);
    await everywhere(page, 0);
  });
}, 3 * PATIENCE);

await test("for fingers every target has 44 px", async () => {
  const touch = await browser({ gpu: false, touch: true });
  await withFrames(touch.context, at(), async page => {
    await ready(page);
    ok(await page.evaluate(() => matchMedia("(pointer: coarse)").matches), "no coarse pointer");
    await everywhere(page, 43.5);
  });
  await touch.close();
}, 3 * PATIENCE);

/** Soon: a row that begins is scrolled to in the next frames. */
const inView = async (page, names, what) => {
  for (let missing = names, i = 0; missing.length; i++) {
    const { whole } = await page.evaluate(wrongs, 0);
    missing = names.filter(n => !whole[n]);
    if (i === 50) equal(missing, [], `${what}: not in view`);
    else if (missing.length) await page.waitForTimeout(100);
  }
};

await test("1280 x 720: what matters while a model loads is in view", async () => {
  let go;
  const held = new Promise(r => { go = r; });
  const late = async (request, response, { path }) => {
    const from = +(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (path.startsWith("/models/") && from > 4e6) await held;
    return false;
  };
  const s = await start({ fault: late }), page = await open(cpu.context, at("", s.url));
  await page.setViewportSize({ width: 1280, height: 720 });
  await ready(page);
  await page.click("#load");
  await page.locator("#load-rows [data-stage=weights_fetch].run").waitFor();
  await inView(page, ["progress", "banner", "gpu-limits", "load", "io-facts", "gauges", "weights_fetch"],
    "loading");
  ok(await page.evaluate(() => { const b = document.getElementById("banner");
    return b.scrollHeight <= b.clientHeight + 1 && b.scrollWidth <= b.clientWidth; }), "the banner is cut");
  go();
  await loaded(page);
  await page.close();
  await s.close();
});

await test("1280 x 720: what matters while it answers is in view", async () => {
  const page = await open(cpu.context, at("&max_new=40&sample=0"));
  await page.setViewportSize({ width: 1280, height: 720 });
  await ready(page);
  await page.click("#load");
  await loaded(page);
  await page.fill("#prompt", "Tell me a story about a fox and a golden key.");
  await page.keyboard.press("Enter");
  await page.locator("#tokens span:not(.prompt)").first().waitFor();
  await inView(page, ["tok-rate", "tok-id", "tokens", "topk", "stats", "io-facts", "gauges", "prefill",
    "decode", "generation", "prompt", "send"], "answering");
  await page.close();
});

await cpu.close();
await site.close();
finish();
