// memory.js - MEMORY: where bytes are. Tensors as a map by type, an area as large as their bytes, dim
// until they have arrived; the file's chunks; experts that are paged, just come or gone; KV pages by
// session, those that several hold striped; what the module and the GPU have. All from the engine's own
// lines.
import { label, wireTip } from "./axes.js";
import { $, bytes, COLOURS, context, el, setText } from "./dom.js";

const TYPES = ["#5ce1ff", "#b9a2ff", "#6dffb0", "#ffa24a", "#4a9dff", "#e887c8", "#c9d86a", "#8fabbb"];
const SESSIONS = ["#5ce1ff", "#6dffb0", "#ffa24a", "#b9a2ff", "#e887c8", "#4a9dff", "#c9d86a", "#ff6b78"];
const NOBODY = "rgba(110, 200, 230, .10)", OTHER = "#8fabbb", CACHED = 0.45;
const ROLES = [["experts", /_exps\b/], ["norms", /norm/], ["attention", /attn_|sinks/],
  ["router", /gate_inp/], ["embedding", /token_embd/], ["head", /^output\./], ["MLP", /ffn_/]];
const roleOf = name => ROLES.find(([, is]) => is.test(name))?.[0] ?? "other";
const CELL = 8, GAP = 1, HEAD = 12, CLASSES = ["layers that see all", "windowed layers"];

/** Rectangles of so much area in a box, near to squares: [{item, x, y, w, h}]. sizeOf(item) > 0. */
export function treemap(items, sizeOf, box) {
  const list = items.map(item => ({ item, size: sizeOf(item) })).filter(i => i.size > 0)
    .sort((a, b) => b.size - a.size);
  const total = list.reduce((sum, i) => sum + i.size, 0), out = [];
  let { x, y, w, h } = box, at = 0;
  const scale = total ? w * h / total : 0;
  const worst = (row, sum, side) => {
    const s = sum * scale, big = row[0].size * scale, small = row.at(-1).size * scale;
    return Math.max(side * side * big / (s * s), s * s / (side * side * small));
  };
  while (at < list.length) {
    const side = Math.min(w, h), row = [];
    let sum = 0;
    for (; at < list.length; at++) {
      const next = [...row, list[at]], more = sum + list[at].size;
      if (row.length && worst(next, more, side) > worst(row, sum, side)) break;
      row.push(list[at]);
      sum = more;
    }
    const thick = side > 0 ? sum * scale / side : 0, wide = w >= h;
    let along = 0;
    for (const { item, size } of row) {
      const long = side * size / sum;
      out.push(wide ? { item, x, y: y + along, w: thick, h: long }
        : { item, x: x + along, y, w: long, h: thick });
      along += long;
    }
    if (wide) [x, w] = [x + thick, w - thick];
    else [y, h] = [y + thick, h - thick];
  }
  return out;
}

/** [[type, its tensors, their bytes]], the most bytes first. */
export function byType(tensors) {
  const map = new Map();
  for (const t of tensors) map.set(t.type, [...map.get(t.type) ?? [], t]);
  return [...map].map(([type, list]) => [type, list, list.reduce((sum, t) => sum + t.bytes, 0)])
    .sort((a, b) => b[2] - a[2]);
}

/** A class's pages: of each who holds it, [{session, cached}]. */
export function holders({ pages, held }, cls) {
  const out = Array.from({ length: pages[cls] }, () => []), key = ["full", "window"][cls];
  for (const { session, cached, [key]: runs } of held) {
    for (let i = 0; i < runs.length; i += 2) {
      for (let k = 0; k < runs[i + 1]; k++) out[runs[i] + k].push({ session, cached });
    }
  }
  return out;
}

/** Of so many pages as there is room for: all, else those that somebody holds first, then free ones. */
function pagesShown(all, room) {
  const list = all.map((by, page) => ({ by, page }));
  if (list.length <= room) return list;
  return [...list.filter(p => p.by.length), ...list.filter(p => !p.by.length)].slice(0, room);
}

/** Bytes in use, and what they would be more if nobody shared: those of stats(). */
export const usedBytes = ({ used, bytes: each }) => used[0] * each[0] + used[1] * each[1];
export const sharedBytes = ({ shared, bytes: each }) => shared[0] * each[0] + shared[1] * each[1];

const holderText = ({ session, cached }) => session < 0 ? "a prefix from disk"
  : `${cached ? "kept of " : ""}session ${session}`;

export class Memory {
  #shared;
  #map = [];                         // what is drawn: {x, y, w, h, item}
  #key = "";                         // of what #map was made
  #kv = [];                          // cells: {x, y, cls, page, by}

  constructor(shared) {
    this.#shared = shared;
    wireTip($("mem-map"), (x, y) => this.#tensorTip(x, y));
    wireTip($("mem-chunks"), x => this.#chunkTip(x));
    wireTip($("mem-kv"), (x, y) => this.#pageTip(x, y));
    wireTip($("mem-slots"), (x, y) => this.#slotTip(x, y));
  }

  get #state() { return this.#shared.state; }

  draw(s) {
    this.#tensors(s);
    this.#chunks(s);
    this.#slots(s);
    this.#pages(s);
    this.#figures(s);
  }

  // ---- tensors --------------------------------------------------------------------------------------------
  /** How much of all files is there: before it a tensor has arrived. */
  #arrived(s) {
    const { io, load } = s, over = load.get("load_complete")?.status === "completed";
    return over || !io.total ? Infinity : io.bytes;
  }

  #isHere(s, t, arrived) {
    if (s.whole.resident.size) return s.whole.resident.has(t.name) || arrived === Infinity;
    return t.shard === 0 && t.offset + t.bytes <= arrived;
  }

  #layOut(s, w, h) {
    const { tensors } = s.whole, key = `${tensors.length} ${tensors.at(-1)?.offset} ${w} ${h}`;
    if (key === this.#key) return;
    this.#key = key;
    const groups = byType(tensors), box = { x: 0, y: 0, w, h };
    this.#map = treemap(groups, g => g[2], box).flatMap(({ item: [type, list], ...area }) =>
      treemap(list, t => t.bytes, area).map(r => ({ ...r, type })));
    const legend = groups.flatMap(([type, list, n], i) => [el("i", { style: { background: TYPES[i % 8] } }),
      `${type} ${bytes(n)} in ${list.length} `]);
    $("mem-legend").replaceChildren(...legend);
    const roles = new Map();
    for (const t of tensors) roles.set(roleOf(t.name), (roles.get(roleOf(t.name)) ?? 0) + t.bytes);
    const words = [...roles].sort((a, b) => b[1] - a[1]).map(([role, n]) => `${role} ${bytes(n)}`);
    setText($("mem-roles"), tensors.length ? `${tensors.length} tensors: ${words.join(" · ")}` : "");
  }

  #tensors(s) {
    const g = context($("mem-map"));
    if (!g) return;
    const { c, w, h } = g, { tensors } = s.whole, arrived = this.#arrived(s);
    if (!tensors.length) return label(c, "no tensors told: a model in this page tells them", 4, h / 2);
    this.#layOut(s, w, h);
    const order = byType(tensors).map(([type]) => type);
    for (const { item, type, x, y, w: wide, h: high } of this.#map) {
      c.globalAlpha = this.#isHere(s, item, arrived) ? 0.85 : 0.15;
      c.fillStyle = TYPES[order.indexOf(type) % 8];
      c.fillRect(x, y, Math.max(0.5, wide - GAP), Math.max(0.5, high - GAP));
    }
    c.globalAlpha = 1;
    for (const { item, x, y, w: wide, h: high } of this.#map) {
      const name = item.name.replace(/\.weight$/, "");
      if (high > 14 && wide > 6 * name.length) label(c, name, x + 2, y + 10);
    }
    $("mem-map").setAttribute("aria-label", `Tensors by type: ${$("mem-legend").textContent.trim()}.`);
  }

  #tensorTip(x, y) {
    const s = this.#state, hit = this.#map.find(r => x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h);
    if (!hit || !s.whole.tensors.length) return "";
    const { name, type, bytes: n, shape } = hit.item, here = this.#isHere(s, hit.item, this.#arrived(s));
    const late = here ? "" : ", not here yet";
    return `${name}: ${roleOf(name)}, ${type}, ${shape.join(" × ")}, ${bytes(n)}${late}`;
  }

  // ---- chunks ---------------------------------------------------------------------------------------------
  #chunkList(s) { return s.whole.chunks.flatMap(({ states = "" }, source) =>
    [...states].map((state, i) => ({ source, i, state: +state }))); }

  #chunks(s) {
    const list = this.#chunkList(s), canvas = $("mem-chunks");
    canvas.hidden = !list.length;
    const kept = list.filter(k => k.state % 2).length, come = list.filter(k => k.state > 1).length;
    const size = s.whole.chunks.find(Boolean)?.chunk;
    setText($("mem-chunks-said"), list.length ? `${list.length} chunks of ${bytes(size)}: `
      + `${come} fetched now, ${kept} kept in this browser` : "");
    const g = list.length ? context(canvas) : null;
    if (!g) return;
    const { c, w, h } = g, wide = w / list.length;
    list.forEach(({ state }, k) => {
      c.fillStyle = [NOBODY, COLOURS.vi, COLOURS.or, COLOURS.gr][state];
      c.fillRect(k * wide, 0, Math.max(0.5, wide - (wide > 3 ? GAP : 0)), h);
    });
    canvas.setAttribute("aria-label", $("mem-chunks-said").textContent);
  }

  #chunkTip(x) {
    const list = this.#chunkList(this.#state);
    const hit = list[Math.floor(x / $("mem-chunks").clientWidth * list.length)];
    if (!hit) return "";
    const word = ["not here yet", "kept here before", "fetched now", "fetched now and kept"][hit.state];
    return `file ${hit.source}, chunk ${hit.i}: ${word}`;
  }

  // ---- experts that are paged -----------------------------------------------------------------------------
  #slots(s) {
    const { slots } = s.whole, canvas = $("mem-slots");
    canvas.hidden = !slots;
    const g = slots ? context(canvas) : null;
    const here = slots?.now.reduce((sum, is) => sum + is, 0) ?? 0;
    setText($("mem-slots-said"), slots ? `${here} of ${slots.now.length} experts are on the GPU: `
      + "columns layers, rows experts; green has just come, orange has just gone" : "");
    if (!g) return;
    const { c, w, h } = g, { experts, layers, now, ages } = slots, wide = w / layers, high = h / experts;
    now.forEach((is, i) => {
      const age = ages[i], fresh = age && Math.abs(age) <= 4;
      c.fillStyle = fresh ? age > 0 ? COLOURS.gr : COLOURS.or : is ? COLOURS.cy : NOBODY;
      c.fillRect(Math.floor(i / experts) * wide, i % experts * high, Math.max(1, wide - GAP),
        Math.max(0.5, high - 0.5));
    });
    canvas.setAttribute("aria-label", $("mem-slots-said").textContent);
  }

  #slotTip(x, y) {
    const { slots } = this.#state.whole, { clientWidth: w, clientHeight: h } = $("mem-slots");
    const layer = Math.floor(x / w * slots.layers), expert = Math.floor(y / h * slots.experts);
    const at = layer * slots.experts + expert;
    return at in slots.now ? `layer ${layer}, expert ${expert}: ${slots.now[at] ? "here" : "absent"}` : "";
  }

  // ---- KV pages -------------------------------------------------------------------------------------------
  #pages(s) {
    const g = context($("mem-kv")), { pages } = s.whole;
    if (!g) return;
    this.#kv = [];
    if (!pages) return label(g.c, "no page is held yet", 4, g.h / 2);
    const { c, w, h } = g, columns = Math.max(1, Math.floor(w / CELL));
    let top = 0;
    [0, 1].forEach(cls => {
      const room = Math.floor((h / 2 - HEAD) / CELL) * columns;
      if (!pages.pages[cls]) return;
      const count = `${pages.used[cls]} of ${pages.pages[cls]} pages`;
      label(c, `${["see all", "windowed"][cls]}: ${count}, ${bytes(pages.bytes[cls])} each`, 2, top + 9);
      pagesShown(holders(pages, cls), room).forEach(({ page, by }, i) => {
        const x = i % columns * CELL, y = top + HEAD + Math.floor(i / columns) * CELL;
        this.#cell(c, by, x, y, CELL - GAP);
        this.#kv.push({ x, y, size: CELL, cls, page, by });
      });
      top += h / 2;
    });
    $("mem-kv").setAttribute("aria-label", `KV pages by session. ${$("mem-kv-said").textContent}`);
  }

  /** A stripe for everyone who holds it: those of sessions above, what is kept of them paler. */
  #cell(c, by, x, y, size) {
    c.fillStyle = NOBODY;
    c.fillRect(x, y, size, size);
    const seen = [...new Map(by.map(b => [`${b.session} ${b.cached}`, b])).values()]
      .sort((a, b) => a.cached - b.cached || a.session - b.session);
    seen.forEach(({ session, cached }, i) => {
      c.globalAlpha = cached ? CACHED : 1;
      c.fillStyle = session < 0 ? OTHER : SESSIONS[session % 8];
      c.fillRect(x, y + size * i / seen.length, size, size / seen.length);
    });
    c.globalAlpha = 1;
  }

  #pageTip(x, y) {
    const hit = this.#kv.find(k => x >= k.x && x < k.x + k.size && y >= k.y && y < k.y + k.size);
    if (!hit) return "";
    const whose = [...new Set(hit.by.map(holderText))].join(", ");
    return `page ${hit.page} of ${CLASSES[hit.cls]}: ${whose
      ? `held ${hit.by.length === 1 ? "once" : `${hit.by.length} times`} (${whose})` : "free"}`;
  }

  // ---- figures --------------------------------------------------------------------------------------------
  #figures(s) {
    const { pages } = s.whole, used = pages ? usedBytes(pages) : 0, shared = pages ? sharedBytes(pages) : 0;
    const weights = s.whole.tensors.reduce((sum, t) => sum + t.bytes, 0);
    const sessions = new Set(pages?.held.filter(q => !q.cached).map(q => q.session));
    setText($("mem-kv-said"), pages ? `${bytes(used)} in use by ${sessions.size} session`
      + `${sessions.size === 1 ? "" : "s"} and what is kept of them; sharing saves ${bytes(shared)}` : "");
    const gpu = s.memory.gpu_allocated || 0;
    const text = [["weights", weights], ["KV in use", used], ["KV shared", shared], ["wasm", s.wasm],
      ["GPU", gpu]].filter(([, n]) => n > 0).map(([name, n]) => `${name} ${bytes(n)}`).join(" · ");
    setText($("mem-figures"), text || "nothing is loaded");
  }
}
