// suite.mjs - the automata against second opinions: zod, ajv, JavaScript's patterns, the standard's own
// cases, real schemas.
//   node tests/schemas/suite.mjs [--real FOLDER] [--standard FOLDER] [--seed N]
// No text that an automaton takes may be wrong. How many schemas pass may only grow: floors.json.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from './order.mjs';
import { randomCases } from './random_cases.mjs';
import { measure, report, work } from './run_try.mjs';
import { standardCases } from './standard.mjs';
import { zodCases } from './zod_cases.mjs';

const floors = JSON.parse(readFileSync(new URL('floors.json', import.meta.url), 'utf8'));
const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : null);
const seed = option('--seed') ?? '1';
let passed = 0,
    failed = 0,
    skipped = 0;

function check(name, good) {
    if (good) passed++;
    else {
        failed++;
        console.log(`FAIL ${name}`);
    }
}

function part(name, cases, walks, floor) {
    const r = measure(cases, { walks, seed });
    console.log(`\n${name}`);
    report(r);
    check(`${name}: ${r.wrong.length} wrong accepts`, r.wrong.length === 0);
    check(
        `${name}: every refusal has a reason and a place`,
        r.refused.every((e) => (e.code === -6 || e.code === -7) && e.error.includes('(at #')),
    );
    check(`${name}: ${r.passed} pass, the floor is ${floor}`, r.passed >= floor);
    return r;
}

/** Patterns as JavaScript takes them. */
function patternCases() {
    const patterns = [
        '^[a-z]+$',
        'b',
        '^a|b$',
        '^(a|b)*$',
        '^$|^x',
        'a{2,3}',
        '^[^a-c]$',
        '\\d\\s\\w',
        '\\D',
        '\\S',
        '\\W',
        '^.$',
        '[\\s\\S]',
        '^\\s*$',
        '^(?=.*[A-Z])(?=.*\\d).{3,}$',
        '^(?!.*b)',
        'a(?!b)',
        '^(?:ab|cd){2}$',
        '^[\\u0041-\\u005a]+$',
        '^\\x41',
        '^[\\x00-\\x1f]$',
        '\\t',
        '^a\\.b$',
        '^[-a]$',
        '^[a\\-]$',
        '^(?<n>a)b$',
        '^(a*)*$',
        '^(a+)+$',
        '(^a|c)b',
        'a(b$|c)',
        '^a?b??c*?$',
        '^\\/$',
        '^"\\\\$',
        '^é+$',
        '^[à-ü]$',
        '^\\u{1F600}$',
        '^.{3}$',
        '\\n$',
        '^[\\n\\r]+$',
        '^(|a)$',
        '$',
        '^',
        '(?=b)',
    ];
    const texts = [
        '',
        'a',
        'b',
        'ab',
        'ba',
        'abab',
        'cdab',
        'aab',
        'aaa',
        'c',
        'cb',
        'xab',
        'abc',
        'A',
        'AZ',
        'Ab1',
        'aB12',
        '1 a',
        ' ',
        '\t',
        '\n',
        '\r\n',
        '\u0001',
        '\u001f',
        '\u00a0',
        '\u2028',
        '"\\',
        '/',
        'é',
        'éé',
        'ü',
        '😀',
        '😀😀😀',
        'a.b',
        'axb',
        '-',
        'ac',
        'a\nb',
    ];
    return patterns.map((pattern) => ({
        name: pattern,
        schema: { type: 'string', pattern },
        tests: texts.map((data) => ({ data, valid: new RegExp(pattern, 'u').test(data) })),
    }));
}

/** Counted, not timed: the machine may be busy. Other C compilers make other blocks: half more is let be. */
function compiling(cases) {
    const { most, all } = work(cases);
    for (const [what, got, floor] of [
        ['99 % of the schemas', most, floors.work.most],
        ['all', all, floors.work.all],
    ])
        check(`compiling ${what}: ${got} basic blocks, ${floor} are known`, got > 0 && got <= 1.5 * floor);
    console.log(`compiling: 99 % take less than ${most} basic blocks, all together ${all}`);
}

part('zod', zodCases(), 40, floors.zod);
part('patterns', patternCases(), 30, floors.patterns);
const drawn = randomCases(Number(seed), 400);
part('random', drawn, 6, seed === '1' ? Math.floor(floors.random * drawn.length) : 0);
for (const draft of ['2020-12', '7']) {
    if (!option('--standard')) {
        skipped++;
        console.log(`SKIP draft ${draft}: the JSON-Schema-Test-Suite is not there`);
        continue;
    }
    const r = part(`draft ${draft}`, standardCases(option('--standard'), draft), 0, floors[`draft ${draft}`]);
    check(`draft ${draft}: three quarters of the schemas compile`, r.compiled >= 0.75 * r.n);
}
if (!option('--real')) {
    skipped++;
    console.log('SKIP maskbench-dev: no ../shared/schemas');
} else {
    const folder = option('--real');
    const cases = readdirSync(folder)
        .sort()
        .map((name) => ({ name, ...parse(readFileSync(join(folder, name), 'utf8')) }));
    part('maskbench-dev', cases, 1, floors['maskbench-dev']);
    compiling(cases);
}
console.log(`\nschemas: ${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed ? 1 : 0;
