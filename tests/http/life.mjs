// life.mjs - starting, stopping, reloading, unloading, full queues, clients that vanish, several models.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {
    assert, backend, events, finish, july, june, model, parse, post, raw, root, run, serve, sleep, test,
} from './lib.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-life-'));
const copy = path.join(folder, 'm.gguf');
const endless = { messages: [{ role: 'user', content: 'Tell me a story about a fox and a golden key.' }],
    temperature: 1, seed: 1, logit_bias: {} };
const metric = async (s, name) => Number((await (await fetch(s.url + '/metrics')).text())
    .match(new RegExp(`^${name} (.*)$`, 'm'))[1]);
// A request that writes for long: no stop token may come.
async function longRequest(s, extra = {}) {
    const ids = [];
    for (const t of ['<|return|>', '<|end|>', '<|call|>', '<|endoftext|>']) {
        const r = await post(s.url + '/tokenize', { content: t, special: true });
        ids.push(...r.json.tokens);
    }
    return { ...endless, logit_bias: Object.fromEntries(ids.map((i) => [i, -100])), max_tokens: 4000,
        stream: true, ...extra };
}
// Opens a stream and waits for its first tokens: {got(), destroy(), closed}.
async function stream(s, body) {
    const text = JSON.stringify(body);
    const socket = net.connect(s.port, '127.0.0.1');
    let got = '';
    socket.on('data', (d) => { got += d; });
    socket.on('error', () => {});
    const closed = new Promise((done) => socket.on('close', done));
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
        `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    for (let i = 0; i < 400 && !/"(reasoning_)?content":"[^"]/.test(got); i++) await sleep(10);
    return { got: () => got, destroy: () => socket.destroy(), closed, socket };
}

await test('a client that hangs up is noticed at once, though its connection sleeps', async () => {
    const s = await serve();
    const one = await stream(s, await longRequest(s));
    assert.ok(one.got().includes('data: '));
    assert.equal(await metric(s, 'gossamer_jobs_running'), 1);
    one.destroy();
    const t0 = Date.now();
    while (await metric(s, 'gossamer_jobs_running')) {
        assert.ok(Date.now() - t0 < 2000, 'still running');
        await sleep(10);
    }
    const waits = net.connect(s.port, '127.0.0.1'); // not streaming: the connection sleeps all the time
    const text = JSON.stringify(await longRequest(s, { stream: false }));
    waits.write('POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n' +
        `Content-Length: ${text.length}\r\n\r\n${text}`);
    while (!(await metric(s, 'gossamer_jobs_running'))) await sleep(5);
    waits.destroy();
    const t1 = Date.now();
    while (await metric(s, 'gossamer_jobs_running')) {
        assert.ok(Date.now() - t1 < 2000, 'still running');
        await sleep(10);
    }
    await s.said(/(stop=canceled[^]*){2}/);
    assert.equal(s.log().match(/stop=canceled/g)?.length, 2); // neither came to its 4,000 tokens
    await s.stop();
});
await test('a client that does not read counts as gone', async () => {
    const s = await serve(['--max-stream', '64K']);
    const one = await stream(s, await longRequest(s, { max_tokens: 100000, logprobs: true, top_logprobs: 20,
        telemetry: true, telemetry_top_k: 20 })); // many bytes for each token, whichever channel it is in
    one.socket.pause();
    // The system's own buffers hold megabytes: on a busy machine they are full after minutes only.
    while (await metric(s, 'gossamer_jobs_running')) await sleep(50);
    one.destroy();
    await s.stop();
}, 600);
await test('a full queue: 429 with Retry-After, then all is answered', async () => {
    const s = await serve(['--max-sessions', '1', '--queue', '2']);
    const busy = await stream(s, await longRequest(s));
    const waiting = [0, 1].map(() =>
        post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 }));
    while ((await metric(s, 'gossamer_jobs_waiting')) < 2) await sleep(20);
    const refused = await post(s.url + '/v1/chat/completions', { messages: june });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.deepEqual([refused.json.error.type, refused.json.error.code], ['rate_limit_error', 'queue_full']);
    busy.destroy();
    for (const r of await Promise.all(waiting)) assert.equal(r.json.choices[0].message.content, july);
    assert.equal(await metric(s, 'gossamer_queue_rejected_total'), 1);
    await s.stop();
});
await test('SIGTERM while streaming: finishes what is short, cuts what is not', async () => {
    const s = await serve(['--drain', '3']);
    const body = { messages: june, temperature: 0, stream: true };
    const slow = await stream(s, await longRequest(s, { max_tokens: 100000 }));
    const short = post(s.url + '/v1/chat/completions', body);
    while (await metric(s, 'gossamer_jobs_running') < 2 && await metric(s, 'gossamer_answers_total') < 1)
        await sleep(1);
    const t0 = Date.now();
    s.kill('SIGTERM');
    const text = events((await short).text).map((e) => e.data.choices?.[0]?.delta.content ?? '').join('');
    assert.equal(text, july);
    // nobody listens any more
    await assert.rejects(raw(s.port, 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    const { code } = await s.exited;
    assert.equal(code, 0);
    assert.ok(Date.now() - t0 < 6000, 'took too long');
    await slow.closed;
    assert.ok(/server_stopping|"finish_reason":"length"/.test(slow.got()));
    assert.match(slow.got(), /data: \[DONE\]/);
});
await test('--replica: full is 503, and the port stays open while answers end', async () => {
    const s = await serve(['--replica', '--max-sessions', '1', '--queue', '1', '--drain', '60']);
    const ask = (url, body, headers) => post(s.url + url, body, headers);
    const kept = await ask('/v1/responses', { input: 'Hello', max_output_tokens: 8 },
        { 'x-forwarded-for': '203.0.113.9, 192.0.2.7' });
    assert.equal(kept.headers.get('x-response-id'), kept.json.id);
    const streamed = await ask('/v1/responses', { input: 'Hello', max_output_tokens: 8, stream: true },
        { 'x-forwarded-for': '<script>' });
    assert.equal(streamed.headers.get('x-response-id'), events(streamed.text)[0].data.response.id);
    await s.said(/192\.0\.2\.7/);
    assert.doesNotMatch(s.log(), /script|203\.0/);
    const busy = await stream(s, await longRequest(s, { max_tokens: 100000 }));
    const waits = ask('/v1/chat/completions', { messages: june });
    while ((await metric(s, 'gossamer_jobs_waiting')) < 1) await sleep(20);
    const full = await ask('/v1/chat/completions', { messages: june });
    assert.deepEqual([full.status, full.json.error.code, full.headers.get('retry-after')],
        [503, 'queue_full', '1']);
    s.kill('SIGTERM');
    const turned = await waits; // it had not begun: another can answer it
    assert.deepEqual([turned.status, turned.json.error.code], [503, 'server_stopping']);
    const health = await fetch(s.url + '/health');
    assert.deepEqual([health.status, (await health.json()).status], [503, 'stopping']);
    const late = await ask('/v1/chat/completions', { messages: june });
    assert.deepEqual([late.status, late.json.error.code], [503, 'server_stopping']);
    busy.destroy();
    assert.equal((await s.exited).code, 0);
    await assert.rejects(fetch(s.url + '/health'));
});
await test('SIGTERM twice stops at once; SIGINT works too', async () => {
    const s = await serve(['--drain', '60']);
    await stream(s, await longRequest(s, { max_tokens: 100000 }));
    const t0 = Date.now();
    s.kill('SIGINT');
    await sleep(100);
    s.kill('SIGTERM');
    assert.equal((await s.exited).code, 0);
    assert.ok(Date.now() - t0 < 5000);
});
// A load that is held: the telemetry goes to a pipe that is full, so the first line of it waits until
// somebody reads.
function fullPipe() {
    const name = path.join(folder, `pipe-${Math.random()}`);
    execFileSync('mkfifo', [name]);
    const fd = fs.openSync(name, fs.constants.O_RDWR | fs.constants.O_NONBLOCK),
        block = Buffer.alloc(4096, '\n');
    const until = (f) => { try { for (;;) f(); } catch (e) { if (e.code !== 'EAGAIN') throw e; } };
    until(() => fs.writeSync(fd, block));
    return { name, drain: () => until(() => fs.readSync(fd, block)), close: () => fs.closeSync(fd) };
}
await test('/health while the model loads: 503 with progress, then 200; requests wait for it', async () => {
    const pipe = fullPipe();
    const s = await serve(['--telemetry', pipe.name], { ready: false });
    const health = async () => {
        const r = await fetch(s.url + '/health');
        return [r.status, await r.json()];
    };
    for (let i = 0; i < 3; i++) {
        assert.deepEqual(await health(),
            [503, { status: 'loading', model: 'demo-gptoss', loaded: false, progress: 0 }]);
        await sleep(100);
    }
    assert.equal((await fetch(s.url + '/v1/models')).status, 200);
    assert.equal((await fetch(s.url + '/models/demo-gptoss.gguf', { method: 'HEAD' })).status, 200);
    const answer = post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 });
    while (!(await metric(s, 'gossamer_jobs_waiting'))) await sleep(10);
    assert.equal((await health())[0], 503);
    pipe.drain();
    assert.equal((await answer).json.choices[0].message.content, july);
    assert.deepEqual(await health(), [200,
        { status: 'ok', model: 'demo-gptoss', loaded: true, backend: 'cpu' }]);
    await s.stop();
    pipe.close();
});
await test('SIGTERM while loading', async () => {
    const pipe = fullPipe(), held = await serve(['--telemetry', pipe.name], { ready: false });
    const start = Date.now();
    held.kill('SIGTERM');
    assert.equal((await held.exited).code, 0, held.log());
    assert.ok(Date.now() - start < 3000);
    assert.match(held.log(), /stopped while loading/);
    pipe.close();
    for (const pause of [0, 1, 3, 10]) {
        const s = await serve([], { ready: false });
        await sleep(pause);
        s.kill('SIGTERM');
        const t0 = Date.now();
        assert.equal((await s.exited).code, 0, s.log());
        assert.ok(Date.now() - t0 < 3000);
    }
});
await test('port in use', async () => {
    const s = await serve();
    const r = await run(['serve', '--port', String(s.port)]);
    assert.equal(r.code, 1);
    assert.match(r.err, /in use/i);
    await s.stop();
});
await test('a model that is missing, a folder, unreadable, or none', async () => {
    fs.writeFileSync(path.join(folder, 'bad.gguf'), 'GGUF but no more');
    fs.writeFileSync(path.join(folder, 'cut.gguf'), fs.readFileSync(model).subarray(0, 2000000));
    for (const [file, what] of [['/nonexistent/x.gguf', /No such file/], [folder, /not a file/],
        [path.join(folder, 'bad.gguf'), /./], [path.join(folder, 'cut.gguf'), /./]]) {
        const r = await run(['serve', file, '--port', '0', '--backend', backend]);
        assert.equal(r.code, 1, file + r.err);
        assert.match(r.err, what);
    }
    const r = await run(['serve', 'a.gguf', 'b.gguf']);
    assert.equal(r.code, 2);
    const closed = path.join(folder, 'closed.gguf');
    fs.copyFileSync(model, closed);
    fs.chmodSync(closed, 0);
    fs.chmodSync(folder, 0o755);
    // root reads what it likes: another user does not
    const c = await run(['serve', closed, '--port', '0', '--backend', backend],
        process.getuid() ? {} : { uid: 65534 });
    assert.equal(c.code, 1, c.err);
    assert.match(c.err, /Permission denied/);
});
await test('a model that vanishes while it is unloaded: refused with the reason, ' +
    'and served again when it is back', async () => {
    fs.copyFileSync(model, copy);
    const s = await serve([copy, '--keep-alive', '0.3']);
    const ask = () => post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 });
    const unloaded = async (n) => {
        for (let i = 0; i < 200 && (s.log().match(/ unloaded/g) ?? []).length < n; i++) await sleep(25);
    };
    await unloaded(1);
    fs.renameSync(copy, copy + '.away');
    const gone = await ask();
    assert.deepEqual([gone.status, gone.json.error.code, gone.json.error.stage],
        [503, 'model_load_failed', 'load']);
    assert.match(gone.json.error.message, /No such file/);
    assert.equal((await fetch(s.url + '/health')).status, 503);
    fs.renameSync(copy + '.away', copy);
    assert.equal((await ask()).json.choices[0].message.content, july);
    assert.equal((await fetch(s.url + '/health')).status, 200);
    await s.stop();
});
await test('a model overwritten in place is loaded anew; one cut under a running answer ends it, ' +
    'not the server', async () => {
    fs.copyFileSync(model, copy);
    const s = await serve([copy]);
    const ask = () => post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 });
    assert.equal((await ask()).json.choices[0].message.content, july);
    // what idle time computes of the answer would see the file cut, before its new bytes
    await sleep(500);
    fs.writeFileSync(copy, fs.readFileSync(path.join(root, 'models/demo-gptoss-draft.gguf')));
    const other = await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 4 });
    assert.equal(other.status, 200);
    await s.said(/has changed on disk/);
    await s.said(/( loaded in [^]*){2}/);
    assert.equal((s.log().match(/ loaded in /g) ?? []).length, 2);
    fs.writeFileSync(copy, fs.readFileSync(model));
    const running = await stream(s, await longRequest(s, { max_tokens: 100000 }));
    fs.truncateSync(copy, 100000);
    for (let i = 0; i < 400 && !running.got().includes('[DONE]'); i++) await sleep(25);
    assert.match(running.got(), /was cut while it was in use/);
    const cut = await ask();
    assert.deepEqual([cut.status, cut.json.error.code], [503, 'model_load_failed']);
    fs.writeFileSync(copy, fs.readFileSync(model));
    assert.equal((await ask()).json.choices[0].message.content, july);
    assert.equal((await s.stop()).code, 0);
});
await test('SIGHUP loads a replaced model; running answers end on the old one', async () => {
    fs.copyFileSync(model, copy);
    const s = await serve([copy]);
    const before = await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 8 });
    const running = await stream(s, await longRequest(s, { max_tokens: 300 }));
    fs.copyFileSync(path.join(root, 'models/demo-gptoss-draft.gguf'), copy + '.new');
    fs.renameSync(copy + '.new', copy);
    s.kill('SIGHUP');
    const after = await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 40 });
    assert.equal(after.status, 200);
    for (let i = 0; i < 200 && !running.got().includes('[DONE]'); i++) await sleep(25);
    assert.match(running.got(), /"finish_reason":"length"/);
    running.destroy();
    for (let i = 0; i < 100 && (s.log().match(/ loaded in /g) ?? []).length < 2; i++) await sleep(25);
    await s.said(/( loaded in [^]*){2}/);
    assert.equal((s.log().match(/ loaded in /g) ?? []).length, 2);
    const small = await post(s.url + '/v1/models', {}).catch(() => null);
    assert.equal(small.status, 405);
    assert.ok(before.status === 200);
    fs.rmSync(copy);
    s.kill('SIGHUP');
    for (let i = 0; i < 100 && !s.log().includes('the models stay as they are'); i++) await sleep(25);
    await s.said(/No such file/);
    assert.equal((await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 4 })).status, 200);
    await s.stop();
});
await test('--keep-alive unloads an idle model and loads it again on demand', async () => {
    const s = await serve(['--keep-alive', '0.5']);
    for (let i = 0; i < 100 && (await (await fetch(s.url + '/health')).json()).loaded; i++) await sleep(50);
    const health = await fetch(s.url + '/health');
    assert.deepEqual([health.status, (await health.json()).loaded], [200, false]);
    await s.said(/unloaded/);
    assert.equal((await post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 }))
        .json.choices[0].message.content, july);
    await s.stop();
});
await test('several models by a folder, one at a time, none starved', async () => {
    const models = path.join(folder, 'many');
    fs.mkdirSync(models);
    for (const [name, from] of [
        ['big', 'demo-gptoss'], ['small', 'demo-gptoss-draft'], ['llama', 'demo-llama-f16']])
        fs.copyFileSync(path.join(root, `models/${from}.gguf`), path.join(models, `${name}.gguf`));
    const s = await serve(['--models-dir', models]);
    const list = (await (await fetch(s.url + '/v1/models')).json()).data.map((m) => m.id).sort();
    assert.deepEqual(list, ['big', 'llama', 'small']);
    const ask = (name) => post(s.url + '/v1/completions',
        { model: name, prompt: 'Once upon a time', temperature: 0, max_tokens: 12 });
    const answers = await Promise.all(['big', 'small', 'llama', 'big', 'small', 'llama', 'big', 'big']
        .map(async (name) => [name, (await ask(name)).json]));
    for (const [name, a] of answers) assert.equal(a.model, name);
    assert.equal(new Set(answers.filter(([n]) => n === 'big').map(([, a]) => a.choices[0].text)).size, 1);
    const none = await ask('other');
    assert.deepEqual([none.status, none.json.error.code], [404, 'model_not_found']);
    assert.ok((await metric(s, 'gossamer_models_loaded')) <= 1);
    await s.stop();
    const two = await serve(['--models-dir', models, '--max-models', '2']);
    for (const name of ['big', 'llama', 'big', 'llama'])
        await post(two.url + '/v1/completions', { model: name, prompt: 'x', max_tokens: 1 });
    await two.said(/( loaded in [^]*){2}/);
    assert.equal((two.log().match(/ loaded in /g) ?? []).length, 2);
    await two.stop();
});
await test('a quiet stream gets comments between its events', async () => {
    const s = await serve(['--comment', '0.1']);
    // Anthropic's stream says nothing while the model thinks unseen; no stop token may come, so it thinks for
    // long.
    const { logit_bias: bias } = await longRequest(s);
    const text = JSON.stringify({ messages: june, max_tokens: 2500, temperature: 0, stream: true,
        logit_bias: bias });
    const a = parse(await raw(s.port, 'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n' +
        `Connection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`, { timeout: 110000 }));
    assert.equal(a.status, 200);
    const blocks = a.body.split('\n\n').filter(Boolean),
        comments = blocks.filter((b) => b === ': keep-alive');
    assert.ok(comments.length >= 1, a.body.slice(0, 1000));
    for (const b of blocks)
        assert.match(b, /^(: keep-alive|: prompt \d+ of \d+ tokens|event: \w+\ndata: \{.*\})$/);
    assert.equal(blocks.at(-1).split('\n')[0], 'event: message_stop');
    await s.stop();
});
await test('idle: no CPU, and memory is steady over many requests', async () => {
    const s = await serve();
    const stat = () => fs.readFileSync(`/proc/${s.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    const ticks = () => Number(stat()[11]) + Number(stat()[12]);
    const rss = () => Number(fs.readFileSync(`/proc/${s.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
    const some = async (n) => {
        for (let i = 0; i < n; i++)
            await post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, max_tokens: 2 });
    };
    const round = (n) => Promise.all(Array.from({ length: 4 }, () => some(n / 4))); // four at a time
    await round(100);
    await sleep(500);
    const before = ticks();
    await sleep(2000);
    assert.ok(ticks() - before <= 1, `${ticks() - before} ticks of CPU while idle`);
    const start = rss();
    await round(Number(process.env.GOSS_TEST_ROUNDS || 400));
    assert.ok(rss() - start < 4096, `grew by ${rss() - start} kB`);
    await s.stop();
});
fs.rmSync(folder, { recursive: true });
finish();
