// early.mjs - tokens before the download has ended: the page on WebGPU (SwiftShader), the demo model over a
// slow link in small pieces. node tests/web/early.mjs [NAME]
import { readFileSync } from "node:fs";
import { ANSWER, ask, browser, DATE, equal, finish, loaded, matches, ok, open, QUESTION, ready, ROOT, start,
  test } from "./harness.mjs";

const SLOW = 240000;
const RATE = 400e3;                  // bytes a second, all connections together
const SIZE = readFileSync(new URL("models/demo-gptoss.gguf", ROOT)).length;
const PROMPT = "Once", N = 4;        // one token: a quarter of each layer's experts

/** Answers come when the link has carried them; `dead` cuts it. */
let free = 0;
const link = { dead: false };
async function slowly(request, response, { path }) {
  const m = path.startsWith("/models/") && /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
  if (!m) return false;
  if (link.dead) {
    response.destroy();
    return true;
  }
  free = Math.max(free, performance.now()) + (Math.min(+m[2], SIZE - 1) - m[1] + 1) / RATE * 1000;
  await new Promise(go => setTimeout(go, free - performance.now()));
  return false;
}

const site = await start({ fault: slowly });
const gpu = await browser({ gpu: true, args: ["--enable-dawn-features=disable_workgroup_init"] });
const at = query =>
  `${site.url}/gptoss?date=${DATE}&max_kv=512&backend=gpu&early=1&chunk=16K&sample=0&greet=0${query}`;

const name = "the first token comes before the last byte, and the page says how much is here; "
  + "then the golden's answer";
await test(name, async () => {
  const page = await open(gpu.context, at(""));
  await ready(page);
  await page.click("#load");
  await loaded(page, SLOW);
  const atReady = site.stats.bytes;
  ok(atReady < SIZE * 0.65, `ready with ${atReady} bytes of ${SIZE}`);
  matches(await page.locator("#progress-text").innerText(), /^READY · \d\d% here/, "progress");
  equal(await page.locator("#load-rows [data-stage=load_complete] .s").innerText(), "IDLE");
  link.dead = true;                  // what comes unasked fails: it is said, and tried again later
  await page.locator("#load-rows [data-stage=weights_fetch].fail").waitFor();
  link.dead = false;
  const generate = () => page.evaluate(({ prompt, n }) => {
    const got = globalThis.got = { tokens: [] };
    (async () => {
      const session = gossamer.model.createSession();
      for await (const t of session.generate({ prompt, temperature: 0, ignore_stop: true, max_tokens: n })) {
        if (t.token >= 0) got.tokens.push(t.token);
      }
      session.close();
      got.done = true;
    })().catch(e => { got.error = e.message; });
  }, { prompt: PROMPT, n: N });
  const generated = () => page.waitForFunction(() => got.done || got.error, null,
    { timeout: SLOW }).then(() => page.evaluate("got"));
  equal(await page.evaluate(text => gossamer.model.tokenize(text).then(ids => ids.length), PROMPT), 1,
    "tokens of the prompt");
  await generate();
  await page.waitForFunction(() => got.tokens.length || got.error, null, { timeout: SLOW });
  const atFirst = site.stats.bytes;
  const early = await generated();
  const share = n => `${(100 * n / SIZE).toFixed(1)} %`;
  console.log(`     ready at ${share(atReady)}, first token at ${share(atFirst)} of ${SIZE} bytes`);
  ok(atFirst > atReady && atFirst < SIZE * 0.97, `the first token came with ${atFirst} bytes of ${SIZE}`);
  ok((await page.evaluate(() => gossamer.model.stats())).expert_misses > 0, "no expert was asked for");
  equal(await ask(page, QUESTION, 0, SLOW), ANSWER);
  await page.waitForFunction(() =>
    /^READY · [^%]*$/.test(document.getElementById("progress-text").textContent), null, { timeout: SLOW });
  equal(await page.locator("#load-rows [data-stage=load_complete] .s").innerText(), "OK");
  await generate();
  const late = await generated();
  equal(early, late, "tokens before and after");
  equal(late.tokens?.length, N, late.error);
  ok(site.stats.bytes <= SIZE + 1, `${site.stats.bytes} bytes were fetched of ${SIZE}: something twice`);
  page.quiet();
  await page.close();
}, SLOW);

await site.close();
await gpu.close();
finish();
