// pull.mjs - models that clients of Ollama's API fetch, name and delete (--pull): progress, names, who may,
// what
// the sandbox leaves, a client that hangs up, a host that refuses.
import { assert, finish, model, post, serve, sleep, test } from './lib.mjs';
import { sha, startHub } from './hub_server.mjs';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-pull-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const draft = fs.readFileSync('models/demo-gptoss-draft.gguf'), big = fs.readFileSync(model);
const llama = fs.readFileSync('models/demo-llama-Q4_K_M.gguf');
const hub = await startHub({ repos: { 'me/one': { files: { 'demo.gguf': draft } },
    'me/many': { files: { 'm-Q4_K_M.gguf': llama, 'm-F16.gguf': big } },
    'ggml-org/gpt-oss-20b-GGUF': { files: { 'gpt-oss-20b-mxfp4.gguf': draft } },
    'me/gated': { files: { 'demo.gguf': draft }, gated: 'Access to model me/gated is restricted.' } } });
const env = { XDG_CACHE_HOME: folder, HF_ENDPOINT: hub.url };
const kept = (...at) => path.join(folder, 'gossamer', 'models', 'hf', ...at);
const s = await serve([model, '--pull', '--sandbox', 'on'], { env });
const api = (name, body, method = 'POST') => fetch(`${s.url}/api/${name}`, { method,
    body: JSON.stringify(body) });
const tags = async () => (await (await fetch(`${s.url}/api/tags`)).json()).models.map((m) => m.name).sort();
const lines = async (r) => (await r.text()).trim().split('\n').map((l) => JSON.parse(l));
const chat = { messages: [{ role: 'user', content: 'Which month comes after June?' }], stream: false,
    options: { temperature: 0, num_predict: 40 } };

await test('without --pull nothing changes, and the answer says how', async () => {
    const plain = await serve([model], { env });
    for (const [name, body, method] of [['pull', { model: 'hf.co/me/one' }], ['copy', { source: 'a',
        destination: 'b' }],
        ['create', { model: 'a', from: 'b' }], ['delete', { model: 'demo-gptoss' }, 'DELETE']]) {
        const r = await fetch(`${plain.url}/api/${name}`, { method: method ?? 'POST',
            body: JSON.stringify(body) });
        assert.equal(r.status, 403, name);
        assert.match((await r.json()).error, /allows it with --pull/);
    }
    assert.equal(hub.asked.length, 0);
    await plain.stop();
});

await test('pull streams its progress, and the model answers by the name that was pulled', async () => {
    const said = await lines(await api('pull', { model: 'hf.co/me/one' }));
    assert.equal(said[0].status, 'pulling manifest');
    assert.equal(said.at(-1).status, 'success');
    const parts = said.filter((l) => l.digest);
    assert.ok(parts.length > 0);
    for (const l of parts) {
        assert.match(l.digest, /^sha256:[0-9a-f]{64}$/);
        assert.equal(l.status, `pulling ${l.digest.slice(7, 19)}`);
        assert.ok(l.total === draft.length && l.completed <= l.total);
    }
    assert.ok(parts.every((l, i) => !i || l.completed >= parts[i - 1].completed));
    assert.ok(fs.readFileSync(kept('me/one/demo.gguf')).equals(draft));
    assert.equal(fs.readFileSync(kept('me/one/demo.gguf.sha256'), 'latin1').slice(0, 64), sha(draft));
    assert.deepEqual(await tags(), ['demo-gptoss', 'hf.co/me/one']);
    for (const name of ['hf.co/me/one', 'hf.co/me/one:latest', 'hf:me/one:demo.gguf', 'HF.co/me/one']) {
        const r = await (await api('chat', { ...chat, model: name })).json();
        assert.ok(r.message?.content.length > 0, `${name}: ${JSON.stringify(r)}`);
        assert.equal(r.model, 'hf.co/me/one');
        assert.ok((await (await api('show', { model: name })).json()).details.format === 'gguf');
    }
    assert.equal((await api('chat', { ...chat, model: 'nobody' })).status, 404);
});

await test('pull without a stream; again; of what is refused', async () => {
    let r = await api('pull', { name: 'hf.co/me/many:Q4_K_M', stream: false });
    assert.deepEqual([r.status, await r.json()], [200, { status: 'success' }]);
    hub.clear();
    r = await api('pull', { model: 'hf.co/me/many:Q4_K_M', stream: false });
    assert.ok(r.status === 200 && hub.sent < 65536);
    for (const [name, words] of [['llama3', /names have the form/], ['http://127.0.0.1:1/x.gguf',
        /names have the form/],
        ['hf:me/../x', /form/], [model, /names have the form/], ['hf.co/me/missing', /no public repository/],
        ['hf.co/me/gated', /restricted/]]) {
        r = await api('pull', { model: name, stream: false });
        assert.ok(r.status >= 400, name);
        assert.match((await r.json()).error, words);
        const said = await lines(await api('pull', { model: name }));
        assert.match(said.at(-1).error, words);
    }
    for (const body of [{}, { model: 5 }, { model: '' }, { model: 'x'.repeat(600) }, { model: 'a\tb' },
        { model: 'a\nb' }])
        assert.equal((await api('pull', body)).status, 400, JSON.stringify(body));
    assert.equal((await fetch(`${s.url}/api/pull`, { method: 'POST', body: '{' })).status, 400);
});

await test('gpt-oss:20b is pulled by its name', async () => {
    assert.equal((await api('pull', { model: 'gpt-oss:20b', stream: false })).status, 200);
    assert.ok((await tags()).includes('gpt-oss:20b'));
    assert.equal((await (await api('chat', { ...chat, model: 'gpt-oss:20b' })).json()).model, 'gpt-oss:20b');
});

await test('copy, create and delete', async () => {
    assert.equal((await api('copy', { source: 'hf.co/me/one', destination: 'mine' })).status, 200);
    assert.ok((await tags()).includes('mine'));
    assert.equal((await (await api('chat', { ...chat, model: 'mine:latest' })).json()).model, 'mine');
    assert.equal((await api('copy', { source: 'nobody', destination: 'x' })).status, 404);
    assert.equal((await api('copy', { source: 'mine', destination: '../x y' })).status, 400);
    const said = await lines(await api('create', { model: 'other', from: 'demo-gptoss' }));
    assert.deepEqual(said, [{ status: 'success' }]);
    assert.equal((await (await api('chat', { ...chat, model: 'other' })).json()).model, 'other');
    for (const more of [{ system: 'Be kind.' }, { parameters: { temperature: 1 } },
        { files: { 'a.gguf': 'sha256:x' } }]) {
        const r = await api('create', { model: 'x', from: 'mine', ...more });
        assert.equal(r.status, 400);
        assert.match((await r.json()).error, /another name/);
    }
    const gone = async (name) => {
        const r = await api('delete', { model: name }, 'DELETE');
        if (r.status === 500) throw new Error(await r.text());
        return r.status;
    };
    assert.equal(await gone('hf.co/me/one'), 200);
    assert.ok(fs.existsSync(kept('me/one/demo.gguf')), 'another name keeps the file');
    assert.equal(await gone('mine'), 200);
    assert.ok(!fs.existsSync(kept('me/one')), 'the last name takes it along');
    assert.equal(await gone('mine'), 404);
    assert.equal(await gone('demo-gptoss'), 403);
    assert.equal(await gone('other'), 200);
    assert.ok(fs.existsSync(model), 'a file of the operator stays');
    assert.equal(await gone('hf.co/me/many:Q4_K_M'), 200);
    assert.deepEqual(await tags(), ['demo-gptoss', 'gpt-oss:20b']);
});

await test('a client that hangs up stops its pull, and the next goes on', async () => {
    hub.clear();
    hub.slow = 100;
    const stop = new AbortController();
    const half = new Promise((done) => { hub.onPart = (sent) => { if (sent > big.length / 3) done(); }; });
    const r = await fetch(`${s.url}/api/pull`, { method: 'POST', signal: stop.signal,
        body: JSON.stringify({ model: 'hf.co/me/many:F16' }) });
    await half;
    stop.abort();
    await r.text().catch(() => {});
    hub.onPart = null;
    let before = -1;
    for (let i = 0; before !== hub.sent; i++) { // until nothing comes any more
        assert.ok(i < 60, 'the pull does not stop');
        before = hub.sent;
        await sleep(500);
    }
    assert.ok(hub.sent < big.length, `${hub.sent} of ${big.length}`);
    assert.ok(!fs.existsSync(kept('me/many/m-F16.gguf')));
    hub.slow = 0;
    assert.equal((await api('pull', { model: 'hf.co/me/many:F16', stream: false })).status, 200);
    assert.ok(fs.readFileSync(kept('me/many/m-F16.gguf')).equals(big));
});

await test('two pulls at once come one after the other; chats go on meanwhile', async () => {
    await api('delete', { model: 'hf.co/me/many:F16' }, 'DELETE');
    hub.slow = 20;
    const both = [api('pull', { model: 'hf.co/me/many:F16' }), api('pull', { model: 'hf.co/me/one' })];
    assert.ok((await (await api('chat', { ...chat, model: 'demo-gptoss' })).json()).message.content);
    for (const r of both) assert.equal((await lines(await r)).at(-1).status, 'success');
    hub.slow = 0;
});

await test('the server has no more rights than without, and its helper ends with it', async () => {
    const helper = fs.readdirSync('/proc').filter((p) => {
        try { return fs.readFileSync(`/proc/${p}/stat`,
            'latin1').split(') ')[1].split(' ')[1] === String(s.pid); }
        catch { return false; }
    });
    assert.equal(helper.length, 1);
    s.kill('SIGKILL');
    await s.exited;
    for (let i = 0; fs.existsSync(`/proc/${helper[0]}`); i++) {
        assert.ok(i < 400, 'the helper goes on');
        await sleep(25);
    }
});

await test('names outlive the server; a server with a key wants it', async () => {
    const again = await serve([model, '--pull', '--api-key', 'k'], { env });
    assert.equal((await post(`${again.url}/api/pull`, { model: 'hf.co/me/one' })).status, 401);
    const r = await fetch(`${again.url}/api/tags`, { headers: { authorization: 'Bearer k' } });
    assert.deepEqual((await r.json()).models.map((m) => m.name).sort(),
        ['demo-gptoss', 'gpt-oss:20b', 'hf.co/me/many:F16', 'hf.co/me/one']);
    assert.deepEqual(await again.stop(), { code: 0, signal: null });
});

hub.close();
finish();
