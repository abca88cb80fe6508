// recordings.js - RECORDINGS: those that ship with the page, files of this device, and this chat: played or
// saved. No model is needed for any of it.
import { $, el } from "./dom.js";
import { factsOf } from "./map_facts.js";
import { replay } from "./replay.js";
import { recordingOf } from "./save.js";

/** The demo model is too quick to be read, 20b on two cores is slow. */
const SLOWLY = 0.25, QUICKLY = 4;
/** Made by tools/recordings.mjs. */
const SHIPPED = [
  { name: "A greeting", what: "the demo model is greeted and asked: 6 layers, 16 experts",
    url: new URL("../../data/demo-greeting.grec", import.meta.url), speed: SLOWLY },
  { name: "A tool call", what: "the demo model asks a function, gets its result and answers",
    url: new URL("../../data/demo-tool.grec", import.meta.url), speed: SLOWLY },
  { name: "The shape of gpt-oss-20b", what: "24 layers, 32 experts; its weights are random, so is its text",
    url: new URL("../../data/shape-20b.grec", import.meta.url), speed: QUICKLY }];
const FREE_MS = 1000;

export class Recordings {
  #shared;
  #page;
  #file = el("input", { type: "file", accept: ".grec,.jsonl", hidden: true, "aria-label": "Recording" });

  /** page: {messages, chats, backend, bar, cancel(), close(), tour()} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  wire() {
    const act = (name, title, onclick) => el("button.quiet", { type: "button", title, onclick }, name);
    const row = shipped => el("li", null, el("button.quiet.name", { type: "button",
      onclick: () => this.#openShipped(shipped) }, shipped.name), el("span.about", null, shipped.what));
    $("p-recordings").append(el("div.acts", null,
      act("PLAY THIS CHAT", "What the panels have seen of it, once more", () => this.playOwn()),
      act("SAVE", "This chat as a recording (.grec)", () => this.save()),
      act("TOUR", "Two minutes over the panels", () => this.#page.tour()),
      act("FILE…", "A recording of this device", () => this.#file.click()), this.#file),
    el("ul.rows", { "aria-label": "Recordings" }, ...SHIPPED.map(row)));
    this.#file.addEventListener("change", () => {
      if (this.#file.files.length) this.open(this.#file.files[0]);
      this.#file.value = "";
    });
  }

  /** The first of those that ship. */
  openFirst() { return this.#openShipped(SHIPPED[0]); }

  #openShipped({ url, speed }) { return this.open(url.pathname, { speed }); }

  /** An address, a file, or {bytes, name, own}. at: a token that is picked; speed: at first. */
  async open(source, { at, speed } = {}) {
    const { messages, chats, close, cancel } = this.#page;
    try {
      cancel();
      await chats.halt();
      await replay(source, this.#shared, this.#page, { at, speed });
      close();
    } catch (e) { messages.error(e.message); }
  }

  /** What the history holds, as a file; null: it holds nothing. */
  async #recording() {
    const { state, chats } = this.#shared, { history, kernels } = state;
    if (!history.count) {
      this.#page.messages.error("There is nothing to keep yet: ask something first.");
      return null;
    }
    const { windowed, ...model } = factsOf(this.#shared), talks = chats.map(c => c.talk);
    const lines = [...kernels.values()].map(event => JSON.stringify({ type: "inference_event", event }));
    return recordingOf(history, { model, windowed, talks, lines });
  }

  async save() {
    const blob = await this.#recording();
    if (!blob) return;
    const href = URL.createObjectURL(blob), link = el("a", { href, download: "gossamer.grec" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(href), FREE_MS);
  }

  async playOwn() {
    this.#shared.endReplay(true);
    const blob = await this.#recording();
    if (!blob) return;
    const bytes = new Uint8Array(await blob.arrayBuffer());
    await this.open({ bytes, name: "this chat", own: true });
  }
}
