// strict.mjs - bytes that a proxy may read otherwise than we: each is answered 400 and ends its connection,
// and the request that it hides is never run. And clients that take their time.
import net from 'node:net';
import { assert, finish, june, parse, post, raw, serve, sleep, test } from './lib.mjs';

const s = await serve();
const hidden = 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
const text = '{"content":"Hello"}';
const start = 'POST /tokenize HTTP/1.1\r\nHost: localhost\r\n';
const length = `Content-Length: ${text.length}\r\n`, coded = 'Transfer-Encoding: chunked\r\n';
const bad = {
    'a folded Content-Length': `${start}Content-Length:\r\n ${text.length}\r\n\r\n${text}`,
    'a folded field': `${start}X: a\r\n b\r\n${length}\r\n${text}`,
    'a folded line behind the request line':
        `POST /tokenize HTTP/1.1\r\n Host: x\r\nHost: localhost\r\n${length}\r\n${text}`,
    'two Content-Lengths': `${start}${length}Content-Length: 5\r\n\r\n${text}`,
    'two equal Content-Lengths': `${start}${length}${length}\r\n${text}`,
    'a list of Content-Lengths': `${start}Content-Length: ${text.length}, ${text.length}\r\n\r\n${text}`,
    'Content-Length and Transfer-Encoding': `${start}${length}${coded}\r\n0\r\n\r\n`,
    'Transfer-Encoding and Content-Length': `${start}${coded}${length}\r\n0\r\n\r\n`,
    'a signed Content-Length': `${start}Content-Length: +${text.length}\r\n\r\n${text}`,
    'a hexadecimal Content-Length': `${start}Content-Length: 0x13\r\n\r\n${text}`,
    'an empty Content-Length': `${start}Content-Length:\r\n\r\n`,
    'a Content-Length beyond all numbers': `${start}Content-Length: 18446744073709551635\r\n\r\n${text}`,
    'two Transfer-Encodings': `${start}${coded}${coded}\r\n0\r\n\r\n`,
    'chunked twice': `${start}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
    'a coding nobody knows': `${start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    'chunked with a control character': `${start}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`,
    'chunked in HTTP/1.0': `${start.replace('1.1', '1.0')}${coded}\r\n0\r\n\r\n`,
    'two Hosts': `${start}Host: localhost\r\n${length}\r\n${text}`,
    'no Host': `POST /tokenize HTTP/1.1\r\n${length}\r\n${text}`,
    'an empty name': `${start}: x\r\n${length}\r\n${text}`,
    'a blank before the colon': `${start}Content-Length : ${text.length}\r\n\r\n${text}`,
    'a tab before the colon': `${start}Content-Length\t: ${text.length}\r\n\r\n${text}`,
    'a blank in a name': `${start}Content Length: ${text.length}\r\n\r\n${text}`,
    'a line without a colon': `${start}Content-Length\r\n${length}\r\n${text}`,
    'a bare line feed': `${start}X: a\n${length}\r\n${text}`,
    'a bare line feed behind the request line':
        `POST /tokenize HTTP/1.1\nHost: localhost\r\n${length}\r\n${text}`,
    'a bare line feed at the end': `${start}${length}\n${text}`,
    'a bare carriage return': `${start}X: a\rTransfer-Encoding: chunked\r\n${length}\r\n${text}`,
    'a carriage return before CR LF': `${start}X: a\r\r\n${length}\r\n${text}`,
    'NUL in a value': `${start}X: a\0b\r\n${length}\r\n${text}`,
    'NUL in a name': `${start}X\0: a\r\n${length}\r\n${text}`,
    'NUL in the target': `POST /tokenize\0 HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${text}`,
    'NUL at the start': `\0${start}${length}\r\n${text}`,
    'a tab in the request line': `POST\t/tokenize HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${text}`,
    'two blanks in the request line': `POST  /tokenize HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${text}`,
    'a blank in the target': `POST /tokenize x HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${text}`,
    'HTTP/0.9': 'GET /v1/models\r\n\r\n',
    'HTTP/9.9': `POST /tokenize HTTP/9.9\r\nHost: localhost\r\n${length}\r\n${text}`,
    'HTTP/1.1 with more': `POST /tokenize HTTP/1.1x\r\nHost: localhost\r\n${length}\r\n${text}`,
    'our own mark': `${start}(bad): 200 fine\r\n${length}\r\n${text}`,
};
const chunks = {
    'a signed size': `+13\r\n${text}\r\n0\r\n\r\n`,
    'a negative size': `-1\r\n${text}\r\n0\r\n\r\n`,
    'a size with 0x': `0x13\r\n${text}\r\n0\r\n\r\n`,
    'a size with a blank before': ` 13\r\n${text}\r\n0\r\n\r\n`,
    'a size with a blank behind': `13 \r\n${text}\r\n0\r\n\r\n`,
    'no size': `\r\n${text}\r\n0\r\n\r\n`,
    'a size beyond all numbers': `10000000000000013\r\n${text}\r\n0\r\n\r\n`,
    'a size that ends with a line feed': `13\n${text}\r\n0\r\n\r\n`,
    'a size that ends with a carriage return': `13\r${text}\r\n0\r\n\r\n`,
    'a line feed in an extension': `13;a\n\r\n${text}\r\n0\r\n\r\n`,
    'a chunk shorter than its data': `12\r\n${text}\r\n0\r\n\r\n`,
    'a chunk whose data end with a line feed': `13\r\n${text}\n0\r\n\r\n`,
    'an endless extension': `13;${'a'.repeat(9000)}\r\n${text}\r\n0\r\n\r\n`,
    'a line feed at the end': `13\r\n${text}\r\n0\n\n`,
    'a folded trailer': `13\r\n${text}\r\n0\r\n X: a\r\n\r\n`,
    'a trailer without a name': `13\r\n${text}\r\n0\r\n: a\r\n\r\n`,
    'NUL in a trailer': `13\r\n${text}\r\n0\r\nX: \0\r\n\r\n`,
    'endless trailers': `13\r\n${text}\r\n0\r\n${'X: a\r\n'.repeat(2000)}\r\n`,
};

// ---- the framing of requests ------------------------------------------------------------------------------
const refused = (answer, name) => {
    assert.equal(answer.split('HTTP/1.1 ').length, 2, `${name}: not one answer but ${answer}`);
    const a = parse(answer);
    assert.equal(a.status, 400, `${name}: ${answer}`);
    assert.match(a.head, /connection: close/i, name);
    assert.ok(!answer.includes('"object"'), name);
};
const all = [...Object.entries(bad),
    ...Object.entries(chunks).map(([name, body]) => [`chunks: ${name}`, `${start}${coded}\r\n${body}`])];
await test('bytes that are no request: 400, the connection closed, nothing behind them run', async () => {
    for (const [name, bytes] of all) refused(await raw(s.port, bytes + hidden), name);
});
await test('the same, byte by byte', async () => {
    await Promise.all(all.filter(([, bytes]) => bytes.length < 1000).map(async ([name, bytes]) =>
        refused(await raw(s.port, [...(bytes + hidden)]), name)));
});
await test('the same behind a good request: that one is answered', async () => {
    for (const [name, bytes] of all) {
        const answer = await raw(s.port, `${start}${length}\r\n${text}${bytes}${hidden}`);
        assert.match(answer, /^HTTP\/1.1 200/, name + answer);
        refused(answer.slice(answer.indexOf('HTTP/1.1 ', 9)), name);
    }
});
await test('a refusal says why', async () => {
    const why = async (bytes) => JSON.parse(parse(await raw(s.port, bytes)).body).error;
    assert.deepEqual([(await why(bad['two Hosts'])).code, (await why(bad['two Hosts'])).message],
        ['bad_request', 'there are two Host fields']);
    assert.match((await why(bad['a folded field'])).message, /not folded/);
    assert.match((await why(`${start}${coded}\r\n${chunks['a signed size']}`)).message, /chunk/);
});
await test('what is allowed stays allowed', async () => {
    const one = `${start}${coded}\r\n13;name="a b";x\r\n${text}\r\n0\r\nX-Sum: 1\r\n\r\n`;
    const good = ['\r\n\r\n' + start + length,
        `${start}X:\r\nY:\t \xe9 \r\nContent-Length: ${text.length} \t\r\n`,
        `${start.replace('1.1', '1.0')}Connection: keep-alive\r\n${length}`,
        `${start}Transfer-encoding:Chunked\r\n`].map((head, i) =>
        `${head}\r\n${i === 3 ? `0013\r\n${text}\r\n0\r\n\r\n` : text}`);
    const bytes = one + good.join('') + hidden;
    for (const pieces of [bytes, [...bytes]])
        assert.equal((await raw(s.port, pieces)).split(/HTTP\/1\.. 200/).length, 7);
});
await test('a large body behind others, in chunks of every size', async () => {
    const large = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(400000) }] });
    const start = 'POST /v1/messages/count_tokens HTTP/1.1\r\nHost: localhost\r\n';
    let body = '', at = 0;
    for (let n = 1; at < large.length; at += n, n = n * 3 % 70001 + 1) {
        const piece = large.slice(at, at + n);
        body += `${piece.length.toString(16)}\r\n${piece}\r\n`;
    }
    const plain = `${start}Content-Length: ${large.length}\r\n\r\n${large}`;
    const answer = await raw(s.port, `${plain}${start}${coded}\r\n${body}0\r\n\r\n${plain}${hidden}`);
    const counts = [...answer.matchAll(/"input_tokens":(\d+)/g)].map((m) => m[1]);
    assert.equal(counts.length, 3, answer.slice(0, 300));
    assert.equal(new Set(counts).size, 1);
    assert.match(answer, /"object":"list"/);
});
await s.stop();

// ---- clients that take their time -------------------------------------------------------------------------
const open = (port, first) => new Promise((done) => {
    const c = net.connect(port, '127.0.0.1', () => { if (first) c.write(first); done(c); });
    c.got = '';
    c.on('error', () => {});
    c.on('data', (d) => { c.got += d; });
    c.gone = new Promise((end) => c.on('close', end));
});
const drip = (c, byte = 'a') => {
    const timer = setInterval(() => c.write(byte), 100);
    c.gone.then(() => clearInterval(timer));
    return c;
};
await test('--head-timeout: a head that takes longer is answered 408 and closed', async () => {
    const t = await serve(['--head-timeout', '1']);
    const half = await open(t.port, start), slow = drip(await open(t.port, `${start}X: `)),
        second = drip(await open(t.port, `${start}${length}\r\n${text}GET /`)), quiet = await open(t.port);
    await Promise.all([half.gone, slow.gone, second.gone]);
    for (const c of [half, slow]) {
        assert.equal(parse(c.got).status, 408, c.got);
        assert.match(c.got, /--head-timeout/);
    }
    assert.match(second.got, /^HTTP\/1.1 200[^]*HTTP\/1.1 408/);
    quiet.write(hidden); // it had sent nothing: --timeout is its limit
    await quiet.gone;
    assert.equal(parse(quiet.got).status, 200);
    await t.stop();
});
await test('--body-rate: a body that drips is cut, one that flows is not', async () => {
    const t = await serve(['--body-rate', '1K', '--max-sessions', '1']);
    const t0 = Date.now();
    const slow = drip(await open(t.port, `${start}Content-Length: 9000\r\n\r\n`)),
        chunked = drip(await open(t.port, `${start}${coded}\r\n`), '1\r\na\r\n');
    const body = JSON.stringify({ content: 'x'.repeat(60000) });
    const flows = await open(t.port, `${start}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`);
    let at = 0;
    const timer = setInterval(() => { flows.write(body.slice(at, at += 500)); }, 100);
    await Promise.all([slow.gone, chunked.gone]);
    assert.ok(Date.now() - t0 > 9000, `closed after ${Date.now() - t0} ms`);
    assert.ok(!flows.closed && !flows.got);
    clearInterval(timer);
    flows.write(body.slice(at));
    await flows.gone;
    assert.equal(parse(flows.got).status, 200, flows.got);
    await t.stop();
});
await test('150 connections with a byte now and then: a good client is served all the while', async () => {
    const t = await serve(['--max-connections', '100', '--head-timeout', '600']);
    let gone = 0;
    const slow = [];
    for (let i = 0; i < 150; i++) {
        const first = i % 3 ? `${start}X: ` : i % 2 ? `${start}Content-Length: 9000\r\n\r\n` : '';
        const c = drip(await open(t.port, first));
        c.gone.then(() => gone++);
        slow.push(c);
        if (i % 10) continue;
        const r = await post(t.url + '/v1/chat/completions',
            { messages: june, temperature: 0, max_tokens: 3 }, { connection: 'close' });
        assert.equal(r.status, 200, `${i}: ${r.text}`);
    }
    while (gone < 40) await sleep(20); // fewer than 100 are left, and what is left are not all of them
    for (const c of slow) c.destroy();
    await t.stop();
});
await test('who waits for an answer makes no room', async () => {
    const t = await serve(['--max-connections', '8', '--max-sessions', '2']);
    const chat = JSON.stringify({ messages: june, temperature: 1, max_tokens: 1500, n: 2, stream: true });
    const busy = [];
    for (let i = 0; i < 3; i++)
        busy.push(await open(t.port, `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n` +
            `Connection: close\r\nContent-Length: ${chat.length}\r\n\r\n${chat}`));
    // until all three are read: one that is not waits for no answer yet. Asking takes no place that lacks
    const metrics = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const count = (text, what) =>
        Number(new RegExp(`^gossamer_jobs_${what} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    for (let read = 0; read < 3 && busy.some((c) => !c.got);) {
        const text = await raw(t.port, metrics);
        read = count(text, 'waiting') + count(text, 'running');
    }
    const idle = await open(t.port, hidden.replace('close', 'keep-alive'));
    while (!idle.got) await sleep(10);
    const news = [];
    for (let i = 0; i < 20; i++) {
        news.push(await open(t.port, hidden.replace('close', 'keep-alive')));
        while (!news[i].got) await sleep(5);
        assert.equal(parse(news[i].got).status, 200);
    }
    await idle.gone;
    await Promise.all(busy.map((c) => c.gone));
    for (const c of busy) assert.match(c.got, /\[DONE\]/);
    for (const c of news) c.destroy();
    await t.stop();
});
finish();
