// dom.js - small helpers for the DOM and for figures. No text ever reaches innerHTML.

export const $ = id => document.getElementById(id);
/** What a field of numbers says, from 1 to most; 1: it says nothing. */
export const countOf = (id, most) => Math.max(1, Math.min(most, Math.floor(+$(id).value) || 1));

/** el("div.card", {title: "x", onclick}, "text", node, ...) */
export function el(spec, props, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [k, v] of Object.entries(props ?? {})) {
    if (v == null || v === false) continue;
    if (k.startsWith("on")) node.addEventListener(k.slice(2), v);
    else if (k === "style") Object.entries(v).forEach(([name, value]) => node.style.setProperty(name, value));
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
  const units = ["B", "KB", "MB", "GB"];
  while (n >= 1000 && units.length > 1) {
    n /= 1000;
    units.shift();
  }
  const digits = n >= 100 || units[0] === "B" ? 0 : n >= 10 ? 1 : 2;
  return `${digits ? n.toFixed(digits) : Math.round(n)} ${units[0]}`;
}

export function seconds(s) {
  if (!Number.isFinite(s)) return "—";
  if (s < 60) return `${Math.ceil(s)} s`;
  if (s >= 3600) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
}

export const percent = p => `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)}%`;

/** White space of a token, made visible. */
export const visible = text =>
  text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "·") || "∅";

/** Sizes that are told, not asked for: asking makes the browser lay the page out at once. */
const sizes = new WeakMap();
const observer = new ResizeObserver(list => {
  for (const { target, contentRect: { width, height } } of list) sizes.set(target, [width, height]);
});
function sizeOf(node) {
  if (!sizes.has(node)) {
    sizes.set(node, [node.clientWidth, node.clientHeight]);
    observer.observe(node);
  }
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

export const COLOURS = { cy: "#5ce1ff", gr: "#6dffb0", vi: "#b9a2ff", or: "#ffa24a", faint: "#4a6373" };

/** Dark blue to cyan to white, for heat maps; x in 0..1. */
export function heat(x) {
  const t = Math.max(0, Math.min(1, x));
  const r = t < 0.6 ? 92 * t / 0.6 * 0.5 : 46 + (t - 0.6) / 0.4 * 190;
  return `rgb(${r | 0}, ${20 + 225 * t | 0}, ${34 + 221 * Math.sqrt(t) | 0})`;
}

/** Those of some elements that are in view, as a set that is kept up to date; changed(): it was. */
export function whatIsSeen(elements, changed, options) {
  const seen = new Set(), watch = new IntersectionObserver(list => {
    for (const { target, isIntersecting } of list) {
      if (isIntersecting) seen.add(target);
      else seen.delete(target);
    }
    changed();
  }, options);
  for (const element of elements) watch.observe(element);
  return seen;
}

/** Where the clipboard is not allowed, nothing happens. */
export function copyText(text) { navigator.clipboard?.writeText(text).catch(() => {}); }

/** The browser may paint, and hear what is typed, before what is behind this. */
export const nextTask = () => new Promise(resolve => setTimeout(resolve));

export function announce(text) { setText($("say"), text); }

/** A word beside a panel's name. */
export function tag(panel, text) {
  const head = $(panel).querySelector("h2");
  if (!head.querySelector(".tag")) head.append(el("span.tag"));
  setText(head.querySelector(".tag"), text);
}

// What is drawn in the page's next frame, once each however often it is asked for.
const waiting = new Set();
let wake = () => {};
export function onTurn(fn) { wake = fn; }
export function nextTurn(draw) {
  waiting.add(draw);
  wake();
}
export function takeTurn() {
  const all = [...waiting];
  waiting.clear();
  for (const draw of all) draw();
}
