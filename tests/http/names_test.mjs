// names_test.mjs PROGRAM - models by name, from a host of our own: what a name means (here and in the page),
// pulled whole, in parts, in pieces, from signed addresses that expire; what is kept, listed and removed; who
// sees the token; hosts that refuse, lie and change their minds.
import { sha, split, startHub } from './hub_server.mjs';
import { hubAddress } from '../../web/js/core/bytes/hub.js';
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-names-'));
const cache = path.join(folder, 'gossamer', 'models');
const draft = fs.readFileSync('models/demo-gptoss-draft.gguf'),
    llama = fs.readFileSync('models/demo-llama-Q4_K_M.gguf');
const big = fs.readFileSync('models/demo-gptoss.gguf');
let passed = 0, failed = 0;
function check(ok, what, detail = '') {
    if (ok) { passed++; return; }
    failed++;
    console.log(`FAIL ${what}\n  ${String(detail).slice(0, 800)}`);
}
const equal = (got, want, what) => check(JSON.stringify(got) === JSON.stringify(want), what,
    `got  ${JSON.stringify(got)}\n  want ${JSON.stringify(want)}`);
const tiny = Buffer.from('no model');
const repos = {
    'me/one': { files: { 'README.md': tiny, 'demo.gguf': draft } },
    'me/deep': { files: { 'Q4_K_M/a b+ü.gguf': llama } },
    'me/parts': { files: split(big, 'demo-Q8_0', 3) },
    'me/many': { files: { 'm-F16.gguf': big, 'm-Q4_K_M.gguf': llama, 'm-Q8_0.gguf': draft } },
    'me/gated': { files: { 'demo.gguf': draft },
        gated: 'Access to model me/gated is restricted. Please log in.' },
    'me/none': { files: { 'README.md': tiny } },
    'me/text': { files: { 'text.gguf': tiny } },
    'me/lies': { files: { 'demo.gguf': draft }, wrongSum: true },
    'me/nosum': { files: { 'demo.gguf': draft }, noSum: true },
    'me/evil': { files: { '../../../evil.gguf': draft, '/abs.gguf': draft,
        'a//b.gguf': draft, '.h.gguf': draft,
        'good-Q2_K.gguf': llama } },
};
const hub = await startHub({ repos });
const env = { PATH: process.env.PATH, HOME: folder, XDG_CACHE_HOME: folder, HF_ENDPOINT: hub.url };
const away = { HF_ENDPOINT: 'http://127.0.0.1:1' };
function run(args, more = {}) {
    return new Promise(done => execFile(program, args, { timeout: 180000, env: { ...env, ...more } },
        (error, out, err) => done({ status: error ? error.code ?? 'killed' : 0, out, err })).stdin.end());
}
const kept = (...at) => path.join(cache, 'hf', ...at);
const ask = ['--backend', 'cpu', '-p', 'Which month comes after June?', '-n', '12', '--temp', '0',
    '--date', '2025-06-28'];
const clear = () => { fs.rmSync(cache, { recursive: true, force: true }); hub.clear(); };

// ---- pulled whole, and then found without the host --------------------------------------------------------
let r = await run(['pull', 'hf:me/one:demo.gguf']);
equal([r.status, r.out], [0, `${kept('me/one/demo.gguf')}\n`], 'pull says where it is');
check(fs.readFileSync(kept('me/one/demo.gguf')).equals(draft), 'pull brings the bytes');
equal(fs.readFileSync(kept('me/one/demo.gguf.sha256'), 'latin1'), `${sha(draft)}  demo.gguf\n`,
    'the sum is noted');
equal(fs.readdirSync(kept('me/one')).sort(), ['demo.gguf', 'demo.gguf.sha256'], 'nothing else is left');
check(hub.asked.length < 12, 'a signed address serves many requests', hub.asked.length);
const local = await run(['run', 'models/demo-gptoss-draft.gguf', ...ask]);
for (const name of ['hf:me/one:demo.gguf', 'hf:me/one', 'hf:me/one/demo.gguf', 'hf.co/me/one',
    'HF:me/one:latest']) {
    r = await run(['run', name, ...ask], away);
    equal([r.status, r.out, r.err], [0, local.out, local.err], `${name} without a network`);
}
r = await run(['run', '-hf', 'me/one', ...ask], away);
equal([r.status, r.out], [0, local.out], '-hf OWNER/REPO');
r = await run(['chat', '--hf-repo', 'me/one:demo.gguf', ...ask], away);
check(r.status === 0 && r.out.includes(local.out.trim()), 'chat', r.out + r.err);
for (const args of [['dump'], ['meta'], ['range'], ['doctor', '--plan'], ['eval'], ['probe', 'embed']]) {
    r = await run([...args, 'hf:me/one', ...(args[0] === 'eval' ? ['README.md', '-n', '32', '--backend',
        'cpu'] : [])], away);
    equal(r.status, 0, `${args[0]} takes a name`);
}
hub.clear();
r = await run(['pull', 'hf:me/one']);
check(r.status === 0 && hub.sent < 65536, 'a pull again only asks', `${r.err} ${hub.sent}`);
r = await run(['pull', 'hf:me/one'], away);
check(r.status === 1 && r.err.trim().split('\n').length === 1, 'a pull without a network is said', r.err);

// ---- listed and removed -----------------------------------------------------------------------------------
r = JSON.parse((await run(['models', '--json'])).out).find(m => m.id.startsWith('hf:'));
equal([r?.id, r?.path], ['hf:me/one:demo.gguf', kept('me/one/demo.gguf')], 'models lists it by its name');
r = await run(['rm', 'hf:me/one']);
check(r.status === 0 && !fs.existsSync(kept('me')), 'rm removes it and its folders', r.err);
r = await run(['rm', 'hf:me/one']);
check(r.status === 1 && r.err.includes('is not kept here'), 'rm of what is not there', r.err);
await run(['pull', 'hf:me/many:Q4_K_M']);
await run(['pull', 'hf:me/many:q8_0']);
r = await run(['rm', 'hf:me/many']);
check(r.status === 2 && r.err.includes('2 models') && fs.existsSync(kept('me/many/m-Q8_0.gguf')),
    'rm wants to know which', r.err);
r = await run(['rm', 'hf:me/many:Q8_0', 'models/demo-llama-f16.gguf']);
check(r.status === 2 && !fs.existsSync(kept('me/many/m-Q8_0.gguf')) &&
    fs.existsSync('models/demo-llama-f16.gguf'),
    'rm never removes files of the user', r.err);
equal((await run(['run', 'hf:me/many', ...ask], away)).status, 0, 'what is kept answers first');

// ---- which file a name means: here, and in the page -------------------------------------------------------
const gpt = ['gpt-oss-20b-F16.gguf', 'gpt-oss-20b-Q4_K_M.gguf', 'gpt-oss-20b-mxfp4.gguf'];
const cases = [
    ['hf:me/x', ['x-Q8_0.gguf', 'x-Q4_K_M.gguf', 'x.gguf'], 'x-Q4_K_M.gguf'],
    ['hf:me/x', ['x-F16.gguf', 'x-q8_0.gguf'], 'x-q8_0.gguf'],
    ['hf:me/x', ['mmproj-x-Q4_K_M.gguf', 'README.md', 'b.gguf', 'c.gguf'], 'b.gguf'],
    ['hf:me/x', ['imatrix-x.gguf', 'mtp-x.gguf', 'x-Q4_K_M_L.gguf'], 'x-Q4_K_M_L.gguf'],
    ['hf:me/x:F16', ['x-BF16.gguf', 'x-F16.gguf'], 'x-F16.gguf'],
    ['hf:me/x:Q4_K', ['x-Q4_K_M.gguf', 'x-Q4_K.gguf'], 'x-Q4_K.gguf'],
    ['hf:me/x:q4_k_xl', ['UD-Q4_K_XL/x-UD-Q4_K_XL-00001-of-00002.gguf',
        'UD-Q4_K_XL/x-UD-Q4_K_XL-00002-of-00002.gguf'],
        'UD-Q4_K_XL/x-UD-Q4_K_XL-00001-of-00002.gguf'],
    ['hf:me/x', ['x-00002-of-00002.gguf', 'x-00001-of-00002.gguf'], 'x-00001-of-00002.gguf'],
    ['hf:me/gpt-oss-20b-GGUF', gpt, 'gpt-oss-20b-mxfp4.gguf'],
    ['hf:me/GPT-OSS-x', gpt.slice(0, 2), 'gpt-oss-20b-Q4_K_M.gguf'],
    ['hf:me/gpt-oss-20b-GGUF:F16', gpt, 'gpt-oss-20b-F16.gguf'],
    ['hf:me/x:Q9', ['x-Q8_0.gguf'], null],
    ['hf:me/x', ['README.md', 'mmproj.gguf'], null],
    ['hf:me/x:dir/x.gguf', [], 'dir/x.gguf'],
];
for (const [name, files, want] of cases) {
    hub.repos = { [name.slice(3).split(':')[0]]: { files: Object.fromEntries(files.map(f => [f, tiny])) } };
    clear();
    await run(['meta', name]);
    const asked = hub.asked.map(a => /\/resolve\/main\/(.*)/.exec(a.path)?.[1]).find(Boolean) ?? null;
    equal(asked, want, `${name} of ${files}`);
    const page = await hubAddress(name, hub.url).catch(e => e.message);
    equal(/\/resolve\/main\/(.*)/.exec(decodeURIComponent(page))?.[1] ?? null, want,
        `the page: ${name} of ${files}`);
}
for (const [name, repo] of [['gpt-oss:20b', 'ggml-org/gpt-oss-20b-GGUF'], ['gpt-oss',
    'ggml-org/gpt-oss-20b-GGUF'],
    ['gpt-oss:120b', 'ggml-org/gpt-oss-120b-GGUF']]) {
    clear();
    r = await run(['pull', name]);
    check(r.status === 1 && hub.asked[0]?.path === `/api/models/${repo}` && r.err.includes(repo),
        `${name} is ${repo}`, r.err);
}
for (const name of ['hf:', 'hf:me', 'hf:me/', 'hf:/x', 'hf:../x', 'hf:me/..', 'hf:me/x:',
    'hf:me/x:../y.gguf', 'hf:me/x:a/../y.gguf',
    'hf:me/x:/y.gguf', 'hf:me/x/y', 'hf:me/x:a\\b.gguf', 'hf:me/x:a\nb.gguf', 'hf:me/x?y', 'hf:a b/x',
        `hf:me/${'x'.repeat(200)}`]) {
    clear();
    r = await run(['pull', name]);
    check(r.status === 2 && hub.asked.length === 0 && r.err.trim().split('\n').length <= 2,
        `refused: ${name}`, r.err);
    const said = await hubAddress(name, hub.url).then(() => 'taken', e => e.message);
    check(said.includes('does not have the form') && hub.asked.length === 0, `the page refuses ${name}`,
        said);
}
hub.repos = repos;

// ---- parts ------------------------------------------------------------------------------------------------
clear();
r = await run(['run', 'hf:me/parts', ...ask]);
const whole = await run(['run', 'models/demo-gptoss.gguf', ...ask]);
equal([r.status, r.out], [0, whole.out], 'a split model comes whole and runs');
equal(fs.readdirSync(kept('me/parts')).filter(f => f.endsWith('.gguf')).length, 3,
    'all its parts are kept');
fs.rmSync(kept('me/parts/demo-Q8_0-00002-of-00003.gguf'));
hub.clear();
r = await run(['run', 'hf:me/parts:Q8_0', ...ask]);
check(r.status === 0 && r.out === whole.out && hub.sent < big.length * 0.6,
    'a part that is gone comes again, alone', `${r.err} ${hub.sent}`);
r = await run(['rm', 'hf:me/parts']);
check(r.status === 0 && !fs.existsSync(kept('me')), 'rm removes all parts', r.err);
clear();
r = await run(['pull', 'hf:me/deep', '--json']);
equal(JSON.parse(r.out || '{}'), { name: 'hf:me/deep:Q4_K_M/a b+ü.gguf',
    path: kept('me/deep/Q4_K_M/a b+ü.gguf'), files: 1,
    size: llama.length, sha256: sha(llama) }, 'folders and odd letters');

// ---- the token --------------------------------------------------------------------------------------------
clear();
r = await run(['pull', 'hf:me/gated:demo.gguf']);
check(r.status === 1 && r.err.includes('is restricted') && r.err.includes('HF_TOKEN'),
    'a gated model is said in the words of its host', r.err);
r = await run(['pull', 'hf:me/gated'], { HF_TOKEN: 'hf_bad' });
check(r.status === 1 && !r.err.includes('hf_bad'), 'a token that is refused is not shown', r.err);
r = await run(['pull', 'hf:me/gated'], { HF_TOKEN: 'hf_good' });
check(r.status === 0 && !(r.out + r.err).includes('hf_good'), 'a token opens it', r.err);
check(hub.fetched.length > 0 && hub.fetched.every(f => !f.authorization),
    'the other origin never sees the token',
    JSON.stringify(hub.fetched[0]));
clear();
await run(['pull', `${hub.store}/x.gguf`], { HF_TOKEN: 'hf_good' });
await run(['pull', 'hf:me/one'], { HF_TOKEN: 'hf_good\r\nX-Evil: 1' });
check([...hub.fetched, ...hub.asked].every(a => !a.authorization),
    'nor other addresses; a token is one word');

// ---- refusals ---------------------------------------------------------------------------------------------
for (const [name, words] of [['hf:me/missing', 'no public repository me/missing'], ['hf:me/none',
    'has no GGUF file'],
    ['hf:me/many:Q5_1', 'no GGUF file of the kind Q5_1; it has m-F16.gguf'], ['hf:me/one:no.gguf',
        'HTTP 404'],
    ['hf:me/text', 'text.gguf'], ['hf:me/lies', 'SHA-256']]) {
    clear();
    r = await run(['pull', name]);
    check(r.status === 1 && r.err.includes(words) && r.err.trim().split('\n').length === 1,
        `${name} is said`, r.err);
    check(!fs.existsSync(cache) || !fs.readdirSync(cache, { recursive: true }).some(f => /gguf/.test(f)),
        `${name} leaves nothing`,
        fs.existsSync(cache) && fs.readdirSync(cache, { recursive: true }));
}
clear();
r = await run(['run', 'hf:me/lies', ...ask, '-n', '200']);
for (let i = 0; i < 5 && !r.err.includes('SHA-256'); i++) r = await run(['run', 'hf:me/lies', ...ask]);
check(r.err.includes('SHA-256') && !fs.existsSync(kept('me/lies/demo.gguf')),
    'a model that ran while it came is checked, too', r.err);
clear();
r = await run(['pull', 'hf:me/evil']);
equal([r.status, r.out, fs.existsSync(path.join(folder, 'evil.gguf'))], [0,
    `${kept('me/evil/good-Q2_K.gguf')}\n`, false],
    'names that lead elsewhere are no files');
r = await run(['pull', 'hf:me/nosum']);
check(r.status === 0 && !fs.existsSync(kept('me/nosum/demo.gguf.sha256')), 'a host that gives no sum',
    r.err);

// ---- breaking off and going on ----------------------------------------------------------------------------
// Kills the pull when so many bytes were sent.
async function pullUntil(bytes, name) {
    const child = spawn(program, ['pull', name], { env, stdio: 'ignore' });
    hub.onPart = sent => { if (sent >= bytes) child.kill('SIGKILL'); };
    await new Promise(done => child.once('exit', done));
    hub.onPart = null;
}
clear();
hub.slow = 2;
for (const share of [0.2, 0.4, 0.3]) {
    hub.sent = 0;
    await pullUntil(big.length * share, 'hf:me/many:F16');
    check(!fs.existsSync(kept('me/many/m-F16.gguf')), 'killed: no finished file');
}
hub.slow = 0;
r = await run(['pull', 'hf:me/many:F16']);
check(r.status === 0 && fs.readFileSync(kept('me/many/m-F16.gguf')).equals(big),
    'after kills it is right', r.err);
clear();
r = await run(['run', 'hf:me/many:F16', ...ask, '-n', '1']);
const had = hub.sent;
check(r.status === 0 && had > 0, 'it runs while it comes', r.err);
if (!fs.existsSync(kept('me/many/m-F16.gguf'))) {
    r = await run(['pull', 'hf:me/many:F16']);
    check(r.status === 0 && hub.sent < big.length * 1.15, 'a pull goes on where a run stopped',
        `${had} then ${hub.sent}`);
}
check(fs.readFileSync(kept('me/many/m-F16.gguf')).equals(big), 'with the right bytes');

// ---- signed addresses expire ------------------------------------------------------------------------------
clear();
hub.uses = 2;
r = await run(['pull', 'hf:me/many:F16']);
check(r.status === 0 && fs.readFileSync(kept('me/many/m-F16.gguf')).equals(big), 'addresses that expire',
    r.err);
hub.uses = Infinity;

// ---- the host has other bytes now -------------------------------------------------------------------------
const older = big.length;
repos['me/many'].files['m-F16.gguf'] = draft;
hub.clear();
r = await run(['run', 'hf:me/many:F16', ...ask]);
equal([r.status, r.out, hub.asked.length], [0, whole.out, 0], 'a run takes what is kept');
r = await run(['pull', 'hf:me/many:F16']);
check(r.status === 0 && fs.readFileSync(kept('me/many/m-F16.gguf')).equals(draft),
    'a pull takes what the host has now', r.err);
check(fs.readFileSync(kept('me/many/m-F16.gguf.sha256'), 'latin1').startsWith(sha(draft)), 'with its sum');
clear();
hub.slow = 2;
repos['me/many'].files['m-F16.gguf'] = big;
await pullUntil(older * 0.3, 'hf:me/many:F16');
const flipped = Buffer.from(big);
for (let i = flipped.length >> 1; i < flipped.length; i++) flipped[i] ^= 255;
repos['me/many'].files['m-F16.gguf'] = flipped;
hub.slow = 0;
r = await run(['pull', 'hf:me/many:F16']);
check(r.status === 0 && fs.readFileSync(kept('me/many/m-F16.gguf')).equals(flipped),
    'changed in between: all of it anew', r.err);
fs.rmSync(kept('me/many/m-F16.gguf.sha256'));
hub.clear();
r = await run(['pull', 'hf:me/many:F16']);
check(r.status === 0 && hub.sent < 65536, 'without a note the file itself is hashed', hub.sent);

// ---- two at once ------------------------------------------------------------------------------------------
clear();
hub.slow = 1;
const both = await Promise.all([run(['pull', 'hf:me/parts']), run(['pull', 'hf:me/parts'])]);
hub.slow = 0;
check(both.some(b => b.status === 0) &&
    both.every(b => b.status === 0 || b.err.includes('another program')), 'two pulls at once',
    JSON.stringify(both));

// ---- the server -------------------------------------------------------------------------------------------
clear();
const server = spawn(program, ['serve', 'hf:me/one', '--port', '0', '--backend', 'cpu'], { env });
let log = '';
server.stderr.on('data', d => { log += d; });
const port = await new Promise((done, no) => {
    server.stderr.on('data', () => {
        const m = /listening on http:\/\/[^ ]*:(\d+)\//.exec(log);
        if (m) done(m[1]);
    });
    server.once('exit', () => no(new Error(log)));
}).catch(e => check(false, 'serve', e.message));
if (port) {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Which month comes after June?' }],
        temperature: 0, max_tokens: 40 });
    const answer = await (await fetch(`http://127.0.0.1:${port}/v1/chat/completions`,
        { method: 'POST', body })).json();
    check(answer.choices?.[0]?.message, 'serve takes a name', JSON.stringify(answer));
    server.kill('SIGTERM');
    await new Promise(done => server.once('exit', done));
}
hub.close();
fs.rmSync(folder, { recursive: true, force: true });
console.log(`names: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
