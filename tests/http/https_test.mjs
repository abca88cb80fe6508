// https_test.mjs PROGRAM - dump, download and run over https: with an authority of the user's own, and
// refused in one sentence where the certificate is nobody's, another host's or out of date, or where a
// redirect leaves https.
import { start } from './range_server.mjs';
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]), model = path.resolve('models/demo-gptoss-draft.gguf');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-https-'));
const file = name => path.join(folder, name);
let passed = 0, failed = 0;
function check(ok, what, detail = '') {
    if (ok) { passed++; return; }
    failed++;
    console.log(`FAIL ${what}\n  ${String(detail).slice(0, 800)}`);
}
const clean = Object.fromEntries(Object.entries(process.env)
    .filter(([k]) => !/^(SSL_CERT|CURL_CA|GPT_OSS)/.test(k)));
function run(args, env = {}) {
    return new Promise(done => execFile(program, args,
        { timeout: 180000, maxBuffer: 1 << 26, env: { ...clean, ...env } },
        (error, stdout, stderr) =>
            done({ status: error ? error.code ?? 'killed' : 0, out: stdout, err: stderr })));
}
function openssl(...args) { execFileSync('openssl', args, { stdio: 'ignore' }); }
try {
    openssl('version');
} catch {
    console.log('SKIP https: no openssl here\nhttps: 0 passed, 0 failed, 1 skipped');
    process.exit(0);
}

// An authority, and what it signed: for this host, for another one, for this host until yesterday.
fs.writeFileSync(file('ca.cnf'), `[ca]\ndefault_ca=a\n[a]\ndatabase=${file('index')}\n` +
    `serial=${file('serial')}\nnew_certs_dir=${folder}\ndefault_md=sha256\n` +
    'policy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n');
fs.writeFileSync(file('index'), '');
fs.writeFileSync(file('serial'), '01\n');
const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
openssl('req', '-x509', ...key, '-subj', '/CN=A test authority', '-days', '2',
    '-keyout', file('ca.key'), '-out', file('ca.pem'));
function signed(name, host, from, to) {
    openssl('req', '-new', ...key, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${host}`,
        '-keyout', file(name + '.key'), '-out', file(name + '.csr'));
    openssl('ca', '-batch', '-config', file('ca.cnf'), '-cert', file('ca.pem'), '-keyfile', file('ca.key'),
        '-startdate', from, '-enddate', to,
        '-in', file(name + '.csr'), '-out', file(name + '.pem'), '-notext');
    return { key: fs.readFileSync(file(name + '.key')), cert: fs.readFileSync(file(name + '.pem')) };
}
const day = n => new Date(Date.now() + n * 86400000).toISOString().replace(/[-:T]/g, '').slice(0, 14) + 'Z';
fs.copyFileSync(model, file('m.gguf'));
const http = await start(folder);
const good = await start(folder,
    { secure: signed('good', 'IP:127.0.0.1', day(-1), day(2)), plain: http.url });
const other = await start(folder, { secure: signed('other', 'DNS:other.example', day(-1), day(2)) });
const old = await start(folder, { secure: signed('old', 'IP:127.0.0.1', day(-3), day(-1)) });
const trust = { SSL_CERT_FILE: file('ca.pem') };
const target = file('out.gguf');

const local = await run(['dump', '--all', model]);
for (const env of [trust, { CURL_CA_BUNDLE: file('ca.pem') },
    { CURL_CA_BUNDLE: file('ca.pem'), SSL_CERT_FILE: file('none') }]) {
    const r = await run(['dump', '--all', `${good.url}/ok/m.gguf`], env);
    check(r.status === 0 && r.out === local.out && r.err === '', `dump with ${Object.keys(env)}`, r.err);
}
fs.mkdirSync(file('certs'));
fs.copyFileSync(file('ca.pem'), file('certs/ca.pem'));
openssl('rehash', file('certs'));
let r = await run(['dump', '--all', `${good.url}/ok/m.gguf`], { SSL_CERT_DIR: file('certs') });
check(r.status === 0 && r.out === local.out, 'dump with SSL_CERT_DIR', r.err);
for (const mode of ['ok', 'cutonce', 'redirect', 'norange']) {
    fs.rmSync(target, { force: true });
    r = await run(['download', `${good.url}/${mode}/m.gguf`, '-o', target], trust);
    check(r.status === 0 && fs.readFileSync(target).equals(fs.readFileSync(model)),
        `download: ${mode}`, r.err);
}
const chat = ['--backend', 'cpu', '-p', 'Which month comes after June?', '-n', '24', '--temp', '0',
    '--date', '2025-06-28'];
const answer = await run(['run', model, ...chat]);
r = await run(['run', `${good.url}/ok/m.gguf`, '--model-cache', file('cache'), ...chat], trust);
check(answer.out.length > 5 && r.status === 0 && r.out === answer.out,
    'run: the same answer as from the file', r.err);

// ---- refused ----------------------------------------------------------------------------------------------
async function refused(what, words, url, env) {
    for (const args of [['dump', url], ['download', url, '-o', target],
        ['run', url, '--model-cache', file('cache2'), ...chat]]) {
        fs.rmSync(target, { force: true });
        const got = await run(args, env);
        const lines = got.err.trim().split('\n');
        check(got.status === 1 && got.out === '' && lines.length === 1 && lines[0].endsWith('.') &&
            words.every(w => lines[0].includes(w)),
            `${what}: ${args[0]} says so`, `status ${got.status} ${got.out.slice(0, 100)} ${got.err}`);
        check(!fs.existsSync(target), `${what}: ${args[0]} leaves nothing`);
    }
}
const trusted = ['is not trusted', 'SSL_CERT_FILE'];
await refused('an unknown authority', trusted, `${good.url}/ok/m.gguf`, {});
await refused('another host', trusted, `${other.url}/ok/m.gguf`, trust);
await refused('out of date', [...trusted, 'expired'], `${old.url}/ok/m.gguf`, trust);
await refused('no such authorities', ['cannot be read', 'SSL_CERT_FILE'], `${good.url}/ok/m.gguf`,
    { SSL_CERT_FILE: file('none') });
await refused('no https there', ['does not speak https'],
    `${http.url.replace('http', 'https')}/ok/m.gguf`, trust);
await refused('a redirect to http', ['redirects to http'], `${good.url}/down/m.gguf`, trust);

for (const s of [http, good, other, old]) s.close();
fs.rmSync(folder, { recursive: true });
console.log(`https: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
