// turn.js - how an answer looks: its parts in order, each a message of one channel, drawn at most once a
// frame; its calls, which wait for the user; what can be done with it.
import { callsOf, isCall, plainOf } from "./conversation.js";
import { copyText, el, nextTurn, setText } from "./dom.js";
import { Growing } from "./markdown.js";
import { versus } from "./versus.js";

const STOPS = { length: "stopped at MAX NEW", canceled: "stopped", error: "failed",
  call: "waiting for the tool's result" };

/** "12 tokens · 30.1 tok/s · first token 80 ms" */
function figures({ nGenerated, decodeMs, firstMs, prefillMs }) {
  if (!nGenerated) return "";
  const rate = decodeMs > 0 ? (nGenerated - 1) / decodeMs * 1000 : 0;          // since the first token
  const first = Math.round(firstMs ?? prefillMs ?? 0);
  return `${nGenerated} tokens · ${rate.toFixed(1)} tok/s · first token ${first} ms`;
}

const nameOf = recipient => recipient.replace(/^functions\./, "");

/** Buttons of a turn's header: [[name, what it does], ...], and the versions that there are. */
export function acts(list, { at, of, go }) {
  const button = ([name, onclick]) => el("button", { type: "button", onclick }, name);
  const step = (name, label, by) => el("button", { type: "button", "aria-label": label,
    disabled: at + by < 0 || at + by >= of, onclick: () => go(by) }, name);
  const versions = of > 1 ? [step("‹", "Version before", -1), el("span.at", null, `${at + 1}/${of}`),
    step("›", "Next version", 1)] : [];
  return el(of > 1 ? "span.do.many" : "span.do", null, ...versions, ...list.map(button));
}

export class Turn {
  #chat;
  #parts = [];                       // {channel, recipient, text, message, n, node, growing, stale}
  #note = el("p.stop-note");
  #body = el("div.body");
  #head = el("header", null, "GPT-OSS");

  /** chat: {follow(), retry(turn), goOn(turn), versions(turn), others(turn), answerCall(turn, call, text),
   * dismiss(turn), runnable(call), error(text)} */
  constructor(chat) {
    this.#chat = chat;
    this.root = el("article.turn.assistant", null, this.#head, this.#body, this.#note);
  }

  /** An answer that is under way. */
  begin() {
    this.#body.classList.add("live");
    this.root.setAttribute("aria-busy", "true");
    return this;
  }

  /** n: how many tokens said that. */
  push({ text, message, channel, recipient }, n = 1) {
    if (!text && !channel) return;
    let part = this.#parts.at(-1);
    if (part?.message !== message || part.channel !== channel || part.recipient !== (recipient ?? "")) {
      part = { message, channel, recipient: recipient ?? "", text: "", n: 0 };
      this.#parts.push(part);
    }
    part.text += text;
    part.n += n;
    part.stale = true;
    nextTurn(this.#draw);
  }

  /** It is told from its beginning once more. */
  again() {
    this.#parts = [];
    this.#body.replaceChildren();
  }

  /** What is kept of it. */
  parts() { return this.#parts.map(({ channel, recipient, text }) => ({ channel, recipient, text })); }

  #draw = () => {
    for (const part of this.#parts) if (part.stale) this.#drawPart(part);
    this.#chat.follow();
  };

  #drawPart(part) {
    const kind = part.recipient && part.recipient !== "all" ? "call" : part.channel;
    part.stale = false;
    if (!part.node) this.#body.append(part.node = this.#newPart(kind, part));
    const { node, text } = part;
    if (kind === "call") {
      setText(node.children[0], `CALL ${nameOf(part.recipient)}`);
      setText(node.children[1], text);
      return;
    }
    part.growing.draw(text);
    if (kind !== "analysis") return;
    const [count, preview] = node.firstChild.children;
    setText(count, part.n ? `REASONING · ${part.n}` : "REASONING");
    setText(preview, text.slice(-400).trim().split("\n").at(-1).slice(-160));
  }

  #newPart(kind, part) {
    if (kind === "call") return el("div.part.call", null, el("b"), el("code"));
    const inner = el(kind === "analysis" ? "div.md" : `div.part.md.${kind || "final"}`);
    part.growing = new Growing(inner);
    if (kind !== "analysis") return inner;
    return el("details.part.analysis", null, el("summary", null, el("em"), el("span")), inner);
  }

  /** The answer is over, or was kept: `turn` is the conversation's. waiting: calls that nobody answered. */
  show(turn, waiting) {
    if (!this.#parts.length) this.#parts = turn.parts.map(p => ({ ...p, stale: true }));
    this.#draw();
    this.#body.classList.remove("live");
    this.root.setAttribute("aria-busy", "false");
    const { done } = turn, chat = this.#chat;
    const stop = done.stop === "call" && !waiting.length ? "" : STOPS[done.stop];
    setText(this.#note, [stop, done.error, figures(done)].filter(Boolean).join(" · "));
    this.#note.classList.toggle("bad", done.stop === "error");
    const more = /^(length|canceled)$/.test(done.stop) ? [["CONTINUE", () => chat.goOn(turn)]] : [];
    this.#head.querySelector(".do")?.remove();
    this.#head.append(acts([["RETRY", () => chat.retry(turn)], ...more,
      ["COPY", () => copyText(plainOf(turn))], ...this.#compares(turn)], chat.versions(turn)));
    this.#ask(turn, waiting);
    return this;
  }

  /** Something runs the call: asked for, or the user has allowed its tool. STOP ends it. */
  #offer(turn, call, text) {
    const made = this.#chat.runnable(call);
    if (!made) return [];
    const run = async () => {
      const end = new AbortController();
      const halt = el("button.halt", { type: "button", onclick: () => end.abort() }, "STOP");
      for (const b of buttons) b.disabled = true;
      buttons.at(-1).after(halt);
      try { this.#chat.answerCall(turn, call, text.value = await made.run(end.signal)); } catch (e) {
        for (const b of buttons) b.disabled = false;
        this.#chat.error(e.message);
      }
      halt.remove();
    };
    const buttons = [el("button", { type: "button", onclick: run }, "RUN"),
      el("button", { type: "button", onclick: () => { made.always(); run(); } }, "ALWAYS RUN")];
    if (made.alone) setTimeout(run);
    return buttons;
  }
  /** The button that compares it with another version; each press with the next one, at last with none. */
  #compares(turn) {
    const others = this.#chat.others(turn), { at } = this.#chat.versions(turn);
    const own = { name: `VERSION ${at + 1}`, tokens: turn.tokens };
    let shown = -1;
    const next = () => {
      this.#versus?.remove();
      this.#versus = null;
      shown = shown + 1 < others.length ? shown + 1 : -1;
      if (shown < 0) return;
      this.#versus = el("section.versus", { "aria-label": `${own.name} and ${others[shown].name}` },
        versus(others[shown], own));
      this.#body.before(this.#versus);
    };
    return others.length ? [["COMPARE", next]] : [];
  }
  #versus = null;

  /** Calls that wait: the user is the tool. */
  #ask(turn, waiting) {
    const nodes = this.#parts.filter(p => p.node && isCall(p)).map(p => p.node);
    for (const [i, call] of callsOf(turn).entries()) {
      nodes[i]?.querySelector(".result")?.remove();
      if (!waiting.some(w => w.id === call.id)) continue;
      const text = el("textarea", { rows: "2", "aria-label": `Result of ${call.name}`,
        placeholder: "What does this tool answer?" });
      const answer = () => this.#chat.answerCall(turn, call, text.value);
      nodes[i]?.append(el("div.result", null, text, ...this.#offer(turn, call, text),
        el("button", { type: "button", onclick: answer }, "ANSWER"),
        el("button.quiet", { type: "button", onclick: () => this.#chat.dismiss(turn) }, "DISMISS")));
    }
  }
}
