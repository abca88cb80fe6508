// markdown.js - a model's Markdown as DOM nodes. Only what it builds here can appear: no HTML of the model is ever parsed.
// Links open only http(s) and mailto addresses. Blocks: headings, lists, quotes, fences, tables, rules, paragraphs.
import { el } from "./dom.js";

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*([^*]+)\*\*|__([^_]+)__|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>"')\]]+)/g;

function link(text, href) {
  return /^(https?:|mailto:)/i.test(href) ? el("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, text) : document.createTextNode(text);
}

function inline(text) {
  const out = [];
  let at = 0;
  for (const m of text.matchAll(INLINE)) {
    if (m.index > at) out.push(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[2] != null) out.push(el("code", null, m[2].trim()));
    else if (m[3] ?? m[4]) out.push(el("strong", null, ...inline(m[3] ?? m[4])));
    else if (m[5]) out.push(el("em", null, ...inline(m[5])));
    else if (m[6]) out.push(link(m[6], m[7]));
    else out.push(link(m[8], m[8]));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

const cells = line => line.trim().replace(/^\||\|$/g, "").split("|").map(c => c.trim());
const bullet = line => /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/.exec(line);

function table(lines, i) {
  const head = cells(lines[i]), rows = [];
  for (i += 2; i < lines.length && lines[i].includes("|"); i++) rows.push(cells(lines[i]));
  const row = (tag, r) => el("tr", null, ...r.map(c => el(tag, null, ...inline(c))));
  return [el("table", null, el("thead", null, row("th", head)), el("tbody", null, ...rows.map(r => row("td", r)))), i];
}

function list(lines, i, depth) {
  const first = bullet(lines[i]), node = el(/\d/.test(first[2]) ? "ol" : "ul");
  for (let m; i < lines.length && (m = bullet(lines[i]));) {
    if (m[1].length < first[1].length) break;
    if (m[1].length > first[1].length + 1 && node.lastElementChild && depth < 8) {
      const [inner, next] = list(lines, i, depth + 1);
      node.lastElementChild.append(inner);
      i = next;
    } else { node.append(el("li", null, ...inline(m[3]))); i++; }
  }
  return [node, i];
}

function fence(lines, i) {
  const open = /^\s*(```+|~~~+)/.exec(lines[i])[1], body = [];
  for (i++; i < lines.length && !lines[i].trim().startsWith(open); i++) body.push(lines[i]);
  return [el("pre", { tabindex: "0" }, el("code", null, body.join("\n"))), i + 1];
}

/** Nodes for the whole text; an unfinished fence or list is drawn as far as it goes. */
export function markdown(text) {
  const lines = text.split("\n"), out = [];
  for (let i = 0; i < lines.length;) {
    const line = lines[i], heading = /^(#{1,6})\s+(.*)$/.exec(line);
    let node;
    if (/^\s*(```|~~~)/.test(line)) [node, i] = fence(lines, i);
    else if (heading) { node = el(`h${Math.min(5, heading[1].length + 2)}`, null, ...inline(heading[2])); i++; }
    else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) { node = el("hr"); i++; }
    else if (bullet(line)) [node, i] = list(lines, i, 0);
    else if (/^\s*>/.test(line)) {
      const body = [];
      for (; i < lines.length && /^\s*>/.test(lines[i]); i++) body.push(lines[i].replace(/^\s*> ?/, ""));
      node = el("blockquote", null, ...inline(body.join("\n")));
    } else if (line.includes("|") && /^\s*\|?[\s:|-]*-[\s:|-]*$/.test(lines[i + 1] ?? "") && lines[i + 1].includes("-")) [node, i] = table(lines, i);
    else if (!line.trim()) { i++; continue; } else {
      const body = [];
      for (; i < lines.length && lines[i].trim() && !/^\s*(```|~~~|>|#{1,6}\s)/.test(lines[i]) && !bullet(lines[i]); i++) body.push(lines[i]);
      if (!body.length) body.push(lines[i++]);
      node = el("p", null, ...inline(body.join("\n")));
    }
    out.push(node);
  }
  return out;
}
