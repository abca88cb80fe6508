// views.js - which part of the page is seen on a narrow screen, and which layer and head the attention map
// shows.
import { $, setText } from "./dom.js";
import { OF_TOKENS } from "./moment.js";

const DRAWN = [...OF_TOKENS, "kv"];

export class Views {
  #shared;
  #backend;
  constructor(shared, backend) {
    this.#shared = shared;
    this.#backend = backend;
  }

  /** Sizes have changed: what is drawn to size is drawn anew. */
  #again() {
    this.#backend.sizeMaps();
    for (const name of DRAWN) this.#shared.state.dirty.add(name);
    this.#shared.news();
  }

  #show(button) {
    document.body.dataset.view = button.dataset.goto;
    for (const other of button.parentElement.children) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    this.#again();
  }

  #watch(slider) {
    setText(slider.nextElementSibling, slider.value);
    const { server, model } = this.#shared;
    (server ?? model)?.watchAttention(+$("attn-layer").value, +$("attn-head").value);
    this.#shared.state.dirty.add("attn");
    this.#shared.news();
  }

  /** The sliders end where the model does. */
  sliders() {
    const { blocks, heads } = this.#shared.state.config;
    for (const [id, n] of [["attn-layer", blocks], ["attn-head", heads]]) {
      if (+n && $(id).max !== String(n - 1)) $(id).max = String(n - 1);
    }
  }

  wire() {
    for (const id of ["attn-layer", "attn-head"]) $(id).addEventListener("input", () => this.#watch($(id)));
    for (const button of document.querySelectorAll(".views button")) {
      button.addEventListener("click", () => this.#show(button));
    }
    addEventListener("resize", () => this.#again());
  }
}
