// unicode_tables.mjs - writes src/text/unicode_tables.c from the Unicode data of the running Node.
// usage: node tools/unicode_tables.mjs > src/text/unicode_tables.c
// The classes are those that the pre-tokenizers' patterns name; see src/text/unicode.h for the bits.
const BLOCK = 128;
const sets = [
  [1, /^[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]$/u],
  [2, /^[\p{Ll}\p{Lm}\p{Lo}\p{M}]$/u],
  [4, /^\p{L}$/u],
  [8, /^\p{N}$/u],
  [16, /^\p{White_Space}$/u],
];
const classOf = (cp) => {
  const s = String.fromCodePoint(cp);
  return sets.reduce((bits, [bit, re]) => (re.test(s) ? bits | bit : bits), 0);
};

const blocks = new Map(); // a block's text -> its number
const stage1 = [];
for (let base = 0; base < 0x110000; base += BLOCK) {
  const surrogates = base >= 0xd800 && base < 0xe000;
  const row = Array.from({ length: BLOCK }, (_, i) => (surrogates ? 0 : classOf(base + i))).join(',');
  if (!blocks.has(row)) blocks.set(row, blocks.size);
  stage1.push(blocks.get(row));
}
if (blocks.size > 256) throw new Error(`${blocks.size} blocks do not fit a byte`);

const wrap = (numbers) => {
  const lines = [];
  let line = '   ';
  for (const n of numbers) {
    const item = ` ${n},`;
    if (line.length + item.length > 108) { lines.push(line); line = '   '; }
    line += item;
  }
  return lines.concat(line).join('\n');
};
const cells = [...blocks.keys()].flatMap((row) => row.split(','));
process.stdout.write(`/* unicode_tables.c - made by tools/unicode_tables.mjs from Unicode ${process.versions.unicode}: don't edit. */
#include "unicode.h"

const char goss_unicode_version[] = "${process.versions.unicode}";
const uint8_t goss_unicode_stage1[${stage1.length}] = {
${wrap(stage1)}
};
const uint8_t goss_unicode_stage2[${cells.length}] = {
${wrap(cells)}
};
`);
