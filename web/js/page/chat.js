// chat.js - one conversation: its messages in OpenAI's shape, its nodes, and what the buttons do. What a token means (channel,
// recipient, text) comes from the engine; nothing here knows Harmony.
import { announce, el, nextTurn, setText } from "./dom.js";
import { markdown } from "./markdown.js";

const TRIES = ["Which month comes after June?", "What is 7 + 5?", "What is the capital of France?", "What is the opposite of hot?", "Tell me a short story."];
const STOPS = { length: "stopped at MAX NEW", canceled: "stopped", error: "failed", call: "waiting for the tool's result" };

export class Chat {
  /** host: {session(), sampling(), busy(chat, on), ready(), error(text)} */
  constructor(host, name) {
    this.host = host;
    this.name = name;
    this.messages = [];
    this.running = null;
    this.turns = el("div.turns", { tabindex: "0", "aria-label": `${name}: messages` });
    this.input = el("textarea", { rows: "1", placeholder: "Ask something…", "aria-label": "Prompt", spellcheck: "true" });
    this.send = el("button.primary", { type: "button" }, "SEND");
    this.root = el("section.panel.chat", { "aria-label": name }, el("h2", null, name), this.turns, el("div.composer", null, this.input, this.send));
    this.input.addEventListener("keydown", e => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); this.submit(); } });
    this.input.addEventListener("input", () => { this.input.style.height = "auto";
      this.input.style.height = `${Math.min(160, this.input.scrollHeight + 2)}px`; });
    this.send.addEventListener("click", () => this.running ? this.stop() : this.submit());
    this.greet();
    this.update();
  }

  greet() {
    const tries = TRIES.map(t => el("button.quiet", { type: "button", onclick: () => { this.input.value = t; this.input.focus(); this.submit(); } }, t));
    this.turns.replaceChildren(el("div.hello", null, el("h3", null, "Watch a language model think."),
      "LOAD MODEL streams the weights in; everything the model does is shown around this chat, as it happens. Nothing you type leaves this device.",
      el("br"), "The demo model knows little. Try:", el("div.tries", null, ...tries)));
  }

  update() {
    const on = !!this.running;
    setText(this.send, on ? "STOP" : "SEND");
    this.send.classList.toggle("halt", on);
    this.send.disabled = !on && !this.host.ready();
    if (this.index === 0) { this.send.id = "send"; this.input.id = "prompt"; }
  }

  submit() {
    const text = this.input.value.trim();
    if (!text || this.running) return;
    if (!this.host.ready()) { this.host.wants?.(this, text); return; }
    this.input.value = "";
    this.input.style.height = "auto";
    this.ask(text);
  }

  ask(text) {
    if (!this.messages.length) this.turns.replaceChildren();
    this.messages.push({ role: "user", content: text });
    this.drawUser(this.messages.length - 1);
    return this.answer();
  }

  stop() { this.running?.abort(); }

  clear() {
    this.stop();
    this.messages = [];
    this.greet();
    this.update();
  }

  /** Drops message `at` and all after it, from the history and from the page. */
  rewind(at) {
    this.messages.length = at;
    for (const node of [...this.turns.children]) if (+node.dataset.at >= at) node.remove();
  }

  async answer() {
    const abort = this.running = new AbortController();
    const turn = new Turn(this, this.messages.length);
    this.update();
    this.host.busy(this, true);
    let done = { stop: "error" };
    try {
      const stream = this.session().generate({ messages: this.messages, ...this.host.sampling() }, { signal: abort.signal });
      for (;;) {
        const next = await stream.next();
        if (next.done) { done = next.value ?? { stop: "canceled" }; break; }
        turn.push(next.value);
      }
    } catch (e) {
      done = { stop: "error", error: e.message };
      this.host.error(e.message);
    }
    this.running = null;
    this.messages.push(...turn.finish(done));
    this.update();
    this.host.busy(this, false);
    announce(`${this.name}: ${turn.plain().slice(0, 600)}`);
    return done;
  }

  session() {
    const model = this.host.model();
    if (this.model !== model) { this.current = model.createSession(); this.model = model; }
    return this.current;
  }

  dispose() {
    this.stop();
    this.current?.close();
    this.root.remove();
  }

  drawUser(at) {
    const text = this.messages[at].content;
    const act = (name, fn) => el("button", { type: "button", onclick: fn }, name);
    this.turns.append(el("article.turn.user", { "data-at": at }, el("header", null, "YOU", el("span.do", null,
      act("EDIT", () => { if (this.running) return; this.input.value = text; this.input.focus(); this.rewind(at); }),
      act("COPY", () => navigator.clipboard?.writeText(text)))), el("div.body", null, text)));
    this.turns.scrollTop = this.turns.scrollHeight;
  }

  retry(at) {
    if (this.running || !this.host.ready()) return;
    this.rewind(at);
    this.answer();
  }
}

/** One answer: parts in order, each a channel's message; drawn at most once a frame. */
class Turn {
  constructor(chat, at) {
    this.chat = chat;
    this.at = at;
    this.parts = [];
    this.note = el("p.stop-note");
    this.body = el("div.body.live");
    const act = (name, fn) => el("button", { type: "button", onclick: fn }, name);
    this.root = el("article.turn.assistant", { "data-at": at, "aria-busy": "true" }, el("header", null, "GPT-OSS", el("span.do", null,
      act("RETRY", () => chat.retry(at)), act("COPY", () => navigator.clipboard?.writeText(this.plain())))), this.body, this.note);
    chat.turns.append(this.root);
    this.scroll(true);
  }

  push(e) {
    if (!e.text && !e.channel) return;
    let part = this.parts.at(-1);
    if (!part || part.message !== e.message || part.channel !== e.channel || part.recipient !== e.recipient) {
      part = { message: e.message, channel: e.channel, recipient: e.recipient, text: "", n: 0 };
      this.parts.push(part);
    }
    part.text += e.text;
    part.n++;
    part.stale = true;
    nextTurn(this.turn);
  }

  turn = () => this.draw();
  draw() {
    const stick = this.chat.turns.scrollTop + this.chat.turns.clientHeight > this.chat.turns.scrollHeight - 60;
    for (const part of this.parts) if (part.stale) this.drawPart(part);
    this.scroll(stick);
  }

  drawPart(part) {
    part.stale = false;
    const tool = part.recipient && part.recipient !== "all";
    if (!part.node) {
      if (tool) part.node = el("div.part.call", null, el("b", null), el("code"));
      else if (part.channel === "analysis") part.node = el("details.part.analysis", null, el("summary", null, el("em"), el("span")), el("div.md"));
      else part.node = el(`div.part.md.${part.channel || "final"}`);
      this.body.append(part.node);
    }
    if (tool) { setText(part.node.children[0], `CALL ${part.recipient}`); setText(part.node.children[1], part.text); }
    else if (part.channel === "analysis") {
      const [em, preview] = part.node.firstChild.children;
      setText(em, `REASONING · ${part.n}`);
      setText(preview, part.text.trim().split("\n").at(-1).slice(-160));
      part.node.lastChild.replaceChildren(...markdown(part.text));
    } else part.node.replaceChildren(...markdown(part.text));
  }

  scroll(stick) { if (stick) this.chat.turns.scrollTop = this.chat.turns.scrollHeight; }

  plain() { return this.parts.filter(p => p.channel !== "analysis" && !p.recipient).map(p => p.text).join("\n").trim(); }

  /** Draws what is left and returns the turn as messages for the history. */
  finish(done) {
    this.draw();
    this.body.classList.remove("live");
    this.root.setAttribute("aria-busy", "false");
    const figures = done.nGenerated
      ? `${done.nGenerated} tokens · ${(done.nGenerated / Math.max(done.decodeMs, 0.001) * 1000).toFixed(1)} tok/s · first token ${Math.round(done.firstMs ?? done.prefillMs ?? 0)} ms` : "";
    setText(this.note, [STOPS[done.stop], done.error, figures].filter(Boolean).join(" · "));
    this.note.classList.toggle("bad", done.stop === "error");
    const calls = this.parts.filter(p => /^functions\./.test(p.recipient ?? "")).map((p, i) =>
      ({ id: `call_${this.at}_${i}`, type: "function", function: { name: p.recipient.slice(10), arguments: p.text } }));
    const reasoning = this.parts.filter(p => p.channel === "analysis").map(p => p.text).join("\n");
    const content = this.plain();
    if (!content && !calls.length && !reasoning) return [];
    return [{ role: "assistant", content, ...(reasoning ? { reasoning_content: reasoning } : {}), ...(calls.length ? { tool_calls: calls } : {}) }];
  }
}
