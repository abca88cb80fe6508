// files.mjs - the page, model files by range, paths that must not work, and who may ask.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { assert, finish, model, parse, post, raw, root, run, serve, sleep, test } from './lib.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-http-'));
fs.mkdirSync(path.join(folder, 'models'));
fs.copyFileSync(model, path.join(folder, 'models/one.gguf'));
fs.writeFileSync(path.join(folder, 'secret.gguf'), 'secret');
fs.writeFileSync(path.join(folder, 'models/notes.txt'), 'secret');
fs.symlinkSync('../secret.gguf', path.join(folder, 'models/out.gguf'));
fs.symlinkSync('one.gguf', path.join(folder, 'models/in.gguf'));
fs.mkdirSync(path.join(folder, 'models/dir.gguf'));
const bytes = fs.readFileSync(model);
const s = await serve(['--models-dir', path.join(folder, 'models')]);
const get = (url, headers = {}, method = 'GET') => fetch(s.url + url, { method, headers });
const text = (p, headers = '', method = 'GET') => raw(s.port,
    `${method} ${p} HTTP/1.1\r\nHost: localhost:${s.port}\r\n${headers}Connection: close\r\n\r\n`)
    .then(parse);

// ---- ranges -----------------------------------------------------------------------------------------------
await test('the whole file, HEAD, ETag', async () => {
    const r = await get('/models/one.gguf');
    assert.equal(r.status, 200);
    assert.ok(Buffer.from(await r.arrayBuffer()).equals(bytes));
    assert.equal(r.headers.get('accept-ranges'), 'bytes');
    assert.match(r.headers.get('cache-control'), /max-age=\d+/);
    const h = await get('/models/one.gguf', {}, 'HEAD');
    assert.equal(Number(h.headers.get('content-length')), bytes.length);
    const etag = r.headers.get('etag');
    assert.equal((await get('/models/one.gguf', { 'if-none-match': etag })).status, 304);
    assert.equal((await get('/models/one.gguf', { 'if-none-match': '"other"' })).status, 200);
    assert.equal((await get('/models/one.gguf', { range: 'bytes=0-3', 'if-range': etag })).status, 206);
    assert.equal((await get('/models/one.gguf', { range: 'bytes=0-3', 'if-range': '"other"' })).status, 200);
});
await test('ranges: first, middle, last, suffix, open, one byte', async () => {
    const n = bytes.length;
    for (const [range, from, to] of [['0-3', 0, 4], ['100-999999', 100, 1000000],
        [`${n - 5}-${n - 1}`, n - 5, n], ['-7', n - 7, n], [`${n - 9}-`, n - 9, n],
        ['0-0', 0, 1], [`0-${n * 2}`, 0, n], [`-${n * 2}`, 0, n]]) {
        const r = await get('/models/one.gguf', { range: 'bytes=' + range });
        assert.equal(r.status, 206, range);
        assert.equal(r.headers.get('content-range'), `bytes ${from}-${to - 1}/${n}`);
        assert.ok(Buffer.from(await r.arrayBuffer()).equals(bytes.subarray(from, to)), range);
    }
});
await test('ranges that cannot be, and those to ignore', async () => {
    for (const range of [`${bytes.length}-`, `${bytes.length + 5}-${bytes.length + 9}`, '-0']) {
        const r = await get('/models/one.gguf', { range: 'bytes=' + range });
        assert.equal(r.status, 416, range);
        assert.equal(r.headers.get('content-range'), `bytes */${bytes.length}`);
        await r.arrayBuffer();
    }
    for (const range of ['bytes=5-2', 'bytes=a-b', 'items=0-1', 'bytes=0-1,4-5', 'bytes=', 'bytes=-']) {
        const r = await get('/models/one.gguf', { range });
        assert.equal(r.status, 200, range);
        await r.arrayBuffer();
    }
});
await test('CORS and preflight of model files', async () => {
    const r = await get('/models/one.gguf', { origin: 'https://elsewhere.example', range: 'bytes=0-3' });
    assert.equal(r.headers.get('access-control-allow-origin'), '*');
    assert.equal(r.headers.get('access-control-expose-headers'),
        'Content-Range, Content-Length, Accept-Ranges, ETag');
    const o = await get('/models/one.gguf', { origin: 'https://elsewhere.example',
        'access-control-request-method': 'GET', 'access-control-request-headers': 'range' }, 'OPTIONS');
    assert.equal(o.status, 204);
    assert.match(o.headers.get('access-control-allow-headers'), /Range/);
    assert.match(o.headers.get('access-control-allow-methods'), /GET/);
    assert.equal((await get('/models/one.gguf', {}, 'PUT')).status, 405);
});
await test('no path leaves the folder', async () => {
    assert.equal((await text('/models/in.gguf', 'Range: bytes=0-3\r\n')).status, 206);
    for (const p of ['/models/out.gguf', '/models/../secret.gguf', '/models/%2e%2e/secret.gguf',
        '/models/..%2fsecret.gguf', '/models/%2e%2e%2fsecret.gguf', '/models/one.gguf%00.txt',
        '/models/%00one.gguf', '/models//etc/passwd', '/models/notes.txt', '/models/dir.gguf', '/models/',
        '/models/.gguf', '/models/one.gguf/', '/models/one.gguf/..', '/models/./one.gguf',
        '/models/..\\secret.gguf', '/models/%5c..%5csecret.gguf', '/models/%zz.gguf', '/models/%',
        '/models/one.gguf%0d%0aX: y', '/../../etc/passwd', '/js/../../Makefile', '/%2e%2e/Makefile',
        '/.git/config', '/package.json/../Makefile', '/Makefile', '/models',
        '/models/' + 'a'.repeat(900) + '.gguf']) {
        const r = await text(p);
        assert.ok([400, 404].includes(r.status), `${p} gave ${r.status}`);
        assert.ok(!r.body.includes('secret') || r.body.includes('"error"'), p);
        assert.ok(!/^X:/m.test(r.head));
    }
});

// ---- the page ---------------------------------------------------------------------------------------------
await test('the page: isolation headers, compression, 304', async () => {
    for (const p of ['/', '/gptoss']) {
        const r = await text(p);
        assert.equal(r.status, 200);
        assert.match(r.head, /cross-origin-opener-policy: same-origin/i);
        assert.match(r.head, /cross-origin-embedder-policy: require-corp/i);
        assert.match(r.head, /content-type: text\/html/i);
        assert.match(r.body, /<html|<!doctype/i);
    }
    const plain = Buffer.from((await text('/')).body, 'latin1');
    const gz = await raw(s.port,
        `GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n`);
    const zipped = parse(gz);
    assert.match(zipped.head, /content-encoding: gzip/i);
    assert.match(zipped.head, /vary: accept-encoding/i);
    assert.ok(zlib.gunzipSync(Buffer.from(zipped.body, 'latin1')).equals(plain));
    assert.doesNotMatch((await text('/', 'Accept-Encoding: gzip;q=0\r\n')).head, /content-encoding/i);
    const etag = (await text('/')).head.match(/etag: (.*)/i)[1];
    assert.equal((await text('/', `If-None-Match: ${etag}\r\n`)).status, 304);
    assert.equal((await text('/nothing.js')).status, 404);
    assert.equal((await text('/', '', 'HEAD')).status, 200);
    assert.equal((await post(s.url + '/', {})).status, 405);
});

// ---- who may ask ------------------------------------------------------------------------------------------
await test('Host: names that could be rebound are refused', async () => {
    for (const host of ['evil.example', 'evil.example:80', 'localhost.evil.example',
        '127.0.0.1.evil.example', '', '[::1', 'localhost:x'])
        assert.ok([400, 403].includes(parse(await raw(s.port,
            `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).status), host);
    for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', `[::1]:${s.port}`, 'a.localhost'])
        assert.equal(parse(await raw(s.port,
            `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).status, 200, host);
    assert.ok([400, 403].includes(parse(await raw(s.port,
        'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n')).status));
});
await test('Origin: other pages may not call the API', async () => {
    const from = (origin) => text('/v1/models', `Origin: ${origin}\r\n`);
    for (const origin of ['https://evil.example', 'null', 'http://localhost:1',
        `http://localhost.evil.example:${s.port}`, `ftp://localhost:${s.port}`])
        assert.equal((await from(origin)).status, 403, origin);
    const own = await from(`http://localhost:${s.port}`);
    assert.equal(own.status, 200);
});
await test('--allow-origin, preflight, --allow-host, the key', async () => {
    const k = await serve(['--allow-origin', 'https://app.example', '--allow-host', 'box.example',
        '--api-key', 'sesame']);
    const t = (p, headers = '', method = 'GET') => raw(k.port,
        `${method} ${p} HTTP/1.1\r\nHost: box.example\r\n${headers}Connection: close\r\n\r\n`).then(parse);
    assert.equal((await t('/v1/models')).status, 401);
    assert.equal((await t('/v1/models', 'Authorization: Bearer wrong\r\n')).status, 401);
    assert.equal((await t('/v1/models', 'Authorization: Bearer sesam\r\n')).status, 401);
    assert.equal((await t('/v1/models', 'Authorization: Bearer sesame\r\n')).status, 200);
    assert.equal((await t('/v1/models', 'x-api-key: sesame\r\n')).status, 200);
    assert.equal((await t('/metrics')).status, 401);
    for (const p of ['/health', '/', '/models/demo-gptoss.gguf'])
        assert.equal((await t(p, '', 'HEAD')).status, 200, p);
    const pre = await t('/v1/chat/completions',
        'Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n' +
        'Access-Control-Request-Headers: authorization\r\n', 'OPTIONS');
    assert.equal(pre.status, 204);
    assert.match(pre.head, /access-control-allow-origin: https:\/\/app.example/i);
    assert.match(pre.head, /access-control-allow-headers: authorization/i);
    const cors = await t('/v1/models', 'Origin: https://app.example\r\nx-api-key: sesame\r\n');
    assert.match(cors.head, /access-control-allow-origin: https:\/\/app.example/i);
    assert.equal((await t('/v1/models',
        'Origin: https://other.example\r\nx-api-key: sesame\r\n')).status, 403);
    await k.stop();
});
await test('--sandbox: a link to another file is served without it, and not from inside', async () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-sandbox-')),
        inside = path.join(dir, 'inside'), outside = path.join(dir, 'outside');
    for (const d of [inside, outside]) fs.mkdirSync(d);
    fs.copyFileSync(path.join(root, 'models/demo-gptoss-draft.gguf'), path.join(inside, 'a.gguf'));
    fs.copyFileSync(path.join(root, 'models/demo-gptoss-draft.gguf'), path.join(outside, 'b.gguf'));
    // LeakSanitizer looks into a process from another one, which a sandbox does not let it
    const env = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'detect_leaks=0'].filter(Boolean).join(':') };
    for (const [flag, ids, seccomp] of [['off', 'a,b', '0'], ['on', 'a', '2'], ['auto', 'a', '2']]) {
        fs.rmSync(path.join(inside, 'b.gguf'), { force: true });
        const s = await serve(['--models-dir', inside, '--sandbox', flag], { ready: false, env });
        fs.symlinkSync(path.join(outside, 'b.gguf'), path.join(inside, 'b.gguf'));
        s.kill('SIGHUP');
        while (!/reloading/.test(s.log())) await sleep(20);
        const ask = async (model) => (await post(s.url + '/v1/completions',
            { model, prompt: 'Once', max_tokens: 2 })).status;
        assert.equal(await ask('a'), 200, s.log());
        const list = (await (await fetch(s.url + '/v1/models')).json()).data.map((m) => m.id).sort();
        assert.equal(list.join(), ids, flag + s.log());
        const own = fs.readFileSync(`/proc/${s.pid}/status`, 'utf8');
        if (!/no Landlock|no seccomp/.test(s.log()))
            assert.equal(/^Seccomp:\s(\d)/m.exec(own)[1], seccomp, own);
        assert.equal((await s.stop()).code, 0);
    }
    fs.rmSync(dir, { recursive: true });
});
await test('another address than loopback demands a key', async () => {
    const r = await run(['serve', '--host', '0.0.0.0', '--port', '0']);
    assert.equal(r.code, 2);
    assert.match(r.err, /--api-key/);
    const bad = await run(['serve', '--nonsense']);
    assert.deepEqual([bad.code, /--nonsense/.test(bad.err)], [2, true]);
    const help = await run(['serve', '--help']);
    assert.deepEqual([help.code, /--keep-alive/.test(help.out)], [0, true]);
    const docs = fs.readFileSync(path.join(root, 'docs/server.md'), 'utf8');
    for (const flag of help.out.match(/^ {2}--[a-z-]+/gm))
        assert.ok(docs.includes('`' + flag.trim()), `docs/server.md says nothing of ${flag}`);
    for (const name of help.out.match(/variable \w+/g)) assert.ok(docs.includes(name.slice(9)), name);
});
await test('nothing a client sends is logged unescaped', async () => {
    await raw(s.port, `GET /\u001b[31mred\u0007 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        .catch(() => '');
    await raw(s.port, `GET /%1b%0a"x" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        .catch(() => '');
    assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f]/.test(s.log()));
});
await s.stop();
fs.rmSync(folder, { recursive: true });
finish();
