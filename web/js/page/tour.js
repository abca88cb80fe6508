// tour.js - a guided tour of two minutes over the panels. It begins only when it is asked for, and can be
// left at any time. Its card is a part of the page of its own, below the panels, which make room: it can't
// cover what it speaks of. Where nothing has been said yet, it opens a recording to speak about.
import { $, setText } from "./dom.js";

/** [panel, name, what is said]: 300 words, which takes two minutes to read. */
const STOPS = [
  ["p-stream", "One token at a time", "A language model does one thing: it says which token may come "
    + "next. A token is a word or a piece of one. Here are all of them, the question's and the "
    + "answer's. Click one: every panel then shows that moment."],
  ["p-topk", "What else it could have said", "For each place the model gives every token it knows a "
    + "probability. These are the best. The green one was written. Often there is no doubt at all; "
    + "sometimes it is nearly a coin's throw."],
  ["p-hist", "Sure and unsure", "Each bar is a token's probability. Entropy, below, says the same in "
    + "one number: 0 is sure, more is doubt. Names and numbers are where a model doubts."],
  ["p-map", "What happens inside", "This is one layer. The vector runs down at the left. Attention and "
    + "experts each read it and add to it. Step through it with the arrow keys: every box says what it is."],
  ["p-attn", "Looking back", "Attention is how a token gets something from the tokens before it. Bright "
    + "words were looked at most. Every layer has many heads; the sliders choose one. What is missing "
    + "to 100 % went to the sink: it looked at nothing."],
  ["p-experts", "A few of many", "A router asks a few experts a token and leaves the others alone. A "
    + "row is an expert, a column a token. Pick an expert to see which words it was asked about."],
  ["p-layers", "What each layer adds", "How much attention and experts added to the vector in each "
    + "layer, and how long the vector became."],
  ["p-kernels", "Where the time goes", "One token's step, layer by layer. Most of it is reading the "
    + "experts' weights: a model is as quick as its memory."],
  ["p-kv", "What it remembers", "Keys and values of every token so far. Layers with a window keep the "
    + "newest only."],
  ["p-controls", "Go back", "Nothing is lost: drag the slider, or press L to be live again. RECORDINGS "
    + "plays chats once more, and saves yours. Now ask it something."]];

export class Tour {
  #shared;
  #page;
  #at = -1;                          // the stop; -1: there is no tour
  #focus = null;                     // who had the focus before

  /** page: {openFirst(): opens a recording, close(): what lies over the panels} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  wire() {
    $("tour-back").addEventListener("click", () => this.#go(this.#at - 1));
    $("tour-next").addEventListener("click", () => this.#go(this.#at + 1));
    $("tour-end").addEventListener("click", () => this.end());
    addEventListener("keydown", e => this.#key(e), true);
  }

  /** Esc ends it; in its card the arrows go on and back. */
  #key(e) {
    if (this.#at < 0) return;
    const inside = $("tour").contains(e.target), by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (e.key === "Escape") this.end();
    else if (inside && by) this.#go(this.#at + by);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  async begin() {
    this.#focus = document.activeElement;
    this.#page.close();
    if (!this.#shared.state.history.count) await this.#page.openFirst();
    $("tour").hidden = false;
    document.body.classList.add("touring");
    this.#go(0);
    $("tour-next").focus({ preventScroll: true });
  }

  end() {
    this.#at = -1;
    this.#mark(null);
    $("tour").hidden = true;
    document.body.classList.remove("touring");
    this.#focus?.focus?.({ preventScroll: true });
    dispatchEvent(new Event("resize"));
  }

  #mark(panel) {
    for (const node of document.querySelectorAll(".toured")) node.classList.remove("toured");
    panel?.classList.add("toured");
  }

  /** A panel that this window has no room for is left out. */
  #go(at) {
    if (at < 0) return;
    if (at >= STOPS.length) return this.end();
    const [id, name, text] = STOPS[at], panel = $(id), by = at < this.#at ? -1 : 1;
    this.#at = at;
    this.#view(panel);
    if (!panel.checkVisibility()) return this.#go(at + by);
    setText($("tour-name"), name);
    setText($("tour-text"), text);
    setText($("tour-at"), `${at + 1} of ${STOPS.length}`);
    $("tour-back").disabled = at === 0;
    setText($("tour-next"), at === STOPS.length - 1 ? "DONE" : "NEXT");
    this.#mark(panel);
    panel.scrollIntoView({ block: "start", inline: "nearest" });
    dispatchEvent(new Event("resize"));
  }

  /** Where one view is shown at a time, the panel's. */
  #view(panel) {
    const { view } = panel.closest("[data-view]").dataset;
    if (document.body.dataset.view !== view) document.querySelector(`[data-goto=${view}]`).click();
  }
}
