// limits.mjs - what a server is told to bear and no more: each limit's flag, its answer, and that it goes on
// afterwards; what flags refuse.
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { assert, finish, july, june, parse, post, raw, run, serve, sleep, test } from './lib.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-limits-'));
const chat = (s, extra = {}, headers = {}) =>
    post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, ...extra }, headers);
const get = (s, target, headers = '') => raw(s.port,
    `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n`).then(parse);

await test('--max-connections: one too many is told so while all others are answered', async () => {
    const s = await serve(['--max-connections', '3']);
    const open = [];
    for (let i = 0; i < 3; i++) { // an answer that nobody reads
        const c = net.connect(s.port, '127.0.0.1');
        c.on('error', () => {});
        c.write('GET /models/demo-gptoss.gguf HTTP/1.1\r\nHost: localhost\r\n\r\n');
        await new Promise((done) => c.once('data', done));
        c.pause();
        open.push(c);
    }
    const a = await get(s, '/health');
    assert.equal(a.status, 503);
    assert.match(a.head, /retry-after: 1/i);
    assert.match(a.head, /connection: close/i);
    const { error } = JSON.parse(a.body);
    assert.deepEqual([error.code, /--max-connections/.test(error.message)], ['too_many_connections', true]);
    open[0].destroy();
    for (let i = 0; ; i++) {
        if ((await get(s, '/health')).status === 200) break;
        assert.ok(i < 50, 'no room was made');
        await sleep(20);
    }
    for (const c of open) c.destroy();
    await s.stop();
});
await test('--max-header, --max-body, --max-depth: as asked for', async () => {
    const s = await serve(['--max-header', '8K', '--max-body', '1000', '--max-depth', '5']);
    assert.equal((await get(s, '/health', `X: ${'a'.repeat(9000)}\r\n`)).status, 431);
    const big = await chat(s, { user: 'x'.repeat(1000) });
    assert.deepEqual([big.status, big.json.error.code, /--max-body/.test(big.json.error.message)],
        [413, 'body_too_large', true]);
    const deep = await chat(s, { metadata: { a: { b: { c: { d: {} } } } } });
    assert.deepEqual([deep.status, deep.json.error.code], [400, 'invalid_json']);
    assert.match(deep.json.error.message, /deep|nest/i);
    assert.equal((await chat(s)).json.choices[0].message.content, july);
    await s.stop();
});
await test('--max-tokens, --max-kv, --max-choices', async () => {
    const s = await serve(['--max-tokens', '4', '--max-kv', '90', '--max-choices', '2']);
    const cut = await chat(s, { max_tokens: 50 });
    assert.deepEqual([cut.json.choices[0].finish_reason, cut.json.usage.completion_tokens], ['length', 4]);
    const long = await chat(s, { messages: [{ role: 'user', content: 'word '.repeat(100) }] });
    assert.deepEqual([long.status, long.json.error.code], [400, 'context_length_exceeded']);
    assert.match(long.json.error.message, /90/);
    const many = await chat(s, { n: 3 });
    assert.deepEqual([many.status, many.json.error.param], [400, 'n']);
    assert.match(many.json.error.message, /1 to 2/);
    const prompts = await post(s.url + '/v1/completions', { prompt: ['a', 'b', 'c'] });
    assert.deepEqual([prompts.status, prompts.json.error.param], [400, 'prompt']);
    assert.match(prompts.json.error.message, /--max-choices/);
    await s.stop();
});
await test('--max-tools, --max-schema, --max-messages, --max-stops in every protocol ' +
    'that has them', async () => {
    const s = await serve(['--max-tools', '1', '--max-schema', '200', '--max-messages', '2',
        '--max-stops', '1']);
    const large = { type: 'object', description: 'x'.repeat(300) }, small = { type: 'object' };
    const refused = async (target, body, flag) => {
        const r = await post(s.url + target, body);
        assert.equal(r.status, 400, target + JSON.stringify(body).slice(0, 80));
        assert.match(r.json.error.message ?? r.json.error, new RegExp(flag), target);
    };
    const tool = (schema) => ({ type: 'function', function: { name: 'f', parameters: schema } });
    const flat = (schema) => ({ type: 'function', name: 'f', parameters: schema }),
        claude = (schema) => ({ name: 'f', input_schema: schema });
    for (const [target, base, shape] of [
        ['/v1/chat/completions', { messages: june }, tool], ['/api/chat', { messages: june }, tool],
        ['/v1/responses', { input: 'Hello!' }, flat],
        ['/v1/messages', { max_tokens: 4, messages: june }, claude]]) {
        await refused(target, { ...base, tools: [shape(small), shape(small)] }, '--max-tools');
        await refused(target, { ...base, tools: [shape(large)] }, '--max-schema');
    }
    for (const [target, extra] of [
        ['/v1/chat/completions',
            { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: large } } }],
        ['/api/chat', { format: large }]])
        await refused(target, { messages: june, ...extra }, '--max-schema');
    await refused('/v1/responses',
        { input: 'Hello!', text: { format: { type: 'json_schema', name: 'x', schema: large } } },
        '--max-schema');
    const three = [june[0], june[0], june[0]];
    for (const [target, body] of [
        ['/v1/chat/completions', { messages: three }], ['/api/chat', { messages: three }],
        ['/v1/responses', { input: three }], ['/v1/messages', { max_tokens: 4, messages: three }]])
        await refused(target, body, '--max-messages');
    for (const [target, body] of [
        ['/v1/chat/completions', { messages: june, stop: ['a', 'b'] }],
        ['/v1/completions', { prompt: 'x', stop: ['a', 'b'] }],
        ['/api/chat', { messages: june, options: { stop: ['a', 'b'] } }],
        ['/v1/messages', { max_tokens: 4, messages: june, stop_sequences: ['a', 'b'] }]])
        await refused(target, body, '--max-stops');
    await s.stop();
});
await test('--store and --store-bytes: the oldest answers make room', async () => {
    for (const flags of [['--store', '2'], ['--store-bytes', '6K']]) {
        const s = await serve(flags), ids = [];
        for (let i = 0; i < 8; i++)
            ids.push((await post(s.url + '/v1/responses',
                { input: 'Hello!', temperature: 0, max_output_tokens: 8 })).json.id);
        const kept = [];
        for (const id of ids) kept.push((await fetch(`${s.url}/v1/responses/${id}`)).status);
        assert.deepEqual([kept[0], kept.at(-1)], [404, 200], flags.join(' ') + kept);
        const gone = await post(s.url + '/v1/responses', { input: 'And now?', previous_response_id: ids[0] });
        assert.deepEqual([gone.status, gone.json.error.code, /--store/.test(gone.json.error.message)],
            [404, 'previous_response_not_found', true]);
        await s.stop();
    }
});
await test('--timeout: a connection that does nothing is closed, ' +
    'one that waits for its answer is not', async () => {
    const s = await serve(['--timeout', '1', '--max-sessions', '1']);
    assert.equal((await fetch(s.url + '/health')).headers.get('keep-alive'), 'timeout=1');
    const t0 = Date.now();
    const half = await raw(s.port, 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
        'Content-Length: 100\r\n\r\n{').catch(() => '');
    assert.ok(!half.startsWith('HTTP/1.1 200'));
    assert.ok(Date.now() - t0 > 800 && Date.now() - t0 < 8000, `closed after ${Date.now() - t0} ms`);
    const slow = await chat(s,
        { n: 16, logprobs: true, top_logprobs: 20, temperature: 1, reasoning_effort: 'high' });
    assert.equal(slow.status, 200);
    await s.stop();
});
await test('a refused key, path or Host does not read the body first', async () => {
    const s = await serve(['--api-key', 'sesame']);
    const a = await raw(s.port, 'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
        'Content-Length: 15000000\r\nExpect: 100-continue\r\n\r\n');
    assert.equal(parse(a).status, 401);
    assert.ok(!a.includes('100 Continue'));
    await s.stop();
});
await test('a key in a file; flags that make no sense', async () => {
    const file = path.join(folder, 'key');
    fs.writeFileSync(file, 'sesame\n');
    const s = await serve(['--api-key-file', file]);
    assert.equal((await chat(s)).status, 401);
    assert.equal((await chat(s, {}, { authorization: 'Bearer sesame' })).status, 200);
    assert.equal((await chat(s, {}, { 'x-api-key': 'sesam' })).status, 401);
    assert.ok(!fs.readFileSync(`/proc/${s.pid}/cmdline`, 'utf8').includes('sesame'));
    await s.stop();
    fs.writeFileSync(file, '\n');
    for (const [args, what] of [
        [['--api-key-file', file], /holds no key/], [['--api-key-file', '/nonexistent'], /No such file/],
        [['--port', '70000'], /65535/], [['--port', 'x'], /--port does not understand 'x'/],
        [['--max-body', '1X'], /--max-body/], [['--queue', '-1'], /--queue/],
        [['--effort', 'huge'], /low medium high/], [['--backend', 'tpu'], /auto gpu cpu ref/],
        [['--max-body'], /wants a value/], [['--host', '0.0.0.0'], /--api-key/],
        [['--api-key', 'a', '--api-key-file', file], /exclude/]]) {
        const r = await run(['serve', ...args]);
        assert.equal(r.code, 2, args.join(' ') + r.err);
        assert.match(r.err, what);
    }
    const r = await run(['serve', '--host', 'no.such.host.invalid', '--api-key', 'a']);
    assert.deepEqual([r.code, /is not an address/.test(r.err)], [1, true], r.err);
});
await test('nothing a client sends reaches the log unescaped', async () => {
    const s = await serve(['--api-key', 'sesame']), bad = '\u001b[31m\u0007\u202e\u2028"\\',
        key = { authorization: 'Bearer sesame' };
    for (const [target, body] of [
        ['/v1/chat/completions', { messages: june, max_tokens: 1, [bad]: 1, model: bad }],
        ['/v1/responses', { input: bad, [bad]: bad, max_output_tokens: 1 }],
        ['/api/chat', { model: bad, messages: june, options: { [bad]: 1, num_predict: 1 } }],
        ['/v1/messages', { max_tokens: 1, messages: [{ role: bad, content: bad }], [bad]: 1 }],
        ['/v1/completions', { prompt: bad, [bad]: 1, max_tokens: 1 }], ['/api/show', { model: bad }]])
        await post(s.url + target, body, key);
    for (const method of ['GET', 'P\u001bT', 'DELETE'])
        await raw(s.port, `${method} /v1/responses/%1b[31m%0a%0d%ff%e2%80%ae HTTP/1.1\r\n` +
            'Host: localhost\r\nx-api-key: sesame\r\nConnection: close\r\n\r\n').catch(() => '');
    await raw(s.port, 'GET /v1/models?secret=1 HTTP/1.1\r\nHost: localhost\r\n' +
        'x-api-key: \u001b]0;x\u0007\r\nUser-Agent: \u001b[2J\r\nConnection: close\r\n\r\n').catch(() => '');
    assert.equal((await s.stop()).code, 0);
    assert.ok(s.log().split('\n').length > 6, s.log());
    await s.said(/is unknown and ignored/);
    assert.ok(/^[\x20-\x7e\n]*$/.test(s.log()), JSON.stringify(s.log().match(/[^\x20-\x7e\n].{0,40}/)?.[0]));
    for (const word of ['sesame', 'secret=1', 'Which month']) assert.ok(!s.log().includes(word), word);
});
fs.rmSync(folder, { recursive: true });
finish();
