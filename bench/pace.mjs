// pace.mjs - how the page feels: what is fetched before the click (compressed), layout shift, tasks and the
// time from a keystroke to its paint while 1,500 tokens stream on the CPU.
// node bench/pace.mjs [TOKENS [RUNS]]
// prints a line of JSON a run. Bars: 450 kB, 0.02, 100 ms, 60 ms (p95); medians of five on a quiet machine.
import { gzipSync } from "node:zlib";
import { browser, loaded, ready, start } from "../tests/web/harness.mjs";

const tokens = +(process.argv[2] ?? 1500), runs = +(process.argv[3] ?? 1), site = await start();
const p95 = list => list.sort((a, b) => a - b)[Math.floor(list.length * 0.95)] ?? 0;

/** Runs before the page's own scripts: keeps what the browser says of tasks, shifts and keystrokes. */
function observe() {
  const seen = globalThis.seen = { tasks: [], shift: 0, keys: [] };
  new PerformanceObserver(l => seen.tasks.push(...l.getEntries().map(e => e.duration)))
    .observe({ type: "longtask", buffered: true });
  new PerformanceObserver(l => {
    for (const e of l.getEntries()) if (!e.hadRecentInput) seen.shift += e.value;
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver(l => seen.keys.push(...l.getEntries().filter(e => e.name === "keydown")
    .map(e => e.duration))).observe({ type: "event", durationThreshold: 16, buffered: true });
}

/** The bytes of what a page has fetched, compressed as a server would send them. */
async function fetched(page) {
  const names = await page.evaluate(() => performance.getEntriesByType("resource").map(e => e.name));
  const own = [...new Set([page.url(), ...names])]
    .filter(n => n.startsWith(site.url) && !/\/models\//.test(n));
  const bodies = await Promise.all(own.map(async n => Buffer.from(await (await fetch(n)).arrayBuffer())));
  return bodies.reduce((n, b) => n + Math.min(b.length, gzipSync(b).length), 0);
}

async function answer(page) {
  await page.evaluate(() => {
    const { model, chats } = gossamer, create = model.createSession.bind(model);
    model.createSession = () => {
      const s = create(), generate = s.generate.bind(s);
      return Object.assign(s, { generate: (o, c) => generate({ ...o, ignore_stop: true }, c) });
    };
    chats[0].model = null;
    Object.assign(seen, { tasks: [], keys: [] });
  });
  await page.fill("#prompt", "Tell me a story about a fox and a golden key.");
  await page.keyboard.press("Enter");
  const done = page.locator(".turn.assistant[aria-busy=false]").waitFor({ timeout: 300000 });
  let on = true, pressed = 0;
  done.finally(() => { on = false; });
  while (on) {
    await page.keyboard.press("x");
    pressed++;
    await new Promise(r => setTimeout(r, 150));
  }
  await done;
  return { pressed, ...await page.evaluate(() => ({ tasks: seen.tasks, keys: seen.keys })) };
}

for (let i = 0; i < runs; i++) {
  const b = await browser({ gpu: false, workers: "block" }), page = await b.context.newPage();
  await page.addInitScript(observe);
  await page.goto(`${site.url}/gptoss?backend=cpu&greet=0&sample=0&max_new=${tokens}`);
  await ready(page);
  const bytes = await fetched(page);
  await page.click("#load");
  await loaded(page);
  const { pressed, tasks, keys } = await answer(page);
  const quick = Array(Math.max(0, pressed - keys.length)).fill(16);      // those under 16 ms are not told
  console.log(JSON.stringify({ tokens, before_click: bytes, shift: await page.evaluate(() => seen.shift),
    tasks_over_100: tasks.filter(t => t > 100).length, longest: Math.max(0, ...tasks), keys: pressed,
    key_p95: p95([...keys, ...quick]) }));
  await b.close();
}
await site.close();
