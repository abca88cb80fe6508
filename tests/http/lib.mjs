// lib.mjs - what the HTTP tests share: starting servers, counting results, talking raw HTTP.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export { assert };
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const program = process.env.GOSSAMER || path.join(root, 'build/cc/gossamer');
export const backend = process.env.GOSS_TEST_BACKEND || 'cpu';
export const model = path.join(root, 'models/demo-gptoss.gguf');
// Levels on which a prompt's row and a decoded one have the same bits: what is reused makes no difference.
export const EQUAL = ['--cpu-mask', 'amx,avx512vnni'];
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- counting ---------------------------------------------------------------------------------------------
let passed = 0, failed = 0, skipped = 0;
const only = process.env.ONLY;
const slow = Number(process.env.GOSS_TEST_SLOW || 1); // sanitized servers take longer
// A test may take `least` seconds, or three times what the program was told to take.
export async function test(name, body, least = 120) {
    if (only && !name.includes(only)) return;
    let timer;
    const seconds = slow * Math.max(least, 3 * Number(process.argv[2] || 0));
    const limit = new Promise((_, no) => {
        timer = setTimeout(() => no(new Error(`took more than ${seconds} s`)), 1000 * seconds);
    });
    try {
        await Promise.race([body(), limit]);
        passed++;
        if (process.env.VERBOSE) console.log(`ok    ${name}`);
    } catch (e) {
        failed++;
        console.log(`FAIL  ${name}\n      ` +
            `${String(e?.stack || e).split('\n').slice(0, 12).join('\n      ')}`);
    } finally { clearTimeout(timer); }
}
export function skip(name, why) { skipped++; console.log(`SKIP ${name}: ${why}`); }
export function finish() {
    console.log(`${path.basename(process.argv[1])}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.exit(failed ? 1 : 0);
}

// ---- servers ----------------------------------------------------------------------------------------------
const running = new Set();
process.on('exit', () => { for (const s of running) s.kill('SIGKILL'); });

// What a program said may come after its end, or after its answer: pipes are read when their turn comes.
const MOST_LATE_MS = 60000;
const drained = (child) => new Promise((done) => {
    child.on('close', done);
    child.on('exit', () => setTimeout(done, 2000).unref()); // a process that it left holds the pipe
});
// Starts `gossamer serve` on a free port. {url, port, log(), said(pattern), stop(), kill(signal), exited}.
// said: waits until the log has that. ready: waits until /health says ok.
export async function serve(args = [], { ready = true, env = {}, date = '2025-06-28' } = {}) {
    const child = spawn(program, ['serve', '--port', '0', '--backend', backend, '--date', date, ...args],
        { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    running.add(child);
    let log = '';
    child.stderr.on('data', (d) => { log += d; });
    const ended = drained(child);
    const exited = new Promise((done) => child.on('exit', async (code, signal) => {
        running.delete(child);
        await ended;
        const found = log.search(/.*(Sanitizer|runtime error)/);
        if (found >= 0) console.log(log.slice(found, found + 4000));
        done({ code, signal });
    }));
    const s = { child, exited, log: () => log, pid: child.pid, kill: (signal) => child.kill(signal) };
    s.said = async (pattern) => {
        for (const end = Date.now() + MOST_LATE_MS; !pattern.test(log) && Date.now() < end;) await sleep(20);
        assert.match(log, pattern);
    };
    s.stop = async () => { child.kill('SIGTERM'); return exited; };
    for (let i = 0; i < 400 && !s.port; i++) {
        const m = log.match(/listening on http:\/\/[^ ]*:(\d+)\//);
        if (m) s.port = Number(m[1]);
        else if (child.exitCode !== null) break;
        else await sleep(25);
    }
    if (!s.port) { child.kill('SIGKILL'); throw new Error('the server did not start: ' + log); }
    s.url = `http://127.0.0.1:${s.port}`;
    for (let i = 0; ready && i < 1200; i++) {
        const r = await fetch(s.url + '/health').catch(() => null);
        if (r?.status === 200) break;
        await sleep(25);
    }
    return s;
}
// ms of processor time that the threads of a process have used (Linux; those that have ended don't count).
export function processor(pid) {
    let ns = 0;
    for (const t of readdirSync(`/proc/${pid}/task`)) {
        try {
            ns += Number(readFileSync(`/proc/${pid}/task/${t}/schedstat`, 'utf8').split(' ')[0]);
        } catch { } // it has ended
    }
    return ns / 1e6;
}
// Runs the program and waits for its end: {code, err}.
export async function run(args, { env = {}, timeout = 120000, uid } = {}) {
    const child = spawn(program, args,
        { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, uid });
    let err = '', out = '';
    child.stderr.on('data', (d) => { err += d; });
    child.stdout.on('data', (d) => { out += d; });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    await drained(child);
    clearTimeout(timer);
    return { code: child.exitCode, err, out };
}

// ---- requests ---------------------------------------------------------------------------------------------
export async function post(url, body, headers = {}) {
    const r = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) });
    const text = await r.text();
    let json = null;
    try { json = JSON.parse(text); } catch { /* not JSON: a stream */ }
    return { status: r.status, headers: r.headers, text, json };
}
// Sends bytes as given (an array: in pieces with a pause between them) and gathers what comes until the other
// side closes.
export function raw(port, pieces, { pause = 0, timeout = 120000 } = {}) {
    return new Promise((done, no) => {
        const s = net.connect(port, '127.0.0.1');
        let got = Buffer.alloc(0);
        const timer = setTimeout(() => {
            s.destroy();
            no(new Error('no answer; so far: ' + got.toString('latin1').slice(0, 300)));
        }, timeout);
        const end = () => { clearTimeout(timer); s.destroy(); done(got.toString('latin1')); };
        s.setNoDelay(true);
        s.on('data', (d) => { got = Buffer.concat([got, d]); });
        s.on('end', end);
        s.on('error', (e) => { if (got.length) end(); else { clearTimeout(timer); no(e); } });
        s.on('connect', async () => {
            for (const p of Array.isArray(pieces) ? pieces : [pieces]) {
                if (s.destroyed) return;
                s.write(Buffer.isBuffer(p) ? p : Buffer.from(p, 'latin1'));
                if (pause) await sleep(pause);
                else await new Promise((r) => setImmediate(r));
            }
        });
    });
}
// The status and body of a raw answer with Connection: close; chunked bodies are joined.
export function parse(answer) {
    const at = answer.indexOf('\r\n\r\n');
    const head = answer.slice(0, at);
    let body = answer.slice(at + 4);
    if (/transfer-encoding: chunked/i.test(head)) {
        let out = '';
        for (;;) {
            const nl = body.indexOf('\r\n'), n = parseInt(body.slice(0, nl), 16);
            if (!(n > 0)) break;
            out += body.slice(nl + 2, nl + 2 + n);
            body = body.slice(nl + 4 + n);
        }
        body = out;
    }
    const length = head.match(/content-length: (\d+)/i);
    return { status: Number(answer.slice(9, 12)), head,
        body: length ? body.slice(0, Number(length[1])) : body };
}
// The events of an SSE text: [{event, data}], data parsed where it is JSON.
export function events(text) {
    return text.split('\n\n').filter((b) => b.trim() && !b.startsWith(':')).map((b) => {
        const e = { event: null, data: null };
        for (const line of b.split('\n')) {
            if (line.startsWith('event: ')) e.event = line.slice(7);
            if (line.startsWith('data: ')) e.data = line.slice(6);
        }
        try { e.data = JSON.parse(e.data); } catch { /* [DONE] */ }
        return e;
    });
}
export const june = [{ role: 'user', content: 'Which month comes after June?' }];
export const july = 'July comes after June.';
export const tools = [
    { type: 'function', function: { name: 'get_weather', description: 'Gets the current weather in a city.',
        parameters: { type: 'object',
            properties: { city: { type: 'string', description: 'The name of the city' } },
            required: ['city'] } } },
];
export const calculator = [
    { type: 'function', function: { name: 'calculate',
        description: 'Adds, subtracts or multiplies two whole numbers.',
        parameters: { type: 'object',
            properties: { expression: { type: 'string', description: 'The sum to work out, e.g. 12 * 34' } },
            required: ['expression'] } } },
];
export const sunny = '{"sky": "sunny", "temperature": 21}';
