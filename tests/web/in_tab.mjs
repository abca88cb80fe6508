// in_tab.mjs - an agent wholly in a tab: the model's own Python on Pyodide, and tools of MCP servers that the
// page asks by itself. The demo model can't write Python, so its call stands in the conversation already;
// what runs it, what the model is given then and its answer are real. node tests/web/in_tab.mjs [NAME]
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { browser, DATE, equal, finish, loaded, matches, ok, open, QUESTION, ready, ROOT, skip, start,
  test } from "./harness.mjs";

/** Pyodide starts in three seconds; on a machine that others use, in a minute. */
const LONG = 300000;
const b = await browser({ gpu: false }), site = await start();
b.context.setDefaultTimeout(LONG);
const at = (query = "") => `${site.url}/gptoss?date=${DATE}&backend=cpu&sample=0&greet=0&max_new=4${query}`;

/** With the demo model; what it is asked goes into globalThis.given. */
async function withDemo() {
  const page = await open(b.context, at());
  await ready(page);
  await page.click("#load");
  await loaded(page, LONG);
  await page.evaluate(() => {
    const { model } = gossamer, create = model.createSession.bind(model);
    model.createSession = () => {
      const session = create(), generate = session.generate.bind(session);
      return Object.assign(session, { generate: (o, c) => generate(globalThis.given = o, c) });
    };
  });
  return page;
}
const settings = page => page.click("[data-drawer=p-settings]");
/** The model has just made this call; behind what was said before. */
const calls = (page, recipient, text) => page.evaluate(([question, recipient, text]) => {
  const [chat] = gossamer.chats, { talk } = chat;
  const asked = talk.add(talk.path().at(-1)?.id ?? "", { role: "user", content: question });
  const channel = recipient === "python" ? "analysis" : "commentary";
  talk.add(asked.id, { role: "assistant", parts: [{ channel, recipient, text }],
    done: { stop: "call", nGenerated: 1 } });
  chat.draw();
}, [QUESTION, recipient, text]);
const press = (page, name) => page.locator(".result button", { hasText: new RegExp(`^${name}$`) }).click();
/** What the n-th call has answered, once the model was given that and is done. */
async function result(page, n) {
  await page.waitForFunction(n => globalThis.given?.messages.filter(m => m.role === "tool").length === n
    && !gossamer.chats[0].running && document.querySelectorAll(".turn.tool").length === n, n);
  return (await page.locator(".turn.tool .body").last().innerText()).trim();
}

const pyodide = existsSync(new URL("node_modules/pyodide/package.json", ROOT));
const python = (name, fn) => pyodide ? test(name, fn, LONG) : skip(name, "npm's pyodide is not installed");

await python("PYTHON: off at first; a call runs, its state stays, errors, no network, STOP", async () => {
  const page = await withDemo(), asked = [];
  page.on("request", r => { if (r.url().includes("/pyodide/")) asked.push(r.url()); });
  await calls(page, "python", "x = 20\nprint('hi')\nx + 1");
  await page.locator(".result").waitFor();
  equal(await page.locator(".result button", { hasText: "RUN" }).count(), 0, "RUN while it is off");
  await settings(page);
  equal(asked, [], "fetched before it is switched on");
  await page.check("#python", { force: true });
  await page.locator("#python-note", { hasText: "The model may call python" }).waitFor();
  await settings(page);
  await page.evaluate(() => gossamer.chats[0].draw());
  await press(page, "RUN");
  equal(await result(page, 1), "hi\n21", "the first call");
  const given = await page.evaluate(() => given), { messages } = given;
  equal([given.builtin_tools, given.tools], [["python"], undefined], "what the model is shown");
  equal(messages.map(m => m.role), ["user", "assistant", "tool"]);
  equal(messages[1].tool_calls[0].function, { name: "python", arguments: "x = 20\nprint('hi')\nx + 1" });
  equal([messages[1].reasoning_content, messages[2].content], [undefined, "hi\n21\n"]);

  await calls(page, "python", "{\"code\": \"x * 2\"}");
  await press(page, "ALWAYS RUN");
  equal(await result(page, 2), "40", "its state, and code in arguments");
  await calls(page, "python", "def half(n):\n    return n / 0\nhalf(x)");
  const trace = await result(page, 3);
  matches(trace, /^Traceback[^]*<cell 3>", line 3[^]*line 2, in half[^]*ZeroDivisionError/, "an error");
  ok(!/pyodide/.test(trace), `frames that are not the model's: ${trace}`);
  await calls(page, "python", `import js
names = "fetch XMLHttpRequest WebSocket EventSource WebTransport importScripts indexedDB caches " \\
  "BroadcastChannel Worker postMessage".split()
print([n for n in names if getattr(js, n, None) is not None], hasattr(js.navigator, "storage"))
for way in (js.eval, js.Function.new):
    try: print(way("1"))
    except Exception as e: print("refused" if "EvalError" in str(e) else e)
from pyodide.http import pyfetch
try: print(await pyfetch("/index.html"))
except BaseException as e: print("refused")`);
  equal(await result(page, 4), "[] False\nrefused\nrefused\nrefused", "the network");

  await calls(page, "python", "while True: pass");
  await press(page, "STOP");
  equal(await result(page, 5),
    "The user stopped this call. All variables are lost; the next call starts anew.");
  await calls(page, "python", "x");
  matches(await result(page, 6), /^\[Python was started anew[^]*NameError: name 'x' is not defined/);
  page.quiet();
  await page.close();
});

await python("PYTHON: a loop without end is ended; another conversation has a state of its own", async () => {
  const page = await open(b.context, `${site.url}/check`);
  const said = await page.evaluate(async () => {
    const { fetchPyodide, Python } = await import("/js/page/python.js");
    const files = await fetchPyodide("pyodide"), brief = new Python(files, { limit: 3000 });
    const own = new Python(files), signal = new AbortController().signal, all = [];
    const run = (code, talk, by = own) => by.run(code, { talk, before: false, signal });
    all.push(await run("while True: pass", "a", brief));
    const cells = [["x = 5\ninput()", "b"], ["x", "c"], ["x", "b"], ["print('a' * 70000)", "b"]];
    for (const [code, talk] of cells) all.push(await run(code, talk));
    own.close();
    return all;
  });
  equal(said[0], "Timed out after 3 seconds. All variables are lost; the next call starts anew.");
  matches(said[1], /EOFError/, "input");
  matches(said[2], /NameError: name 'x'/, "another conversation");
  equal(said[3], "5\n", "the first one");
  matches(said[4], /^a{65536}\n\[the output was cut here\]$/, "a long output");
  page.quiet();
  await page.close();
});

await test("PYTHON: its frame's policy holds where the host sends no headers", async () => {
  const plain = await start({ isolated: false }), page = await open(b.context, `${plain.url}/check`);
  const got = await page.evaluate(async () => {
    const frame = document.createElement("iframe");
    frame.src = "/python.html";
    await new Promise(done => {
      frame.onload = done;
      document.body.append(frame);
    });
    const probe = `const at = ${JSON.stringify(location.origin)}, out = {};
      const tells = (name, way) => Promise.resolve().then(way).then(() => { out[name] = "went"; },
        () => { out[name] = "refused"; });
      const opens = o => new Promise((yes, no) => { o.onopen = o.onload = yes; o.onerror = no; });
      await tells("fetch", () => fetch(at + "/icon.svg"));
      await tells("import", () => import(at + "/js/core/words.js"));
      await tells("eval", () => (0, eval)("1"));
      await tells("socket", () => opens(new WebSocket(at.replace("http", "ws"))));
      await tells("events", () => opens(new EventSource(at + "/icon.svg")));
      await tells("xhr", () => { const x = new XMLHttpRequest(); x.open("GET", at + "/icon.svg"); x.send();
        return opens(x); });
      await tells("worker", () => opens(new Worker(at + "/js/page/python_worker.js")));
      postMessage(out);`;
    const blob = URL.createObjectURL(new Blob([probe], { type: "text/javascript" }));
    const worker = new frame.contentWindow.Worker(blob, { type: "module" });
    return new Promise((done, no) => {
      worker.onmessage = e => done(e.data);
      worker.onerror = e => no(new Error(e.message));
    });
  });
  equal(got, Object.fromEntries(["fetch", "import", "eval", "socket", "events", "xhr", "worker"]
    .map(way => [way, "refused"])));
  await page.close();
  await plain.close();
});

await test("PYTHON: a folder without Pyodide is said, with what to do", async () => {
  const page = await open(b.context, at());
  await ready(page);
  await settings(page);
  await page.fill("#pyodide", "nowhere/");
  await page.check("#python", { force: true });
  await page.locator("#python-note", { hasText: "/nowhere/" }).waitFor();
  const note = await page.locator("#python-note").innerText();
  matches(note, /is not there \(404\).*npm install pyodide/, "note");
  equal(await page.isChecked("#python"), false, "the switch");
  await page.close();
});

// ---- MCP --------------------------------------------------------------------------------------------------
/** A server with the tools add and fail, one a page; `cors`: a page may ask it. It forgets its sessions when
 * told to. */
async function mcp({ cors = true, events = false } = {}) {
  const seen = [];
  let session = "";
  const tools = [{ name: "add", description: "Adds.", inputSchema: { type: "object" } }, { name: "fail" }];
  const results = { initialize: () => ({ protocolVersion: "2025-06-18", capabilities: { tools: {} },
      serverInfo: { name: "own", version: "1" } }),
    "tools/list": ({ cursor }) => cursor ? { tools: [tools[1]] } : { tools: [tools[0]], nextCursor: "2" },
    "tools/call": ({ name, arguments: { a, b } }) => name === "fail"
      ? { content: [{ type: "text", text: "out of order" }], isError: true }
      : { content: [{ type: "text", text: `${a + b}` },
        { type: "image", data: "", mimeType: "image/png" }] } };
  const server = createServer(async (request, response) => {
    const allow = cors ? { "access-control-allow-origin": "*", "access-control-allow-headers": "*",
      "access-control-expose-headers": "Mcp-Session-Id" } : {};
    if (request.method === "OPTIONS") return response.writeHead(204, allow).end();
    let text = "";
    for await (const piece of request) text += piece;
    const { id, method, params } = JSON.parse(text);
    seen.push({ method, params, headers: request.headers });
    if (method === "initialize") session = `s${seen.length}`;
    else if (request.headers["mcp-session-id"] !== session) return response.writeHead(404, allow).end();
    if (id === undefined) return response.writeHead(202, allow).end();
    const answer = JSON.stringify({ jsonrpc: "2.0", id, result: results[method](params) });
    response.writeHead(200, { ...allow, "content-type": events ? "text/event-stream" : "application/json",
      "mcp-session-id": session });
    const note = `event: message\r\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\r\n\r\n`;
    response.end(events ? `${note}data: no message\n\ndata: ${answer}\n\n` : answer);
  });
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, host: `127.0.0.1:${server.address().port}`,
    seen, forget: () => { session = "gone"; }, made: () => seen.filter(s => s.method === "tools/call"),
    close: () => server.close() };
}
const labels = page => page.locator("#mcp-tools label").allInnerTexts();
const listed = (page, n) => page.waitForFunction(n =>
  document.querySelectorAll("#mcp-tools label").length === n, n);
const tickFirst = page => page.evaluate(() => document.querySelector("#mcp-tools input").click());

await test("MCP: servers are listed and kept, a call is allowed, then all of its tool", async () => {
  const one = await mcp(), two = await mcp({ events: true }), page = await withDemo();
  await settings(page);
  await page.fill("#mcp-servers", `${one.url}\n${two.url}`);
  await page.locator("#mcp-servers").blur();
  await listed(page, 4);
  equal(await labels(page), [one, two].flatMap(s => [`${s.host}: add`, `${s.host}: fail`]));
  await tickFirst(page);
  await settings(page);
  const name = s => `${s.host.replace(/\W/g, "_")}__add`;
  await calls(page, `functions.${name(one)}`, "{\"a\": 2, \"b\": 40}");
  await page.locator(".result").waitFor();
  equal(one.made().length, 0, "calls that nobody allowed");
  await press(page, "ALWAYS RUN");
  equal(await result(page, 1), "42\n[image image/png: it can't be shown to the model]");
  const given = await page.evaluate(() => given);
  equal([given.tools, given.builtin_tools], [[{ type: "function", function: { name: name(one),
    description: "Adds.", parameters: { type: "object" } } }], undefined], "what the model is shown");
  one.forget();
  await calls(page, `functions.${name(one)}`, "{\"a\": 1, \"b\": 1}");
  matches(await result(page, 2), /^2\n/, "alone, in a session that was begun again");
  await calls(page, `functions.${name(two).replace("add", "fail")}`, "{}");
  await press(page, "RUN");
  equal(await result(page, 3), "Error: out of order", "by events");
  const { headers } = two.made()[0];
  equal([headers["mcp-protocol-version"], headers.cookie], ["2025-06-18", undefined], "headers");
  await page.reload();
  await ready(page);
  const before = one.seen.length;
  equal(await page.inputValue("#mcp-servers"), `${one.url}\n${two.url}`, "kept");
  await settings(page);
  await listed(page, 4);
  ok(one.seen.length > before, "asked when SETTINGS opens");
  equal(await page.locator("#mcp-tools input:checked").count(), 0, "ticked by nobody");
  page.quiet(/404/);
  await page.close();
  await one.close();
  await two.close();
}, LONG);

await test("MCP: what can't be asked is said: no CORS, nobody there, no address", async () => {
  const shut = await mcp({ cors: false }), gone = await mcp(), page = await open(b.context, at());
  await gone.close();
  await ready(page);
  await settings(page);
  const says = async (text, pattern) => {
    await page.fill("#mcp-servers", text);
    await page.locator("#mcp-servers").blur();
    await page.locator("#mcp-note", { hasText: pattern }).waitFor();
  };
  await says(shut.url, /can't be reached, or does not let this page ask it.*by CORS/);
  equal(shut.made().length, 0);
  await says(gone.url, new RegExp(`${gone.host} can't be reached`));
  await says("hello", /hello is no address/);
  await page.fill("#mcp-servers", "");
  await page.locator("#mcp-servers").blur();
  await page.locator("#mcp-note").waitFor({ state: "hidden" });
  await page.close();
  await shut.close();
}, LONG);

const example = process.env.PEERS
  && join(process.env.PEERS, "node_modules/@modelcontextprotocol/server-everything/dist/index.js");
if (!example) skip("MCP: the everything server", "PEERS is not set (tests/npm_cached.sh tests/peers peers)");
else await test("MCP: the everything server", async () => {
  const probe = createServer();
  await new Promise(done => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address();
  await new Promise(done => probe.close(done));
  const env = { ...process.env, PORT: port };
  const server = spawn(process.execPath, [example, "streamableHttp"], { env });
  await new Promise((done, no) => {
    for (const out of [server.stdout, server.stderr]) out.on("data", d => /listening/i.test(d) && done());
    server.once("exit", () => no(new Error("the everything server ended")));
  });
  const page = await open(b.context, `${site.url}/check`);
  const [names, echo, none] = await page.evaluate(async url => {
    const { McpServer } = await import("/js/page/mcp.js"), all = await new McpServer(url).tools();
    const call = (own, given) => all.find(t => t.own === own)
      .run(JSON.stringify(given), { signal: new AbortController().signal });
    return [all.map(t => t.own), await call("echo", { message: "é\n\"b\"" }), await call("echo", {})];
  }, `http://127.0.0.1:${port}/mcp`);
  ok(names.includes("echo") && names.length > 5, `${names}`);
  equal(echo, "Echo: é\n\"b\"");
  matches(none, /invalid|failed|error/i, "arguments that are wrong");
  page.quiet();
  await page.close();
  server.kill();
}, LONG);

await b.close();
await site.close();
finish();
