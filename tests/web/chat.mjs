// chat.mjs - the chat that people keep: versions, the kept chats, files, code, tables, tool calls, settings,
// the kept models; on the CPU and through USE SERVER. node tests/web/chat.mjs [NAME]
import { readFileSync } from "node:fs";
import { serve } from "../http/lib.mjs";
import { ANSWER, ask, browser, DATE, equal, errorText, finish, loaded, matches, ok, open, QUESTION, ready,
  start, test } from "./harness.mjs";

const b = await browser({ gpu: false }), site = await start();
const at = (query = "", base = site.url) =>
  `${base}/gptoss?date=${DATE}&backend=cpu${query}&sample=0&greet=0`;
const SUM = "What is 12 + 30?";

async function withDemo(query) {
  const page = await open(b.context, at(query));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  return page;
}
const act = async (page, turn, name) => {
  await turn.hover();
  await turn.locator(".do").getByText(name, { exact: true }).click();
};
const user = (page, i) => page.locator(".turn.user").nth(i);
const answered = (page, n) => page.waitForFunction(n =>
  document.querySelectorAll(".turn.assistant[aria-busy=false]").length === n, n);
const bodies = page => page.locator(".turn .part.final, .turn.user .body").allInnerTexts();
const texts = async (page, n) => {
  await answered(page, n);
  return (await bodies(page)).map(t => t.trim());
};
const drawer = (page, name) => page.click(`[data-drawer=p-${name}]`);
const rows = page => page.locator("#p-library .rows li");
/** The chat shows this conversation, made without a model. */
const put = (page, turns) => page.evaluate(async turns => {
  const { Conversation } = await import("/js/page/conversation.js"), talk = new Conversation();
  let parent = "";
  for (const turn of turns) parent = talk.add(parent, turn).id;
  await gossamer.chats[0].show(talk);
}, turns);
const said = (text, recipient = "", stop = "eos") => ({ role: "assistant",
  parts: [{ channel: recipient ? "commentary" : "final", recipient, text }], done: { stop, nGenerated: 1 } });

await test("an edit is a version; the one before comes back, with all that followed it", async () => {
  const page = await withDemo("");
  await ask(page, QUESTION);
  await ask(page, SUM);
  const before = await texts(page, 2);
  await act(page, user(page, 0), "EDIT");
  equal(await page.locator(".turn").count(), 0, "turns while it is edited");
  await page.locator(".beside").getByText("CANCEL").click();
  equal(await texts(page, 2), before, "after CANCEL");
  await act(page, user(page, 0), "EDIT");
  await page.fill("#prompt", "Tell me a joke.");
  await page.keyboard.press("Enter");
  const other = await texts(page, 1);
  equal([other.length, other[0]], [2, "Tell me a joke."], "the new version");
  equal(await user(page, 0).locator(".at").innerText(), "2/2");
  await user(page, 0).getByLabel("Version before").click();
  equal(await texts(page, 2), before, "the version before");
  await user(page, 0).getByLabel("Next version").click();
  equal(await texts(page, 1), other, "the version behind it");
  page.quiet();
  await page.close();
});

await test("RETRY adds a version of the answer; CONTINUE goes on after MAX NEW", async () => {
  const page = await withDemo("&max_new=20");
  await ask(page, "Tell me a story about a fox and a golden key.");
  const turn = page.locator(".turn.assistant").first();
  await act(page, turn, "RETRY");
  await page.waitForFunction(() => document.querySelector(".turn.assistant[aria-busy=false] .at"));
  equal(await page.locator(".turn.assistant .at").innerText(), "2/2");
  equal(await page.evaluate(() => gossamer.chats[0].messages.map(m => m.role)), ["user", "assistant"],
    "what the model is given");
  await act(page, page.locator(".turn.assistant").first(), "CONTINUE");
  await answered(page, 2);
  const given = await page.evaluate(() => gossamer.chats[0].messages.map(m => m.role));
  equal(given, ["user", "assistant", "user", "assistant"]);
  page.quiet();
  await page.close();
});

await test("chats are kept: list, search, rename, delete, a reload, open again", async () => {
  const page = await withDemo("");
  await page.click("#new-chat");
  await ask(page, QUESTION);
  await page.reload();
  await ready(page);
  equal(await texts(page, 1), [QUESTION, ANSWER], "after a reload");
  await page.click("#new-chat");
  await page.click("#load");
  await loaded(page);
  await ask(page, SUM);
  await drawer(page, "library");
  const named = name => rows(page).filter({ hasText: name });
  await named(SUM).first().waitFor();
  const n = await rows(page).count();
  ok(n >= 2, `${n} chats`);
  await page.getByLabel("Search the kept chats").fill("july comes");
  await page.waitForFunction(n => document.querySelectorAll("#p-library .rows li").length < n, n);
  await named(QUESTION).first().getByText("RENAME").click();
  await page.keyboard.type("Months");
  await page.keyboard.press("Enter");
  await named("Months").waitFor();
  await named("Months").locator(".name").click();
  equal(await texts(page, 1), [QUESTION, ANSWER], "opened again");
  await drawer(page, "library");
  await named("Months").getByText("DELETE").click();
  await named("Months").waitFor({ state: "detached" });
  ok(await page.locator(".hello").count(), "the chat that was deleted is still shown");
  await page.close();
});

await test("export and import, as JSON and as Markdown; a file that is none is refused", async () => {
  const page = await open(b.context, at());
  await ready(page);
  await put(page, [{ role: "user", content: "Zebra?", files: [{ name: "a.txt", text: "```\nx\n```" }] },
    said("**Stripes.**")]);
  await page.evaluate(() => gossamer.chats[0].host.keep(gossamer.chats[0].talk));
  await drawer(page, "library");
  const row = rows(page).filter({ hasText: "Zebra?" });
  const download = async name => {
    const click = row.getByText(name, { exact: true }).click();
    const [file] = await Promise.all([page.waitForEvent("download"), click]);
    return readFileSync(await file.path(), "utf8");
  };
  const json = await download("JSON"), md = await download("MD");
  ok(md.includes("## You\n\nZebra?") && md.includes("## gpt-oss\n\n**Stripes.**") && md.includes("````"), md);
  await row.getByText("DELETE").click();
  await row.waitFor({ state: "detached" });
  const give = text => page.setInputFiles("#p-library input[type=file]",
    { name: "chats.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await give(json);
  await row.waitFor();
  await row.locator(".name").click();
  equal(await page.evaluate(() => gossamer.chats[0].messages.map(m => m.content)),
    ["Zebra?\n\na.txt:\n````\n```\nx\n```\n````", "**Stripes.**"]);
  for (const bad of ["{", "[]", '{"turns":[{"id":1}]}', '{"turns":[{"id":"a","parent":"a","role":"x"}]}']) {
    await page.evaluate(() => document.getElementById("errors").replaceChildren());
    await drawer(page, "library");
    await give(bad);
    matches(await errorText(page), /chats\.json: it is no/, bad);
    await drawer(page, "library");
  }
  await page.close();
});

await test("text files go with the question, images are refused in a sentence", async () => {
  const page = await withDemo("");
  const drop = (name, type, text) => page.evaluate(([name, type, text]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([text], name, { type }));
    document.querySelector(".turns").dispatchEvent(
      new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, [name, type, text]);
  await drop("cat.png", "image/png", "x");
  matches(await errorText(page), /cat\.png: gpt-oss reads text alone, no images/, "error");
  await drop("notes.md", "text/markdown", "June is a month.");
  await page.locator(".beside .file").waitFor();
  equal(await ask(page, QUESTION) !== "", true, "an answer");
  const [asked] = await page.evaluate(() => gossamer.chats[0].messages);
  equal(asked.content, `${QUESTION}\n\nnotes.md:\n\`\`\`\nJune is a month.\n\`\`\``);
  equal(await page.locator(".turn.user .file").innerText(), "notes.md");
  await page.close();
});

await test("code has colours and a copy; a table scrolls in its own place", async () => {
  await b.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await open(b.context, at()), code = "int main(void) { return 42; } // <b>no</b>";
  await ready(page);
  const row = n => `| ${Array.from({ length: n }, (_, i) => `c${i}`).join(" | ")} |`;
  await put(page, [{ role: "user", content: "?" },
    said(`Look:\n\n\`\`\`c\n${code}\n\`\`\`\n\n${row(60)}\n${row(60).replace(/c\d+/g, "---")}\n${row(60)}`)]);
  await page.locator(".c-word").first().waitFor();
  const kinds = await page.locator(".code span[class^=c-]").evaluateAll(n => n.map(s => s.className));
  equal([...new Set(kinds)].sort(), ["c-comment", "c-number", "c-word"]);
  equal(await page.locator(".code code").innerText(), code);
  await page.locator(".code").getByText("COPY").click();
  equal(await page.evaluate(() => navigator.clipboard.readText()), code);
  const over = await page.evaluate(() => document.querySelector(".turns").scrollWidth
    - document.querySelector(".turns").clientWidth);
  ok(over <= 0, `the chat is ${over} px too wide`);
  await page.close();
});

await test("a hostile text never blocks a frame for more than 50 ms", async () => {
  const page = await open(b.context, at());
  await ready(page);
  const worst = await page.evaluate(async () => {
    const { markdown } = await import("/js/page/markdown.js"), out = {};
    const line = "| a ".repeat(2000), texts = { wide: `${line}\n${"|-".repeat(2000)}\n${line}`,
      long: `| a | b |\n|---|---|\n${"| 1 | 2 |\n".repeat(20000)}`, rule: `a|b\n${"-".repeat(50000)}x`,
      hr: `${"- ".repeat(20000)}${" ".repeat(20000)}x`, ticks: "` `` ``` ".repeat(5000),
      brackets: "[".repeat(20000), stars: "**a ".repeat(10000), nested: "> ".repeat(5000) };
    for (const [name, text] of Object.entries(texts)) {
      const times = [];
      for (let i = 0; i < 5; i++) {
        const t0 = performance.now(), box = document.createElement("div");
        box.append(...markdown(text));
        document.querySelector(".turns").replaceChildren(box);
        box.getBoundingClientRect();
        times.push(performance.now() - t0);
      }
      out[name] = Math.min(...times);
    }
    return out;
  });
  console.log(`     ms: ${Object.entries(worst).map(([k, v]) => `${k} ${v.toFixed(0)}`).join(", ")}`);
  for (const [name, ms] of Object.entries(worst)) ok(ms < 50, `${name} took ${ms} ms`);
  await page.close();
});

await test("a call that waits is answered by hand, or dismissed", async () => {
  const page = await withDemo("");
  const call = said("{\"city\":\"Rome\"}", "functions.weather", "call");
  const talk = [{ role: "user", content: QUESTION }, call];
  await put(page, talk);
  matches(await page.locator(".stop-note").innerText(), /waiting for the tool's result/, "note");
  await page.getByLabel("Result of weather").fill("sunny");
  await page.getByText("ANSWER", { exact: true }).click();
  await answered(page, 2);
  const messages = await page.evaluate(() => gossamer.chats[0].messages);
  equal(messages.slice(0, 3).map(m => m.role), ["user", "assistant", "tool"]);
  equal([messages[1].tool_calls[0].function, messages[2].content],
    [{ name: "weather", arguments: "{\"city\":\"Rome\"}" }, "sunny"]);
  equal(messages[1].tool_calls[0].id, messages[2].tool_call_id, "ids");
  await put(page, talk);
  await page.getByText("DISMISS").click();
  equal(await page.locator(".result").count(), 0, "after DISMISS");
  equal(await page.evaluate(() => gossamer.chats[0].messages.length), 1, "a call that nobody answered");
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
});

await test("a schema: what it costs is said beside it, answers keep to it, a bad one is named", async () => {
  const page = await withDemo(""), says = hasText => page.locator("#schema-note", { hasText }).waitFor();
  await drawer(page, "settings");
  await page.fill("#schema", '{"type": "object", "properties": {"month": {"enum": ["May", "July"]}, '
    + '"n": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["month", "n"], '
    + '"additionalProperties": false}');
  await says(/It can be held to: compiled in .* ms, the first mask in .*{"month":"(May|July)"/);
  await drawer(page, "settings");
  await ask(page, QUESTION);
  const { month, n, ...rest } = JSON.parse((await texts(page, 1)).at(-1));
  ok(["May", "July"].includes(month) && n >= 1 && n <= 9 && !Object.keys(rest).length, `${month} ${n}`);
  await drawer(page, "settings");
  await page.fill("#schema", '{"type": "object", "properties": {"a": {"pattern": "("}}}');
  await says(/a group is not closed \(at #\/properties\/a\/pattern\)/);
  equal(await page.getAttribute("#schema", "aria-invalid"), "true");
  await page.fill("#schema", "nothing");
  await says("This is no JSON schema.");
  await page.close();
});
await test("settings reach the model: system prompt, preset, every sampling parameter, tools", async () => {
  const page = await withDemo("&max_new=5");
  await drawer(page, "settings");
  await page.selectOption("#preset", "teacher");
  matches(await page.inputValue("#system"), /step by step/, "the preset");
  const values = { temp: "0.7", "top-k": "20", "top-p": "0.9", "min-p": "0.05", repeat: "1.1",
    presence: "0.2", frequency: "0.3", seed: "9", stop: "END | STOP" };
  for (const [id, value] of Object.entries(values)) await page.fill(`#${id}`, value);
  await page.check("#sample", { force: true });
  await page.fill("#tools", '[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]');
  await page.evaluate(() => {
    const { model } = gossamer, create = model.createSession.bind(model);
    model.createSession = () => {
      const session = create(), generate = session.generate.bind(session);
      return Object.assign(session, { generate: (o, c) => generate(globalThis.given = o, c) });
    };
    gossamer.chats[0].model = null;
  });
  await ask(page, QUESTION);
  const given = await page.evaluate(() => given), { messages, tools } = given;
  const names = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed", "stop"];
  equal(names.map(n => given[n]), [0.7, 20, 0.9, 0.05, 1.1, 0.2, 0.3, 9, ["END", "STOP"]]);
  equal([messages[0].role, tools[0].function.name], ["system", "f"]);
  await page.fill("#top-k", "zzz");
  await page.fill("#prompt", "again");
  await page.locator("#prompt").press("Enter");
  matches(await errorText(page), /TOP-K: a number/, "error");
  await page.close();
});

await test("MODELS lists what is kept, with sizes; one is deleted", async () => {
  const page = await withDemo("");
  await drawer(page, "models");
  const row = page.locator("#p-models li", { hasText: "demo-gptoss.gguf" });
  matches(await row.innerText(), /11\.5 MB/, "its size");
  await row.getByText("DELETE").click();
  await row.waitFor({ state: "detached" });
  await page.reload();
  const before = site.stats.bytes;
  await ready(page);
  await page.click("#load");
  await loaded(page);
  ok(site.stats.bytes - before > 11e6, "it was still kept");
  await page.close();
});

await test("a question before there is a model loads it and is answered", async () => {
  const page = await open(b.context, at());
  await ready(page);
  await page.click("#new-chat");
  await page.fill("#prompt", QUESTION);
  await page.click("#send");
  equal(await page.locator(".turn.user .body").innerText(), QUESTION, "the question is shown");
  equal(await texts(page, 1), [QUESTION, ANSWER]);
  page.quiet();
  await page.close();
});

await test("USE SERVER: kept, versions, the server's models", async () => {
  const s = await serve(), page = await open(b.context, at("", s.url));
  await ready(page);
  await page.locator("label:has(#use-server)").click();
  await page.locator("#banner", { hasText: /^Connected to/ }).waitFor();
  await ask(page, QUESTION);
  await act(page, page.locator(".turn.assistant"), "RETRY");
  await page.waitForFunction(() => document.querySelector(".turn.assistant[aria-busy=false] .at"));
  equal(await texts(page, 1), [QUESTION, ANSWER]);
  await drawer(page, "models");
  ok(await page.locator("#p-models .name[aria-pressed=true]").count() === 1, "the server's model");
  await page.reload();
  await ready(page);
  equal(await texts(page, 1), [QUESTION, ANSWER], "after a reload");
  page.quiet();
  await page.close();
  await s.stop();
});

await test("LOAD MODEL alone ends in a first answer, which can be skipped and is not kept", async () => {
  const page = await open(b.context, at().replace("&greet=0", ""));
  await ready(page);
  await page.click("#load");
  await loaded(page);
  await answered(page, 1);
  ok((await page.locator(".part.final").innerText()).length > 10, "no answer");
  equal(await ask(page, QUESTION), ANSWER);
  equal(await page.evaluate(() => gossamer.chats[0].messages.length), 2, "the greeting is still asked");
  await page.close();
  const other = await open(b.context, `${site.url}/gptoss?backend=cpu&date=${DATE}&sample=0`);
  await ready(other);
  await other.click("#load");
  await other.waitForFunction(() => document.getElementById("send").textContent === "SKIP");
  await other.fill("#prompt", SUM);
  await other.keyboard.press("Enter");
  await other.waitForFunction(text => document.querySelector(".turn.user .body")?.textContent === text, SUM);
  equal((await texts(other, 1))[0], SUM);
  other.quiet();
  await other.close();
});

await test("wrong parameters of the address are named; LAYERS behind the load says when", async () => {
  const page = await open(b.context, at("&tmp=3&backend=qpu").replace("&backend=cpu", ""));
  await ready(page);
  const said = await errorText(page);
  matches(said, /"tmp" is no parameter of this page/, "name");
  matches(said, /backend=qpu is not understood: auto, gpu, cpu, ref are/, "value");
  await page.close();
  const demo = await withDemo("");
  await drawer(demo, "settings");
  ok(await demo.locator("#reload-note").isHidden(), "said too early");
  await demo.fill("#layers", "2");
  matches(await demo.locator("#reload-note").innerText(), /take effect when LOAD MODEL is pressed again/);
  await demo.click("#load");
  await demo.waitForFunction(() => /layers=2/.test(gossamer.state.load.get("layer_limit")?.detail ?? ""));
  await loaded(demo);
  await demo.locator("#reload-note").waitFor({ state: "hidden" });
  await demo.close();
});

await test("thirty answers in a row leave memory where it was", async () => {
  const page = await withDemo(""), client = await b.context.newCDPSession(page);
  await client.send("Performance.enable");
  const held = async () => {
    await page.click("#new-chat");
    for (let i = 0; i < 3; i++) await client.send("HeapProfiler.collectGarbage");
    const { metrics } = await client.send("Performance.getMetrics");
    const of = name => metrics.find(m => m.name === name).value;
    // three panels hold the last thousands of tokens and lines: they fill up, and then stay
    const here = await page.evaluate(async () => ({
      elements: document.querySelectorAll(":not(#tokens *, #attn-text *, #log *)").length,
      wasm: (await gossamer.llm.stats()).memory }));
    return { heap: of("JSHeapUsedSize"), listeners: of("JSEventListeners"), ...here };
  };
  const answers = async n => {
    for (let i = 0; i < n; i++) {
      await page.click("#new-chat");
      equal(await ask(page, QUESTION), ANSWER);
    }
  };
  await answers(5);
  const before = await held();
  await answers(30);
  const after = await held();
  const grown = Object.fromEntries(Object.keys(before).map(k => [k, after[k] - before[k]]));
  console.log(`     ${JSON.stringify(before)} grew by ${JSON.stringify(grown)}`);
  equal(grown.wasm, 0, "the module's memory grew");
  ok(grown.heap < 3e6 && grown.elements < 300 && grown.listeners < 30, `kept: ${JSON.stringify(grown)}`);
  await page.close();
});

await b.close();
await site.close();
finish();
