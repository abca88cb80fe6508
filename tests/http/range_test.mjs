// range_test.mjs PROGRAM - dump, meta, range and download of the program against range_server.mjs and against
// files.
import { flip, start } from './range_server.mjs';
import { execFile, execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const program = path.resolve(process.argv[2]);
const model = path.resolve('models/demo-gptoss-draft.gguf');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-range-'));
let passed = 0, failed = 0, skipped = 0;

function check(ok, what, detail = '') {
    if (ok) { passed++; return; }
    failed++;
    console.log(`FAIL ${what}\n  ${String(detail).slice(0, 600)}`);
}
const equal = (got, want, what) =>
    check(got === want, `${what}: got ${JSON.stringify(got)}, should be ${JSON.stringify(want)}`);

// The server lives in this process, so the program must run without blocking it.
function run(args, options = {}) {
    return new Promise(done => {
        const env = { ...process.env, ...options.env };
        if (!options.env) delete env.GPT_OSS_GGUF_PATH;
        execFile(options.program ?? program, args,
            { maxBuffer: 1 << 27, timeout: 180000, cwd: options.cwd ?? process.cwd(), env },
            (error, stdout, stderr) =>
                done({ status: error ? error.code ?? 'killed' : 0, out: stdout, err: stderr }));
    });
}
// Exit status 1, nothing on standard output, one sentence with these words on standard error.
async function fails(args, words, what, options) {
    const r = await run(args, options);
    const lines = r.err.trim().split('\n');
    check(r.status === 1 && r.out === '' && lines.length === 1 && lines[0].endsWith('.') &&
        words.every(w => lines[0].includes(w)),
        what, `status ${r.status}, output ${JSON.stringify(r.out.slice(0, 200))}, error ${r.err}`);
}
const sha = bytes => crypto.createHash('sha256').update(bytes).digest('hex');

const bytes = fs.readFileSync(model);
fs.copyFileSync(model, path.join(folder, 'm.gguf'));
fs.writeFileSync(path.join(folder, 'empty.gguf'), '');
fs.writeFileSync(path.join(folder, 'text.gguf'), 'this is not a model\n');
fs.writeFileSync(path.join(folder, 'short.gguf'), bytes.subarray(0, bytes.length - 1000));
const server = await start(folder);
const url = (mode, file = 'm.gguf') => `${server.url}/${mode}/${file}`;

// ---- the same from a file and from a URL ------------------------------------------------------------------
for (const args of [['dump', '--all'], ['dump', '--limit', '3'], ['meta'], ['meta', '--json']]) {
    const local = await run([...args, model]), remote = await run([...args, url('ok')]);
    check(local.status === 0 && local.out.length > 500 && local.err === '', args.join(' '), local.err);
    equal(remote.out, local.out, `${args.join(' ')} over HTTP`);
}
const dump = JSON.parse((await run(['dump', '--json', url('ok')])).out);
equal(dump.tensors.length, dump.n_tensors, 'dump --json has all tensors');
equal(dump.files[0].size, bytes.length, 'dump --json has the size');
{
    // What does not hang on this moment's free memory: weights, KV by type, bytes a token.
    const fixed = r =>
        r.out.split('\n').filter(l => /^(model|weights|resident|session|reads|fits)/.test(l)).join('\n');
    const local = await run(['doctor', '--plan', model, '--max-kv', '1000']),
        remote = await run(['doctor', '--plan', url('ok'), '--max-kv', '1000']);
    check(local.status === 0 && /as f16, .* as q8, .* as q4/.test(local.out) &&
        local.out.includes('1000 positions'), 'doctor --plan', local.out + local.err);
    equal(fixed(remote), fixed(local), 'doctor --plan over HTTP');
    const small = await run(['doctor', '--plan', model, '--max-kv', '100000', '--kv-cap', '4M']);
    check(small.status === 1 &&
        /100000 positions of KV need \d+ MB, \d+ MB are left for it: \d+ fit, with --kv q8/.test(small.err),
        'a context that does not fit', small.err);
    const gpu = await run(['doctor', '--plan', model, '--backend', 'gpu', '--kv', 'q4']);
    check(gpu.out.includes('keeps them in f16, not in q4'), 'a KV type that a GPU does not know', gpu.out);
}
const embd = dump.tensors.find(t => t.name === 'token_embd.weight');
const meta = JSON.parse((await run(['meta', '--json', url('ok')])).out);
equal(meta.kv.find(k => k.key === 'general.architecture').value, 'gpt-oss', 'meta --json');
equal(meta.kv.find(k => k.key === 'tokenizer.ggml.tokens').values.length, 3, 'arrays are abbreviated');
equal(JSON.parse((await run(['meta', '--json', '--all', model])).out)
    .kv.find(k => k.key === 'tokenizer.ggml.tokens').values.length, 4096, 'meta --all');
check((await run(['dump'], { env: { GPT_OSS_GGUF_PATH: model } })).out.includes('token_embd'),
    'GPT_OSS_GGUF_PATH');
check((await run(['dump', 'models/demo-llama-f16.gguf'],
    { env: { GPT_OSS_GGUF_PATH: '/nowhere' } })).status === 0, 'the argument wins over the environment');
server.log.length = 0;
await run(['dump', url('ok')]);
check(server.log.length <= 5 && server.log.every(e => e.status === 206),
    'a header takes few requests', JSON.stringify(server.log));

// ---- range ------------------------------------------------------------------------------------------------
for (const where of [model, url('ok')]) {
    const part = JSON.parse((await run(['range', where, '--offset', '1000', '--len', '5000',
        '--repeat', '3', '--json'])).out);
    equal(part.sha256, sha(bytes.subarray(1000, 6000)), `range of ${where}`);
    check(part.agree === true && part.reads.length === 3, 'all reads agree');
    const t = JSON.parse((await run(['range', where, '--tensor', 'token_embd.weight', '--json'])).out);
    equal(t.sha256, sha(bytes.subarray(embd.offset, embd.offset + embd.bytes)), 'range of a tensor');
    const piece = JSON.parse((await run(['range', where, '--tensor', 'token_embd.weight',
        '--offset', '34', '--len', '68', '--json'])).out);
    equal(piece.sha256, sha(bytes.subarray(embd.offset + 34, embd.offset + 102)), 'range inside a tensor');
    await fails(['range', where, '--offset', String(bytes.length + 1)], ['there are not'],
        'range beyond the end');
    await fails(['range', where, '--offset', '10', '--len', String(bytes.length)], ['there are not'],
        'range over the end');
    await fails(['range', where, '--tensor', 'nope'], ['nope', 'gossamer dump'], 'range of no tensor');
}
check((await run(['range', model, '--repeat', '2'])).out.includes('all 2 reads agree'),
    'range says that reads agree');
equal(JSON.parse((await run(['range', model, '--offset', String(bytes.length), '--json'])).out).sha256,
    sha(''), 'range of nothing at the end');
equal(JSON.parse((await run(['range', url('flaky'), '--len', '1000', '--json'])).out).sha256,
    sha(bytes.subarray(0, 1000)), 'a 503 is tried again');
equal(JSON.parse((await run(['range', url('cutonce'), '--len', '300000', '--json'])).out).sha256,
    sha(bytes.subarray(0, 300000)), 'a cut read goes on');
equal(JSON.parse((await run(['range', url('cut'), '--len', '300000', '--json'])).out).sha256,
    sha(bytes.subarray(0, 300000)), 'a read cut each time goes on as long as it moves');

// ---- what can go wrong ------------------------------------------------------------------------------------
for (const command of ['dump', 'meta']) {
    await fails([command, url('norange')], ['Host does not support Range'], `${command}: no Range`);
    await fails([command, url('missing')], ['404'], `${command}: 404`);
    await fails([command, url('ok', 'none.gguf')], ['404'], `${command}: no such file`);
    await fails([command, url('private')], ['403'], `${command}: 403`);
    await fails([command, url('busy')], ['503'], `${command}: 503`);
    await fails([command, url('nosize')], ['does not say how large'], `${command}: no size`);
    await fails([command, url('wrong')], ['other bytes'], `${command}: another range`);
    await fails([command, url('extra')], ['more bytes'], `${command}: more bytes`);
    await fails([command, url('changing')], ['changed on the server'], `${command}: changed meanwhile`);
    await fails([command, url('loop')], ['circles'], `${command}: redirect loop`);
    await fails([command, url('ok', 'empty.gguf')], ['is empty'], `${command}: empty`);
    await fails([command, url('ok', 'text.gguf')], ['not a GGUF file'], `${command}: not a model`);
    await fails([command, url('ok', 'short.gguf')], ['ends beyond the file'], `${command}: cut model`);
    await fails([command, 'http://127.0.0.1:1/m.gguf'], ['nothing answers'], `${command}: no server`);
    await fails([command, 'http://no-such-host.invalid/m.gguf'], ['m.gguf'], `${command}: no host`);
    await fails([command, path.join(folder, 'empty.gguf')], ['is empty'], `${command}: empty file`);
    await fails([command, path.join(folder, 'none.gguf')], ['No such file'], `${command}: no file`);
    await fails([command, folder], ['not a file'], `${command}: a folder`);
    await fails([command, path.join(folder, 'short.gguf')], ['ends beyond the file'], `${command}: cut file`);
}
equal((await run(['dump', url('redirect'), '--json'])).status, 0, 'a redirect is followed');
for (const args of [
    ['range', model, '--len', 'x'], ['range', model, '--repeat', '0'], ['dump', model, '--limt', '3'],
    ['dump', 'a', 'b'], ['range', model, '--len'],
    ['download'], ['download', 'ftp://x/y'], ['download', server.url],
    ['download', url('ok'), '--sha256', 'abc'], ['nonsense'], []]) {
    const r = await run(args, { env: {} });
    check(r.status === 2 && r.out === '' && r.err.length > 20, `wrong usage: ${args.join(' ')}`,
        `${r.status} ${r.out} ${r.err}`);
}
check((await run(['dump', model, '--limt', '3'])).err.includes('did you mean --limit'),
    'a misspelt option is guessed');
check((await run(['range', '--help'])).out.includes('--tensor NAME'), 'help');
equal((await run(['help', 'range'])).out, (await run(['range', '--help'])).out, 'help COMMAND');
check((await run(['--version'])).out.startsWith('gossamer '), 'version');

// ---- split models -----------------------------------------------------------------------------------------
{
    const split = n => path.join(folder, `s-${String(n).padStart(5, '0')}-of-00002.gguf`);
    for (const n of [1, 2]) fs.writeFileSync(split(n), shard(n - 1, 2, `t${n}`));
    for (const first of [split(1), url('ok', 's-00001-of-00002.gguf')]) {
        const r = JSON.parse((await run(['dump', '--json', first])).out);
        check(r.files.length === 2 && r.tensors.map(t => t.name + t.file).join() === 't10,t21',
            'a split model', JSON.stringify(r));
        const t2 = JSON.parse((await run(['range', first, '--tensor', 't2', '--json'])).out);
        equal(t2.sha256, sha(Buffer.alloc(128, 2)), 'a tensor of the second part');
    }
    await fails(['dump', split(2)], ['part 2'], 'the second part alone');
    fs.renameSync(split(2), split(2) + '.away');
    await fails(['dump', split(1)], ['s-00002-of-00002.gguf', 'No such file'], 'a part missing');
    fs.copyFileSync(split(1), split(2));
    await fails(['dump', split(1)], ['Part 2', 'says it is part 1'], 'a part twice');
    fs.copyFileSync(split(1), path.join(folder, 'odd.gguf'));
    await fails(['dump', path.join(folder, 'odd.gguf')], ['name does not end'], 'a part with another name');
}

function shard(no, count, name) {
    const u = (v, n) => {
        const b = Buffer.alloc(8);
        b.writeBigUInt64LE(BigInt(v));
        return b.subarray(0, n);
    };
    const s = t => Buffer.concat([u(t.length, 8), Buffer.from(t)]);
    const head = Buffer.concat([Buffer.from('GGUF'), u(3, 4), u(1, 8), u(3, 8),
        s('split.no'), u(2, 4), u(no, 2), s('split.count'), u(2, 4), u(count, 2),
        s('split.tensors.count'), u(5, 4), u(count, 4), s(name), u(1, 4), u(32, 8), u(0, 4), u(0, 8)]);
    return Buffer.concat([head, Buffer.alloc((32 - head.length % 32) % 32), Buffer.alloc(128, no + 1)]);
}

// ---- download ---------------------------------------------------------------------------------------------
const target = path.join(folder, 'got.gguf');
const cleared = () => {
    for (const f of [target, target + '.part', target + '.part.json']) fs.rmSync(f, { force: true });
};
const left = () => fs.readdirSync(folder).filter(f => f.startsWith('got.gguf')).sort().join();
const get = (mode, more = [], file) => run(['download', url(mode, file), '-o', target, '--json', ...more]);
for (const mode of ['ok', 'noetag', 'norange', 'chunked', 'redirect', 'flaky', 'cutonce', 'cut']) {
    cleared();
    const r = await get(mode, ['--sha256', sha(bytes)]);
    check(r.status === 0 && JSON.parse(r.out).sha256 === sha(bytes) &&
        sha(fs.readFileSync(target)) === sha(bytes), `download, ${mode}`, r.err);
    equal(left(), 'got.gguf', `download, ${mode}: nothing else is left`);
}
await fails(['download', url('ok'), '-o', target], ['is there already', '--force'], 'download over a file');
equal((await get('ok', ['--force'])).status, 0, 'download --force');

cleared(); // stopped half-way, then continued: only the rest is fetched
fs.writeFileSync(target + '.part', bytes.subarray(0, 700000));
const etag = '"' + sha(bytes).slice(0, 16) + '"';
fs.writeFileSync(target + '.part.json', JSON.stringify({ url: url('ok'), etag, size: bytes.length }));
server.log.length = 0;
let r = await get('ok');
check(r.status === 0 && JSON.parse(r.out).resumed === 700000 && JSON.parse(r.out).sha256 === sha(bytes),
    'download resumes', r.err);
const [one] = server.log;
check(server.log.length === 1 && one.range === 'bytes=700000-' && one.ifRange === etag && one.status === 206,
    'and asks for the rest only', JSON.stringify(server.log));

cleared(); // the file changed on the server since
fs.writeFileSync(target + '.part', Buffer.alloc(700000));
fs.writeFileSync(target + '.part.json',
    JSON.stringify({ url: url('ok'), etag: '"old"', size: bytes.length }));
r = await get('ok');
check(r.status === 0 && JSON.parse(r.out).resumed === 0 && JSON.parse(r.out).sha256 === sha(bytes),
    'download begins anew when the file changed', r.err);

cleared(); // a part of another URL, or with a damaged note
for (const note of [JSON.stringify({ url: url('noetag'), etag, size: bytes.length }), '{"url":', '', '[]']) {
    fs.writeFileSync(target + '.part', Buffer.alloc(5000, 9));
    fs.writeFileSync(target + '.part.json', note);
    r = await get('ok', ['--force']);
    check(r.status === 0 && JSON.parse(r.out).sha256 === sha(bytes),
        'download does not trust a strange part', r.err);
}
cleared(); // replaced on the server in the middle
r = await get('replaced');
check(r.status === 0 && JSON.parse(r.out).sha256 === sha(flip(bytes)),
    'download of a file replaced half-way is the new one', r.err);
cleared(); // whole already, only the name is missing
fs.writeFileSync(target + '.part', bytes);
fs.writeFileSync(target + '.part.json', JSON.stringify({ url: url('ok'), etag, size: bytes.length }));
server.log.length = 0;
r = await get('ok');
check(r.status === 0 && server.log.length === 0 && JSON.parse(r.out).sha256 === sha(bytes),
    'download of what is whole fetches nothing', r.err);

cleared();
await fails(['download', url('ok'), '-o', target, '--sha256', '0'.repeat(64)], ['SHA-256', 'removed'],
    'download of another file than expected');
for (const [mode, words, file] of [['missing', ['404']], ['private', ['403']], ['busy', ['503']],
    ['loop', ['circles']], ['ok', ['is empty'], 'empty.gguf'], ['wrong', ['other bytes']]]) {
    await fails(['download', url(mode, file), '-o', target], words, `download, ${mode}`);
    equal(left(), '', `download, ${mode}: nothing is left`);
}
await fails(['download', url('ok'), '-o', path.join(folder, 'no', 'such', 'folder')],
    ['Cannot write', 'No such file'], 'download into no folder');
r = await run(['download', url('ok')], { cwd: fs.mkdtempSync(path.join(folder, 'here-')) });
equal(r.out, `${sha(bytes)}  m.gguf\n`, 'download names the file after the URL');

// A full disk: a small tmpfs in a mount namespace of our own.
const small = path.join(folder, 'small');
fs.mkdirSync(small);
const inSmall = command => run(['-rm', 'sh', '-c',
    `mount -t tmpfs -o size=512k none '${small}' && ${command}`], { program: 'unshare' });
if ((await inSmall('true')).status === 0) {
    const known = await inSmall(
        `'${program}' download ${url('ok')} -o ${small}/x; s=$?; ls ${small} >&2; exit $s`);
    check(known.status === 1 && /^[^\n]*The disk has room for \d+ bytes[^\n]*\n$/.test(known.err),
        'full disk, seen before the start', known.err);
    const unknown = await inSmall(`'${program}' download ${url('chunked')} -o ${small}/x`);
    check(unknown.status === 1 && /The disk is full at byte \d+ of/.test(unknown.err),
        'full disk, met on the way', unknown.err);
    const out = await run(['-c', `'${program}' meta '${model}' > /dev/full`], { program: 'sh' });
    check(out.status === 1 && out.err.includes('cannot write the output'),
        'standard output on a full disk', out.err);
} else {
    skipped += 3;
    console.log('SKIP full disk: no mount namespaces here');
}
// A progress bar only on a terminal.
cleared();
equal((await get('ok')).err, '', 'no progress bar without a terminal');
try {
    execFileSync('script', ['--version'], { stdio: 'ignore' });
    cleared();
    const tty = await run(['-qec', `'${program}' download ${url('ok')} -o '${target}'`, '/dev/null'],
        { program: 'script' });
    check(/downloading \[[#-]{20}\]/.test(tty.out), 'a progress bar on a terminal', tty.out);
} catch { skipped++; console.log('SKIP progress bar: no script(1) here'); }

server.close();
fs.rmSync(folder, { recursive: true });
console.log(`range: ${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed ? 1 : 0);
