// steer.js - tokens that are pinned or banned: asked for with every answer as logit_bias, from the next token
// of an answer that is under way. Said above each composer, where they can be taken off again.
import { el, visible } from "./dom.js";

/** What is added to a token's logit. */
const BIAS = { pin: 5, ban: -100 };
const NAMES = { pin: "pinned", ban: "banned" };

export class Steer {
  #tokens = new Map();               // id -> {text, how}
  #changed;

  /** changed(): another token is pinned, banned, or free. */
  constructor(changed) { this.#changed = changed; }

  /** "pin", "ban", or undefined. */
  how(id) { return this.#tokens.get(id)?.how; }

  /** Once more takes it off. */
  toggle(id, text, how) {
    if (this.how(id) === how) this.#tokens.delete(id);
    else this.#tokens.set(id, { text, how });
    this.#changed();
  }

  /** Of a request. */
  get params() {
    const all = [...this.#tokens].map(([id, { how }]) => [id, BIAS[how]]);
    return all.length ? { logit_bias: Object.fromEntries(all) } : {};
  }

  chips() {
    return [...this.#tokens].map(([id, { text, how }]) => el("button.steered", { type: "button",
      title: `Take it off: id ${id}, ${BIAS[how] > 0 ? "+" : "−"}${Math.abs(BIAS[how])} on its logit`,
      onclick: () => this.toggle(id, text, how) }, `${NAMES[how]} "${visible(text)}" ×`));
  }
}
