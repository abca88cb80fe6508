// page.mjs - the page in Chromium: from a click to tokens, on the CPU; bytes and their mishaps; controls;
// replay. node tests/web/page.mjs [NAME]
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { breaches } from "./drives.mjs";
import { ANSWER, answerOf, ask, browser, DATE, equal, errorText, finish, framesEnough, loaded, matches, ok,
  open, openPatched, put, QUESTION, ready, ROOT, start, test } from "./harness.mjs";

const MODEL = fileURLToPath(new URL("models/demo-gptoss.gguf", ROOT)), SIZE = readFileSync(MODEL).length;
const CHUNK = 4 << 20;
const NO_RANGE = "Host does not support Range/CORS. Use `gossamer serve` or a compatible host.";
const NO_OPFS = "StorageManager.prototype.getDirectory = undefined;";
const cpu = await browser({ gpu: false }), plain = await browser({ gpu: false, workers: "block" });
const site = await start();
const at = (query, base = site.url) => `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const load = async page => {
  await ready(page);
  await page.click("#load");
};

/** A page on a server of its own that misbehaves as `fault` says; its port makes it an origin with no storage
 * yet. */
async function with_fault(fault, fn, options = {}) {
  const s = await start({ fault, ...options });
  try { await fn(s, cpu.context); } finally { await s.close(); }
}

await test("click to tokens, on the CPU, threads", async () => {
  const page = await open(cpu.context, at(""));
  await load(page);
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  matches(await page.locator("#chip-backend").innerText(), /CPU/, "backend");
  ok(await page.locator("#chip-backend.cpu").count(), "the CPU is not marked");
  matches(await page.locator("#stats").innerText(), /Attention: CPU \(SLOW\)/, "stats");
  matches(await page.locator("#stats").innerText(), /MoE: active/, "stats");
  equal(await page.locator("#load-rows [data-stage=load_complete] .s").innerText(), "OK");
  equal(await page.locator("#infer-rows [data-stage=generation] .s").innerText(), "OK");
  ok(await page.locator(".part.analysis:not([open])").count() === 1, "reasoning is not folded");
  matches(await page.locator("#tok-id").innerText(), /^ID \d+$/, "token id");
  ok(await page.locator("#topk li.hit").count() === 1, "the chosen token is not marked in TOP-K");
  page.quiet();
  await page.close();
});

await test("what loads is named with its time; stages start and end; the plan before weights", async () => {
  const page = await open(cpu.context, at(""));
  await page.evaluate(() => {
    const said = globalThis.said = [], push = gossamer.push.bind(gossamer);
    gossamer.push = line => {
      said.push([line.stage ?? line.event?.type, line.status, line.event?.name, line.ts_ms]);
      push(line);
    };
  });
  await load(page);
  await loaded(page);
  const said = await page.evaluate(() => said), when = (stage, status) =>
    said.findIndex(([a, b]) => a === stage && b === status);
  for (const stage of ["load_start", "gguf_parse", "tokenizer_load", "memory_plan", "weights_fetch"]) {
    const [from, to] = [when(stage, "started"), when(stage, "completed")];
    ok(from >= 0 && from < to, `${stage}: started at line ${from}, completed at ${to}`);
  }
  ok(when("memory_plan", "completed") < when("weights_fetch", "progress"), "weights came before the plan");
  const named = said.filter(l => l[0] === "tensor_resident").map(l => l[2]);
  equal(named, await page.evaluate(() => gossamer.state.whole.tensors.map(t => t.name)), "names, in order");
  const rows = (await page.locator("#tensors div").allInnerTexts()).map(t => t.split("\n"));
  ok(rows.length > 10, `${rows.length} names scroll`);
  equal(rows.map(r => r[0]), named.slice(-rows.length), "the newest");
  for (const row of rows) matches(row.at(-1), /^\d+\.\d\d s$/, row[0]);
  equal(await page.locator("#p-io .tag").innerText(), `${named.length} tensors`);
  page.quiet();
  await page.close();
});

/** Requests for what begins so are answered once `release` is called. */
function held(start) {
  let release;
  const free = new Promise(resolve => { release = resolve; });
  const fault = async (request, response, { path }) => { if (path.startsWith(start)) await free; };
  return { fault, release };
}

await test("the chat is there before any script; it stays where it is and keeps what is typed", async () => {
  const { fault, release } = held("/js/");
  await with_fault(fault, async (s, context) => {
    const page = await context.newPage(), box = () => page.locator(".hello h3").boundingBox();
    await page.goto(at("", s.url), { waitUntil: "commit" });
    matches(await page.locator(".hello").innerText(), /LOAD MODEL streams the weights in/, "greeting");
    await page.fill("#prompt", "asked early");
    const before = await box();
    ok(before.height > 10 && before.y > 0, "the greeting is not painted");
    equal(await page.locator(".hello button").count(), 0, "buttons without a script");
    release();
    await ready(page);
    equal(await page.inputValue("#prompt"), "asked early", "prompt");
    equal(await box(), before, "the greeting's place");
    ok(await page.locator(".hello button", { hasText: "Watch a recording" }).count(), "nothing is offered");
    await page.click("#split");
    equal(await page.locator(".chat").nth(1).locator("textarea").inputValue(), "", "the other prompt");
    await page.close();
  });
});

await test("a model answers before the instrument is there, which then shows all of it", async () => {
  const { fault, release } = held("/js/page/instrument.js");
  await with_fault(fault, async (s, context) => {
    const page = await open(context, at("", s.url));
    await page.waitForFunction(() => globalThis.gossamer?.llm);
    await page.click("#load");
    await loaded(page);
    equal(await ask(page, QUESTION), ANSWER);
    equal(await page.locator("#load-rows li, #tokens span").count(), 0, "panels without their scripts");
    equal(await page.getAttribute("body", "data-ready"), null, "ready");
    release();
    await ready(page);
    await page.locator("#load-rows [data-stage=load_complete]", { hasText: "OK" }).waitFor();
    await page.waitForFunction(() => document.getElementById("tokens").textContent.includes("July"));
    page.quiet();
    await page.close();
  });
});

await test("a second load comes from OPFS without network", async () => {
  const before = site.stats.bytes, page = await open(cpu.context, at(""));
  await load(page);
  await loaded(page);
  equal(site.stats.bytes - before, 0, "bytes fetched");
  matches(await page.locator("#load-rows [data-stage=cache_open] .d").innerText(), /hit=all/, "cache");
  await page.close();
});

await test("a damaged chunk is seen and fetched again", async () => {
  const page = await open(cpu.context, at("")), before = site.stats.bytes;
  await ready(page);
  await page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("gossamer");
    for await (const [, dir] of root.entries()) {
      const w = await (await dir.getFileHandle("1.bin")).createWritable({ keepExistingData: true });
      await w.write({ type: "write", position: 1000, data: new Uint8Array([1, 2, 3, 4]) });
      await w.close();
    }
  });
  await page.click("#load");
  await loaded(page);
  equal(site.stats.bytes - before, CHUNK, "bytes fetched");
  matches(await page.locator("#log").innerText(), /Chunk 1 of the cache is damaged/, "log");
  equal(await ask(page, QUESTION), ANSWER);
  await page.close();
});

await test("reload in mid-download resumes", async () => {
  let slow = true;
  await with_fault(async (request, response, { path }) => {
    if (path.startsWith("/models/") && slow
      && +(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0) >= CHUNK) {
      response.destroy();
      return true;
    }
    return false;
  }, async (s, context) => {
    let page = await open(context, at("", s.url));
    await load(page);
    const kept = () => page.evaluate(async () => {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("gossamer");
      for await (const [, dir] of root.entries())
        try {
          return /"0":/.test(await (await (await dir.getFileHandle("manifest.json")).getFile()).text());
        } catch { /* not yet */ }
      return false;
    }).catch(() => false);
    while (!await kept()) await page.waitForTimeout(50);
    await page.close();
    await new Promise(r => setTimeout(r, 500));      // what the closed page had under way is refused too
    slow = false;
    s.stats.bytes = 0;
    page = await open(context, at("", s.url));
    await load(page);
    await loaded(page);
    ok(s.stats.bytes <= SIZE - CHUNK + 1,
      `${s.stats.bytes} bytes were fetched again\n${await page.locator("#log").innerText()}`);
    ok(s.stats.bytes > 0, "nothing was left to fetch");
    await page.close();
  });
});

await test("a connection that is cut is asked for the rest", async () => {
  let cuts = 3;
  await with_fault(async (request, response, { path, headers }) => {
    if (!path.startsWith("/models/") || cuts-- <= 0) return false;
    const m = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    if (!m || +m[2] - +m[1] < 100000) {
      cuts++;
      return false;
    }
    response.writeHead(206, { ...headers, etag: '"x"', "content-range": `bytes ${m[1]}-${m[2]}/${SIZE}`,
      "content-length": +m[2] - +m[1] + 1 });
    response.write(readFileSync(MODEL).subarray(+m[1], +m[1] + 50000));
    setTimeout(() => response.destroy(), 20);
    return true;
  }, async (s, context) => {
    const page = await open(context, at("", s.url));
    await load(page);
    await page.waitForFunction(() =>
      /READY|FAILED/.test(document.getElementById("progress-text").textContent));
    matches(await page.locator("#log").innerText(), /trying again from byte|changed while it was loading/,
      "log");
    await page.close();
  });
});

const refused = (name, fault, expected, options) => test(name, () => with_fault(fault, async (s, context) => {
  const other = options?.cross ? await start({ isolated: true }) : s;
  const page = await open(context, at(`&gguf=${encodeURIComponent(`${s.url}/models/demo-gptoss.gguf`)}`,
    other.url));
  await load(page);
  const text = await errorText(page);
  for (const part of [].concat(expected)) {
    ok(text.includes(part), `${JSON.stringify(text)} lacks ${JSON.stringify(part)}`);
  }
  equal(await page.locator("#load").innerText(), "LOAD MODEL");
  await page.close();
  if (options?.cross) await other.close();
}));

const answer = (status, extra = {}, body = "") => (request, response, { path, headers }) => {
  if (!path.startsWith("/models/")) return false;
  response.writeHead(status, { ...headers, ...extra }).end(body);
  return true;
};
await refused("404 is told", answer(404), "404: there is no file");
await refused("416 is told", answer(416), "416: the host has no bytes");
await refused("403 is told", answer(403), "403: 127.0.0.1");
await refused("a host without Range is told", answer(200, {}, "x".repeat(1000)), NO_RANGE);
await refused("a host without CORS is told", (request, response, { path }) => {
  if (!path.startsWith("/models/")) return false;
  response.writeHead(206, { "content-range": `bytes 0-0/${SIZE}`,
    "cross-origin-resource-policy": "cross-origin" }).end("G");
  return true;
}, [NO_RANGE, "CORS:"], { cross: true });
await refused("a file that is no GGUF is told", (request, response, { path, headers }) => {
  if (!path.startsWith("/models/")) return false;
  const m = /bytes=(\d+)-(\d+)/.exec(request.headers.range), body = Buffer.alloc(+m[2] - +m[1] + 1, "x");
  response.writeHead(206, { ...headers, etag: '"n"',
    "content-range": `bytes ${m[1]}-${m[2]}/1048576` }).end(body);
  return true;
}, "GGUF");

await test("a picked file is read in place", async () => {
  const page = await open(cpu.context, at("&gguf=file")), before = site.stats.bytes;
  await ready(page);
  equal(await page.locator("#load").innerText(), "PICK FILE");
  await page.setInputFiles("#file", MODEL);
  await loaded(page);
  equal(site.stats.bytes, before, "bytes fetched");
  equal(await ask(page, QUESTION), ANSWER);
  await page.close();
});

await test("a dropped file loads, another kind is refused", async () => {
  const page = await open(cpu.context, at("&gguf=file"));
  await ready(page);
  const drop = (bytes, name) => page.evaluate(async ([url, file]) => {
    const blob = url ? await (await fetch(url)).blob() : new Blob(["\0no"]);
    const data = new DataTransfer();
    data.items.add(new File([blob], file));
    for (const type of ["dragenter", "dragover"]) {
      dispatchEvent(new DragEvent(type, { dataTransfer: data, cancelable: true }));
    }
    const shown = !document.getElementById("drop").hidden;
    dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    return shown;
  }, [bytes, name]);
  ok(await drop(null, "notes.bin"), "no highlight while dragging");
  matches(await errorText(page), /notes.bin is not a .gguf file, nor a text/, "error");
  ok(await page.locator("#drop").isHidden(), "the highlight stays");
  await drop("/models/demo-gptoss.gguf", "mine.gguf");
  await loaded(page);
  await page.close();
});

for (const kind of ["opfs", "indexeddb"]) {
  await test(`drives: ${kind} keeps, lists, replaces and drops as it must`,
    () => with_fault(null, async s => {
    const page = await open(cpu.context, `${s.url}/icon.svg`);
    const code = `import { openDrive } from "${s.url}/js/core/bytes/drives.js";
      const drive = await openDrive("${kind}");
      postMessage([drive.kind, ...await (${breaches})(drive)]);`;
    const said = await page.evaluate(text => new Promise((resolve, reject) => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      const worker = new Worker(url, { type: "module" });
      worker.onmessage = e => resolve(e.data);
      worker.onerror = e => reject(new Error(e.message));
    }), code);
    equal(said, [kind]);
    await page.close();
  }));
}

for (const [kind, patch] of [["OPFS", ""], ["IndexedDB", NO_OPFS]])
  await test(`quota full in ${kind}: it runs all the same and says so`, async () => {
    await with_fault(null, async s => {
      const page = await openPatched(plain.context, `${s.url}/icon.svg`, patch);
      const client = await plain.context.newCDPSession(page);
      await client.send("Storage.overrideQuotaForOrigin", { origin: s.url, quotaSize: 3000000 });
      await page.goto(at("", s.url));
      await load(page);
      await loaded(page);
      matches(await page.locator("#log").innerText(), /Storage is full/, "log");
      equal(await ask(page, QUESTION), ANSWER);
      await page.close();
    });
  });

for (const cache of ["auto", "indexeddb"]) {
  await test(`computed prefixes outlive the page: ${cache === "auto" ? "OPFS" : "IndexedDB"}`, async () => {
    const page = await open(cpu.context, `${site.url}/check`);
    const run = () => page.evaluate(async ({ question, date, cache }) => {
      const { init } = await import("/js/core/gossamer.js");
      const llm = await init({ backend: "cpu", threads: 2, cache });
      const model = await llm.loadModel("/models/demo-gptoss.gguf", { prefix_cache: 64e6 });
      const messages = [{ role: "system", content: "You answer questions about the months. ".repeat(20) },
        { role: "user", content: question }];
      const r = await llm.chat.completions.create({ messages, temperature: 0, date, max_tokens: 40 });
      const { n_stored_tokens } = await model.stats();
      await llm.close();
      return { text: r.choices[0].message.content, stored: n_stored_tokens };
    }, { question: QUESTION, date: DATE, cache });
    const cold = await run();
    equal(cold.stored, 0, "tokens that were there at first");
    await page.reload();
    const warm = await run();
    equal(warm.text, cold.text);
    ok(warm.stored > 100, `${warm.stored} tokens were there`);
    await page.close();
  });
}

await test("where there is no OPFS, IndexedDB keeps the same chunks, hashes and all", async () => {
  await with_fault(null, async (s, context) => {
    const visit = async () => {
      const page = await openPatched(context, at("", s.url), NO_OPFS), before = s.stats.bytes;
      await load(page);
      await loaded(page);
      matches(await page.locator("#load-rows [data-stage=cache_open] .d").innerText(), /kind=indexeddb/,
        "cache");
      return { page, bytes: s.stats.bytes - before };
    };
    let { page, bytes } = await visit();
    ok(bytes >= SIZE, `only ${bytes} bytes were fetched at first`);
    equal(await ask(page, QUESTION), ANSWER);
    await page.close();
    ({ page, bytes } = await visit());
    equal(bytes, 0, "bytes fetched again");
    const manifest = await page.evaluate(() => new Promise(resolve => {
      indexedDB.open("gossamer").onsuccess = e => {
        const files = e.target.result.transaction("files", "readwrite").objectStore("files");
        files.getAllKeys().onsuccess = k => {
          const folder = k.target.result[0][0];
          files.get([folder, "manifest.json"]).onsuccess = m => {
            files.put(new Uint8Array(4 << 20), [folder, "1.bin"]).onsuccess = () =>
              resolve(JSON.parse(new TextDecoder().decode(m.target.result)));
          };
        };
      };
    }));
    equal([manifest.size, manifest.chunk, Object.keys(manifest.hashes).length],
      [SIZE, CHUNK, Math.ceil(SIZE / CHUNK)], "manifest");
    ok(Object.values(manifest.hashes).every(h => /^[0-9a-f]{64}$/.test(h)), "hashes");
    await page.close();
    ({ page, bytes } = await visit());
    equal(bytes, CHUNK, "bytes fetched for the damaged chunk");
    await page.close();
  });
});

await test("short of room: the model that was used longest ago goes first, and the page says so",
  async () => {
  await with_fault(null, async s => {
    const { context } = plain;
    const visit = async (name, quotaSize) => {
      const page = await open(context, at(`&gguf=${encodeURIComponent(`/models/${name}`)}`, s.url));
      const before = s.stats.bytes;
      const client = await context.newCDPSession(page);
      const quota = quotaSize ? { origin: s.url, quotaSize } : { origin: s.url };
      await client.send("Storage.overrideQuotaForOrigin", quota);
      await load(page);
      await loaded(page);
      const out = { log: await page.locator("#log").innerText(), bytes: s.stats.bytes - before };
      await page.close();
      return out;
    };
    await visit("demo-llama-Q6_K.gguf");
    await visit("demo-llama-Q5_K_M.gguf");
    equal((await visit("demo-llama-Q6_K.gguf")).bytes, 0, "bytes of a kept model");
    const { log } = await visit("demo-gptoss.gguf", SIZE + 5_600_000);
    matches(log, /dropped the kept copy of demo-llama-Q5_K_M\.gguf, the model that was used longest ago/,
      "log");
    ok(!/copy of demo-llama-Q6_K|Storage is full/.test(log), `more was dropped than had to be: ${log}`);
    equal((await visit("demo-llama-Q6_K.gguf")).bytes, 0, "bytes of the model that stayed");
    equal((await visit("demo-gptoss.gguf")).bytes, 0, "bytes of the model that came");
    ok((await visit("demo-llama-Q5_K_M.gguf")).bytes > 3e6, "the model that went is still there");
  });
});

await test("two tabs load and answer at once", async () => {
  const b = await browser({ gpu: false });
  try {
    const pages = await Promise.all([open(b.context, at("&threads=1")), open(b.context, at("&threads=1"))]);
    await Promise.all(pages.map(p => load(p)));
    await Promise.all(pages.map(p => loaded(p)));
    equal(await Promise.all(pages.map(p => ask(p, QUESTION))), [ANSWER, ANSWER]);
    for (const p of pages) p.quiet();
  } finally { await b.close(); }
});

await test("without cross-origin isolation one thread works", async () => {
  await with_fault(null, async (s, context) => {
    const page = await open(context, at("", s.url));
    await load(page);
    await loaded(page);
    matches(await page.locator("#chip-threads").innerText(), /^1 thread$/, "threads");
    equal(await ask(page, QUESTION), ANSWER);
    page.quiet();
    await page.close();
  }, { isolated: false });
});

await test("two chats side by side", async () => {
  const page = await open(cpu.context, at(""));
  await load(page);
  await loaded(page);
  await page.click("#split");
  equal(await page.locator(".chat").count(), 2);
  const boxes = [await put(page, QUESTION, 0), await put(page, "What is 12 + 30?", 1)];
  equal(await Promise.all(boxes.map(b => answerOf(page, b))), [ANSWER, "The answer is 42."]);
  await page.close();
});

await test("stop, retry, edit, history, new chat", async () => {
  const page = await open(cpu.context, at("&max_new=300"));
  await load(page);
  await loaded(page);
  await page.locator("#prompt").fill("Tell me a short story.");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#tokens span:not(.prompt)").length > 12
    && (document.getElementById("send").click(), true));
  await page.locator(".turn.assistant[aria-busy=false]").waitFor();
  matches(await page.locator(".stop-note").innerText(), /^stopped/, "note");
  equal(await ask(page, QUESTION), ANSWER);
  equal(await page.locator(".turn").count(), 4);
  await page.locator(".turn.assistant").last().hover();
  await page.locator(".turn.assistant").last().getByText("RETRY").click();
  await page.waitForFunction(() =>
    document.querySelectorAll(".turn.assistant[aria-busy=false]").length === 2);
  equal(await page.locator(".turn.assistant .part.final").last().innerText(), ANSWER);
  await page.locator(".turn.user").first().hover();
  await page.locator(".turn.user").first().getByText("EDIT").click();
  equal(await page.locator("#prompt").inputValue(), "Tell me a short story.");
  equal(await page.locator(".turn").count(), 0);
  await page.click("#new-chat");
  ok(await page.locator(".hello").count(), "no greeting");
  await page.close();
});

await test("the page goes on being drawn while it generates", async () => {
  const page = await open(cpu.context, at(""));
  await load(page);
  await loaded(page);
  const r = await framesEnough(page, 500, r => r.frames_s >= 20);
  equal(r.tokens, 500, "tokens");
  ok(r.frames_s >= 20, `${r.frames_s.toFixed(1)} frames a second`);
  ok(await page.locator("#tokens span").count() > 150, "tokens are not shown");
  page.quiet();
  await page.close();
});

await test("every URL parameter", async () => {
  const page = await open(cpu.context,
    at("&gguf=demo&prompt=Hello&effort=high&layers=2&max_kv=512&max_new=7&sample=1&temp=0.5&top_k=40"
      + "&top_p=0.9&seed=5&attn=dense&moe=fallback&autostart=1"));
  await page.locator(".turn.assistant[aria-busy=false]").waitFor();
  const value = id => page.locator(id).inputValue();
  equal(await Promise.all(["#source", "#effort", "#layers", "#max-kv", "#max-new", "#temp", "#top-k",
    "#top-p", "#seed"].map(value)),
    ["/models/demo-gptoss.gguf", "high", "2", "512", "7", "0.5", "40", "0.9", "5"]);
  ok(await page.isChecked("#sample"), "SAMPLE");
  const mode = await page.locator("#infer-rows [data-stage=runtime_mode] .d").innerText();
  for (const part of ["layers=2", "attn=dense", "moe=fallback", "sample=random", "kv_max=512"]) {
    ok(mode.includes(part), `${mode} lacks ${part}`);
  }
  matches(await page.locator("#stats").innerText(), /MoE: fallback mode \(expert 0 only\)/, "stats");
  matches(await page.locator(".stop-note").innerText(), /stopped at MAX NEW|7 tokens/, "note");
  page.quiet();
  await page.close();
});

await test("layers=0 is embedding and head only; wrong values are said", async () => {
  const page = await open(cpu.context, at("&layers=0&max_new=3&effort=extreme"));
  await ready(page);
  matches(await errorText(page), /effort=extreme is not understood/, "error");
  await page.click("#load");
  await loaded(page);
  await ask(page, "Hello");
  matches(await page.locator("#infer-rows [data-stage=runtime_mode] .d").innerText(), /layers=0/, "mode");
  await page.close();
});

await test("the package's example page answers", async () => {
  const page = await open(cpu.context, `${site.url}/examples/page.html`);
  await page.locator("button:enabled").click();
  await page.waitForFunction(answer => document.getElementById("answer").textContent.trim() === answer,
    ANSWER);
  page.quiet();
  await page.close();
});

await test("the demo llama chats", async () => {
  const page = await open(cpu.context, at(`&gguf=${encodeURIComponent("/models/demo-llama-Q4_K_M.gguf")}`));
  await load(page);
  await loaded(page);
  const text = await ask(page, "Tell me a story.");
  ok((text || await page.locator(".turn.assistant .body").innerText()).length > 10, "no answer");
  await page.close();
});

await test("nothing a model says becomes HTML", async () => {
  const page = await open(cpu.context, at(""));
  await ready(page);
  const made = await page.evaluate(async () => {
    const { markdown } = await import("/js/page/markdown.js");
    const box = document.createElement("div");
    box.append(...markdown("<img src=x onerror=alert(1)>\n\n"
      + "[x](javascript:alert(1)) **<script>alert(1)</script>**\n\n"
      + "```html\n<b onclick=x>\n```\n\n| a | b |\n|---|---|\n| <i> | 2 |\n\n- one\n  - two\n\n# <h1>"));
    return { bad: box.querySelectorAll("img, script, b, i, [onclick], a").length,
      kinds: [...new Set([...box.querySelectorAll("*")].map(n => n.tagName))].sort() };
  });
  equal(made.bad, 0, "nodes made from HTML");
  for (const k of ["PRE", "TABLE", "STRONG", "UL", "H3"]) {
    ok(made.kinds.includes(k), `no ${k} in ${made.kinds}`);
  }
  await page.close();
});

await test("replay of the shipped recording needs no model", async () => {
  const before = site.stats.requests.length;
  const page = await open(cpu.context, `${site.url}/gptoss?data=/data/sample.jsonl&speed=0`);
  await page.waitForSelector("body[data-replay=ended]");
  await page.waitForTimeout(300);
  matches(await page.locator("#progress-text").innerText(), /READY/, "progress");
  ok(await page.locator("#topk li.hit").count() === 1, "no top-k");
  ok(await page.locator("#tokens span").count() > 10, "no tokens");
  equal(site.stats.requests.length, before, "requests for models");
  page.quiet();
  await page.close();
});

await test("the queue keeps the newest 8192 events", async () => {
  const page = await open(cpu.context, at(""));
  const r = await page.evaluate(async () => {
    const { Queue } = await import("/js/page/telemetry.js");
    const q = new Queue();
    for (let i = 0; i < 30000; i++) q.push(i);
    const all = q.take();
    return [all.length, all[0], all.at(-1), q.dropped, q.take().length];
  });
  equal(r, [8192, 30000 - 8192, 29999, 30000 - 8192, 0]);
  await page.close();
});

await test("by keyboard alone: load, ask, stop, ask again; nothing moves where motion is reduced",
  async () => {
  const page = await open(cpu.context, at("&max_new=400"));
  await page.emulateMedia({ reducedMotion: "reduce" });
  await ready(page);
  const on = () => page.evaluate(() => document.activeElement.id), reach = async id => {
    for (let i = 0; i < 40 && await on() !== id; i++) await page.keyboard.press("Tab");
    equal(await on(), id, "reached by Tab");
  };
  await reach("load");
  await page.keyboard.press("Enter");
  await loaded(page);
  equal(await on(), "prompt", "focus after loading");
  await page.keyboard.type("Tell me a short story.");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#tokens span:not(.prompt)").length > 5);
  await page.keyboard.press("Escape");
  await page.locator(".turn.assistant[aria-busy=false]").waitFor();
  matches(await page.locator(".stop-note").innerText(), /^stopped/, "note");
  equal(await page.evaluate(() => document.getAnimations().filter(a => a.playState === "running").length), 0,
    "animations");
  await page.keyboard.type(QUESTION);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() =>
    document.querySelectorAll(".turn.assistant[aria-busy=false]").length === 2);
  equal(await page.locator(".turn.assistant .part.final").last().innerText(), ANSWER);
  await reach("attn-head");
  page.quiet();
  await page.close();
});

await test("COPY LOGS, narrow screens", async () => {
  await cpu.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await open(cpu.context, at(""));
  await ready(page);
  await page.click("#copy-logs");
  const text = await page.evaluate(() => navigator.clipboard.readText());
  for (const part of ["GOSSAMER REPORT", "source   /models/demo-gptoss.gguf", "LOAD", "EVENTS",
    "GPU Limits:"]) {
    ok(text.includes(part), `the report lacks ${part}`);
  }
  for (const width of [1280, 1920, 390]) {
    await page.setViewportSize({ width, height: width < 500 ? 844 : 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    ok(over <= 0, `at ${width} px the page is ${over} px too wide`);
  }
  for (const [view, panel] of Object.entries({ load: "#p-load", mind: "#p-topk", log: "#p-log",
    chat: "#p-controls" })) {
    await page.locator(`.views [data-goto=${view}]`).click();
    for (const other of ["#p-load", "#p-topk", "#p-log", "#p-controls"])
      equal(await page.locator(other).isVisible(), other === panel, `the view ${view} shows ${other}`);
  }
  await page.close();
});

await cpu.close();
await plain.close();
await site.close();
finish();
