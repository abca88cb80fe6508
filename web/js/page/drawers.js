// drawers.js - SETTINGS, CHATS, MODELS and RECORDINGS: places between the controls and the chats, one open at
// a time.
import { $ } from "./dom.js";

/** shown: {drawer's id: what is called when it opens}. */
export function wireDrawers(shown) {
  const buttons = [...$("drawers").querySelectorAll("[data-drawer]")];
  const show = (button, on) => {
    button.setAttribute("aria-expanded", String(on));
    $(button.dataset.drawer).hidden = !on;
    if (on) shown[button.dataset.drawer]?.();
  };
  const toggle = pressed => {
    for (const b of buttons) show(b, b === pressed && b.getAttribute("aria-expanded") === "false");
  };
  for (const b of buttons) b.addEventListener("click", () => toggle(b));
  return { close: () => toggle(null) };
}
