// topk.js - TOP-K: the alternatives of the moment, the chosen one marked. Clicked, the answer goes on from
// there as another version; each can be pinned or banned. The same beside the text, below the stream.
import { $, el, percent, setText, tag, visible } from "./dom.js";
import { branchAt, placeOf } from "./branch.js";
import { momentOf, tagOf } from "./moment.js";

const ROWS = 10;
const HERE = "Go on from here with this token";

export class TopK {
  #shared;
  #list = $("topk");
  #tops = [];
  #row = -1;                         // whose they are

  constructor(shared) {
    this.#shared = shared;
    for (let i = 0; i < ROWS; i++) this.#list.append(this.#line(i));
  }

  #line(i) {
    const steer = (how, sign) => el("button", { type: "button", "aria-pressed": "false", disabled: true,
      onclick: () => this.#steer(i, how) }, sign);
    const alt = el("button.alt",
      { type: "button", disabled: true, hidden: true, onclick: () => this.#go(i) });
    return el("li", null, el("span", null, alt), el("span"),
      el("span.steer", { hidden: true }, steer("pin", "+"), steer("ban", "−")));
  }

  #go(i) { this.#say(branchAt(this.#shared, this.#row, this.#tops[i])); }
  #say(text) { setText($("topk-note"), text); }

  #steer(i, how) {
    const { id, text } = this.#tops[i];
    this.#shared.steer.toggle(id, text, how);
  }

  draw(s) {
    const n = momentOf(s), { history } = s, tops = n < 0 ? [] : history.tops(n);
    const chosen = n < 0 ? -1 : history.get(n, history.columns.id);
    if (n !== this.#row) this.#say("");
    this.#tops = tops;
    this.#row = n;
    for (const [i, li] of [...this.#list.children].entries()) this.#drawLine(li, tops[i], chosen);
    this.#beside(s, chosen);
    tag("p-topk", tagOf(s));
  }

  #drawLine(li, t, chosen) {
    const [word, share, steer] = li.children, alt = word.firstChild, text = t ? visible(t.text) : "";
    const title = t ? `id ${t.id}` : "", how = t && this.#shared.steer.how(t.id);
    setText(alt, text);
    setText(share, t ? percent(t.p) : "");
    if (li.title !== title) li.title = title;
    const p = t ? t.p.toFixed(3) : "0";
    if (li.style.getPropertyValue("--p") !== p) li.style.setProperty("--p", p);
    li.classList.toggle("hit", !!t && t.id === chosen);
    if (alt.disabled === !!t) {
      for (const button of [alt, ...steer.children]) button.disabled = !t;
      alt.hidden = steer.hidden = !t;
    }
    for (const [button, name] of [[steer.children[0], "pin"], [steer.children[1], "ban"]]) {
      const pressed = String(how === name), label = `${name === "pin" ? "Pin" : "Ban"} ${text}`;
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
    }
  }

  /** In the text: of a token that was picked. */
  #beside(s, chosen) {
    const box = $("alts"), place = s.moment === null ? { why: "live" } : placeOf(this.#shared, s.moment);
    const shown = !place.why && this.#tops.length > 0;
    box.hidden = !shown;
    if (!shown) return;
    const key = `${s.stream} ${this.#row}`;
    if (box.dataset.of === key) return;
    box.dataset.of = key;
    const word = (t, i) => el(t.id === chosen ? "button.hit" : "button",
      { type: "button", title: `${HERE}: id ${t.id}`, onclick: () => this.#go(i) },
      `${visible(t.text)} ${percent(t.p)}`);
    box.replaceChildren("go on with", ...this.#tops.map(word));
  }
}
