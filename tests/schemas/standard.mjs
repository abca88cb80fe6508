// standard.mjs - the cases of the JSON-Schema-Test-Suite (Debian's package
// libtest-json-schema-acceptance-perl has it) as run_try.mjs takes them.
//   node tests/schemas/standard.mjs FOLDER 2020-12|7 [--list]     measures one draft
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from './order.mjs';
import { measure, report } from './run_try.mjs';

const drafts = {
    7: ['draft7', 'http://json-schema.org/draft-07/schema#'],
    '2020-12': ['draft2020-12', 'https://json-schema.org/draft/2020-12/schema'],
};

/** Cases without a "$schema" get their draft's. The formats, which are optional there, assert here. */
export function standardCases(folder, draft) {
    const [name, uri] = drafts[draft],
        cases = [];
    for (const part of ['', 'optional/format'])
        for (const file of readdirSync(join(folder, name, part))
            .filter((f) => f.endsWith('.json'))
            .sort()) {
            if (part === '' && file === 'format.json') continue; // there formats say nothing
            for (const group of parse(readFileSync(join(folder, name, part, file), 'utf8'))) {
                const bare =
                    group.schema !== null &&
                    typeof group.schema === 'object' &&
                    group.schema.$schema === undefined;
                cases.push({
                    name: `${draft} ${file} ${group.description}`,
                    tests: group.tests,
                    schema: bare ? { $schema: uri, ...group.schema } : group.schema,
                });
            }
        }
    return cases;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
    report(measure(standardCases(process.argv[2], process.argv[3]), {}), process.argv.includes('--list'));
