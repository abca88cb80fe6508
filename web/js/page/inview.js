// inview.js - which panels are in view. While tokens are made, only those are drawn. Those that are further
// away than their neighbours are marked: where the CPU draws, the browser skips what is in them (panels.css).
import { $ } from "./dom.js";

/** Pixels that a panel is marked beyond: a key that goes on to the next control finds it. */
const NEAR = "160px";

export class InView {
  #shown = new Set();
  #panels;

  /** panels: {what is drawn: the panel that it is in}; changed(): one has come into view. */
  constructor(panels, changed) {
    this.#panels = panels;
    const watch = new IntersectionObserver(list => {
      for (const { target, isIntersecting } of list) {
        if (isIntersecting) this.#shown.add(target.id);
        else this.#shown.delete(target.id);
      }
      changed();
    });
    const near = new IntersectionObserver(list => {
      for (const { target, isIntersecting } of list) target.classList.toggle("away", !isIntersecting);
    }, { scrollMargin: NEAR });
    for (const id of new Set(Object.values(panels))) {
      watch.observe($(id));
      if (near.scrollMargin) near.observe($(id));
    }
  }

  has(name) { return this.#shown.has(this.#panels[name]); }
}
