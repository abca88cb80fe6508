// settles_page.mjs - the package in Chromium where its parts can't be had: every promise fails with a
// sentence. node tests/web/settles_page.mjs [NAME]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CORS, ISOLATED, serveFolder } from "./folder.mjs";
import { browser, equal, finish, matches, start, test } from "./harness.mjs";
import { unpack } from "./unpack.mjs";

const root = mkdtempSync(join(tmpdir(), "gossamer-settles-page-"));
unpack(root);
const own = join(root, "node_modules/gossamer-llm");
const models = await start(), MODEL = `${models.url}/models/demo-gptoss.gguf`;
const cpu = await browser({ gpu: false });
const LIMIT = 10000;                 // a busy machine's second

const html = (path, response, headers) => {
  if (path !== "/page") return false;
  response.writeHead(200, { "content-type": "text/html", ...ISOLATED, ...headers }).end("<!doctype html>");
  return true;
};

/** What init() and loadModel() fail with in a page; `broken` is the end of a path and its answer, `entry`
 * where the package is. */
async function failure({ broken = [], csp, entry = "", config = {}, model = MODEL }) {
  const [end, status = 404, type = "text/plain", body = "not found"] = broken;
  const s = await serveFolder(own, { headers: ISOLATED, answer: (path, response) => {
    if (html(path, response, csp && { "content-security-policy": csp })) return true;
    if (!end || !path.endsWith(end)) return false;
    response.writeHead(status, { "content-type": type, ...ISOLATED }).end(body);
    return true;
  } });
  const page = await cpu.context.newPage();
  try {
    await page.goto(`${s.url}/page`);
    const e = await page.evaluate(async ({ entry, config, model, limit }) => {
      const late = new Promise(r => setTimeout(r, limit, { message: "nothing happened" }));
      const t0 = performance.now();
      const what = async () => {
        const { init } = await import(`${entry || location.origin}/js/core/gossamer.js`);
        const llm = await init({ threads: 2, ...config });
        await llm.loadModel(model);
        return { message: "it worked" };
      };
      const got = await Promise.race([what().catch(e => e), late]);
      return { message: got.message, ms: Math.round(performance.now() - t0) };
    }, { entry, config, model, limit: LIMIT });
    console.log(`     ${e.ms} ms: ${e.message.slice(0, 150)}`);
    return e.message;
  } finally {
    await page.close();
    await s.close();
  }
}

const NO_WORKER = /^A worker of gossamer-llm could not be started from http:.* The file is missing/;
for (const file of ["core/worker.js", "core/engine.js", "bytes/io.js", "core/thread.js"]) {
  await test(`${file} is missing`, async () => matches(await failure({ broken: [file] }), NO_WORKER));
}
await test("a worker that is served as HTML", async () => {
  const page = "<!doctype html><title>not found</title>";
  matches(await failure({ broken: ["core/worker.js", 200, "text/html", page] }), NO_WORKER);
});
await test("a policy without workers", async () => {
  matches(await failure({ csp: "worker-src 'none'" }), NO_WORKER);
});
await test("the module is missing, or a page instead of it", async () => {
  matches(await failure({ broken: [".wasm"] }), /is missing: .*\.wasm answered 404.*init\(\{ wasm \}\)/);
  const page = "<!doctype html>";
  matches(await failure({ broken: [".wasm", 200, "text/html", page] }), /else than WebAssembly/);
  matches(await failure({ config: { wasm: "/elsewhere" } }), /\/elsewhere\/gossamer.* answered 404/);
});
await test("an address that is none", async () => {
  matches(await failure({ model: "http://" }), /^source: "http:\/\/" is no address$/);
});
await test("from another origin, with CORS and without", async () => {
  const cdn = await serveFolder(own, { headers: CORS });
  equal(await failure({ entry: cdn.url }), "it worked");
  equal(await failure({ config: { base: cdn.url } }), "it worked", "base");
  const csp = `script-src ${cdn.url} 'unsafe-eval' 'unsafe-inline'; worker-src 'self'`;
  matches(await failure({ entry: cdn.url, csp }), /which is another origin: .* blob: workers\. The file/);
  await cdn.close();
  const closed = await serveFolder(own, {});
  matches(await failure({ config: { base: closed.url } }), /another origin: CORS must allow it there/);
  await closed.close();
});

await cpu.close();
await models.close();
rmSync(root, { recursive: true, force: true });
finish();
