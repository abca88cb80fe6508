// run_try.mjs - runs build/cc/schemas/try over cases {name, schema, tests: [{data, valid}]} and counts.
import { spawnSync } from 'node:child_process';
import { judge } from './judge.mjs';
import { numbers, ordered, write } from './order.mjs';

function prepared(c, walks, absent) {
    const j = judge(numbers(c.schema), absent);
    const texts = c.tests.map((t) =>
        ordered(c.schema, t.data, j ? (pointer, v) => j.at(pointer, numbers(v)) : () => false),
    );
    return { ...c, judge: j, line: write({ schema: c.schema, texts, walks }), texts };
}

/** What the tool answers to lines, parsed. */
function answers(tool, seed, lines) {
    const run = spawnSync(tool, [seed], {
        input: lines.map((line) => line + '\n').join(''),
        maxBuffer: 1 << 30,
    });
    const out = run.stdout.toString('utf8').split('\n').filter(Boolean);
    if (run.status !== 0 || out.length !== lines.length)
        throw new Error(
            `${tool}: ${out.length} of ${lines.length} answers, status ${run.status} ${run.signal ?? ''}`,
        );
    return out.map((line) => JSON.parse(line));
}

/** What compiling takes in basic blocks, on any machine: {most: 99 % take less, all: all together}. */
export function work(cases) {
    const lines = cases.map((c) => write({ schema: c.schema, texts: [], walks: 0 }));
    const blocks = answers('build/cc/schemas/try_counted', '1', lines).map((a) => a.work);
    const sorted = [...blocks].sort((a, b) => a - b);
    return { most: share(sorted, 0.99), all: blocks.reduce((sum, n) => sum + n, 0) };
}

/** {n, passed, refused: Map, wrong: [], missed: [], walks, ms: []} */
export function measure(cases, { tool = 'build/cc/schemas/try', walks = 0, seed = '1', absent = 2020 } = {}) {
    const all = cases.map((c) => prepared(c, walks, absent));
    const lines = answers(tool, seed, all.map((c) => c.line));
    const out = {
        n: all.length,
        compiled: 0,
        passed: 0,
        texts: 0,
        refused: [],
        wrong: [],
        missed: [],
        walks: 0,
        unjudged: 0,
        ms: [],
        bytes: [],
    };
    all.forEach((c, i) => count(out, c, lines[i]));
    return out;
}

function count(out, c, got) {
    out.ms.push(got.ms);
    if (got.error) {
        out.refused.push({ name: c.name, error: got.error, code: got.code });
        return;
    }
    out.compiled++;
    out.bytes.push(got.bytes);
    let good = true;
    c.tests.forEach((t, i) => {
        out.texts++;
        if (!!got.accepts[i] === t.valid) return;
        good = false;
        const bytes = Buffer.from(c.texts[i]),
            at = got.reads[i];
        const text = t.valid
            ? `${bytes.subarray(Math.max(0, at - 60), at)} >>> ${bytes.subarray(at, at + 40)}`
            : c.texts[i];
        (t.valid ? out.missed : out.wrong).push({ name: c.name, text });
    });
    for (const w of got.walks) {
        if (!c.judge) {
            out.unjudged++;
            continue;
        }
        out.walks++;
        let value,
            valid = false;
        try {
            value = JSON.parse(w);
            valid = c.judge.root(value);
        } catch {
            /* no JSON: wrong */
        }
        if (valid) continue;
        good = false;
        out.wrong.push({ name: c.name, text: w, walk: true, errors: JSON.stringify(c.judge.root.errors) });
    }
    if (good) out.passed++;
}

const share = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

export function report(r, list) {
    const ms = [...r.ms].sort((a, b) => a - b);
    const bytes = [...r.bytes].sort((a, b) => a - b);
    const percent = ((100 * r.passed) / r.n).toFixed(1);
    console.log(`${r.n} schemas: ${r.compiled} compile, ${r.passed} pass (${percent} %)`);
    console.log(`${r.texts} texts, ${r.walks} walks judged, ${r.unjudged} not`);
    console.log(`${r.wrong.length} wrong accepts, ${r.missed.length} valid ones not taken`);
    const [half, most, longest] = [0.5, 0.99, 1].map((q) => share(ms, q).toFixed(1));
    console.log(`compiling: median ${half} ms, 99 % under ${most} ms, the longest ${longest} ms`);
    console.log(`graphs: median ${share(bytes, 0.5)} bytes, the largest ${share(bytes, 1)}`);
    const reasons = new Map();
    for (const { error } of r.refused) {
        const key = error
            .replace(/ \(.*$/, '')
            .replace(/"[^"]*"/g, (q) => (error.includes('keyword') ? q : '"..."'));
        reasons.set(key, (reasons.get(key) ?? 0) + 1);
    }
    for (const [reason, n] of [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 40))
        console.log(`${String(n).padStart(5)} ${reason}`);
    if (list) {
        for (const m of r.missed) console.log(`missed ${m.name} ${m.text.slice(0, 300)}`);
        for (const e of r.refused) console.log(`refused ${e.name}: ${e.error}`);
    }
    for (const w of r.wrong.slice(0, 40)) {
        const walk = w.walk ? ' (walk)' : '';
        console.log(`WRONG ${w.name}${walk} ${w.text.slice(0, 300)} ${(w.errors ?? '').slice(0, 300)}`);
    }
}
