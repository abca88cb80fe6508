// event_log.js - EVENT LOG: lines that grow at their end. It knows how much of the state it has shown.
import { $, el } from "./dom.js";

const LINES = 4000;
const STICK = 30;                    // pixels from the end within which the end is followed

/** From its front, until no more than so many are left. */
function trim(node, most) { while (node.childElementCount > most) node.firstElementChild.remove(); }

export class EventLog {
  #shown = 0;

  draw(s) {
    const box = $("log"), fresh = Math.min(s.logCount - this.#shown, s.log.length);
    if (fresh <= 0) return;
    const stick = box.scrollTop + box.clientHeight > box.scrollHeight - STICK;
    box.append(...s.log.slice(-fresh).map(l => this.#line(l)));
    this.#shown = s.logCount;
    trim(box, LINES);
    if (stick) box.scrollTop = box.scrollHeight;
  }

  #line({ ts, text, bad, cpu, ok }) {
    const time = ((ts ?? 0) / 1000).toFixed(3).padStart(8);
    return el("div", { class: bad ? "bad" : cpu ? "cpu" : ok ? "ok" : null }, el("time", null, time), text);
  }
}
