// messages.js - what the page says: errors, which stay until they are dismissed, the banner, and notes in the
// event log.
import { $, el, setText } from "./dom.js";

const MOST_ERRORS = 3;

export class Messages {
  #shared;
  constructor(shared) { this.#shared = shared; }

  note(text, bad) { this.#shared.tell({ type: "page", text, bad }); }

  error(text) {
    const box = $("errors");
    if ([...box.children].some(p => p.firstChild.data === text)) return;
    const onclick = () => line.remove();
    const close = el("button", { type: "button", "aria-label": "Dismiss", onclick }, "×");
    const line = el("p", null, text, close);
    box.append(line);
    while (box.childElementCount > MOST_ERRORS) box.firstElementChild.remove();
    this.#shared.state.errors.push(text);
    this.note(text, true);
  }

  clear() { $("errors").replaceChildren(); }

  /** kind: "cpu" or "bad"; without a text the banner goes. */
  banner(text = "", kind = "") {
    $("banner").hidden = !text;
    $("banner").className = `banner ${kind}`;
    setText($("banner"), text);
  }

  wire() {
    addEventListener("error", e => this.error(`Page error: ${e.message}`));
    addEventListener("unhandledrejection", e => {
      e.preventDefault();
      this.error(`Page error: ${e.reason?.message ?? e.reason}`);
    });
  }
}
