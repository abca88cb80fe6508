// bundlers.mjs - the npm package as it is packed, in empty projects of the bundlers that people use, by the
// lines of its README; in Chromium from a click to the golden answer. BUNDLERS=FOLDER node
// tests/web/bundlers.mjs [NAME]; FOLDER has node_modules as bundlers/package-lock.json says.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { CORS, ISOLATED, serveFolder } from "./folder.mjs";
import { ANSWER, browser, DATE, equal, finish, ok, open, QUESTION, ROOT, start, test } from "./harness.mjs";
import { unpack } from "./unpack.mjs";

const folder = process.env.BUNDLERS, BIN = join(folder, "node_modules/.bin"), SLOW = 240000;
const readme = readFileSync(new URL("web/README.md", ROOT), "utf8");
/** The README's blocks of code, and the one that has a text. */
const blocks = [...readme.matchAll(/```(?:\w+)\n([^]*?)```/g)].map(m => m[1]);
const block = text => blocks.find(b => b.includes(text)) ?? ok(false, `the README has no block with ${text}`);

const site = await start(), MODEL = `${site.url}/models/demo-gptoss.gguf`;
const cpu = await browser({ gpu: false });
const work = mkdtempSync(join(folder, "try-"));

// ---- a project --------------------------------------------------------------------------------------------
/** The README's first lines, on a click: its model is the demo, its question the golden's. `config`: what
 * init is given. */
function app(config) {
  const [first, ...lines] = block("loadModel(\"https://example.org").trim().split("\n");
  const asked = `content: ${JSON.stringify(QUESTION)} }], temperature: 0, date: "${DATE}"`;
  const body = lines.join("\n").replace("https://example.org/model.gguf", MODEL)
    .replace("content: \"Hello\" }]", asked)
    .replace("const llm = await init();", config ?? "$&");
  ok(body.includes(MODEL) && body.includes(DATE), "the README's lines are others");
  return { first, body };
}
const page = script => `<!doctype html><meta charset="utf-8"><title>x</title><link rel="icon" href="data:,">`
  + `<button>go</button>${script}`;
const clicked = ({ first, body }) => `${first}
document.querySelector("button").onclick = async () => {
${body}
};
`;

/** An empty project with the package in node_modules. */
function project(name, files) {
  const root = join(work, name);
  mkdirSync(root, { recursive: true });
  const all = { "package.json": JSON.stringify({ name, private: true, type: "module" }), ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  unpack(root);
  return root;
}

/** Builds it; what is warned of counts as failed only where the bundler says so by its exit status. */
function run(root, command, args) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "production", CI: "1" };
  const r = spawnSync(command, args, { cwd: root, encoding: "utf8", env, timeout: SLOW });
  equal(r.status, 0, `${command} ${args.join(" ")} (${(r.stdout + r.stderr).slice(-2000)})`);
  return r.stdout + r.stderr;
}
const bin = name => join(BIN, name);

const freePort = () => new Promise(resolve => {
  const s = createServer().listen(0, "127.0.0.1", () => {
    const { port } = s.address();
    s.close(() => resolve(port));
  });
});

/** Runs fn(url) while a development server runs. */
async function serving(root, command, args, port, fn) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
  const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", d => { said += d; });
  const url = `http://127.0.0.1:${port}`;
  try {
    for (let i = 0; ; i++) {
      if (await fetch(url).then(r => r.ok, () => false)) break;
      ok(i < 600 && child.exitCode === null, `${command} does not serve: ${said.slice(-2000)}`);
      await new Promise(r => setTimeout(r, 100));
    }
    await fn(url);
  } finally { process.kill(-child.pid, "SIGTERM"); }
}

/** A click, and what the page says then. threads: may it have some? */
async function answers(url, threads) {
  const tab = await open(cpu.context, url);
  try {
    equal(await tab.evaluate(() => crossOriginIsolated), threads, "isolated");
    const said = tab.waitForEvent("console", { predicate: m => m.text().includes(ANSWER), timeout: 180000 });
    const failed = tab.waitForEvent("pageerror", { timeout: 180000 }).then(e => { throw e; });
    failed.catch(() => {});
    said.catch(() => {});
    await tab.locator("button").click();
    await Promise.race([said, failed]).catch(e => {
      throw new Error(`${e.message}\n${tab.said.join("\n")}`);
    });
    tab.quiet();
  } finally { await tab.close(); }
}

/** What was built answers, with the headers that threads need and without. */
async function folderAnswers(root, path = "/") {
  for (const threads of [true, false]) {
    const s = await serveFolder(root, { headers: threads ? ISOLATED : {} });
    try { await answers(s.url + path, threads); } finally { await s.close(); }
  }
}

// ---- the bundlers -----------------------------------------------------------------------------------------
const viteFiles = { "index.html": page(`<script type="module" src="/main.js"></script>`),
  "main.js": clicked(app()) };

await test("vite: build", async () => {
  const root = project("vite", viteFiles);
  run(root, bin("vite"), ["build"]);
  await folderAnswers(join(root, "dist"));
}, SLOW);

await test("vite: development server", async () => {
  const root = project("vite-dev", viteFiles), port = await freePort();
  const args = ["--port", String(port), "--strictPort", "--host", "127.0.0.1"];
  await serving(root, bin("vite"), args, port, url => answers(url, false));
}, SLOW);

await test("vite: what was built lies on another origin than the page", async () => {
  const root = project("vite-cdn", viteFiles);
  const cdn = await serveFolder(join(root, "dist"), { headers: CORS });
  run(root, bin("vite"), ["build", "--base", `${cdn.url}/`]);
  const site = await serveFolder(root, { headers: ISOLATED, answer: (path, response) => {
    if (path !== "/") return false;
    const html = readFileSync(join(root, "dist/index.html"));
    response.writeHead(200, { "content-type": "text/html", ...ISOLATED }).end(html);
    return true;
  } });
  await answers(site.url, true);
  await Promise.all([cdn, site].map(s => s.close()));
}, SLOW);

await test("webpack", async () => {
  const root = project("webpack", { "src/index.js": clicked(app()),
    "dist/index.html": page(`<script src="main.js" defer></script>`) });
  writeFileSync(join(root, "build.mjs"), `import webpack from "webpack";
const hints = { hints: false };      // sizes are no matter here
webpack({ mode: "production", performance: hints, context: import.meta.dirname }, (e, stats) => {
  if (e || stats.hasErrors() || stats.hasWarnings()) {
    console.error(e ?? stats.toString({ all: false, errors: true, warnings: true }));
    process.exit(1);
  }
});`);
  run(root, process.execPath, ["build.mjs"]);
  await folderAnswers(join(root, "dist"));
}, SLOW);

await test("parcel", async () => {
  const root = project("parcel", { "index.html": page(`<script type="module" src="main.js"></script>`),
    "main.js": clicked(app()) });
  run(root, bin("parcel"), ["build", "index.html", "--no-cache", "--no-source-maps"]);
  await folderAnswers(join(root, "dist"));
}, SLOW);

/** A copy of the package beside the bundle, and its address: the README's two lines. */
const copy = block("cp -r").trim(), based = block("init({ base").trim();
const copied = { "dist/index.html": page(`<script type="module" src="main.js"></script>`),
  "main.js": clicked(app(based)) };

await test("esbuild", async () => {
  const root = project("esbuild", copied);
  run(root, bin("esbuild"), ["main.js", "--bundle", "--format=esm", "--outfile=dist/main.js"]);
  run(root, "sh", ["-c", copy]);
  await folderAnswers(join(root, "dist"));
}, SLOW);

await test("rollup", async () => {
  const root = project("rollup", { ...copied, "rollup.config.js":
    `import resolve from "@rollup/plugin-node-resolve";
export default { input: "main.js", output: { file: "dist/main.js" }, plugins: [resolve()] };` });
  run(root, bin("rollup"), ["-c"]);
  run(root, "sh", ["-c", copy]);
  await folderAnswers(join(root, "dist"));
}, SLOW);

await test("next: a client component, imported during server rendering too", async () => {
  const { first, body } = app();
  const root = project("next", {
    "app/layout.js": `export default ({ children }) => <html lang="en"><body>{children}</body></html>;`,
    "app/page.js": `import Chat from "./chat.js";\nexport default () => <Chat />;`,
    "app/icon.svg": readFileSync(new URL("web/icon.svg", ROOT), "utf8"),
    "app/chat.js": `"use client";\n${first}\nexport default function Chat() {
  const go = async () => {\n${body}\n  };
  return <button onClick={go}>go</button>;\n}`,
  });
  run(root, bin("next"), ["build"]);
  const port = await freePort();
  const args = ["start", "-p", String(port), "-H", "127.0.0.1"];
  await serving(root, bin("next"), args, port, url => answers(url, false));
}, SLOW);

await test("no bundler: a module from a folder on another origin", async () => {
  const root = project("cdn", {});
  const script = clicked(app()).replace("\"gossamer-llm\"", "\"CDN/js/core/gossamer.js\"");
  const cdn = await serveFolder(join(root, "node_modules/gossamer-llm"), { headers: CORS });
  mkdirSync(join(root, "dist"));
  writeFileSync(join(root, "dist/index.html"),
    page(`<script type="module">${script.replace("CDN", cdn.url)}</script>`));
  await folderAnswers(join(root, "dist"));
  await cdn.close();
}, SLOW);

await cpu.close();
await site.close();
rmSync(work, { recursive: true, force: true });
finish();
