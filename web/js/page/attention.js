// attention.js - ATTENTION: the words of the text, lit by how much the moment's row looked at them, and the
// map of the newest rows. Of the layer and head that were watched while each token was made.
import { say, wireTip } from "./axes.js";
import * as charts from "./charts.js";
import { $, percent, setText, tag, visible } from "./dom.js";
import { Heads } from "./heads.js";
import { momentOf, select, sentence, tagOf } from "./moment.js";
import { Words } from "./words.js";

const WORDS = 600, NAMED = 5;

/** "Layer 2, head 3: "June" 31 %, ..." */
function said(history, n) {
  const { columns: c } = history, layer = history.get(n, c.layer), looks = n < 0 ? [] : history.looks(n);
  if (!looks.length) return "";
  const rest = Math.max(0, 1 - looks.reduce((sum, l) => sum + l.w, 0));
  const words = looks.slice(0, NAMED).map(l => `"${visible(history.text(l.n))}" ${percent(l.w)}`);
  return `Layer ${layer}, head ${history.get(n, c.watched)} looked at ${words.join(", ")}; `
    + `sink and the rest ${percent(rest)}.`;
}

export class Attention {
  #shared;
  #words;
  #heads;

  constructor(shared) {
    this.#shared = shared;
    this.#heads = new Heads(shared);
    const pick = n => select(shared, n);
    this.#words = new Words($("attn-text"), WORDS, { pick, hover: (n, e) => {
      say(n < 0 ? "" : sentence(shared.state.history, n), e);
      this.#show(n);
    } });
    const at = (x, y) => charts.attentionAt($("attn"), this.#maps(shared.state), x, y);
    wireTip($("attn"), (x, y) => this.#tip(at(x, y)), (x, y) => {
      const hit = at(x, y);
      if (hit) pick(hit.n);
    });
  }

  #tip(hit) {
    if (!hit) return "";
    const { history } = this.#shared.state, word = visible(history.text(hit.key));
    return `#${hit.n} "${visible(history.text(hit.n))}" looked at #${hit.key} "${word}": ${percent(hit.w)}`;
  }

  /** Those of the layer and head that the sliders say. */
  #maps({ history }) {
    const layer = +$("attn-layer").value, head = +$("attn-head").value;
    return history.maps.filter(m => m.layer === layer && m.head === head);
  }

  #show(n) {
    const s = this.#shared.state, shown = n < 0 ? momentOf(s) : n;
    this.#words.light(s.history, shown);
    setText($("attn-said"), `${said(s.history, shown) || this.#none(s)}${this.#later(s)}`);
  }

  /** A server watches what the sliders say when the next question comes. */
  #later({ history }) {
    const { server } = this.#shared, { columns: c } = history, n = history.count - 1;
    if (!server || n < 0) return "";
    const [layer, head] = server.watched, seen = [c.layer, c.watched].map(at => history.get(n, at));
    if (Number.isNaN(seen[0]) || (seen[0] === layer && seen[1] === head)) return "";
    return ` Layer ${layer}, head ${head}: from the next question on.`;
  }

  /** Why there is no attention. */
  #none({ history, moment }) {
    if (document.body.classList.contains("on-gpu")) {
      return "The map is drawn on the GPU from its own buffer; it is not read back for each token.";
    }
    if (moment !== null && !history.made(moment)) return "A prompt's token: nothing was chosen here.";
    if (!history.count) return "";
    const { server } = this.#shared;
    if (server?.info.backend === "gpu") {
      return "No attention came with this token: on a GPU a server tells it with --record alone, of answers.";
    }
    return "No attention came with this token.";
  }

  draw(s) {
    const maps = this.#maps(s), layer = $("attn-layer").value, head = $("attn-head").value;
    charts.attention($("attn"), maps, s);
    tag("p-attn", s.moment === null ? maps.length ? `L${layer} H${head}` : "" : tagOf(s));
    this.#words.draw(s);
    this.#heads.draw(s);
    this.#show(-1);
    if (s.moment === null) this.#words.end();
    else this.#words.reveal();
  }
}
