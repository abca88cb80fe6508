// measure.mjs - what share of a folder's schemas passes: compiles, takes every valid instance, refuses every
// invalid one.
//   node tests/schemas/measure.mjs FOLDER [--walks N] [--seed N] [--list] [--tool build/cc/schemas/try]
// A file is {"schema": ..., "tests": [{"data": ..., "valid": true or false}]}.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from './order.mjs';
import { measure, report } from './run_try.mjs';

const [folder, ...rest] = process.argv.slice(2);
const option = (name, absent) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : absent);
const cases = readdirSync(folder)
    .filter((f) => f.endsWith('.json'))
    .sort()
    .map((name) => {
        const { schema, tests } = parse(readFileSync(join(folder, name), 'utf8'));
        return { name, schema, tests };
    });
const result = measure(cases, {
    tool: option('--tool'),
    walks: Number(option('--walks', 0)),
    seed: option('--seed', '1'),
});
report(result, rest.includes('--list'));
process.exitCode = result.wrong.length ? 1 : 0;
