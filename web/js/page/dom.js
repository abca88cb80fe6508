// dom.js - small helpers for the DOM and for figures. No text ever reaches innerHTML.

export const $ = id => document.getElementById(id);

/** el("div.card", {title: "x", onclick}, "text", node, ...) */
export function el(spec, props, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [k, v] of Object.entries(props ?? {})) {
    if (v == null || v === false) continue;
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (k === "style") for (const [name, value] of Object.entries(v)) node.style.setProperty(name, value);
    else node.setAttribute(k, v === true ? "" : v);
  }
  node.append(...children.filter(c => c != null));
  return node;
}

/** Sets text only when it differs, so that a frame without news touches nothing. */
export function setText(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

export function bytes(n) {
  if (!Number.isFinite(n)) return "—";
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${n >= 100 || unit === "B" ? Math.round(n) : n.toFixed(n >= 10 ? 1 : 2)} ${unit}`;
    n /= 1000;
  }
  return "";
}

export function seconds(s) {
  if (!Number.isFinite(s)) return "—";
  if (s < 60) return `${Math.ceil(s)} s`;
  return s < 3600 ? `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}` : `${(s / 3600).toFixed(1)} h`;
}

export const percent = p => `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)}%`;

/** White space of a token, made visible. */
export const visible = text => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "·") || "∅";

/** Sizes that are told, not asked for: asking makes the browser lay the page out at once. */
const sizes = new WeakMap(), sized = new ResizeObserver(list => { for (const e of list) sizes.set(e.target, [e.contentRect.width, e.contentRect.height]); });
function sizeOf(node) {
  if (!sizes.has(node)) { sizes.set(node, [node.clientWidth, node.clientHeight]); sized.observe(node); }
  return sizes.get(node);
}

/** A 2D context whose canvas has as many device pixels as it covers; null while it isn't shown. */
export function context(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2), [w, h] = sizeOf(canvas);
  if (!w || !h) return null;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  return { c, w, h };
}

export const COLOURS = { cy: "#5ce1ff", gr: "#6dffb0", vi: "#b9a2ff", or: "#ffa24a", dim: "#83a0b1", faint: "#4a6373" };

/** Dark blue to cyan to white, for heat maps; x in 0..1. */
export function heat(x) {
  const t = Math.max(0, Math.min(1, x));
  const r = t < 0.6 ? 92 * t / 0.6 * 0.5 : 46 + (t - 0.6) / 0.4 * 190;
  return `rgb(${r | 0}, ${20 + 225 * t | 0}, ${34 + 221 * Math.sqrt(t) | 0})`;
}

export function announce(text) { setText($("say"), text); }

// What is drawn at the page's next turn, once each however often it is asked for.
const waiting = new Set();
export function nextTurn(draw) { waiting.add(draw); }
export function takeTurn() {
  const all = [...waiting];
  waiting.clear();
  for (const draw of all) draw();
  return all.length;
}
