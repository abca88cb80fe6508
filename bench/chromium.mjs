// chromium.mjs - Chromium with nothing that costs what is measured: Playwright's network inspector copies
// every body that a page fetches (3.5 s of CPU for a GB). DevTools' protocol over a pipe, and of it only what
// benchmarks need.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable, flags, patchWorkers } from "../tests/web/harness.mjs";

const read = path => { try { return readFileSync(path, "utf8"); } catch { return ""; } };
const list = path => { try { return readdirSync(path); } catch { return []; } };

/** Processor time so far of a process and all below it, in ms: {"renderer CrRendererMain": ms, ...}. */
function timesBelow(top) {
  const parent = new Map(list("/proc").filter(n => /^\d+$/.test(n))
    .map(pid => [pid, /\) \S (\d+)/.exec(read(`/proc/${pid}/stat`))?.[1]]));
  const isBelow = pid => pid === String(top) || (parent.has(pid) && isBelow(parent.get(pid)));
  const out = {};
  for (const pid of [...parent.keys()].filter(isBelow)) {
    const kind = /--type=([\w-]+)/.exec(read(`/proc/${pid}/cmdline`))?.[1] ?? "browser";
    for (const task of list(`/proc/${pid}/task`)) {
      const at = `/proc/${pid}/task/${task}`, name = `${kind} ${read(`${at}/comm`).trim()}`;
      out[name] = (out[name] ?? 0) + Number(read(`${at}/schedstat`).split(" ")[0]) / 1e6;
    }
  }
  return out;
}

const sleep = ms => new Promise(r => setTimeout(r, ms));

/** Something that runs code: a page, or a worker of it. */
class Target {
  #send;
  constructor(send) { this.#send = send; }
  send(method, params) { return this.#send(method, params); }
  /** What a function makes of one argument there, or what an expression is worth. */
  async evaluate(code, arg) {
    const expression = typeof code === "function" ? `(${code})(${JSON.stringify(arg)})` : code;
    const r = await this.#send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (r.exceptionDetails)
      throw new Error(r.exceptionDetails.exception?.description ?? r.exceptionDetails.text);
    return r.result.value;
  }
}

class Page extends Target {
  workers = [];
  async until(test, arg, ms = 600000) {
    for (const end = Date.now() + ms; !(await this.evaluate(test, arg)); await sleep(20))
      if (Date.now() > end) throw new Error(`not within ${ms} ms: ${test}`);
  }
  click(selector) { return this.evaluate(s => document.querySelector(s).click(), selector); }
  /** A file into an input, as if it were picked. */
  async pick(selector, file) {
    const { result } = await this.send("Runtime.evaluate",
      { expression: `document.querySelector(${JSON.stringify(selector)})` });
    await this.send("DOM.setFileInputFiles", { files: [file], objectId: result.objectId });
  }
  text(selector) { return this.evaluate(s => document.querySelector(s).innerText, selector); }
  /** When the document is a new one, and whole. */
  async go(method, params) {
    await this.evaluate("globalThis.before = true");
    await this.send(method, params);
    while (!(await this.evaluate(() => !globalThis.before && document.readyState === "complete")
      .catch(() => false)))
      await sleep(20);
  }
  reload() { return this.go("Page.reload"); }
  async screenshot(path) {
    writeFileSync(path, Buffer.from((await this.send("Page.captureScreenshot")).data, "base64"));
  }
}

/** A browser with a fresh profile: {open(url, patch) -> page, times(), close()}. patch: code that the
 * page's module workers run before their own. gpu: false draws the page in software, and there is no
 * WebGPU. times(): processor time by thread. */
export async function chromium({ args = [], width = 1280, height = 800, gpu = true } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gossamer-bench-"));
  const child = spawn(executable, ["--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`,
    "--no-first-run", ...flags(gpu), ...args, "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const gone = new Promise(r => child.once("exit", r)), asked = new Map(), pages = new Map();
  let last = 0, heard = "";
  const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
    asked.set(++last, { resolve, reject });
    child.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  });
  gone.then(() => { for (const { reject } of asked.values()) reject(new Error("Chromium ended")); });
  const hear = m => {
    if (m.method === "Target.attachedToTarget")
      pages.get(m.sessionId)?.workers.push(
        new Target((method, params) => send(method, params, m.params.sessionId)));
    const waiting = asked.get(m.id);
    asked.delete(m.id);
    if (m.error) waiting?.reject(new Error(m.error.message));
    else waiting?.resolve(m.result);
  };
  child.stdio[4].setEncoding("utf8").on("data", more => {
    const parts = (heard + more).split("\0");
    heard = parts.pop();
    for (const part of parts) hear(JSON.parse(part));
  });
  const open = async (url, patch) => {
    const { targetId } = await send("Target.createTarget", { url: "about:blank" }),
      { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => send(method, params, sessionId));
    pages.set(sessionId, page);
    await page.send("Target.setAutoAttach",
      { autoAttach: true, waitForDebuggerOnStart: false, flatten: true });
    await page.send("Emulation.setDeviceMetricsOverride",
      { width, height, deviceScaleFactor: 1, mobile: false });
    await page.send("Page.enable");
    if (patch) {
      await page.send("Page.setBypassCSP", { enabled: true });
      await page.send("Page.addScriptToEvaluateOnNewDocument",
        { source: `(${patchWorkers})(${JSON.stringify(patch)})` });
    }
    await page.go("Page.navigate", { url });
    return page;
  };
  return { open, times: () => timesBelow(child.pid), async close() {
    await send("Browser.close").catch(() => {});
    await gone;
    rmSync(profile, { recursive: true, force: true });
  } };
}
