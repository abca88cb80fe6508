// make_vocab.mjs - writes a GGUF that holds nothing but a tokenizer, from the ranks of the pinned tiktoken
// package.
// usage: node make_vocab.mjs o200k|gpt2|llama3 OUT.gguf
// o200k: gpt-oss's vocabulary with its control tokens. gpt2: r50k's ranks with a merges list. llama3:
// cl100k's ranks with a merges list and Llama-3's pre-tokenizer (for speed and look-ups; Llama-3's own
// vocabulary is not on npm).
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const [kind, out] = process.argv.slice(2);
const source = { o200k: 'o200k_base', gpt2: 'gpt2', llama3: 'cl100k_base' }[kind];
const data = require(`tiktoken/encoders/${source}.json`);
const ranks = data;

const tokens = []; // id -> Buffer
for (const line of ranks.bpe_ranks.split('\n')) {
  const [, start, ...items] = line.split(' ');
  items.forEach((item, i) => { tokens[Number(start) + i] = Buffer.from(item, 'base64'); });
}
const n = tokens.length;

const letters = [];
for (let b = 0, extra = 0; b < 256; b++) {
  const printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  letters[b] = String.fromCodePoint(printable ? b : 0x100 + extra++);
}
const spell = (bytes) => Array.from(bytes, (b) => letters[b]).join('');

// For each token of two bytes and more the pair that was merged last on the way to it: merge its bytes with
// lower ranks only.
const rankOf = new Map(tokens.map((t, i) => [t.toString('latin1'), i]));
function lastMerge(bytes, limit) {
  let parts = Array.from(bytes, (b) => String.fromCharCode(b));
  while (parts.length > 2) {
    let best = limit, at = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const r = rankOf.get(parts[i] + parts[i + 1]);
      if (r !== undefined && r < best) { best = r; at = i; }
    }
    if (at < 0) return null;
    parts.splice(at, 2, parts[at] + parts[at + 1]);
  }
  return parts;
}

const names = tokens.map(spell);
const types = new Array(n).fill(1);
const special = (id, name) => { names[id] = name; types[id] = 3; };
const keys = [];
if (kind === 'o200k') {
  for (let id = 199998; id < 200019; id++) special(id, `<|reserved_${id}|>`);
  Object.entries({ 199998: 'startoftext', 199999: 'endoftext', 200002: 'return', 200003: 'constrain',
    200005: 'channel', 200006: 'start', 200007: 'end', 200008: 'message', 200012: 'call',
    200018: 'endofprompt' }).forEach(([id, name]) => special(Number(id), `<|${name}|>`));
  for (let id = 200019; id < 201088; id++) { names[id] = `[PAD${id}]`; types[id] = 5; }
  keys.push(['tokenizer.ggml.pre', 'gpt-4o'], ['tokenizer.ggml.bos_token_id', 199998],
    ['tokenizer.ggml.eos_token_id', 200002]);
} else if (kind === 'gpt2') {
  special(50256, '<|endoftext|>');
  keys.push(['tokenizer.ggml.pre', 'gpt-2'], ['tokenizer.ggml.bos_token_id', 50256],
    ['tokenizer.ggml.eos_token_id', 50256]);
} else {
  ['begin_of_text', 'end_of_text', 'start_header_id', 'end_header_id', 'eot_id']
    .forEach((s, i) => special(100256 + i, `<|${s}|>`));
  keys.push(['tokenizer.ggml.pre', 'llama-bpe'], ['tokenizer.ggml.bos_token_id', 100256],
    ['tokenizer.ggml.eos_token_id', 100260]);
}
for (let i = 0; i < names.length; i++) if (names[i] === undefined) { names[i] = `[PAD${i}]`; types[i] = 5; }
const merges = [];
if (kind !== 'o200k') {
  for (let id = 0; id < n; id++) {
    if (!tokens[id] || tokens[id].length < 2) continue;
    const pair = lastMerge(tokens[id], id);
    if (pair) merges.push(pair.map((p) => spell(Buffer.from(p, 'latin1'))).join(' '));
  }
}

const chunks = [];
const u32 = (x) => { const b = Buffer.alloc(4); b.writeUInt32LE(x); chunks.push(b); };
const u64 = (x) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(x)); chunks.push(b); };
const str = (s) => { const b = Buffer.from(s, 'utf8'); u64(b.length); chunks.push(b); };
keys.unshift(['general.architecture', 'gpt-oss'], ['tokenizer.ggml.model', 'gpt2']);
keys.push(['tokenizer.ggml.tokens', names], ['tokenizer.ggml.token_type', Int32Array.from(types)]);
if (merges.length) keys.push(['tokenizer.ggml.merges', merges]);
chunks.push(Buffer.from('GGUF')); u32(3); u64(0); u64(keys.length);
for (const [key, value] of keys) {
  str(key);
  if (typeof value === 'string') { u32(8); str(value); }
  else if (typeof value === 'number') { u32(4); u32(value); }
  else if (value instanceof Int32Array) {
    u32(9);
    u32(5);
    u64(value.length);
    chunks.push(Buffer.from(value.buffer));
  }
  else { u32(9); u32(8); u64(value.length); value.forEach(str); }
}
const head = Buffer.concat(chunks);
writeFileSync(out, Buffer.concat([head, Buffer.alloc((32 - head.length % 32) % 32)]));
