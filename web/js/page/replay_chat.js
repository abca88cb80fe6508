// replay_chat.js - the chat of a recording: what was asked, and the answer as it grows. Where it is another
// chat's, the page's chat becomes it, and can be gone on with; where it is the page's own, the chat only
// shows it, and stays what it is.
import { callsOf, Conversation } from "./conversation.js";

const textOf = content => typeof content === "string" ? content : (content ?? [])
  .map(p => p.text ?? "").join("");

/** A message of an answer as its parts: [[channel, recipient, text], ...]. */
function saidBy({ content, reasoning_content: thought, tool_calls = [] }) {
  const parts = [["analysis", "", thought], ["final", "", textOf(content)], ...tool_calls.map(c =>
    ["commentary", `functions.${c.function.name}`, c.function.arguments])];
  return parts.filter(([, , text]) => text)
    .map(([channel, recipient, text]) => ({ channel, recipient, text }));
}

/** What was asked as a conversation. */
function talkOf(messages) {
  const talk = new Conversation({ system: textOf(messages.find(m => m.role === "system")?.content) });
  const calls = new Map();           // their names here, by those of the messages
  let parent = "";
  const add = turn => {
    ({ id: parent } = talk.add(parent, turn));
  };
  for (const message of messages) {
    const { role, content, tool_calls = [] } = message;
    if (role === "user") add({ role, content: textOf(content) });
    else if (role === "tool") {
      add({ role, call: calls.get(message.tool_call_id) ?? "", content: textOf(content) });
    }
    else if (role === "assistant") {
      add({ role, parts: saidBy(message), done: { stop: tool_calls.length ? "call" : "eos" } });
      callsOf(talk.turns.at(-1)).forEach(({ id }, i) => calls.set(tool_calls[i]?.id, id));
    }
  }
  return { talk, parent };
}

/** Tokens as an answer's parts. */
function partsOf(said) {
  const parts = [];
  let message = -1;
  for (const { text, channel, recipient, message: of } of said) {
    if (of !== message) parts.push({ channel, recipient, text: "" });
    message = of;
    parts.at(-1).text += text;
  }
  return parts;
}

export class ReplayChat {
  #chat;
  #own;
  #now = null;                       // the turn that is shown: {turn, messages, said, stop}
  #node = null;                      // its answer on the page
  #drawn = 0;

  constructor(chat, own) {
    this.#chat = chat;
    this.#own = own;
  }

  restart() {
    this.#now = this.#node = null;
    this.#drawn++;
  }

  /** The turn that began last is shown. jumping: draw() comes. */
  take(item, jumping) {
    const now = this.#now;
    if (item.messages) this.#now = { ...item, said: [], stop: "" };
    else if (item.turn !== now?.turn) return;
    else if (item.stop) now.stop = item.stop;
    else {
      now.said.push(item);
      if (!jumping) this.#node?.push(item);
    }
    if (!jumping && (item.messages || item.stop)) this.draw();
  }

  /** All of it, as it is now. */
  async draw() {
    const n = ++this.#drawn, now = this.#now, chat = this.#chat;
    this.#node = null;
    if (!now) return;
    const { talk, parent } = talkOf(now.messages), stop = now.stop === "tool_call" ? "call" : now.stop;
    if (stop) talk.add(parent, { role: "assistant", parts: partsOf(now.said), done: { stop } });
    const node = await chat.replayed(talk, { becomes: !this.#own, grows: !stop });
    if (n !== this.#drawn || !node) return;
    this.#node = node;
    for (const token of now.said) node.push(token);
  }

  /** The page's own chat is there again. */
  close() {
    this.restart();
    if (this.#own && !this.#chat.running) this.#chat.draw();
  }
}
