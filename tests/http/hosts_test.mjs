// hosts_test.mjs PROGRAM - hosts of models that mean harm: each ends with one sentence after few requests and
// few bytes, and leaves no file that counts as finished.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-hosts-'));
const bytes = fs.readFileSync('models/demo-gptoss-draft.gguf'), size = bytes.length;
let passed = 0, failed = 0;
function check(ok, what, detail = '') {
    if (ok) { passed++; return; }
    failed++;
    console.log(`FAIL ${what}\n  ${String(detail).slice(0, 800)}`);
}

// ---- a host that answers as a function says: (request) => [head's lines, body, more?] ----------------
// more: bytes that follow for as long as the client takes them.
let requests = 0, sent = 0, behave;
const host = net.createServer((c) => {
    let got = '';
    c.on('error', () => {});
    c.on('data', (d) => {
        got += d;
        for (let end; (end = got.indexOf('\r\n\r\n')) >= 0; got = got.slice(end + 4)) {
            requests++;
            const head = got.slice(0, end), m = /^range: bytes=(\d+)-(\d*)/im.exec(head);
            const from = Number(m?.[1] ?? 0), to = m?.[2] ? Math.min(Number(m[2]), size - 1) : size - 1;
            const [lines, body = '', more] = behave({ head, from, to, n: requests });
            c.write(lines.join('\r\n') + (body === null ? '\r\n' : '\r\n\r\n')); // null: the head goes on
            if (body) c.write(body);
            sent += body?.length ?? 0;
            if (more === 'end') c.end();
            else if (more) flood(c, more);
        }
    });
});
function flood(c, more) {
    while (!c.destroyed && !c.writableEnded) {
        sent += more.length;
        if (c.write(more)) continue;
        c.once('drain', () => flood(c, more));
        return;
    }
}
await new Promise((done) => host.listen(0, '127.0.0.1', done));
const url = `http://127.0.0.1:${host.address().port}/m.gguf`;
const endless = Buffer.alloc(1 << 16, 7);
const etag = 'ETag: "one"';
const part = ({ from, to }, more = {}) => {
    const body = bytes.subarray(from, to + 1);
    return ['HTTP/1.1 206 Partial Content', `Content-Range: bytes ${from}-${to}/${more.total ?? size}`,
        `Content-Length: ${more.length ?? body.length}`, more.etag ?? etag];
};
const good = (r) => [part(r), bytes.subarray(r.from, r.to + 1)];

// ---- commands ---------------------------------------------------------------------------------------------
function run(args) {
    return new Promise((done) => execFile(program, args, { timeout: 180000, maxBuffer: 1 << 26 },
        (error, out, err) => done({ status: error ? error.code ?? 'killed' : 0, out, err })));
}
const target = path.join(folder, 'got.gguf'), cache = path.join(folder, 'cache');
const commands = {
    download: ['download', url, '-o', target, '--json'],
    dump: ['dump', url],
    stream: ['run', url, '--model-cache', cache, '--backend', 'cpu', '--raw', '-p', 'Once', '-n', '1',
        '--temp', '0'],
};
const finished = () => [folder, cache].filter((f) => fs.existsSync(f))
    .flatMap((f) => fs.readdirSync(f)).filter((f) => f.endsWith('.gguf'));
const clear = () => {
    for (const f of fs.readdirSync(folder)) fs.rmSync(path.join(folder, f), { recursive: true });
};

// Status 1, one sentence with these words, no finished file; at most so many requests and bytes. Three tries
// fill the system's buffers three times before the end of the client is seen: 10 MB each.
async function refused(what, answer, words,
    { only = Object.keys(commands), most = 12, bytes: cap = 4e7 } = {}) {
    for (const name of only) {
        clear();
        [requests, sent, behave] = [0, 0, answer];
        const r = await run(commands[name]);
        const lines = r.err.trim().split('\n');
        check(r.status === 1 && !r.out && lines.length === 1 && words.test(lines[0]), `${name}: ${what}`,
            `${r.status} ${r.err}`);
        check(requests <= most && requests > 0, `${name}: ${what}: requests`, requests);
        check(sent <= size + cap, `${name}: ${what}: bytes`, sent);
        check(!finished().length, `${name}: ${what}: no file`, finished());
    }
}

// ---- what they do -----------------------------------------------------------------------------------------
behave = good;
for (const name of Object.keys(commands)) {
    const r = await run(commands[name]);
    check(r.status === 0, `${name}: a good host`, r.err);
}
const chunked = (r) => part(r).map((l) => l.startsWith('Content-Length') ? 'Connection: close' : l);
await refused('a 206 with an endless body', (r) => [chunked(r), bytes.subarray(r.from, r.to + 1), endless],
    /more bytes than were asked for/);
await refused('a 206 that claims an endless body', (r) => [part(r, { length: 1e15 }), '', endless],
    /more bytes than were asked for/);
await refused('a 200 with an endless body', () => [['HTTP/1.1 200 OK', 'Connection: close'], '', endless],
    /does not support Range/, { only: ['dump', 'stream'] });
await refused('a 404 with an endless body', () => [['HTTP/1.1 404 No', 'Connection: close'], '', endless],
    /nothing at/);
await refused('a redirect with an endless body',
    () => [['HTTP/1.1 302 Found', `Location: ${url}`, 'Connection: close'], '', endless], /redirects/);
await refused('endless headers', () => [['HTTP/1.1 206 Partial Content', 'Connection: close'], null,
    Buffer.from(`X: ${'a'.repeat(1000)}\r\n`.repeat(60))], /headers that do not end/);
const few = (r) => bytes.subarray(r.from, Math.min(r.from + 10, r.to + 1));
await refused('bodies shorter than their Content-Range', (r) => [part(r, { length: few(r).length }), few(r)],
    /gives \d+ bytes where/, { most: 30 });
await refused('bodies that are cut after some bytes', (r) => [part(r), few(r), 'end'], /was cut/,
    { most: 30 });
for (const scheme of ['ftp://127.0.0.1:1/m.gguf', 'file:///etc/passwd', 'gopher://127.0.0.1:1/x',
    'data:,x', 'scp://127.0.0.1/x'])
    await refused(`a redirect to ${scheme}`, () => [['HTTP/1.1 302 Found', `Location: ${scheme}`,
        'Content-Length: 0']], /neither http nor https/, { most: 1 });
await refused('a loop of redirects', ({ n }) => [['HTTP/1.1 302 Found', `Location: ${url}?${n}`,
    'Content-Length: 0']], /redirects in circles/, { most: 12 });
await refused('a total of 10', (r) => [part({ from: r.from, to: Math.min(r.to, 9) }, { total: 10 }),
    bytes.subarray(r.from, Math.min(r.to, 9) + 1)], /no whole model|GGUF/, { most: 3 });
await refused('a total that is too small',
    (r) => [part({ from: r.from, to: Math.min(r.to, size - 1001) }, { total: size - 1000 }),
        bytes.subarray(r.from, Math.min(r.to, size - 1001) + 1)], /ends beyond the file/, { most: 30 });
await refused('a whole file that is none', () => [['HTTP/1.1 200 OK', 'Content-Length: 5'], 'hello'],
    /no whole model/, { only: ['download'], most: 1 });
await refused('a total below the range', (r) => [part(r, { total: r.to }), few(r)], /other bytes than/,
    { most: 1 });
await refused('a 206 without Content-Range',
    () => [['HTTP/1.1 206 Partial Content', 'Content-Length: 5', etag], 'hello'], /other bytes than/,
    { most: 1 });
await refused('a Content-Encoding', (r) => [[...part(r), 'Content-Encoding: gzip'],
    bytes.subarray(r.from, r.to + 1)], /Content-Encoding/, { most: 1 });
await refused('another ETag in each range', (r) => [part(r, { etag: `ETag: "${r.n}"` }),
    bytes.subarray(r.from, r.to + 1)], /changed on the server/, { only: ['dump', 'stream'], most: 20 });
await refused('another total in each range', (r) => [part(r, { total: size + r.n }),
    bytes.subarray(r.from, r.to + 1)], /changed on the server/, { only: ['dump', 'stream'], most: 20 });

// ---- what an earlier run left -----------------------------------------------------------------------------
async function resumed(what, have, note, answer) {
    clear();
    fs.writeFileSync(target + '.part', have);
    fs.writeFileSync(target + '.part.json', JSON.stringify({ url, etag: '"one"', ...note }));
    [requests, sent, behave] = [0, 0, answer];
    const r = await run(commands.download);
    check(r.status === 0 && fs.readFileSync(target).equals(bytes) && requests <= 2, what,
        `${requests} ${r.err}`);
}
const strict = (r) => r.from < size ? good(r)
    : [['HTTP/1.1 416 No', `Content-Range: bytes */${size}`, 'Content-Length: 0']];
await resumed('a part larger than its note says', Buffer.alloc(size + 5), { size }, strict);
await resumed('a part larger than the file', Buffer.alloc(size + 5), { size: size + 10 }, strict);
await resumed('a part of a file of another size', Buffer.alloc(1000), { size: size + 10 }, strict);

host.close();
fs.rmSync(folder, { recursive: true });
console.log(`hosts: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
