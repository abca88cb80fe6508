// answers.mjs - the valid instances of a folder's schemas as lines for mask_times, in the form that automata
// take: {"schema": ..., "texts": [...]}.
//   node tests/schemas/answers.mjs FOLDER [EVERY] | build/cc/schemas/mask_times build/test/o200k.gguf
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { judge } from './judge.mjs';
import { numbers, ordered, parse, write } from './order.mjs';

const [folder, every = '1'] = process.argv.slice(2);
const names = readdirSync(folder).filter((f) => f.endsWith('.json')).sort();
for (const name of names.filter((_, i) => i % Number(every) === 0)) {
    const { schema, tests } = parse(readFileSync(join(folder, name), 'utf8'));
    const j = judge(numbers(schema), 2020);
    const at = j ? (pointer, v) => j.at(pointer, numbers(v)) : () => false;
    const texts = tests.filter((t) => t.valid).map((t) => ordered(schema, t.data, at));
    const line = Buffer.from(write({ schema, texts }) + '\n');
    for (let n = 0; n < line.length; ) n += writeSync(1, line, n);
}
