// chats.js - the conversations side by side, one or two, on the same model or server. To each Chat it is the
// host: who answers, with which options, where it is kept, and what the page does meanwhile.
import { followFork } from "./branch.js";
import { Chat } from "./chat.js";
import { $ } from "./dom.js";
import { DEMO, samplingOptions, tools } from "./params.js";
import { schema } from "./schema.js";

/** Where this tab remembers what it shows. */
const SHOWN = "gossamer-shown";

export class Chats {
  #shared;
  #page;
  /** page: {messages, keeper, toolSources, refresh(), load(), drawAll(), measure(), offers()} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  get first() { return this.#shared.chats[0]; }

  // ---- the host of a Chat ---------------------------------------------------------------------------------
  ready() { return this.#shared.status === "ready"; }
  model() { return this.#shared.server ?? this.#shared.model; }
  demo() { return !this.#shared.server && $("source").value.trim().endsWith(DEMO); }

  /** What is asked for beside the messages. The system prompt stays with the conversation. */
  request(talk) {
    talk.system = $("system").value;
    const { functions, builtin } = this.#page.toolSources.request;
    const list = [...tools().tools ?? [], ...functions];
    const own = this.#shared.server ? {} : { top_logprobs: 0 };       // telemetry has them
    return { ...samplingOptions(this.#shared.params), ...own, ...(list.length && { tools: list }),
      ...(builtin.length && { builtin_tools: builtin }),
      ...schema(), ...this.#shared.steer.params };
  }

  /** A call that something here can run (tool_sources.js), or null. */
  runnable(call, talk) { return this.#page.toolSources.call(call, { id: talk.id, path: talk.path() }); }

  /** Chips of what is pinned and banned. */
  steered() { return this.#shared.steer.chips(); }

  /** The panels go on with a chat's new session. */
  forked(session, from) { followFork(this.#shared.state, session, from); }

  /** Kept in the browser; that it could not be is said once. */
  async keep(talk) {
    if (talk === this.first.talk) sessionStorage.setItem(SHOWN, talk.id);
    try { await this.#page.keeper.put(talk); } catch (e) {
      if (!this.#told) this.#page.messages.error(`This chat is not kept: ${e.message}`);
      this.#told = true;
    }
  }
  #told = false;
  error(text) { this.#page.messages.error(text); }

  /** Resolves when nobody answers any more. */
  halt() { return Promise.all(this.#shared.chats.map(chat => chat.halt())); }

  /** Asked before there is a model: it is loaded first. */
  wants(chat) {
    this.#shared.pending = chat;
    if (this.#shared.status === "idle") this.#page.load();
    this.#page.messages.note("asked before a model was there");
  }

  offers() { return this.#page.offers(); }

  busy(on) {
    if (on) this.#shared.endReplay();
    else this.#page.drawAll();
    this.#page.measure();
    this.#page.refresh();
  }

  // ---- the page -------------------------------------------------------------------------------------------
  add() {
    const { chats } = this.#shared, n = chats.length + 1;
    const chat = n > 1 ? this.#another(`CHAT ${n}`)
      : new Chat(this, { name: "CHAT", root: $("chats").firstElementChild });
    chats.push(chat);
    chat.update();
  }

  /** A chat beside the first. The first one's input and button have names that labels and scripts know. */
  #another(name) {
    const root = this.#frame.cloneNode(true);
    for (const node of root.querySelectorAll("[id]")) node.removeAttribute("id");
    root.setAttribute("aria-label", name);
    root.querySelector("h2").textContent = name;
    root.querySelector("textarea").value = "";         // that was typed meanwhile
    root.querySelector(".turns").setAttribute("aria-label", `${name}: messages`);
    $("chats").append(root);
    return new Chat(this, { name, root });
  }
  #frame = $("chats").firstElementChild.cloneNode(true);     // before anything is in it

  /** The chat that this node is in; else the first. */
  under(node) {
    return this.#shared.chats.find(c => node instanceof Node && c.root.contains(node)) ?? this.first;
  }

  /** Whether a model that was loaded for its own sake greets. */
  greets() { return !/^(0|false|no|off)$/i.test(this.#shared.params.greet ?? ""); }

  /** Another model answers. */
  greet() { for (const chat of this.#shared.chats) chat.greet(); }

  update() { for (const chat of this.#shared.chats) chat.update(); }

  #split() {
    const { chats } = this.#shared;
    if (chats.length > 1) chats.pop().dispose();
    else this.add();
    $("split").setAttribute("aria-pressed", String(chats.length > 1));
  }

  /** Asks what was asked before there was a model, or what the address asks. Returns whether there was
   * something. */
  askPending() {
    const { params, pending } = this.#shared;
    const prompt = params.autostart ? params.prompt : "";
    this.#shared.pending = null;
    this.#page.refresh();
    if (pending) pending.answer();
    else if (prompt) {
      this.first.input.value = "";
      this.first.ask(prompt);
    }
    else this.first.sayHello();
    return !!(pending || prompt);
  }

  /** Shows a kept conversation in the first chat. */
  async show(talk) {
    this.#shared.endReplay();
    await this.first.show(talk);
    sessionStorage.setItem(SHOWN, talk.id);
    $("system").value = talk.system;
  }

  /** What this tab showed before it was loaded again. */
  async restore() {
    const id = sessionStorage.getItem(SHOWN);
    const talk = id && await this.#page.keeper.get(id).catch(() => null);
    if (talk && this.first.talk.empty) await this.show(talk);
  }

  /** The conversations on the page with that id. */
  shown(id) { return this.#shared.chats.map(c => c.talk).filter(t => t.id === id); }

  /** A conversation is gone: nobody shows it any more. */
  forget(id) {
    const chats = this.#shared.chats.filter(c => c.talk.id === id);
    return Promise.all(chats.map(c => c.clear()));
  }

  wire() {
    const { chats } = this.#shared;
    $("new-chat").addEventListener("click", () => {
      this.#shared.endReplay();
      for (const chat of chats) chat.clear();
      sessionStorage.removeItem(SHOWN);
      this.first.input.focus();
    });
    $("split").addEventListener("click", () => this.#split());
    addEventListener("keydown", e => { if (e.key === "Escape") for (const chat of chats) chat.stop(); });
  }
}
