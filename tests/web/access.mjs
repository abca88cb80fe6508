// access.mjs - the page for everybody, and its policy: axe-core without a finding in every state, light and
// dark; no inline script or style runs. node tests/web/access.mjs [NAME]
import { readFileSync } from "node:fs";
import { ask, browser, DATE, equal, finish, loaded, open, QUESTION, ready, ROOT, start, test }
  from "./harness.mjs";

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", ROOT), "utf8");
const cpu = await browser({ gpu: false }), site = await start();
const at = query => `${site.url}/gptoss?date=${DATE}&backend=cpu&sample=0&greet=0${query}`;

async function check(page, what) {
  await page.evaluate(`globalThis.axe ?? ${AXE}`);
  const bad = await page.evaluate(async () => (await axe.run(document, { resultTypes: ["violations"] }))
    .violations.map(v => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map(n => `${n.target} ${n.any[0]?.message
      ?? n.all[0]?.message ?? ""}`).join("; ")}`));
  equal(bad, [], what);
}

for (const colorScheme of ["dark", "light"]) {
  await test(`axe finds nothing, ${colorScheme}`, async () => {
    const page = await open(cpu.context, at(""));
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await ready(page);
    await check(page, "at first");
    await page.click("#load");
    await loaded(page);
    await ask(page, QUESTION);
    await check(page, "after an answer");
    await page.evaluate(async () => {
      const { Conversation } = await import("/js/page/conversation.js"), talk = new Conversation();
      const { id } = talk.add("", { role: "user", content: "?", files: [{ name: "a.txt", text: "x" }] });
      talk.add(id, { role: "assistant", done: { stop: "call" }, parts: [
        { channel: "analysis", recipient: "", text: "hm" },
        { channel: "final", recipient: "", text: "```c\nint x = 1; // a\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n# x" },
        { channel: "commentary", recipient: "functions.f", text: "{}" }] });
      await gossamer.chats[0].show(talk);
      await gossamer.chats[0].host.keep(talk);
      dispatchEvent(new ErrorEvent("error", { message: "One thing went wrong." }));
    });
    await page.locator(".c-word").first().waitFor();
    await page.click("#split");
    await check(page, "calls, code, tables, an error, two chats");
    for (const drawer of ["settings", "library", "models", "recordings"]) {
      await page.click(`[data-drawer=p-${drawer}]`);
      await page.locator(`#p-${drawer}`).waitFor();
      await check(page, drawer);
    }
    await page.setViewportSize({ width: 390, height: 844 });
    for (const view of ["chat", "load", "mind", "log"]) {
      await page.click(`[data-goto=${view}]`);
      await check(page, `the view ${view}`);
    }
    page.quiet(/One thing/);
    await page.close();
  }, 180000);
}

await test("axe finds nothing on /check", async () => {
  const page = await open(cpu.context, `${site.url}/check`);
  await check(page, "/check");
  page.quiet();
  await page.close();
});

await test("the policy: no inline script or style, no eval", async () => {
  const page = await open(cpu.context, at(""));
  await ready(page);
  const ran = await page.evaluate(async () => {
    const script = Object.assign(document.createElement("script"), { textContent: "globalThis.ran = 1" });
    const image = new Image();
    image.setAttribute("onerror", "globalThis.ran = 2");
    const box = document.createElement("div");
    box.setAttribute("style", "width: 7px");
    document.body.append(script, image, box);
    image.src = "/none.png";
    await new Promise(r => image.addEventListener("error", r));
    let evaluated = "";
    const link = document.createElement("script");
    link.src = "data:text/javascript,globalThis.ran = 3";
    await new Promise(r => {
      link.onerror = link.onload = r;
      document.body.append(link);
    });
    setTimeout("globalThis.evaluated = 1", 0);
    await new Promise(r => setTimeout(r, 20));
    evaluated = globalThis.evaluated ?? "";
    return [globalThis.ran ?? 0, evaluated, getComputedStyle(box).width === "7px"];
  });
  equal(ran, [0, "", false]);
  await page.close();
});

await cpu.close();
await site.close();
finish();
