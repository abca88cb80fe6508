// chat.js - a conversation on the page: its turns as nodes, its composer, what its buttons do. The turns
// themselves are the conversation's (conversation.js); what a token means (channel, recipient, text) comes
// from the engine. Nothing here knows Harmony.
import { promptOf, rememberPrompt } from "./branch.js";
import { Conversation, plainOf } from "./conversation.js";
import { announce, copyText, el, setText } from "./dom.js";
import { readFiles } from "./text_files.js";
import { acts, Turn } from "./turn.js";

/** What the demo model knows, and what others may be asked. */
const TRIES = { demo: ["What is 17 + 25?", "Which month comes after June?",
  "Tell me a story about a fox and a golden key.", "Tell me a joke.", "What is today's date?"],
  other: ["Explain how a mixture of experts works.", "Write a haiku about spiders.",
    "Plan a weekend in the mountains.", "Write a function that reverses a list in C."] };
const GREETING = { demo: "Tell me a joke.", other: "Say hello in one sentence, and what you are." };
const GO_ON = "Go on exactly where you stopped. Don't repeat anything.";
/** Pixels from the end within which the end is followed, and what is beyond every end. */
const STICK = 60, END = 1e9;
const MOST_HEIGHT = 160, MOST_SAID = 600, KEEP_MS = 2000;

/** A token as it is kept with its answer. */
const kindOf = ({ token, text, topK = [], probability, channel }) =>
  [token, topK.find(t => t.token === token)?.text ?? text, probability, channel];

export class Chat {
  /** host: {ready(), demo(), greets(), model(), request(talk), steered(), forked(session, from), wants(chat),
   * busy(on), error(text), keep(talk), offers(): nodes below what may be asked}; root: the chat's nodes, as
   * index.html has them. */
  constructor(host, { name, root }) {
    this.host = host;
    this.name = name;
    this.root = root;
    this.talk = new Conversation();
    this.files = [];                 // that go with the next question: {name, text}
    this.running = null;             // ends the answer that is under way
    this.greeting = false;           // what is shown is the model's greeting
    this.editing = null;             // the user's turn that the next question is a version of
    this.#wire();
    this.draw();
  }

  #wire() {
    const find = selector => this.root.querySelector(selector);
    this.turns = find(".turns");
    this.hello = find(".hello");
    this.beside = find(".beside");
    this.input = find(".composer textarea");
    this.send = find(".composer button");
    this.turns.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.input.addEventListener("keydown", e => {
      if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
      e.preventDefault();
      this.submit();
    });
    this.input.addEventListener("input", () => this.#grow());
    this.send.addEventListener("click", () => this.running ? this.stop() : this.submit());
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.turns;
    this.#sticks = scrollTop + clientHeight > scrollHeight - STICK;
  }
  #sticks = true;                    // the end was in view when it was last scrolled

  /** Something was added: where the end was in view, it stays so. Nothing is read, which would make the
   * browser lay out the page once more. */
  follow() { if (this.#sticks) this.turns.scrollTop = END; }

  #grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(MOST_HEIGHT, this.input.scrollHeight + 2)}px`;
  }

  /** The messages that were said, in OpenAI's shape. */
  get messages() { return this.talk.messages(); }

  // ---- drawing --------------------------------------------------------------------------------------------
  /** The conversation as it is now; while an answer is edited, as far as that. */
  draw() {
    const all = this.talk.path(), end = this.editing ? all.indexOf(this.editing) : all.length;
    if (all.length) this.#drawPath(all.slice(0, end));
    else this.#greet();
    this.#drawBeside();
    this.update();
  }

  #drawPath(path) {
    const waiting = this.talk.waiting();
    this.turns.replaceChildren(...path.map(t => this.#node(t, waiting)));
    this.turns.scrollTop = END;
  }

  #node(turn, waiting) {
    if (turn.role === "assistant") return new Turn(this).show(turn, waiting).root;
    const { role, content, files = [] } = turn, mine = role === "user";
    const list = mine ? [["EDIT", () => this.#edit(turn)], ["COPY", () => copyText(content)]] : [];
    const names = files.map(f => el("span.file", { title: `${f.text.length} characters` }, f.name));
    return el(`article.turn.${role}`, null,
      el("header", null, mine ? "YOU" : "TOOL", acts(list, this.versions(turn))),
      el("div.body", null, content, ...names));
  }

  #greet() {
    const one = text => el("button.quiet", { type: "button", onclick: () => this.#try(text) }, text);
    const demo = this.host.demo(), tries = demo ? TRIES.demo : TRIES.other;
    this.hello.lastElementChild.replaceChildren(demo ? "The demo model knows little. Try:" : "Try:",
      el("div.tries", null, ...tries.map(one)), ...this.host.offers());
    if (!this.hello.isConnected) this.turns.replaceChildren(this.hello);
  }

  /** Another model has come: what it may be asked. */
  greet() { if (this.talk.empty && !this.editing) this.#greet(); }

  /** LOAD MODEL alone ends in a first answer, which shows the model at work. It is no part of what is asked
   * then, and is not kept. */
  sayHello() {
    if (!this.talk.empty || this.running || !this.host.greets()) return;
    this.greeting = true;
    this.talk.add("", { role: "user", content: GREETING[this.host.demo() ? "demo" : "other"] });
    this.answer();
  }

  #try(text) {
    this.input.value = text;
    this.input.focus();
    this.submit();
  }

  /** Tokens were pinned, banned, or are free again: an answer that is under way goes on with that. */
  steer() {
    this.#drawBeside();
    if (this.running) this.#steers();
  }
  #steers = () => {};                // ends the answer's generation, not the answer

  /** Above the composer: what is edited, pinned or banned, and the files that go with the question. */
  #drawBeside() {
    const drop = f => {
      this.files = this.files.filter(other => other !== f);
      this.#drawBeside();
    };
    const files = this.files.map(f => el("button.file", { type: "button", onclick: () => drop(f),
      "aria-label": `Leave out ${f.name}` }, `${f.name} ×`));
    const edit = this.editing ? [el("span", null, "Your question becomes another version."),
      el("button.quiet", { type: "button", onclick: () => this.#endEdit() }, "CANCEL")] : [];
    this.beside.replaceChildren(...edit, ...this.host.steered(), ...files);
    this.beside.hidden = !this.beside.childElementCount;
  }

  update() {
    const on = !!this.running;
    setText(this.send, !on ? "SEND" : this.greeting ? "SKIP" : "STOP");
    this.send.classList.toggle("halt", on);
  }

  // ---- asking ---------------------------------------------------------------------------------------------
  async submit() {
    const text = this.input.value.trim();
    if ((this.running && !this.greeting) || !(text || this.files.length)) return;
    if (this.greeting) await this.clear();
    this.input.value = "";
    this.input.style.height = "auto";
    this.ask(text);
  }

  /** Behind the last turn that is shown, or as a version of the one that is edited. */
  ask(content) {
    if (this.greeting) this.talk = new Conversation();
    this.greeting = false;
    const parent = this.editing ? this.editing.parent : this.talk.path().at(-1)?.id ?? "";
    const files = this.files;
    this.files = [];
    this.editing = null;
    this.talk.add(parent, { role: "user", content, ...(files.length && { files }) });
    return this.answer();
  }

  /** Answers the last turn; where there is no model yet, as soon as there is one. */
  answer() {
    this.draw();
    this.#keep();
    return this.host.ready() ? this.#begin(this.talk.path()) : this.host.wants(this);
  }

  #begin(path, from) {
    this.#drawPath(path);
    return this.#answering = this.#oneAnswer(path, from);
  }
  #answering = null;                 // the answer that was asked for last

  stop() { this.running?.abort(); }

  /** Stops the answer that is under way; resolves when it has ended. */
  async halt() {
    this.stop();
    await this.#answering;
  }

  /** The answer to the last of these turns; from: what it begins with (branch). */
  async #oneAnswer(path, from) {
    const { talk } = this, abort = this.running = new AbortController();
    const turn = new Turn(this).begin();
    this.turns.append(turn.root);
    this.turns.scrollTop = END;
    this.update();
    this.host.busy(true);
    const kept = talk.add(path.at(-1).id, { role: "assistant", parts: [], tokens: [...from?.said ?? []],
      done: { stop: "canceled" } });
    try { kept.done = await this.#generate(turn, kept, path, { signal: abort.signal, from }); } catch (e) {
      kept.done = e.name === "AbortError" ? { stop: "canceled" } : { stop: "error", error: e.message };
      if (e.name !== "AbortError") this.host.error(e.message);
    }
    this.running = null;
    kept.parts = turn.parts();
    turn.show(kept, talk === this.talk ? talk.waiting() : []);
    if (!kept.parts.length) this.#forget(talk, kept);
    this.#keep(talk);
    this.update();
    this.host.busy(false);
    announce(`${this.name}: ${plainOf(kept).slice(0, MOST_SAID)}`);
    return kept.done;
  }

  /** An answer without a word is no version. */
  #forget(talk, kept) {
    talk.turns.splice(talk.turns.indexOf(kept), 1);
    delete talk.chosen[kept.parent];
  }

  /** Fills the turn; returns how it ended. Where it is steered meanwhile, its generation ends and another one
   * goes on behind its tokens. */
  async #generate(turn, kept, path, { signal, from }) {
    const { talk } = this, session = from ? await this.#forked(from) : this.#session();
    const sum = { nGenerated: 0, decodeMs: 0 };
    let goesOn = from && { tokens: from.tokens, chat: true, echo: from.first };
    for (;;) {
      const params = this.host.request(talk), end = new AbortController(); // gives talk its system prompt
      const asked = { ...params, messages: talk.messages(path) };
      if (!goesOn) rememberPrompt(kept, this.host.model().render?.(asked));
      else if (from) rememberPrompt(kept, from.tokens.slice(0, from.first));
      if (asked.max_tokens) asked.max_tokens = Math.max(1, asked.max_tokens - sum.nGenerated);
      this.#steers = () => { if (promptOf(kept)) end.abort(); };
      const control = { signal: AbortSignal.any([signal, end.signal]) };
      const done = await this.#stream(turn, kept, session.generate({ ...asked, ...goesOn }, control));
      sum.nGenerated += done.nGenerated ?? 0;
      sum.decodeMs += done.decodeMs ?? 0;
      if (!end.signal.aborted || signal.aborted || done.stop !== "canceled") return { ...done, ...sum };
      const prompt = promptOf(kept);
      goesOn = { tokens: [...prompt, ...kept.tokens.map(t => t[0])], chat: true, echo: prompt.length };
      turn.again();
    }
  }

  /** What has come is kept every two seconds. */
  async #stream(turn, kept, tokens) {
    const { talk } = this;
    let saved = performance.now(), began = false;
    for (;;) {
      const { value, done } = await tokens.next();
      if (done) return value ?? { stop: "canceled" };
      began ||= value.token >= 0;
      turn.push(value, began ? 1 : kept.tokens.filter(t => t[3] === value.channel).length || 1);
      if (value.token >= 0) kept.tokens.push(kindOf(value));
      if (performance.now() - saved < KEEP_MS) continue;
      saved = performance.now();
      kept.parts = turn.parts();
      this.#keep(talk);
    }
  }

  #session() {
    const model = this.host.model();
    if (this.model !== model) {
      this.current = model.createSession();
      this.model = model;
    }
    return this.current;
  }

  /** A session for another version of an answer: what both begin with is not computed again. */
  async #forked(from) {
    const before = this.#session();
    if (before.number === null) return before;
    this.current = await before.fork();
    before.close();
    this.host.forked(this.current.number, from);
    return this.current;
  }

  #keep(talk = this.talk) { if (!talk.empty && !this.greeting) this.host.keep(talk); }

  dispose() {
    this.stop();
    this.current?.close();
    this.root.remove();
  }

  // ---- versions, retries, calls ---------------------------------------------------------------------------
  /** Which version a turn is: {at, of, go(by)}. */
  versions(turn) {
    const all = this.talk.versions(turn.parent).filter(t => t.role === turn.role), at = all.indexOf(turn);
    const go = by => {
      if (this.running) return;
      this.talk.choose(all[at + by]);
      this.#keep();
      this.draw();
    };
    return { at, of: all.length, go };
  }

  #edit(turn) {
    if (this.running) return;
    this.editing = turn;
    this.files = [...turn.files ?? []];
    this.input.value = turn.content;
    this.draw();
    this.#grow();
    this.input.focus();
  }

  #endEdit() {
    this.editing = null;
    this.files = [];
    this.input.value = "";
    this.draw();
  }

  /** Another version of this answer. */
  retry({ parent }) {
    const path = this.talk.path(), at = path.findIndex(t => t.id === parent);
    if (this.running || !this.host.ready() || at < 0) return;
    this.editing = null;
    this.#begin(path.slice(0, at + 1));
  }

  /** Another version of an answer, which goes on behind an alternative (branch.js): from: {turn, tokens: all
   * up to the alternative, first: where the answer began, said: its tokens, row, id, p}. */
  async branch(from) {
    await this.halt();
    const path = this.talk.path(), at = path.findIndex(t => t.id === from.turn.parent);
    if (!this.host.ready() || at < 0) return;
    this.editing = null;
    await this.#begin(path.slice(0, at + 1), from);
  }

  /** The other versions of an answer, each with its name. */
  others(turn) {
    const all = this.talk.versions(turn.parent).filter(t => t.role === turn.role);
    return all.map((t, i) => ({ turn: t, name: `VERSION ${i + 1}`, tokens: t.tokens }))
      .filter(v => v.turn !== turn);
  }

  goOn() { if (!this.running) this.ask(GO_ON); }

  answerCall(turn, call, content) {
    if (this.running || !this.talk.waiting().some(w => w.id === call.id)) return;
    const last = this.talk.path().at(-1);
    this.talk.add(last.id, { role: "tool", call: call.id, content });
    if (this.talk.waiting().length) {
      this.#keep();
      this.draw();
    } else this.answer();
  }

  /** A call that something here can run. */
  runnable(call) { return this.host.runnable(call, this.talk); }
  error(text) { this.host.error(text); }

  dismiss(turn) {
    turn.dismissed = true;
    this.#keep();
    this.draw();
  }

  // ---- conversations and files ----------------------------------------------------------------------------
  /** Shows another conversation; an answer that is under way stops. */
  async show(talk) {
    await this.halt();
    this.talk = talk;
    this.greeting = false;
    this.editing = null;
    this.files = [];
    this.draw();
  }

  clear() { return this.show(new Conversation()); }

  /** Shows a conversation that is played back; becomes: it is this chat's from now on. Returns the node of
   * the answer behind it, where it grows. */
  async replayed(talk, { becomes, grows }) {
    if (becomes) await this.show(talk);
    else {
      await this.halt();
      this.#drawPath(talk.path());
    }
    if (!grows) return null;
    const turn = new Turn(this).begin();
    this.turns.append(turn.root);
    this.turns.scrollTop = END;
    return turn;
  }

  /** Text files go with the next question; others are refused in a sentence. */
  async attach(list) {
    const { files, refused } = await readFiles(list);
    for (const why of refused) this.host.error(why);
    this.files.push(...files);
    this.#drawBeside();
    this.input.focus();
  }
}
