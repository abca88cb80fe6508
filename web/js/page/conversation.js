// conversation.js - one conversation as a tree of turns, as it is kept and as the model gets it. Knows
// neither the page nor where it is kept. A turn has a parent; turns with the same parent are versions of each
// other, of which one is chosen. Nothing that was said is ever changed: editing and trying again add a
// version.
//
//   user       {content, files: [{name, text}]}
//   assistant  {parts: [{channel, recipient, text}], tokens: [[id, text, probability, channel], ...],
//              done: {stop, nGenerated, ...}, dismissed}
//   tool       {call, content}: what the user answered to that call
const CALLED = /^(?:functions\.|python$)/, FUNCTION = /^functions\./;
const TITLE = 60;

const random = () => Math.random().toString(36).slice(2);
const fresh = () => crypto.randomUUID?.() ?? `${Date.now().toString(36)}${random()}`;

/** What a text contains must not end its fence. */
function fenced({ name, text }) {
  const marks = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(m => m[0].length + 1)));
  return `${name}:\n${marks}\n${text}\n${marks}`;
}

/** A part that calls a function, or the model's own Python. */
export const isCall = ({ recipient }) => CALLED.test(recipient ?? "");

/** What an answer calls: [{id, name, arguments}]. */
export function callsOf({ id, parts = [] }) {
  return parts.filter(isCall).map((p, i) =>
    ({ id: `call_${id}_${i}`, name: p.recipient.replace(FUNCTION, ""), arguments: p.text }));
}

/** What the user reads as the answer. */
export const plainOf = ({ parts = [] }) =>
  parts.filter(p => p.channel !== "analysis" && !p.recipient).map(p => p.text).join("\n").trim();

const thoughtOf = ({ parts = [] }) =>
  parts.filter(p => p.channel === "analysis" && !isCall(p)).map(p => p.text).join("\n");

/** A turn as messages in OpenAI's shape. Calls that nobody has answered are left out. */
function messagesOf(turn, answered) {
  if (turn.role === "user") {
    return [{ role: "user", content: [turn.content, ...(turn.files ?? []).map(fenced)].join("\n\n").trim() }];
  }
  if (turn.role === "tool") return [{ role: "tool", tool_call_id: turn.call, content: turn.content }];
  const content = plainOf(turn), reasoning_content = thoughtOf(turn);
  const tool_calls = callsOf(turn).filter(c => answered.has(c.id)).map(({ id, name, arguments: given }) =>
    ({ id, type: "function", function: { name, arguments: given } }));
  if (!content && !tool_calls.length && !reasoning_content) return [];
  return [{ role: "assistant", content, ...(reasoning_content && { reasoning_content }),
    ...(tool_calls.length && { tool_calls }) }];
}

const isText = x => typeof x === "string";

/** A turn of a file that somebody imports, or null. */
function readTurn(t) {
  if (!t || !isText(t.id) || !isText(t.parent)) return null;
  const { id, parent } = t;
  const texts = (list, keys) => (Array.isArray(list) ? list : []).filter(x => keys.every(k => isText(x?.[k])))
    .map(x => Object.fromEntries(keys.map(k => [k, x[k]])));
  if (t.role === "user" && isText(t.content)) {
    return { id, parent, role: "user", content: t.content, files: texts(t.files, ["name", "text"]) };
  }
  if (t.role === "tool" && isText(t.content) && isText(t.call)) {
    return { id, parent, role: "tool", call: t.call, content: t.content };
  }
  if (t.role !== "assistant") return null;
  const stop = isText(t.done?.stop) ? t.done.stop : "eos", n = Number(t.done?.nGenerated) || 0;
  return { id, parent, role: "assistant", parts: texts(t.parts, ["channel", "recipient", "text"]),
    done: { stop, nGenerated: n, decodeMs: Number(t.done?.decodeMs) || 0,
      firstMs: Number(t.done?.firstMs) || 0 }, dismissed: t.dismissed === true };
}

export class Conversation {
  /** chosen: {parent's id: the version that is shown}; the first turn's parent is "". */
  constructor({ id = fresh(), title = "", created = Date.now(), updated = created, system = "", turns = [],
    chosen = {} } = {}) {
    Object.assign(this, { id, title, created, updated, system, chosen: { ...chosen }, turns: [...turns] });
  }

  /** What a file says, as a conversation of its own; an error's sentence where it says none. */
  static read(data) {
    if (!Array.isArray(data?.turns)) throw new Error("it is no conversation: it has no turns");
    const turns = data.turns.map(readTurn).filter(Boolean), ids = new Set(["", ...turns.map(t => t.id)]);
    if (!turns.length) throw new Error("it is no conversation: no turn of it can be read");
    const chosen = Object.fromEntries(Object.entries(data.chosen ?? {}).filter(([, v]) => ids.has(v)));
    const when = x => Number.isFinite(x) ? x : Date.now();
    return new Conversation({ title: isText(data.title) ? data.title : "", created: when(data.created),
      updated: when(data.updated), system: isText(data.system) ? data.system : "",
      turns: turns.filter(t => ids.has(t.parent) && t.parent !== t.id), chosen });
  }

  data() {
    const { id, title, created, updated, system, turns, chosen } = this;
    return { id, title, created, updated, system, turns, chosen };
  }

  get empty() { return !this.turns.length; }
  get name() {
    const first = this.turns.find(t => t.role === "user")?.content ?? "";
    return this.title || first.trim().replace(/\s+/g, " ").slice(0, TITLE) || "(empty)";
  }

  versions(parent) { return this.turns.filter(t => t.parent === parent); }

  /** The turns that are shown, from the first on. */
  path() {
    const all = [], seen = new Set();
    for (let at = "";;) {
      const versions = this.versions(at);
      const next = versions.find(t => t.id === this.chosen[at]) ?? versions.at(-1);
      if (!next || seen.has(next.id)) return all;
      seen.add(next.id);
      all.push(next);
      at = next.id;
    }
  }

  /** A turn behind `parent` ("": the first), chosen from now on. */
  add(parent, turn) {
    const added = { id: fresh(), parent, ...turn };
    this.turns.push(added);
    this.choose(added);
    return added;
  }

  choose({ parent, id }) {
    this.chosen[parent] = id;
    this.updated = Date.now();
  }

  /** What the model is asked, up to and with the last of these turns. */
  messages(path = this.path()) {
    const answered = new Set(path.filter(t => t.role === "tool").map(t => t.call));
    const system = this.system.trim() ? [{ role: "system", content: this.system.trim() }] : [];
    return [...system, ...path.flatMap(t => messagesOf(t, answered))];
  }

  /** Calls of the last answer that wait for their result. */
  waiting() {
    const path = this.path(), at = path.findLastIndex(t => t.role === "assistant");
    if (at < 0 || path[at].dismissed) return [];
    const after = path.slice(at + 1), answered = new Set(after.map(t => t.call));
    return after.some(t => t.role === "user") ? [] : callsOf(path[at]).filter(c => !answered.has(c.id));
  }

  finds(words) {
    const all = [this.name, this.system, ...this.turns.flatMap(t =>
      [t.content ?? "", ...(t.parts ?? []).map(p => p.text), ...(t.files ?? []).map(f => f.name)])];
    const text = all.join("\n").toLowerCase();
    return words.toLowerCase().split(/\s+/).every(w => text.includes(w));
  }

  /** The chosen turns for people to read. */
  markdown() {
    const who = { user: "You", tool: "Tool", assistant: "gpt-oss" };
    const text = t => t.role !== "assistant" ? [t.content, ...(t.files ?? []).map(fenced)].join("\n\n")
      : [...callsOf(t).map(c => fenced({ name: `Call of ${c.name}`, text: c.arguments })), plainOf(t)]
        .filter(Boolean).join("\n\n");
    const head = `# ${this.name}\n\n${this.system ? `> ${this.system.replaceAll("\n", "\n> ")}\n\n` : ""}`;
    return `${head}${this.path().map(t => `## ${who[t.role]}\n\n${text(t)}\n`).join("\n")}`;
  }
}
