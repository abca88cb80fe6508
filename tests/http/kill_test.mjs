// kill_test.mjs PROGRAM [KILLS] - SIGKILL at random moments while the prefix store, the model cache, a
// download and a conversation are written: each is whole or absent after it, and the next run goes on. And
// limits on the size of a file, which are like full disks: an error that is said, never a server's end.
import { execFile, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]), kills = Number(process.argv[3] || 12);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-kill-'));
const source = 'models/demo-gptoss.gguf', bytes = fs.readFileSync(source);
const seed = Number(process.env.SEED || Date.now() % 1e9);
let state = seed, passed = 0, failed = 0;
const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
function check(ok, what, detail = '') {
    if (ok) { passed++; return; }
    failed++;
    console.log(`FAIL ${what} (SEED=${seed})\n  ${String(detail).slice(0, 800)}`);
}
const run = (args, { limit, input } = {}) => new Promise((done) => {
    const [file, all] = limit === undefined ? [program, args]
        : ['/bin/sh', ['-c', `ulimit -f ${limit}; exec "$0" "$@"`, program, ...args]];
    const child = execFile(file, all, { timeout: 180000 }, (error, out, err) =>
        done({ status: error ? error.code ?? error.signal : 0, out, err }));
    child.stdin.end(input ?? '');
});
// Runs until it ends or `ms` have passed. {hit: it was killed, took: ms}.
const kill = (args, ms, input) => new Promise((done) => {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'] }), t0 = performance.now();
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    const timer = setTimeout(() => child.kill('SIGKILL'), ms);
    child.on('exit', (code, signal) => {
        clearTimeout(timer);
        done({ hit: signal === 'SIGKILL', took: performance.now() - t0 });
    });
});
// How long it takes when nobody kills it.
async function time(args, input) {
    const t0 = performance.now();
    await run(args, { input });
    return performance.now() - t0;
}
// Kills it at a random moment of the `ms` that it takes; one that ended before says how long that is now.
async function killed(args, ms, input) {
    for (let tries = 0; tries < 50; tries++) {
        const { hit, took } = await kill(args, random() * ms, input);
        if (hit) return;
        ms = took;
    }
    check(false, 'a kill that hits', `${ms} ms`);
}

// ---- the prefix store -------------------------------------------------------------------------------------
const store = path.join(folder, 'store');
const prompt = (i) => ['run', source, '--backend', 'cpu', '--threads', '1', '--prefix-cache', store, '--raw',
    '-p', `Once upon a time there were ${i} crows. `.repeat(20), '-n', '8', '--temp', '0'];
{
    const long = await time(prompt(0));
    for (let i = 1; i <= kills; i++) {
        await killed(prompt(i), long);
        if (i % 4) continue;
        const r = await run(prompt(i));
        check(r.status === 0 && r.err === '', 'the prefix store after a kill', r.err);
        check(!fs.readdirSync(store).some((f) => f.startsWith('.')), 'nothing is left of what was cut');
    }
    // Three processes on one folder, two of them with the same prompt, all killed; and three that live.
    for (let i = 1; i <= kills / 2; i++)
        await Promise.all([i + 100, i + 100, i + 200].map((n) => kill(prompt(n), random() * 3 * long)));
    const three = await Promise.all([101, 101, 201].map((n) => run(prompt(n))));
    check(three.every((r) => r.status === 0 && r.err === ''), 'three writers after kills', three[0].err);
    check(three[0].out === three[1].out && three[0].out.length > 10, 'two of them say the same');
    check(!fs.readdirSync(store).some((f) => f.startsWith('.')), 'nothing is left of three that were cut',
        fs.readdirSync(store));
    const plain = await run(prompt(1).filter((a) => a !== '--prefix-cache' && a !== store));
    const kept = await run(prompt(1));
    check(kept.status === 0 && kept.out === plain.out, 'the same answer from what is kept', kept.err);
}

// ---- the model cache and downloads ------------------------------------------------------------------------
const etag = '"' + crypto.createHash('sha256').update(bytes).digest('hex').slice(0, 16) + '"';
const server = http.createServer((req, res) => {
    const m = /bytes=(\d+)-(\d*)/.exec(req.headers.range), from = Number(m[1]);
    const to = m[2] ? Math.min(Number(m[2]), bytes.length - 1) : bytes.length - 1;
    res.writeHead(206, { ETag: etag, 'Content-Length': to - from + 1,
        'Content-Range': `bytes ${from}-${to}/${bytes.length}` });
    let at = from; // 64 KB at a time, so that there is something to kill
    const more = () => {
        if (res.destroyed) return;
        const next = Math.min(at + 65536, to + 1), last = next > to;
        res.write(bytes.subarray(at, next), () => {
            at = next;
            if (last) res.end();
            else setTimeout(more, 1);
        });
    };
    more();
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const url = `http://127.0.0.1:${server.address().port}/m.gguf`;
const cache = path.join(folder, 'cache'), target = path.join(folder, 'got.gguf');
const stream = ['run', url, '--model-cache', cache, '--backend', 'cpu', '--threads', '1', '-p',
    'Which month comes after June?', '-n', '30', '--temp', '0', '--date', '2025-06-28'];
const download = ['download', url, '-o', target, '--force'];

// What the notes of the cache claim is there: the bytes are the file's.
function cacheIsRight() {
    for (const f of fs.existsSync(cache) ? fs.readdirSync(cache) : []) {
        const read = (name) => fs.readFileSync(path.join(cache, name));
        if (f.endsWith('.gguf') && !read(f).equals(bytes)) return `${f} is finished`;
        if (!f.endsWith('.have')) continue;
        const note = read(f), part = read(f.slice(0, -5));
        const chunk = Number(note.readBigUInt64LE(16)), bits = note.subarray(184);
        for (let c = 0; c * chunk < bytes.length; c++)
            if (bits[c >> 3] >> (c & 7) & 1 && !part.subarray(c * chunk, (c + 1) * chunk)
                .equals(bytes.subarray(c * chunk, (c + 1) * chunk))) return `chunk ${c}`;
    }
    return '';
}
{
    const long = await time(stream), whole = await time(download);
    for (let i = 0; i < kills; i++) {
        if (i % 6 === 0) fs.rmSync(cache, { recursive: true, force: true });
        await killed(stream, long);
        check(cacheIsRight() === '', 'the model cache after a kill', cacheIsRight());
        if (i % 6 === 0) fs.rmSync(target, { force: true });
        await killed(download, whole);
        check(!fs.existsSync(target) || fs.readFileSync(target).equals(bytes), 'a download after a kill');
    }
    const local = await run(['run', source, ...stream.slice(4)]), there = await run(stream);
    check(there.status === 0 && there.out === local.out, 'the model from the cache after kills', there.err);
    const r = await run(download);
    check(r.status === 0 && fs.readFileSync(target).equals(bytes), 'a download after kills', r.err);
}

// ---- a conversation ---------------------------------------------------------------------------------------
{
    const file = path.join(folder, 'talk.json');
    const talk = ['chat', source, '--backend', 'cpu', '--threads', '1'];
    const save = `/system ${'word '.repeat(20000)}\n` + `/save ${file}\n`.repeat(200) + '/quit\n';
    const long = await time(talk, save);
    for (let i = 0; i < kills; i++) {
        await killed(talk, long, save);
        let ok = true;
        if (fs.existsSync(file))
            try { ok = JSON.parse(fs.readFileSync(file)).messages.length === 1; } catch { ok = false; }
        check(ok, 'a saved conversation after a kill');
    }
}

// ---- limits on the size of a file: as a full disk ---------------------------------------------------------
fs.rmSync(cache, { recursive: true, force: true });
fs.rmSync(store, { recursive: true, force: true });
fs.rmSync(target, { force: true });
for (const f of ['.part', '.part.json']) fs.rmSync(target + f, { force: true });
{
    const one = (r, words, what) => check(r.status === 1 && r.err.trim().split('\n').length === 1 &&
        words.test(r.err), what, `${r.status} ${r.err}`);
    one(await run(download, { limit: 1000 }), /disk is full/, 'a download under a limit');
    one(await run(stream, { limit: 1000 }), /too large/i, 'a model cache under a limit');
    one(await run(['synth', 'layers=1', path.join(folder, 's.gguf')], { limit: 100 }), /too large/i,
        'synth under a limit');
    const kept = await run(prompt(1), { limit: 1 });
    const free = await run(prompt(1));
    check(kept.status === 0 && kept.out === free.out && kept.out, 'a prefix store under a limit', kept.err);
    const saved = await run(['chat', source, '--backend', 'cpu'],
        { limit: 1, input: `/system ${'word '.repeat(2000)}\n/save ${folder}/c.json\n/quit\n` });
    check(saved.status === 0 && /could not be written: File too large/.test(saved.err) &&
        !fs.existsSync(`${folder}/c.json`), 'a conversation under a limit', saved.err);
}
{
    const log = fs.openSync(path.join(folder, 'log'), 'w');
    const child = spawn('/bin/sh', ['-c', 'ulimit -f 1; exec "$0" "$@"', program, 'serve', source,
        '--backend', 'cpu', '--port', '0', '--prefix-cache', store, '--telemetry', `${folder}/lines`],
    { stdio: ['ignore', 'ignore', log] });
    const read = () => fs.readFileSync(path.join(folder, 'log'), 'utf8');
    const exited = new Promise((done) => child.on('exit', (code, signal) => done(`${code} ${signal}`)));
    let port;
    while (!(port = /:(\d+)\//.exec(read())?.[1])) await new Promise((done) => setTimeout(done, 20));
    let status;
    for (let i = 0; i < 30; i++) // its telemetry and its log pass the limit
        status = (await fetch(`http://127.0.0.1:${port}/v1/completions`, { method: 'POST',
            body: JSON.stringify({ prompt: 'Once', max_tokens: 4 }) })).status;
    check(status === 200 && fs.statSync(path.join(folder, 'lines')).size <= 1024 &&
        fs.statSync(path.join(folder, 'log')).size <= 1024, 'a server under a limit goes on', status);
    child.kill('SIGTERM');
    check(await exited === '0 null', 'and ends well', `${await exited} ${read()}`);
}
// A small disk, in a mount namespace of our own.
const disk = path.join(folder, 'disk');
fs.mkdirSync(disk);
const inDisk = (command) => new Promise((done) => execFile('unshare', ['-rm', 'sh', '-c',
    `mount -t tmpfs -o size=256k none '${disk}' && ${command}`], { timeout: 180000 },
(error, out, err) => done({ status: error ? error.code ?? error.signal : 0, out, err })));
if ((await inDisk('true')).status === 0) {
    const args = prompt(1).map((a) => `'${a === store ? disk : a}'`).join(' ');
    const r = await inDisk(`'${program}' ${args}`), plain = await run(prompt(1));
    check(r.status === 0 && r.out === plain.out, 'a prefix store on a full disk', r.err);
    const t = await inDisk(`'${program}' ${args} --telemetry ${disk}/lines`);
    check(t.status === 0 && t.out === plain.out, 'telemetry on a full disk', t.err);
} else console.log('SKIP full disk: no mount namespaces here');

server.closeAllConnections();
server.close();
fs.rmSync(folder, { recursive: true });
console.log(`kill: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
