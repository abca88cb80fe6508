// chat.mjs PROGRAM - `gossamer chat --mcp FILE`: calls that the user allows or not, servers on standard
// input and
// over HTTP, servers that are bad on purpose, and MCP's own example server ($PEERS, a folder with it).
import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]), here = import.meta.dirname;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-mcp-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
let passed = 0, failed = 0, skipped = 0, n = 0;
async function test(name, body) {
    if (process.env.ONLY && !name.includes(process.env.ONLY)) return;
    try { await body(); passed++; if (process.env.VERBOSE) console.log(`ok    ${name}`); } catch (e) {
        failed++;
        console.log(`FAIL  ${name}\n  ${String(e.stack ?? e).split('\n').slice(0, 14).join('\n  ')}`);
    }
}

// ---- a chat -----------------------------------------------------------------------------------------------
const logs = (log) => fs.existsSync(log) ? fs.readFileSync(log,
    'utf8').trim().split('\n').map((l) => JSON.parse(l)) : [];
function stdio(mode, more = {}) {
    const log = path.join(folder, `log${++n}`);
    return { log, entry: { command: process.execPath, args: [path.join(here, 'stdio_server.mjs'), mode,
        log], ...more } };
}
function write(servers) {
    const file = path.join(folder, `mcp${++n}.json`);
    fs.writeFileSync(file, typeof servers === 'string' ? servers : JSON.stringify({ mcpServers: servers }));
    return file;
}
// Starts a chat; {out, err, say(line), until(pattern), end(), child}.
function start(servers) {
    const child = spawn(program, ['chat', 'models/demo-gptoss.gguf', '--backend', 'cpu', '--temp', '0',
        '--date',
        '2025-06-28', '--mcp', write(servers)]);
    const c = { child, out: '', err: '' }, heard = [];
    const on = (key) => (d) => { c[key] += d; for (const f of heard.splice(0)) f(); };
    child.stdout.on('data', on('out'));
    child.stderr.on('data', on('err'));
    c.ended = new Promise((done) => child.once('exit', (code, signal) => { done({ code,
        signal }); on('err')(''); }));
    c.say = (line) => child.stdin.write(`${line}\n`);
    c.until = async (pattern) => {
        const limit = setTimeout(() => child.kill('SIGKILL'), 120000);
        while (!pattern.test(c.out + c.err)) {
            assert.equal(child.exitCode ?? child.signalCode, null,
                `it ended without ${pattern}: ${c.out}${c.err}`);
            await new Promise((done) => heard.push(done));
        }
        clearTimeout(limit);
    };
    c.end = async () => { child.stdin.end(); return c.ended; };
    return c;
}
// A chat with these lines, to its end.
async function talk(servers, ...lines) {
    const c = start(servers);
    for (const l of lines) c.say(l);
    c.result = await c.end();
    return c;
}
const gone = async (pid) => {
    for (let i = 0; i < 400; i++) {
        try { process.kill(pid, 0); } catch { return true; }
        await new Promise((done) => setTimeout(done, 25));
    }
    return false;
};
const question = 'What is the weather in Paris?';

await test('a call that is allowed, its result, the answer', async () => {
    const s = stdio('good', { env: { MCP_TEST: 'told' } });
    const c = await talk({ weather: s.entry }, question, 'y');
    assert.deepEqual(c.result, { code: 0, signal: null });
    assert.match(c.err, /call get_weather of weather with \{"city": ?"Paris"\}\? /);
    assert.match(c.out, /sunny/);
    const [first, ...messages] = logs(s.log);
    assert.equal(first.env, 'told');
    assert.deepEqual(messages.map((m) => m.method), ['initialize', 'notifications/initialized',
        'tools/list', 'tools/call']);
    assert.deepEqual(messages[0].params, { protocolVersion: '2025-06-18', capabilities: {},
        clientInfo: { name: 'gossamer', version: messages[0].params.clientInfo.version } });
    assert.deepEqual(messages[3].params, { name: 'get_weather', arguments: { city: 'Paris' } });
    assert.ok(await gone(first.pid), 'the server ends with the chat');
});

await test('no, always, and the end of the input', async () => {
    const s = stdio('good');
    let c = await talk({ weather: s.entry }, question, 'n');
    assert.equal(logs(s.log).filter((m) => m.method === 'tools/call').length, 0);
    assert.equal(c.result.code, 0);
    c = await talk({ weather: s.entry }, question);
    assert.equal(logs(s.log).filter((m) => m.method === 'tools/call').length, 0);
    c = await talk({ weather: s.entry }, question, 'a', question, '/tools');
    assert.equal(logs(s.log).filter((m) => m.method === 'tools/call').length, 2);
    assert.equal(c.err.split('y(es)').length, 2, 'asked once');
    assert.match(c.err, /get_weather +weather, always allowed: Gets the current weather/);
});

await test('without --mcp there are no tools', async () => {
    const c = await talk({}, question, '/tools', '/call x {}');
    assert.match(c.err, /there are no tools/);
    assert.match(c.err, /there is no tool of this name/);
});

// ---- lists ------------------------------------------------------------------------------------------------
await test('pages of a list; one that leads in a circle; a list that changes', async () => {
    let c = await talk({ s: stdio('pages').entry }, '/tools');
    assert.equal(c.err.match(/^t\d /gm).length, 5);
    c = await talk({ s: stdio('circle').entry }, '/tools');
    assert.equal(c.err.match(/^t\d+ /gm).length, 64);
    c = await talk({ s: stdio('changes').entry }, '/tools', '/call before', '/tools');
    assert.match(c.err, /^before[^]*^after/m);
});

await test('names and descriptions that mean harm', async () => {
    const evil = stdio('evil'), other = stdio('evil');
    const c = await talk({ 'one!': evil.entry, two: other.entry }, '/tools', '/call one___same {}',
        'What is 17 + 25?');
    const names = c.err.split('\n').map((l) => l.split(' ')[0]).filter(Boolean);
    assert.equal(names.length, 14, c.err);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^[A-Za-z0-9_-]{1,64}$/);
    assert.ok(names.includes('one___same') && names.includes('two__same'), names);
    assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(c.err + c.out), 'no control characters');
    assert.match(c.out, /The tool failed:\ncalled same\n\[image image\/png: not shown/);
    assert.match(c.out, /\[resource_link file:\/\/\/x\]\ninside/);
    assert.ok(c.result.code === 0 && c.out.trim().split('inside').at(-1).length > 5, 'the model goes on');
});

// ---- servers that are bad ---------------------------------------------------------------------------------
await test('servers that can not be had are said, and the others stay', async () => {
    const c = await talk({ a: { command: '/nonexistent' }, b: stdio('early').entry, c: stdio('odd').entry,
        d: { url: 'http://127.0.0.1:1/mcp' }, off: { command: 'x', disabled: true },
            good: stdio('good').entry },
    '/tools', question, 'y');
    for (const words of [/a cannot be started: \/nonexistent: No such file/, /b has ended/,
        /c speaks another protocol/,
        /d cannot be reached/]) assert.match(c.err, words);
    assert.ok(!/off/.test(c.err));
    assert.match(c.out, /sunny/);
});

await test('a rude server is listened to, its requests are answered', async () => {
    const s = stdio('rude');
    const c = await talk({ s: s.entry }, question, 'y');
    assert.match(c.out, /sunny/);
    const replies = logs(s.log).filter((m) => m.id !== undefined && !m.method);
    assert.ok(replies.some((m) => m.id === 'p' && m.result), JSON.stringify(replies));
    assert.ok(replies.some((m) => m.id === 7 && m.error.code === -32601));
    assert.match((await talk({ s: stdio('old').entry }, question, 'y')).out, /sunny/, 'an older protocol');
});

await test('a server that ends, floods, or answers with megabytes', async () => {
    let c = await talk({ s: stdio('dies').entry }, '/call die', '/call die', 'What is 17 + 25?');
    assert.equal(c.out.match(/The call failed: s has ended/g)?.length, 2, c.out);
    assert.match(c.out, /42/);
    c = await talk({ s: stdio('huge').entry }, '/call long', '/call flood', 'What is 17 + 25?');
    assert.match(c.out, /^é{16384}$/m);
    assert.match(c.out, /\[2064384 more bytes are left out\]/);
    assert.match(c.out, /The call failed: s sends more than 16 MB/);
    assert.match(c.out, /42/);
});

await test('Ctrl-C ends a call, and the server is told', async () => {
    const s = stdio('mute'), c = start({ s: s.entry });
    c.say('/call wait {}');
    while (!logs(s.log).some((m) => m.method === 'tools/call')) await new Promise((done) => setTimeout(done,
        20));
    c.child.kill('SIGINT');
    await c.until(/\(stopped\)/);
    c.say('What is 17 + 25?');
    await c.until(/42/);
    await c.end();
    const call = logs(s.log).find((m) => m.method === 'tools/call');
    assert.equal(logs(s.log).find((m) => m.method === 'notifications/cancelled').params.requestId, call.id);
});

await test('children end with us: after a kill, and where they do not want to', async () => {
    const a = stdio('good'), c = start({ a: a.entry });
    c.say('/tools');
    await c.until(/get_weather/);
    c.child.kill('SIGKILL');
    await c.ended;
    assert.ok(await gone(logs(a.log)[0].pid), 'after SIGKILL');
    const b = stdio('stubborn');
    assert.equal((await talk({ b: b.entry }, '/tools')).result.code, 0);
    assert.ok(await gone(logs(b.log)[0].pid), 'one that ignores SIGTERM');
});

await test('files that are wrong', async () => {
    for (const [text, words] of [['', /is empty/], ['{', /not JSON/], ['{}', /no "mcpServers"/],
        ['{"mcpServers":[]}', /no "mcpServers"/],
        ['{"mcpServers":{"a":{}}}', /"a" has no command and no url/], ['{"mcpServers":{"a":5}}',
            /is no object/],
        ['{"mcpServers":{"a":{"command":"x","args":[5]}}}', /args/],
            ['{"mcpServers":{"a":{"url":"ftp://x"}}}', /neither http/],
        ['{"mcpServers":{"a":{"url":"http://x","headers":{"A":"b\\r\\nC: d"}}}}', /headers/],
        ['{"mcpServers":{"a":{"command":"x","env":{"A":5}}}}', /env/]]) {
        const c = await talk(text);
        assert.equal(c.result.code, 2, text);
        assert.match(c.err, words);
        assert.equal(c.err.trim().split('\n').length, 1);
    }
});

// ---- over HTTP --------------------------------------------------------------------------------------------
// A server of "streamable HTTP". kind: json, sse; once a session is lost; a key that it wants.
async function web({ sse = false, key, lose = false, session = 's-1', redirect } = {}) {
    const seen = [];
    let lost = false;
    const server = http.createServer(async (req, res) => {
        let body = '';
        for await (const d of req) body += d;
        const message = body ? JSON.parse(body) : null;
        seen.push({ method: req.method, headers: req.headers, message });
        if (redirect) return res.writeHead(307, { location: redirect }).end();
        if (key && req.headers['x-key'] !== key) return res.writeHead(401).end();
        if (req.method === 'DELETE') return res.writeHead(204).end();
        if (message.method !== 'initialize' &&
            req.headers['mcp-session-id'] !== session) return res.writeHead(400).end();
        if (lose && !lost && message.method === 'tools/call') { lost =
            true; return res.writeHead(404).end(); }
        if (message.id === undefined || !message.method) return res.writeHead(202).end();
        const result = { initialize: { protocolVersion: '2025-06-18', capabilities: { tools: {} },
            serverInfo: {} },
            'tools/list': { tools: [{ name: 'get_weather', description: 'Gets the current weather in a city.',
                inputSchema: { type: 'object', required: ['city'],
                    properties: { city: { type: 'string', description: 'The name of the city' } } } }] },
            'tools/call': { content: [{ type: 'text',
                text: '{"sky": "sunny", "temperature": 21}' }] } }[message.method];
        const answer = JSON.stringify({ jsonrpc: '2.0', id: message.id, result });
        const head = { 'mcp-session-id': session, 'content-type': sse ? 'text/event-stream'
            : 'application/json' };
        res.writeHead(200, head);
        if (!sse) return res.end(answer);
        res.write(': hello\n\nevent: message\ndata: {"jsonrpc":"2.0","id":"q","method":"ping"}\r\n\r\n');
        const half = answer.indexOf(',');
        res.write(`id: 5\ndata: ${answer.slice(0, half + 1)}\n`);
        setTimeout(() => res.write(`data:${answer.slice(half + 1)}\n\n`), 20); // and the stream stays open
        return undefined;
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    return { url: `http://127.0.0.1:${server.address().port}/mcp`, seen,
        close: () => { server.closeAllConnections(); server.close(); } };
}
for (const sse of [false, true]) await test(`over HTTP, ${sse ? 'events' : 'JSON'}`, async () => {
    const s = await web({ sse, key: 'k' });
    const c = await talk({ web: { url: s.url, headers: { 'X-Key': 'k' } } }, question, 'y');
    assert.match(c.out, /sunny/, c.err);
    const posts = s.seen.filter((r) => r.method === 'POST');
    assert.ok(posts.every((r) => r.headers.accept === 'application/json, text/event-stream'));
    const begun = posts.findIndex((r) => r.message.method === 'notifications/initialized');
    assert.ok(posts.slice(begun).every((r) => r.headers['mcp-protocol-version'] === '2025-06-18' &&
        r.headers['mcp-session-id'] === 's-1'));
    assert.deepEqual(posts.map((r) => r.message.method).filter(Boolean),
        ['initialize', 'notifications/initialized', 'tools/list', 'tools/call']);
    if (sse) assert.ok(posts.some((r) => r.message.id === 'q' && r.message.result), 'ping is answered');
    assert.equal(s.seen.at(-1).method, 'DELETE', 'the session is ended');
    s.close();
});
await test('over HTTP: a session that is lost, a key that is missing, redirects, nobody', async () => {
    const s = await web({ lose: true }), closed = await web({ key: 'k' }), other = await web();
    const led = await web({ redirect: other.url });
    let c = await talk({ web: { url: s.url } }, question, 'y');
    assert.match(c.out, /sunny/, c.err);
    assert.equal(s.seen.filter((r) => r.message?.method === 'initialize').length, 2);
    c = await talk({ a: { url: closed.url }, b: { url: led.url, headers: { authorization: 'secret' } } },
        '/tools');
    assert.match(c.err, /a wants a key \(HTTP 401\)/);
    assert.match(c.err, /b answers HTTP 307/);
    assert.equal(other.seen.length, 0, 'what opens one address is not sent to another');
    for (const x of [s, closed, other, led]) x.close();
});

// ---- MCP's own example ------------------------------------------------------------------------------------
const example = process.env.PEERS &&
    path.join(process.env.PEERS, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
if (!example) {
    skipped++;
    console.log('SKIP the everything server: PEERS is not set (tests/npm_cached.sh tests/peers peers)');
} else {
    const calls = ['/tools', '/call echo {"message":"a \\"b\\" é"}', '/call get-sum {"a":2,"b":40}',
        '/call echo {}',
        '/call get-tiny-image {}', '/call get-structured-content {"location":"Chicago"}', 'What is 17 + 25?'];
    const judge = (c) => {
        assert.equal(c.result.code, 0, c.err);
        assert.match(c.err, /^echo +every: Echoes back the input/m);
        assert.match(c.out, /Echo: a "b" é/);
        assert.match(c.out, /The sum of 2 and 40 is 42/);
        assert.match(c.out, /failed|validation|Invalid/i);
        assert.match(c.out, /\[image image\/png: not shown/);
        assert.match(c.out, /temperature/);
    };
    await test('the everything server on standard input', async () => {
        judge(await talk({ every: { command: process.execPath, args: [example, 'stdio'] } }, ...calls));
    });
    await test('the everything server over HTTP', async () => {
        const probe = http.createServer();
        await new Promise((done) => probe.listen(0, '127.0.0.1', done));
        const port = probe.address().port;
        await new Promise((done) => probe.close(done));
        const server = spawn(process.execPath, [example, 'streamableHttp'], { env: { ...process.env,
            PORT: port } });
        await new Promise((done, no) => {
            server.stderr.on('data', (d) => { if (/listening|port/i.test(d)) done(); });
            server.stdout.on('data', (d) => { if (/listening|port/i.test(d)) done(); });
            server.once('exit', () => no(new Error('the everything server ended')));
        });
        judge(await talk({ every: { url: `http://127.0.0.1:${port}/mcp` } }, ...calls));
        server.kill();
    });
}
console.log(`chat with tools: ${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
