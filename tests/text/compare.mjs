// compare.mjs - our encoder against the tiktoken package (the reference implementation in Rust, as
// WebAssembly), id by id, on nasty and random strings.
// usage: node compare.mjs o200k|gpt2 VOCAB_TOOL VOCAB.gguf COUNT [SEED]
// Packages written in JavaScript won't do: their \s has U+FEFF and lacks U+0085.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { nasty, random, randomString } from './strings.mjs';
const require = createRequire(import.meta.url);
const [kind, tool, vocab, count, seed = '1'] = process.argv.slice(2);
const reference = require('tiktoken').get_encoding(kind === 'o200k' ? 'o200k_base' : 'gpt2');
const r = random(Number(seed));
const strings = [...nasty];
while (strings.length < Number(count)) strings.push(randomString(r));

const chunks = [];
for (const s of strings) {
  const b = Buffer.from(s, 'utf8'), len = Buffer.alloc(4);
  len.writeUInt32LE(b.length);
  chunks.push(len, b);
}
const run = spawnSync(tool, ['encode', vocab], { input: Buffer.concat(chunks), maxBuffer: 1 << 30 });
if (run.status !== 0) {
  console.log(`${tool}: ${run.stderr}`);
  console.log(`compare ${kind}: 0 passed, 1 failed`);
  process.exit(1);
}
const lines = run.stdout.toString().split('\n');
let failed = 0;
strings.forEach((s, i) => {
  const want = Array.from(reference.encode_ordinary(s)).join(' ');
  if (lines[i] === want) return;
  if (failed++ < 10) console.log(`${JSON.stringify(s)}\n  ours ${lines[i]}\n  want ${want}`);
});
console.log(`compare ${kind} (seed ${seed}): ${strings.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
