// crowd.mjs [SECONDS] - 60 clients talk to one server for SECONDS (25), and then have the same conversations
// with three replicas behind HAProxy. Meanwhile one replica is killed and begins again later, and another is
// restarted. No answer differs, none is lost but streams of the killed one, which break where the client sees
// it, and prefixes are found again as with one server. build/test/crowd.json has what tools/scale.py predicts
// from.
import fs from 'node:fs';
import path from 'node:path';
import { assert, EQUAL, events, finish, root, serve, skip, sleep, test } from '../http/lib.mjs';
import { ask, cluster, figure, folder, hasProxy } from './replicas.mjs';

if (!hasProxy()) { skip('crowd', 'haproxy (2.6 or later) is not installed'); finish(); }
const seconds = Number(process.argv[2] || 25), CLIENTS = 60, TURNS = 3;
const chat = '/v1/chat/completions';
const limits = ['--max-sessions', '16', '--queue', '64', '--drain', '60'];
const apps = ['The crow counted the clouds above the forest. ',
    'Answer in one sentence. Be kind and be brief. ', 'You know the months, the colours and the capitals. ']
    .map((t) => t.repeat(12));
const questions = ['Which month comes after June?', 'What colour is the sky?', 'Tell me a joke.',
    'What is the capital of France?', 'How are you today?', 'Which month comes before May?',
    'What is 12 * 3?'];

// Conversation n, which nobody else has: its first words are its own.
const begin = (n) => [{ role: 'system', content: apps[n % 3] },
    { role: 'user', content: `My name is visitor ${n}. ${questions[n % 7]}` }];
const further = (n, turn) => ({ role: 'user', content: questions[(n + 3 * turn) % 7] });

// One turn: {text, prompt, reused, generated, first, whole, ...}, or {lost, replica, ...}.
async function turnOf(port, messages, turn, stream) {
    const t0 = performance.now();
    let first = 0;
    const body = { messages, temperature: 0, max_tokens: 32, stream,
        ...(stream && { stream_options: { include_usage: true } }) };
    const r = await ask(port, chat, body, { on: () => { first ||= performance.now() - t0; } });
    const whole = performance.now() - t0, replica = r.headers['x-replica'];
    const lost = { lost: `${r.status} ${r.cut} ${r.text.slice(-300)}`, replica, stream, status: r.status };
    if (r.status !== 200 || r.cut) return lost;
    let text = '', usage = null;
    if (!stream) {
        const j = JSON.parse(r.text);
        ({ usage } = j);
        text = j.choices[0].message.content;
    } else for (const { data } of events(r.text)) {
        if (data?.error || data === null) return lost;
        usage ??= data.usage;
        text += data.choices?.[0]?.delta?.content ?? '';
    }
    if (!usage) return lost;
    return { text, replica, turn, stream, first, whole, prompt: usage.prompt_tokens,
        generated: usage.completion_tokens, reused: usage.prompt_tokens_details.cached_tokens };
}

// Each client takes the next conversation until next() has none. on(n, turn, result) sees every turn.
async function crowd(port, next, on) {
    const client = async () => {
        for (let n = next(); n >= 0; n = next()) {
            const messages = begin(n);
            for (let turn = 0; turn < TURNS; turn++) {
                if (turn) messages.push(further(n, turn));
                let r;
                do on(n, turn, r = await turnOf(port, messages, turn, n % 2 === 1)); while (r.lost);
                messages.push({ role: 'assistant', content: r.text });
            }
        }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
}
const sum = (list, f) => list.reduce((a, x) => a + f(x), 0);
const share = (list) => sum(list, (x) => x.reused) / sum(list, (x) => x.prompt);
const processor = (s) => {
    const f = fs.readFileSync(`/proc/${s.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(f[11]) + Number(f[12])) / 100;
};
const counters = async (s) => ({ processor: processor(s), steps: await figure(s, 'steps_total'),
    rows: await figure(s, 'rows_total') });

const answers = new Map(), alone = [], costs = [];
let n = 0;
await test('one server answers the crowd', async () => {
    const s = await serve(['--threads', '1', ...EQUAL, '--prefix-cache', path.join(folder, 'one'),
        ...limits]);
    // what steps and rows cost: few sessions at first, then all
    const ends = JSON.parse((await ask(s.port, '/tokenize',
        { content: '<|return|><|end|><|call|><|endoftext|>', special: true })).text).tokens;
    costs.push(await counters(s));
    for (const sessions of [1, 4, 16]) {
        await Promise.all(Array.from({ length: sessions }, (_, i) => ask(s.port, '/v1/completions',
            { prompt: `Once ${i}`, max_tokens: 300, temperature: 1, seed: i,
                logit_bias: Object.fromEntries(ends.map((id) => [id, -100])) })));
        costs.push(await counters(s));
    }
    const began = performance.now(), end = began + 1000 * seconds;
    await crowd(s.port, () => performance.now() < end ? n++ : -1, (id, turn, r) => {
        assert.ok(!r.lost, r.lost);
        answers.set(`${id} ${turn}`, r.text);
        alone.push(r);
    });
    alone.seconds = (performance.now() - began) / 1000;
    costs.push(await counters(s));
    const found = await figure(s, 'reused_tokens_total') / await figure(s, 'prompt_tokens_total');
    assert.ok(Math.abs(found - share(alone)) < 0.01, 'clients and /metrics agree');
    await s.stop();
}, 600);

const many = [], lost = [];
let quiet = 0;
await test('three replicas answer it alike, though one is killed and one restarted', async () => {
    const c = await cluster([...limits, '--prefix-cache', path.join(folder, 'three')]);
    const total = answers.size, differ = [];
    let next = 0, killed = 0;
    const spent = async () => {
        const each = await Promise.all(Object.values(c.replicas).map(counters));
        return Object.fromEntries(Object.keys(each[0]).map((k) => [k, sum(each, (e) => e[k])]));
    };
    const before = await spent(), began = performance.now();
    const what = [[0.6, async () => {                             // until here nothing was disturbed
        const made = await spent();
        for (const k in made) made[k] -= before[k];
        quiet = { seconds: (performance.now() - began) / 1000, turns: many.length, ...made };
        killed = 'b';
        c.replicas.b.kill('SIGKILL');
    }], [0.7, () => c.again('b')], [0.8, async () => {
        const old = c.replicas.c;
        old.kill('SIGTERM');
        assert.equal((await old.exited).code, 0);
        await c.again('c');
    }]];
    const events = [];
    await crowd(c.port, () => next < n ? next++ : -1, (id, turn, r) => {
        if (r.lost) { lost.push(r); return; }
        many.push(r);
        if (r.text !== answers.get(`${id} ${turn}`)) differ.push(`${id} ${turn}: ${r.text}`);
        if (what.length && many.length >= what[0][0] * total) {
            const [, act] = what.shift();
            events.push((events.at(-1) ?? Promise.resolve()).then(act));
        }
    });
    await Promise.all(events);
    assert.equal(events.length, 3);
    assert.equal(many.length, total);
    assert.deepEqual(differ, []);
    const broken = (r) => r.replica === killed && r.stream && r.status === 200;
    assert.deepEqual(lost.filter((r) => !broken(r)), []);
    await c.stop();
}, 600);
await test('prefixes are found again', async () => {
    console.log(`crowd: ${answers.size} turns; one server ${alone.seconds.toFixed(1)} s, ` +
        `${(100 * share(alone)).toFixed(1)} % of prompts reused; three ` +
        `${(100 * share(many)).toFixed(1)} %, ${lost.length} streams broken by the kill`);
    assert.ok(share(alone) > 0.3);
    assert.ok(share(many) >= 0.9 * share(alone), `${share(many)} of ${share(alone)}`);
});
fs.mkdirSync(path.join(root, 'build/test'), { recursive: true });
fs.writeFileSync(path.join(root, 'build/test/crowd.json'), JSON.stringify({ clients: CLIENTS, sessions: 16,
    costs, alone: { seconds: alone.seconds, turns: alone },
    three: { ...quiet, turns: many.slice(0, quiet.turns) } }));
await sleep(0);
finish();
