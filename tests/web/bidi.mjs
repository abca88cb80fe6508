// bidi.mjs - Firefox by WebDriver BiDi, as much of it as our tests need: a fresh profile, pages, evaluation,
// the console.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ICD = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
const PREFS = {
  "browser.shell.checkDefaultBrowser": false, "datareporting.policy.dataSubmissionEnabled": false,
  "app.update.enabled": false, "browser.startup.homepage_override.mstone": "ignore",
  "toolkit.telemetry.enabled": false, "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false, "browser.safebrowsing.downloads.remote.enabled": false,
  "extensions.getAddons.cache.enabled": false,
  "services.settings.server": "data:,#", "gfx.webgpu.ignore-blocklist": true };
const sleep = ms => new Promise(r => setTimeout(r, ms));

/** Starts Firefox. {gpu: false} switches WebGPU off. Returns {open(url) -> page, mappings() of memory that
 * its main process holds, close()}. */
export async function firefox({ executable = process.env.FIREFOX || "/usr/bin/firefox-esr", gpu = true,
  prefs = {} } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gossamer-firefox-"));
  const all = { ...PREFS, "dom.webgpu.enabled": gpu, "dom.webgpu.workers.enabled": gpu, ...prefs };
  writeFileSync(join(profile, "user.js"),
    Object.entries(all).map(([k, v]) => `user_pref(${JSON.stringify(k)}, ${JSON.stringify(v)});`).join("\n"));
  const child = spawn(executable, ["--headless", "--no-remote", "--profile", profile,
    "--remote-debugging-port", "0", "about:blank"],
    { env: { ...process.env, HOME: profile, XDG_RUNTIME_DIR: profile, MOZ_HEADLESS: "1",
      ...(gpu ? { VK_ICD_FILENAMES: ICD, VK_DRIVER_FILES: ICD } : {}) },
      stdio: ["ignore", "pipe", "pipe"] });
  let text = "", ended = null;
  const waiting = new Map(), why = () => new Error(`Firefox ended with ${ended}: ${text.slice(-1200)}`);
  child.on("exit", (code, signal) => {
    ended = signal ?? code;
    for (const { reject } of waiting.values()) reject(why());
    waiting.clear();
  });
  const address = await new Promise((resolve, reject) => {
    child.stderr.on("data", d => {
      text = (text + d).slice(-100_000);
      const m = /listening on (ws:\S+)/.exec(text);
      if (m) resolve(m[1]);
    });
    child.on("exit", () => reject(why()));
    setTimeout(() => reject(new Error(`Firefox does not answer: ${text.slice(-400)}`)), 180000).unref();
  });
  child.stdout.resume();
  const socket = new WebSocket(`${address}/session`), pages = new Map();
  await new Promise((yes, no) => {
    socket.onopen = yes;
    socket.onerror = () => no(new Error(`no connection to ${address}`));
  });
  let next = 1;
  const send = (method, params = {}) => new Promise((resolve, reject) => {
    if (ended !== null) return reject(why());
    waiting.set(next, { resolve, reject });
    socket.send(JSON.stringify({ id: next++, method, params }));
  });
  socket.onmessage = ({ data }) => {
    const m = JSON.parse(data);
    if (m.type === "event") {
      const page = pages.get(m.params?.source?.context);
      if (m.method === "log.entryAdded" && /error|warn/.test(m.params.level)) {
        page?.said.push(`${m.params.level}: ${m.params.text}`);
      }
      return;
    }
    const w = waiting.get(m.id);
    waiting.delete(m.id);
    m.type === "success" ? w?.resolve(m.result) : w?.reject(new Error(`${m.error}: ${m.message}`));
  };
  await send("session.new", { capabilities: {} });
  await send("session.subscribe", { events: ["log.entryAdded"] });
  const open = async url => {
    const { context } = await send("browsingContext.create", { type: "tab" }), page = new Page(send, context);
    pages.set(context, page);
    await send("browsingContext.setViewport",
      { context, viewport: { width: 1280, height: 800 } }).catch(() => {});
    await send("browsingContext.navigate", { context, url, wait: "complete" });
    return page;
  };
  const close = async () => {
    const gone = ended !== null ? Promise.resolve() : new Promise(r => child.on("exit", r));
    await Promise.race([send("browser.close").catch(() => {}), sleep(4000)]);
    await Promise.race([gone, sleep(4000)]);
    if (ended === null) {
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  const mappings = () => readFileSync(`/proc/${child.pid}/maps`, "utf8").split("\n").length;
  return { open, mappings, close };
}

class Page {
  #send; #context; said = [];
  constructor(send, context) {
    this.#send = send;
    this.#context = context;
  }

  /** The value of an expression (JSON), awaited. */
  async eval(expression) {
    const code = `(async () => JSON.stringify(await (${expression})))()`;
    const r = await this.#send("script.evaluate",
      { expression: code, awaitPromise: true, target: { context: this.#context } });
    if (r.type === "exception") throw new Error(r.exceptionDetails.text);
    return r.result.value === undefined ? undefined : JSON.parse(r.result.value);
  }
  text(selector) { return this.eval(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`); }
  click(selector) { return this.eval(`(document.querySelector(${JSON.stringify(selector)}).click(), 0)`); }

  async until(expression, what, timeout = 180000) {
    for (const end = performance.now() + timeout; ;) {
      if (await this.eval(expression)) return;
      if (performance.now() > end) throw new Error(`${what} did not come within ${timeout} ms`);
      await sleep(100);
    }
  }
  close() { return this.#send("browsingContext.close", { context: this.#context }); }
}
