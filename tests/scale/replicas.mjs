// replicas.mjs - several servers behind HAProxy with examples/scale/haproxy.cfg, as the tests of this folder
// use them.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { EQUAL, root, serve, sleep } from '../http/lib.mjs';

export const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-scale-'));
const scale = path.join(root, 'examples/scale');
const running = new Set();
process.on('exit', () => {
    for (const p of running) p.kill('SIGKILL');
    fs.rmSync(folder, { recursive: true, force: true });
});

export function hasProxy() {
    try {
        const said = execFileSync('haproxy', ['-v'], { encoding: 'utf8' });
        return /version (2\.[6-9]|[3-9])/.test(said);
    } catch { return false; }
}
export const freePort = () => new Promise((done) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = s.address();
        s.close(() => done(port));
    });
});

// HAProxy with a configuration, until it listens at `url`.
async function begin(config, env, url) {
    const child = spawn('haproxy', ['-db', '-f', config],
        { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, GOSSAMER_SCALE: scale, ...env } });
    let log = '';
    child.stderr.on('data', (d) => { log += d; });
    running.add(child);
    const exited = new Promise((done) => child.on('exit', () => { running.delete(child); done(); }));
    for (let i = 0; i < 400; i++) {
        if (child.exitCode !== null) throw new Error('haproxy did not start: ' + log);
        if (await fetch(url).then(() => true, () => false)) break;
        await sleep(25);
    }
    return { url, log: () => log, stop: () => { child.kill('SIGKILL'); return exited; } };
}

// One replica, with the options of all, on a port that it keeps when it begins again.
export async function replica(name, args, port) {
    const own = port ? ['--port', `${port}`] : [];
    const s = await serve(['--replica', '--threads', '1', ...EQUAL, '--log', 'all', ...args, ...own]);
    return Object.assign(s, { name, args });
}

// `names` replicas (a, b, c) and the proxy before them. socket: HAProxy's, for `show servers`.
export async function cluster(args) {
    const replicas = {}, env = { GOSSAMER_SOCKET: path.join(folder, `socket-${await freePort()}`) };
    for (const name of ['a', 'b', 'c']) {
        replicas[name] = await replica(name, args);
        env[`GOSSAMER_${name.toUpperCase()}`] = `127.0.0.1:${replicas[name].port}`;
    }
    const port = await freePort();
    env.GOSSAMER_LISTEN = `127.0.0.1:${port}`;
    const proxy = await begin(path.join(scale, 'haproxy.cfg'), env, `http://127.0.0.1:${port}/v1/models`);
    return { replicas, port, url: `http://127.0.0.1:${port}`, log: proxy.log,
        again: async (name) => { replicas[name] = await replica(name, args, replicas[name].port); },
        stop: async () => {
            await proxy.stop();
            await Promise.all(Object.values(replicas).map((r) => r.stop()));
        } };
}

// HAProxy as a mirror: the key of each request, by beginning.lua.
export async function mirror(fetch) {
    const port = await freePort(), file = path.join(folder, `${fetch}.cfg`);
    fs.writeFileSync(file, 'global\n  tune.bufsize 1048576\n' +
        `  lua-load-per-thread "${scale}/beginning.lua"\n` +
        'defaults\n  mode http\n  timeout client 60s\n  timeout connect 5s\n  timeout server 60s\n' +
        `frontend f\n  bind 127.0.0.1:${port}\n  http-request wait-for-body time 60s if METH_POST\n` +
        `  http-request set-var(txn.k) lua.${fetch}\n` +
        '  http-request return status 200 content-type text/plain lf-string %[var(txn.k),hex]\n');
    return begin(file, {}, `http://127.0.0.1:${port}/`);
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1000 });
// A request: {status, headers, text, cut}. cut: the answer broke off. on: called with each piece.
export function ask(port, url, body, { on = () => {}, headers = {}, signal, method = 'POST' } = {}) {
    return new Promise((done) => {
        const bytes = typeof body === 'string' ? body : JSON.stringify(body);
        const req = http.request({ port, host: '127.0.0.1', path: url, method, agent, signal,
            headers: { 'content-type': 'application/json', ...headers } }, (res) => {
            let text = '';
            res.setEncoding('utf8');
            const end = (cut) => done({ status: res.statusCode, headers: res.headers, text, cut });
            res.on('data', (d) => { text += d; on(text); });
            res.on('end', () => end(!res.complete));
            res.on('error', () => end(true));
        });
        req.on('error', (e) => done({ status: 0, headers: {}, text: `${e}`, cut: true }));
        req.end(bytes);
    });
}
export const figure = async (s, name) => Number((await (await fetch(s.url + '/metrics')).text())
    .match(new RegExp(`^gossamer_${name} (.*)$`, 'm'))[1]);
