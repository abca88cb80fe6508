// markdown.js - a model's Markdown as DOM nodes. Only what it builds here can appear: no HTML of the model is
// ever parsed. Links open only http(s) and mailto addresses. Blocks: headings, lists, quotes, fences, tables,
// rules, paragraphs. It promises: whatever the text, its time grows with the text's length alone, blocks that
// are over are built once, and no more of a table is built at a time than a frame bears.
import { copyText, el } from "./dom.js";

/** A run of text is looked at in pieces of so many characters, a table is built in steps of so many cells. */
const PIECE = 2000, MARKS = 200, CELLS = 400, COLUMNS = 40, RULE_MOST = 200, COLOURED = 20000;
/** In this order: code, strong twice, emphasis, a link with a name, an address. */
const INLINE = new RegExp([/(`+)([^]*?[^`])\1(?!`)/, /\*\*([^*]+)\*\*/, /__([^_]+)__/, /\*([^*\s][^*]*)\*/,
  /\[([^\]]+)\]\(([^()\s]+)\)/, /(https?:\/\/[^\s<>"')\]]+)/].map(r => r.source).join("|"), "g");
const HEADING = /^(#{1,6})\s+(.*)$/, FENCE = /^\s*(```|~~~)/;

function link(text, href) {
  if (!/^(https?:|mailto:)/i.test(href)) return document.createTextNode(text);
  return el("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, text);
}

/** budget: {left: so many more marks are looked at}. */
function inlinePiece(text, budget) {
  const out = [];
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    if (budget.left-- <= 0) break;
    if (m.index > at) out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[2] != null) out.push(el("code", null, m[2].trim()));
    else if (m[3] ?? m[4]) out.push(el("strong", null, ...inlinePiece(m[3] ?? m[4], budget)));
    else if (m[5]) out.push(el("em", null, ...inlinePiece(m[5], budget)));
    else if (m[6]) out.push(link(m[6], m[7]));
    else out.push(link(m[8], m[8]));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** What has more marks than a frame bears is plain from there on. */
function inline(text) {
  const out = [], budget = { left: MARKS };
  let at = 0;
  for (; at < text.length && budget.left > 0; at += PIECE) {
    out.push(...inlinePiece(text.slice(at, at + PIECE), budget));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

const isRule = line => line.includes("-") && /^[\s:|-]+$/.test(line);
const cells = line => line.trim().replace(/^\||\|$/g, "").split("|").map(c => c.trim());
const bullet = line => /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/.exec(line);

function tableRow(tag, row) {
  const rest = row.length > COLUMNS ? [row.slice(COLUMNS - 1).join(" | ")] : [];
  const shown = [...row.slice(0, COLUMNS - rest.length), ...rest];
  return el("tr", null, ...shown.map(c => el(tag, null, ...inline(c))));
}

/** As many of these lines as a frame bears, and a button that adds the next ones. */
function addRows(body, rows, width) {
  const n = Math.max(1, Math.floor(CELLS / width)), rest = rows.slice(n), row = el("tr");
  body.append(...rows.slice(0, n).map(r => tableRow("td", cells(r))));
  if (!rest.length) return;
  const more = () => {
    row.remove();
    addRows(body, rest, width);
  };
  row.append(el("td", { colspan: String(width) },
    el("button.quiet", { type: "button", onclick: more }, `${rest.length} MORE ROWS`)));
  body.append(row);
}

function table(lines, i) {
  const head = cells(lines[i]), rows = [], body = el("tbody");
  for (i += 2; i < lines.length && lines[i].includes("|"); i++) rows.push(lines[i]);
  addRows(body, rows, Math.min(COLUMNS, head.length));
  const all = el("table", null, el("thead", null, tableRow("th", head)), body);
  return [el("div.table", { tabindex: "0", role: "group", "aria-label": "Table" }, all), i];
}

function list(lines, i, depth) {
  const first = bullet(lines[i]), node = el(/\d/.test(first[2]) ? "ol" : "ul");
  for (let m; i < lines.length && (m = bullet(lines[i]));) {
    if (m[1].length < first[1].length) break;
    if (m[1].length > first[1].length + 1 && node.lastElementChild && depth < 8) {
      const [inner, next] = list(lines, i, depth + 1);
      node.lastElementChild.append(inner);
      i = next;
    } else {
      node.append(el("li", null, ...inline(m[3])));
      i++;
    }
  }
  return [node, i];
}

/** Code, with a button that copies it; its colours come when it is over. */
function fence(lines, i) {
  const [, open, language] = /^\s*(```+|~~~+)\s*([\w+#-]*)/.exec(lines[i]), body = [];
  for (i++; i < lines.length && !lines[i].trim().startsWith(open); i++) body.push(lines[i]);
  const text = body.join("\n"), code = el("code", null, text);
  if (i < lines.length && text.length < COLOURED) {
    const paint = ({ coloured }) => code.replaceChildren(...coloured(text, language));
    import("./colours.js").then(paint, () => { /* without colours, then */ });
  }
  const copy = el("button.quiet", { type: "button", onclick: () => copyText(text) }, "COPY");
  const pre = el("pre", { tabindex: "0", role: "group", "aria-label": `Code ${language}`.trim() }, code);
  return [el("div.code", null, el("div.bar", null, el("span", null, language), copy), pre), i + 1];
}

function quote(lines, i) {
  const body = [];
  for (; i < lines.length && /^\s*>/.test(lines[i]); i++) body.push(lines[i].replace(/^\s*> ?/, ""));
  return [el("blockquote", null, ...inline(body.join("\n"))), i];
}

function heading(lines, i) {
  const [, marks, text] = HEADING.exec(lines[i]);
  return [el(`h${Math.min(5, marks.length + 2)}`, null, ...inline(text)), i + 1];
}

/** Lines up to one that begins another block; the first whatever it is. */
function paragraph(lines, i) {
  const ends = line => !line.trim() || /^\s*(```|~~~|>|#{1,6}\s)/.test(line) || bullet(line);
  const body = [lines[i++]];
  while (i < lines.length && !ends(lines[i])) body.push(lines[i++]);
  return [el("p", null, ...inline(body.join("\n"))), i];
}

/** The block that begins at line i, and the line behind it. */
function block(lines, i) {
  const line = lines[i];
  if (FENCE.test(line)) return fence(lines, i);
  if (HEADING.test(line)) return heading(lines, i);
  if (line.length < RULE_MOST && /^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return [el("hr"), i + 1];
  if (bullet(line)) return list(lines, i, 0);
  if (/^\s*>/.test(line)) return quote(lines, i);
  if (line.includes("|") && isRule(lines[i + 1] ?? "")) return table(lines, i);
  return paragraph(lines, i);
}

/** The blocks of the text: [{node, end: where the next one begins}]. */
function blocks(text) {
  const lines = text.split("\n"), out = [], starts = [0];
  for (const line of lines) starts.push(starts.at(-1) + line.length + 1);
  for (let i = 0, node; i < lines.length;) {
    if (!lines[i].trim()) {
      i++;
      continue;
    }
    [node, i] = block(lines, i);
    out.push({ node, end: starts[Math.min(i, lines.length)] });
  }
  return out;
}

/** Nodes for the whole text; an unfinished fence or list is drawn as far as it goes. */
export const markdown = text => blocks(text).map(b => b.node);

/** Characters that make no mark and end none, and how long a paragraph is before they can make it no other
 * block any more. */
const PLAIN = /^[\p{L}\p{N} ,.;!?'"’“”-]*$/u, SURELY = 16;

/** Text that grows, in a node: a block that another one follows is over, and stays as it is. Plain text
 * behind a paragraph is a node more, so that what is laid out already stays. */
export class Growing {
  #node;
  #over = "";                        // the text of the blocks that are over
  #last = null;                      // the node of the one that may still change
  #text = "";                        // what is drawn
  constructor(node) { this.#node = node; }

  draw(text) {
    const more = text.slice(this.#text.length), last = this.#last;
    const plain = last?.localName === "p" && last.lastChild instanceof Text && text.startsWith(this.#text)
      && PLAIN.test(more) && this.#text.length - this.#over.length >= SURELY;
    this.#text = text;
    if (plain) last.append(more);
    else this.#anew(text);
  }

  #anew(text) {
    if (!text.startsWith(this.#over)) {
      this.#over = "";
      this.#last = null;
      this.#node.replaceChildren();
    }
    const found = blocks(text.slice(this.#over.length));
    this.#last?.remove();
    this.#node.append(...found.map(b => b.node));
    this.#last = found.at(-1)?.node ?? null;
    if (found.length > 1) this.#over = text.slice(0, this.#over.length + found.at(-2).end);
  }
}
