// versus.js - two versions of an answer side by side: their common beginning, the first difference, how
// probable each was.
import { el, percent, visible } from "./dom.js";

const CONTROL = /^<\|.*\|>$/;

/** How many tokens they share from the first on. */
export function sharedTokens(a, b) {
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n][0] === b[n][0]) n++;
  return n;
}

/** The mean probability of tokens from number `from` on, as their geometric mean. */
export function likely(tokens, from = 0) {
  const all = tokens.slice(from).map(t => t[2]).filter(p => p > 0);
  return all.length ? Math.exp(all.reduce((sum, p) => sum + Math.log(p), 0) / all.length) : NaN;
}

/** Also of what was hardly possible. */
const share = p => !Number.isFinite(p) ? "—" : p < 0.001 ? `${+(100 * p).toPrecision(2)}%` : percent(p);

function word([id, text, p], i, n) {
  const kind = i < n ? "same" : i === n ? "first" : "rest", control = CONTROL.test(text) ? " ctl" : "";
  const node = el("span", { title: `id ${id}, ${share(p)}` }, text);
  node.className = `${kind}${control}`;
  return node;
}

function column(name, tokens, n) {
  const first = tokens[n], said = first ? `"${visible(first[1])}" ${share(first[2])}` : "it ends here";
  return el("div", null, el("b", null, name),
    el("p.note", null, `then ${said}; from there ${share(likely(tokens, n))} a token`),
    el("p", null, ...tokens.map((t, i) => word(t, i, n))));
}

/** versions: two of {name, tokens}; without its tokens a version can't be compared. */
export function versus(a, b) {
  const lacks = [a, b].filter(v => !v.tokens?.length).map(v => v.name);
  if (lacks.length) {
    return el("p.note", null,
      `${lacks.join(" and ")}: its tokens were not kept, so it can't be compared.`);
  }
  const n = sharedTokens(a.tokens, b.tokens);
  const all = n === a.tokens.length && n === b.tokens.length;
  const note = `${n} tokens are the same${all ? ", all of them" : ""}.`;
  return el("div", null, el("p.note", null, note),
    el("div.two", null, column(a.name, a.tokens, n), column(b.name, b.tokens, n)));
}
