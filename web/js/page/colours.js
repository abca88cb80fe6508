// colours.js - the colours of code: comments, texts, numbers, words that a language keeps. Fetched
// when the first code is there. It knows families of languages, not their grammars: one pattern, one pass.
import { el } from "./dom.js";

const C_LIKE = "auto bool break case catch char class const continue default delete do double else enum "
  + "export extends extern false final finally float for from function if import in inline "
  + "instanceof int interface let long match mut namespace new null nullptr of package private "
  + "protected public return short signed sizeof static struct super switch template this throw "
  + "true try type typedef typeof undefined union unsigned use using var virtual void volatile "
  + "while yield async await fn impl pub self where go func chan defer map range select";
const SCRIPT = "and as assert async await begin break case class continue def del do done elif else end esac "
  + "except export False fi finally for from function global if import in is lambda local module "
  + "None nonlocal not or pass raise return self then True try unless until when while with yield";
const SQL = "all and as asc between by case create delete desc distinct drop else end exists from full "
  + "group having in inner insert into is join key left like limit not null on or order outer "
  + "primary right select set table then union unique update values view when where with";

const TEXT = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/.source, NUMBER = /\b\d[\w.]*\b/.source;
const WORD = /[A-Za-z_$][\w$]*/.source;
const pattern = (comment, text) => new RegExp(`(${comment.source})|(${text})|(${NUMBER})|(${WORD})`, "g");
const setOf = words => new Set(words.split(" "));
const C = { words: setOf(C_LIKE), pattern: pattern(/\/\/[^\n]*|\/\*[^]*?\*\//, `${TEXT}|\`[^\`]*\``) };
const HASH = { words: setOf(SCRIPT), pattern: pattern(/#[^\n]*/, `"""[^]*?"""|${TEXT}`) };
const DASH = { words: setOf(SQL), pattern: pattern(/--[^\n]*|\/\*[^]*?\*\//, TEXT), anyCase: true };
const MARKUP = { words: new Set(), pattern: pattern(/<!--[^]*?-->/, TEXT) };
const PLAIN = setOf("text txt plain markdown md output console").add("");
const OF = new Map([
  [HASH, "python py sh bash shell zsh ruby rb yaml yml toml r perl pl make makefile dockerfile"],
  [DASH, "sql lua haskell hs ada"], [MARKUP, "html xml svg"]]
  .flatMap(([family, names]) => names.split(" ").map(name => [name, family])));

const CLASSES = ["", "comment", "text", "number", "word"];

/** The nodes of a piece of code. */
export function coloured(code, language = "") {
  const name = language.toLowerCase();
  if (PLAIN.has(name)) return [code];
  const { pattern: parts, words, anyCase } = OF.get(name) ?? C, out = [];
  let plain = 0;
  for (const m of code.matchAll(parts)) {
    const kind = m.findIndex((x, i) => i && x !== undefined);
    if (kind === 4 && !words.has(anyCase ? m[0].toLowerCase() : m[0])) continue;
    if (m.index > plain) out.push(code.slice(plain, m.index));
    out.push(el(`span.c-${CLASSES[kind]}`, null, m[0]));
    plain = m.index + m[0].length;
  }
  if (plain < code.length) out.push(code.slice(plain));
  return out;
}
