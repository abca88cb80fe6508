// proxy_test.mjs - replicas behind HAProxy: where a request belongs (beginning.lua, in HAProxy itself), full
// and draining replicas, what is kept, what breaks, one folder of prefixes.
import fs from 'node:fs';
import path from 'node:path';
import { assert, events, finish, july, june, skip, sleep, test } from '../http/lib.mjs';
import { ask, cluster, figure, folder, hasProxy, mirror } from './replicas.mjs';

if (!hasProxy()) { skip('proxy', 'haproxy (2.6 or later) is not installed'); finish(); }
const chat = '/v1/chat/completions';
const user = (content) => ({ role: 'user', content });
const without = async (s) => { // an answer that goes on: no token that ends it
    const ids = [];
    for (const t of ['<|return|>', '<|end|>', '<|call|>', '<|endoftext|>'])
        ids.push(...JSON.parse((await ask(s.port, '/tokenize', { content: t, special: true })).text).tokens);
    return Object.fromEntries(ids.map((i) => [i, -100]));
};
const until = async (what) => { while (!(await what())) await sleep(10); };

// ---- where a request belongs ------------------------------------------------------------------------------
const hex = (text) => Buffer.from(text).toString('hex').toUpperCase();
await test('a conversation has one beginning, whatever follows', async () => {
    const m = await mirror('beginning');
    const port = Number(new URL(m.url).port);
    const key = async (body, headers) => (await ask(port, chat, body, { headers })).text;
    const s = { role: 'system', content: 'Be "kind" [and] {brief}. \\ \u00e9 "role":"user"' };
    const tools = [{ a: '"}]{\\' }];
    const one = await key({ model: 'm', tools, messages: [s, user('A?')], temperature: 0 });
    assert.equal(one, hex(JSON.stringify([s, user('A?')]).slice(0, -1)));
    const answer = { role: 'assistant', content: 'B' };
    assert.equal(await key({ messages: [s, user('A?'), answer, user('C?')] }), one);
    assert.notEqual(await key({ messages: [s, user('B?')] }), one);
    assert.notEqual(await key({ messages: [user('A?')] }), one);
    const pieces = { messages: [{ content: [{ type: 'text', text: 'x' }], role: 'user' }, user('y')] };
    assert.equal(await key(pieces), hex(JSON.stringify(pieces.messages.slice(0, 1)).slice(0, -1)));
    assert.equal(await key({ system: 'S', messages: [user('q'), user('r')] }),
        hex('"S"' + JSON.stringify([user('q')]).slice(0, -1)));
    assert.equal(await key({ instructions: 'S', input: 'q' }), hex('"S""q"'));
    assert.equal(await key({ prompt: 'p'.repeat(2000) }), hex('"' + 'p'.repeat(511)));
    // what a client says about it comes first
    assert.equal(await key({ prompt_cache_key: 'k-1', messages: [user('q')] }), hex('k-1'));
    assert.equal(await key({ messages: [user('q')] }, { 'session-id': 's-1' }), hex('s-1'));
    assert.equal(await key({ messages: [user('q')] }, { 'x-claude-code-session-id': 's-2' }), hex('s-2'));
    // no JSON, no body: the client's address
    for (const text of ['', 'no', '[', '{"a"', '{"a":1', '{"messages"', '{"messages":', 'null', '"x"'])
        assert.ok([hex('127.0.0.1'), ''].includes(await key(text)), text);
    // cut anywhere it is read as far as it goes
    const whole = JSON.stringify({ a: [1, { b: '\\"' }], messages: [s, user('A?')], c: 1.5e3, d: [] });
    for (let i = 0; i < whole.length; i++) await key(whole.slice(0, i));
    assert.equal(await key(whole), one);
    assert.equal(await key(whole.replaceAll('{', '{ ').replaceAll(',"c"', ' ,\n\t"c"')),
        hex(JSON.stringify([s, user('A?')]).slice(0, -1).replaceAll('{', '{ ')));
    assert.equal(await key({ x: 'y'.repeat(900000), messages: [s, user('A?')] }), one);
    assert.doesNotMatch(m.log(), /[Ll]ua/); // nothing went wrong in it
    await m.stop();
});
await test('what refers to a response names it', async () => {
    const m = await mirror('response');
    const port = Number(new URL(m.url).port);
    const key = async (url, body, method) => (await ask(port, url, body, { method })).text;
    assert.equal(await key('/v1/responses', { input: 'x', previous_response_id: 'resp_0a' }), hex('resp_0a'));
    assert.equal(await key('/v1/responses/resp_0b', '', 'GET'), hex('resp_0b'));
    assert.equal(await key('/v1/responses/resp_0b/input_items?limit=1', '', 'GET'), hex('resp_0b'));
    assert.equal(await key('/v1/responses', { input: 'x', previous_response_id: null }), '');
    await m.stop();
});

// ---- replicas ---------------------------------------------------------------------------------------------
const c = await cluster(['--max-sessions', '2', '--queue', '4', '--drain', '60', '--comment', '1',
    '--prefix-cache', path.join(folder, 'prefixes')]);
const endless = await without(c.replicas.a);
const long = (i) => ({ messages: [user(`Tell me story ${i}.`)], temperature: 0, max_tokens: 100000,
    stream: true, logit_bias: endless });
const short = (i) => ({ messages: [user(`Which month comes after June? (${i})`)], temperature: 0,
    max_tokens: 40 });
// A stream that goes on until end().
function open(port, body) {
    const stop = new AbortController();
    return { whole: ask(port, chat, body, { signal: stop.signal }), end: () => stop.abort() };
}
const running = (name) => figure(c.replicas[name], 'jobs_running');
const waiting = (name) => figure(c.replicas[name], 'jobs_waiting');
// Two streams that run, and four requests that wait. end() gives the latter's answers.
async function fill(name) {
    const { port } = c.replicas[name], streams = [], waits = [];
    for (let i = 0; i < 2; i++) {
        streams.push(open(port, long(i)));
        await until(async () => await running(name) === i + 1);
    }
    for (let i = 0; i < 4; i++) waits.push(ask(port, chat, short(i)));
    await until(async () => await waiting(name) === 4);
    return { end: () => { for (const s of streams) s.end(); return Promise.all(waits); } };
}
const total = async () => (await running('a')) + (await running('b')) + (await running('c'));

await test('the same beginning goes to the same replica, others are spread', async () => {
    const seen = new Set();
    for (let i = 0; i < 12; i++) {
        const messages = [user(`Question ${i}?`)], at = new Set();
        for (let turn = 0; turn < 3; turn++) {
            const r = await ask(c.port, chat, { messages, max_tokens: 4, temperature: 0 });
            assert.equal(r.status, 200);
            at.add(r.headers['x-replica']);
            messages.push({ role: 'assistant', content: 'Yes.' }, user('And?'));
        }
        assert.equal(at.size, 1);
        seen.add([...at][0]);
    }
    assert.equal(seen.size, 3);
});
await test('a response is continued and read where it is kept', async () => {
    for (let i = 0; i < 6; i++) {
        const first = await ask(c.port, '/v1/responses', { input: `Hello ${i}`, max_output_tokens: 8 });
        let { id } = JSON.parse(first.text);
        for (const stream of [false, true, false]) {
            const r = await ask(c.port, '/v1/responses',
                { input: `More ${i}`, previous_response_id: id, stream, max_output_tokens: 8 });
            assert.equal(r.status, 200, r.text);
            assert.equal(r.headers['x-replica'], first.headers['x-replica']);
            id = r.headers['x-response-id'];
        }
        assert.equal((await ask(c.port, `/v1/responses/${id}`, '', { method: 'GET' })).status, 200);
    }
});
await test('full replicas pass on what comes; when all are full the client hears it', async () => {
    const full = [await fill('a'), await fill('b')];
    for (let i = 0; i < 12; i++) {
        const r = await ask(c.port, chat, short(i));
        assert.deepEqual([r.status, r.headers['x-replica']], [200, 'c'], r.text);
    }
    full.push(await fill('c'));
    const none = await ask(c.port, chat, short(9));
    assert.deepEqual([none.status, JSON.parse(none.text).error.code, none.headers['retry-after']],
        [503, 'queue_full', '1']);
    for (const f of full) for (const r of await f.end()) assert.equal(r.status, 200);
    await until(async () => await total() === 0);
});
await test('a client that hangs up ends its session, behind the proxy as well', async () => {
    const one = open(c.port, long(1));
    await until(async () => await total() === 1);
    one.end();
    await until(async () => await total() === 0);
});
await test('a large body arrives, and goes to the next as well', async () => {
    const messages = [user('x'.repeat(700000)), user('y')];
    const home = (await ask(c.port, chat, { messages })).headers['x-replica']; // refused, but it has a home
    const full = await fill(home);
    const next = await ask(c.port, chat, { messages });
    assert.notEqual(next.headers['x-replica'], home);
    assert.equal(JSON.parse(next.text).error.code, 'context_length_exceeded');
    for (const r of await full.end()) assert.equal(r.status, 200);
    const huge = await ask(c.port, '/tokenize', { content: 'x'.repeat(3 << 20) }); // more than a buffer
    assert.equal(huge.status, 200);
});
await test('a replica drains: nothing is lost, what it had not begun goes on elsewhere', async () => {
    const key = { prompt_cache_key: 'drain' };
    const slow = { ...short(1), ...key, max_tokens: 600, logit_bias: endless };
    const home = (await ask(c.port, chat, { ...short(1), ...key })).headers['x-replica'];
    const whole = ask(c.port, chat, slow), stream = ask(c.port, chat, { ...slow, stream: true });
    await until(async () => await total() === 2 && await running(home) > 0);
    const old = c.replicas[home];
    old.kill('SIGTERM');
    const answers = await Promise.all([whole, stream, ...[2, 3, 4, 5].map((i) =>
        ask(c.port, chat, { ...short(i), ...key }))]);
    for (const r of answers) assert.equal(r.status, 200, r.text);
    assert.equal(answers[0].headers['x-replica'], home);
    assert.equal(answers[1].cut, false);
    assert.match(answers[1].text, /"finish_reason":"length"[^]*\[DONE\]/);
    for (const r of answers.slice(2)) assert.notEqual(r.headers['x-replica'], home);
    assert.equal((await old.exited).code, 0);
    await c.again(home);
    await until(async () => (await ask(c.port, chat, { ...short(1), ...key })).headers['x-replica'] === home);
});
await test('a replica is killed: streams break, whole answers come from another', async () => {
    const key = { prompt_cache_key: 'kill' };
    const home = (await ask(c.port, chat, { ...short(1), ...key })).headers['x-replica'];
    const back = async () => {
        await c.again(home);
        await until(async () => (await ask(c.port, chat, { ...short(1), ...key }))
            .headers['x-replica'] === home);
    };
    const stream = open(c.port, { ...long(1), ...key });
    await until(async () => await running(home) === 1);
    c.replicas[home].kill('SIGKILL');
    const broken = await stream.whole;
    assert.deepEqual([broken.status, broken.cut, broken.headers['x-replica']], [200, true, home]);
    assert.doesNotMatch(broken.text, /DONE/);
    await back();
    const whole = ask(c.port, chat, { ...short(1), ...key, max_tokens: 400, logit_bias: endless });
    await until(async () => await running(home) === 1);
    c.replicas[home].kill('SIGKILL');
    const other = await whole;
    assert.equal(other.status, 200);
    assert.notEqual(other.headers['x-replica'], home);
    for (let i = 0; i < 6; i++) { // every replica's share, at once
        const r = await ask(c.port, chat, { messages: june, temperature: 0, prompt_cache_key: `${i}` });
        assert.equal(JSON.parse(r.text).choices[0].message.content, july);
    }
    await back();
});
await test('what one computed is read by all', async () => {
    const system = { role: 'system', content: 'The crow counted the clouds above the forest. '.repeat(30) };
    const put = () => fs.readdirSync(path.join(folder, 'prefixes')).filter((f) => f.endsWith('.kv')).length;
    const before = put(), body = { messages: [system, ...june], temperature: 0 };
    const usage = (r) => JSON.parse(r.text).usage;
    const first = await ask(c.replicas.a.port, chat, body);
    await until(() => put() > before);
    for (const name of ['b', 'c']) {
        const stored = await figure(c.replicas[name], 'stored_tokens_total');
        const r = await ask(c.replicas[name].port, chat, body);
        assert.ok(usage(r).prompt_tokens_details.cached_tokens > 200, r.text);
        assert.equal(JSON.parse(r.text).choices[0].message.content,
            JSON.parse(first.text).choices[0].message.content);
        await until(async () => await figure(c.replicas[name], 'stored_tokens_total') > stored + 200);
    }
});
await test('streams are not held back on the way', async () => {
    const stop = new AbortController();
    let pieces = 0, seen = '';
    const r = ask(c.port, chat, long(7), { signal: stop.signal, on: (text) => {
        seen = text;
        if (++pieces === 20) stop.abort();
    } });
    await r;
    assert.ok(events(seen).length < 200, `${events(seen).length} events in 20 pieces`);
    await until(async () => await total() === 0);
});
await c.stop();
finish();
