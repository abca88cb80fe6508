// inview.js - which panels are in view. While tokens are made, only those are drawn. Those that are further
// away than their neighbours are marked: where the CPU draws, the browser skips what is in them (panels.css).
import { $, whatIsSeen } from "./dom.js";

/** Pixels that a panel is marked beyond: a key that goes on to the next control finds it. */
const NEAR = "160px";

export class InView {
  #shown;
  #panels;

  /** panels: {what is drawn: the panel that it is in}; changed(): one has come into view. */
  constructor(panels, changed) {
    this.#panels = panels;
    const all = [...new Set(Object.values(panels))].map($);
    this.#shown = whatIsSeen(all, changed);
    const near = new IntersectionObserver(list => {
      for (const { target, isIntersecting } of list) target.classList.toggle("away", !isIntersecting);
    }, { scrollMargin: NEAR });
    if (!near.scrollMargin) return;
    for (const panel of all) near.observe(panel);
  }

  has(name) { return this.#shown.has($(this.#panels[name])); }
}
