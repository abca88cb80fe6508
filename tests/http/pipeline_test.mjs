// pipeline_test.mjs - one model over several processes: the same answers, to the last digit of their log
// probabilities, as one process gives; and what happens when a process dies or stops. $GOSSAMER is a program
// that runs gossamer in $RANKS processes of mpirun, or as it is where RANKS is 0 (tests/suites/51-pipeline.sh
// makes it).
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { endless } from './endless.mjs';
import { assert, EQUAL, finish, july, model, post, root, run, serve, skip, sleep, test } from './lib.mjs';

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-pipeline-'));
process.on('exit', () => fs.rmSync(tmp, { recursive: true, force: true }));
// The processes of a server, by rank.
const ranksOf = (pid) => {
    const found = [];
    const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)]).toString();
    for (const child of children.trim().split(/\s+/)) {
        const env = fs.readFileSync(`/proc/${child}/environ`, 'latin1');
        found[Number(env.match(/OMPI_COMM_WORLD_RANK=(\d+)/)[1])] = Number(child);
    }
    return found;
};
// mpirun waits for its time before SIGKILL when it is ended itself: it is rank 0 that is told to end.
async function start(n, args = [], env = {}, level = EQUAL) {
    const s = await serve(['--threads', '1', ...level, ...(n ? ['--pipeline'] : []), ...args],
        { env: { RANKS: String(n), ...env } });
    s.stop = async () => {
        process.kill(n ? ranksOf(s.pid)[0] : s.pid, 'SIGTERM');
        assert.deepEqual(await s.exited, { code: 0, signal: null }, s.log());
    };
    return s;
}

// ---- requests of every kind -------------------------------------------------------------------------------
const ask = (content, more = {}) => ({ messages: [{ role: 'user', content }], max_tokens: 40, temperature: 0,
    logprobs: true, top_logprobs: 5, ...more });
const month = { type: 'object', required: ['month', 'why'], additionalProperties: false,
    properties: { month: { enum: ['May', 'July'] }, why: { type: 'string', maxLength: 20 } } };
const lines = Array.from({ length: 60 }, (_, i) => `Line ${i}: the fox of hill ${i * 7 % 13} met a crow.`);
const long = lines.join(' ');
const requests = [
    ask('Which month comes after June?'),
    ask('Tell me a story about a fox and a golden key.', { temperature: 1, seed: 7 }),
    ask('Tell me a story about a crow.', { temperature: 0.8, seed: 11, top_p: 0.9, top_k: 20 }),
    ask('Tell me a story about a bell.',
        { temperature: 1, seed: 3, frequency_penalty: 0.5, presence_penalty: 0.3 }),
    ask('Name a month.', { temperature: 1, seed: 5, logit_bias: { 100: 2, 200: -3, 300: 1 } }),
    ask('Which month comes after June?',
        { response_format: { type: 'json_schema',
            json_schema: { name: 'm', schema: month, strict: true } } }),
    ask(`${long} What did the fox meet?`, { temperature: 1, seed: 2 }),
    ask('Tell me two stories.', { temperature: 1, seed: 9, n: 3 }),
];
// What must be the same: texts, calls, log probabilities, why it ended.
const essence = (r) => {
    assert.equal(r.status, 200, r.text);
    return r.json.choices.map((c) => ({ message: c.message, why: c.finish_reason, probs: c.logprobs }));
};
const answer = async (s, body) => essence(await post(s.url + '/v1/chat/completions', body));
// 16 at once, of them 2 with 3 choices
const all = (s) => Promise.all([...requests, ...requests].map((r) => answer(s, r)));
const one = await start(0);
const right = [];
for (const r of requests) right.push(await answer(one, r));
await one.stop();
const twice = [...right, ...right];

await test('on the level that this machine has: one after the other', async () => {
    const alone = await start(0, [], {}, []), s = await start(2, [], {}, []);
    for (const r of requests) assert.deepEqual(await answer(s, r), await answer(alone, r));
    await Promise.all([s.stop(), alone.stop()]);
});
for (const ranks of [2, 3, 4]) {
    await test(`${ranks} processes answer as one does, one after the other and 16 at once`, async () => {
        const s = await start(ranks);
        for (let i = 0; i < requests.length; i++) assert.deepEqual(await answer(s, requests[i]), right[i]);
        assert.deepEqual(await all(s), twice);
        await s.stop();
    });
}
await test('a split that was asked for, drafts of n-grams and of a model: the same answers', async () => {
    for (const args of [['--pipeline-split', '1,5', '--speculate'],
        ['--pipeline-split', '4,2', '--draft', path.join(root, 'models/demo-gptoss-draft.gguf')]]) {
        const s = await start(2, args);
        await s.said(new RegExp(`rank 1 .* layers ${args[1][0]} to 5 and the head`));
        assert.deepEqual(await all(s), twice);
        await s.stop();
    }
});
await test('a conversation reuses its beginning; embeddings come from the last process', async () => {
    const s = await start(3), plain = await start(0);
    const said = [{ role: 'user', content: long }];
    const follow = [...said, { role: 'assistant', content: 'A crow.' }, { role: 'user', content: 'Where?' }];
    for (const messages of [said, follow]) {
        const body = { messages, max_tokens: 30, temperature: 0, logprobs: true };
        const [a, b] = [await post(s.url + '/v1/chat/completions', body),
            await post(plain.url + '/v1/chat/completions', body)];
        assert.deepEqual(essence(a), essence(b));
        const reused = a.json.usage.prompt_tokens_details.cached_tokens;
        assert.equal(reused, b.json.usage.prompt_tokens_details.cached_tokens);
        if (messages === follow) assert.ok(reused > 500, `only ${reused} tokens were reused`);
    }
    const input = ['a fox', long];
    const [a, b] = [await post(s.url + '/v1/embeddings', { input }),
        await post(plain.url + '/v1/embeddings', { input })];
    assert.equal(a.status, 200, a.text);
    assert.deepEqual(a.json.data, b.json.data);
    await s.stop();
    await plain.stop();
});
await test('prefixes on disk: what one process stores several read, and the other way round', async () => {
    const body = ask(`${long} ${long} Which month comes after June?`, { max_tokens: 300 });
    for (const [first, second] of [[0, 3], [2, 0]]) {
        const folder = path.join(tmp, `prefixes-${first}`);
        const a = await start(first, ['--prefix-cache', folder]);
        const want = await answer(a, body);
        await a.stop(); // which stores it
        assert.match(fs.readdirSync(folder).join(), /\.kv/);
        const b = await start(second, ['--prefix-cache', folder]);
        const got = await post(b.url + '/v1/chat/completions', body);
        assert.deepEqual(essence(got), want);
        const reused = got.json.usage.prompt_tokens_details.cached_tokens;
        assert.ok(reused > 1000, `${second || 1} after ${first || 1}: ${reused} tokens were reused`);
        await b.stop();
    }
});

const mpi = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
    OMPI_MCA_rmaps_base_oversubscribe: '1', OMPI_MCA_btl: 'self,vader,tcp',
    OMPI_MCA_odls_base_sigkill_timeout: '1' };

// ---- a process that dies or stops -------------------------------------------------------------------------
for (const [signal, rank, idle] of [['SIGKILL', 1, 0], ['SIGSTOP', 2, 0], ['SIGSTOP', 1, 1]]) {
    await test(`${signal} of rank ${rank}${idle ? ' while nobody asks' : ''}: said in 5 s, then the end`,
        async () => {
            const s = await start(3, [], signal === 'SIGKILL' ? { KILL_AFTER: '10' } : {});
            const stream = idle ? null : await endless(s);
            const pids = ranksOf(s.pid), began = Date.now();
            process.kill(pids[rank], signal);
            if (stream) {
                await stream.closed;
                assert.match(stream.got, new RegExp(`"error".*rank ${rank} `));
                assert.ok(Date.now() - began < 5000, `the error came after ${Date.now() - began} ms`);
            }
            let health;
            while (!health?.error && Date.now() - began < 6000) {
                const r = await fetch(s.url + '/health').catch(() => null);
                if (r?.status === 503) health = await r.json();
                else await sleep(20);
            }
            assert.match(health?.error || '', new RegExp(`rank ${rank} .* (dead|stopped)`));
            const { code } = await s.exited;
            assert.notEqual(code, 0);
            await s.said(/a rank of the pipeline is lost: the server ends, start it anew/);
            while (pids.some((pid) => fs.existsSync(`/proc/${pid}/cmdline`) &&
                fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('gossamer'))) await sleep(50);
        });
}
// ---- examples/pipeline -----------------------------------------------------------------------------------
const examples = path.join(root, 'examples/pipeline');
if (spawnSync('systemd-analyze', ['--version']).status !== 0) skip('the unit', 'there is no systemd-analyze');
else await test('systemd takes the unit', () => {
    const unit = path.join(tmp, 'gossamer-pipeline.service'), mpirun = execFileSync('which', ['mpirun']);
    fs.writeFileSync(unit, fs.readFileSync(path.join(examples, 'gossamer-pipeline.service'), 'utf8')
        .replace('/usr/bin/mpirun', mpirun.toString().trim()));
    const r = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
    assert.deepEqual([r.status, r.stderr], [0, '']);
});
if (spawnSync('unshare', ['--map-root-user', '--mount', 'true']).status !== 0)
    skip('one-gpu', 'namespaces are not allowed here');
else await test('one-gpu hides all GPUs but one', () => {
    const devices = path.join(tmp, 'dev'), look = 'for f in *; do [ -c $f ] || echo $f; done';
    fs.mkdirSync(devices);
    for (const name of ['nvidia0', 'nvidia1', 'nvidia2', 'nvidiactl'])
        fs.writeFileSync(path.join(devices, name), '');
    for (const mine of [0, 2, 3]) {
        const r = spawnSync(path.join(examples, 'one-gpu'), ['sh', '-c', look], { encoding: 'utf8',
            cwd: devices,
            env: { ...process.env, DEVICES: devices, OMPI_COMM_WORLD_LOCAL_RANK: String(mine) } });
        if (mine < 3) assert.deepEqual([r.stdout, r.status], [`nvidia${mine}\nnvidiactl\n`, 0], r.stderr);
        else assert.match(r.stderr, /there are 3 GPUs .*, no number 3/);
    }
});
// gossamer.sbatch is a supervisor: what Slurm would run, with an mpirun of this machine.
await test('a supervisor starts the server anew when a process was lost; SIGTERM ends both', async () => {
    const free = net.createServer().listen(0, '127.0.0.1');
    await new Promise((done) => free.on('listening', done));
    const port = free.address().port;
    await new Promise((done) => free.close(done));
    const child = spawn('bash', [path.join(root, 'examples/pipeline/gossamer.sbatch'), model],
        { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, GOSSAMER: process.env.PROGRAM,
            LAUNCH: 'mpirun --bind-to none -n 2', ...mpi,
            OPTIONS: `--port ${port} --backend cpu --threads 1 ${EQUAL.join(' ')} --date 2025-06-28` } });
    process.on('exit', () => child.kill('SIGKILL'));
    let log = '';
    for (const s of [child.stdout, child.stderr]) s.on('data', (d) => { log += d; });
    const answers = async () => {
        for (let i = 0; i < 2400; i++) {
            const r = await post(`http://127.0.0.1:${port}/v1/chat/completions`, requests[0])
                .catch(() => null);
            if (r?.status === 200) return assert.deepEqual(essence(r), right[0]);
            await sleep(25);
        }
        assert.fail(log);
    };
    await answers();
    const launcher = Number(execFileSync('pgrep', ['-P', String(child.pid), 'mpirun']).toString());
    process.kill(ranksOf(launcher)[1], 'SIGKILL');
    while (!log.includes('it is started anew')) await sleep(20);
    await answers();
    child.kill('SIGTERM');
    const code = await new Promise((done) => child.on('exit', done));
    assert.equal(code, 0, log);
    assert.equal(log.match(/it is started anew/g).length, 1, log);
});
await test('waiting processes take next to nothing of the processor', async () => {
    const s = await start(3);
    await answer(s, requests[0]);
    const ticks = () => ranksOf(s.pid).map((pid) => {
        const f = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
        return Number(f[11]) + Number(f[12]);
    });
    const before = ticks();
    await sleep(2000);
    const spent = ticks().map((t, i) => t - before[i]); // hundredths of a second, of 200
    assert.ok(Math.max(...spent) <= 20, `ticks of 200: ${spent}`);
    await s.stop();
});

// ---- a model that is at an address ------------------------------------------------------------------------
// Serves one file by Range, and counts the bytes that went out. cut: so many answers break off in the middle;
// held: what begins in these bytes waits until release(); break(): whoever asks is cut off, until mend().
const host = async (file, { cut = 0, held = [0, 0] } = {}) => {
    const size = fs.statSync(file).size, sent = { bytes: 0 }, waiting = [];
    let broken = false;
    const answer = (req, res) => {
        const m = (req.headers.range || '').match(/bytes=(\d+)-(\d*)/);
        const from = m ? Number(m[1]) : 0, to = m?.[2] ? Math.min(Number(m[2]), size - 1) : size - 1;
        if (broken) return res.destroy();
        if (from >= held[0] && from < held[1]) return waiting.push([req, res]);
        res.writeHead(m ? 206 : 200, { 'content-length': to - from + 1, etag: '"1"', 'accept-ranges': 'bytes',
            ...(m ? { 'content-range': `bytes ${from}-${to}/${size}` } : {}) });
        if (req.method === 'HEAD') return res.end();
        const breaks = to - from > 200000 && cut > 0, until = breaks ? from + 150000 : to;
        if (breaks) cut--;
        const bytes = fs.createReadStream(file, { start: from, end: until });
        bytes.on('data', (d) => { sent.bytes += d.length; });
        if (!breaks) return bytes.pipe(res);
        bytes.on('end', () => res.destroy()).pipe(res, { end: false });
    };
    const server = http.createServer(answer);
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    return { url: `http://127.0.0.1:${server.address().port}/shape.gguf`, size, sent, waiting,
        cut: () => cut, end: () => server.close(),
        release: () => { held = [0, 0]; for (const w of waiting.splice(0)) answer(...w); },
        break: () => { broken = true; for (const [, res] of waiting.splice(0)) res.destroy(); },
        mend: () => { broken = false; held = [0, 0]; } };
};
const shape = path.join(tmp, 'shape.gguf');
const made = await run(['synth', 'layers=6,embd=256,heads=4,kv_heads=2,experts=32,ff=512,vocab=2048,ctx=2048',
    shape], { env: { RANKS: '0' }, timeout: 180000 });
assert.equal(made.code, 0, made.err);
// What each of three processes, with 1, 2 and 3 layers, said that it has: so many sixths of the layers, and
// what all have: the header and small tensors, the first's rows.
const haveTheirs = (log) => {
    const said = [...log.matchAll(/rank (\d) .* has ([\d.]+) MB of the model's ([\d.]+) MB,/g)]
        .sort((a, b) => a[1] - b[1]).map((m) => m.slice(2).map(Number));
    assert.equal(said.length, 3, log);
    for (const [rank, share] of [1 / 6, 2 / 6, 3 / 6].entries())
        assert.ok(said[rank][0] < said[0][1] * (share + 0.1), `rank ${rank}: ${said[rank]}`);
};
await test('of a model at an address each process fetches its layers, no more', async () => {
    const args = (from) => ['run', from, '--raw', '-p', 'abc', '--temp', '0', '--max-tokens', '12',
        '--backend', 'cpu', '--threads', '1'];
    const right = await run(args(shape), { env: { RANKS: '0' } });
    assert.equal(right.code, 0, right.err);
    const h = await host(shape), env = { XDG_CACHE_HOME: path.join(tmp, 'cache'), RANKS: '3' };
    for (let i = 0; i < 2; i++) {
        const r = await run([...args(h.url), '--pipeline-split', '1,2,3'], { env, timeout: 180000 });
        assert.equal(r.code, 0, r.err);
        assert.equal(r.out, right.out);
        haveTheirs(r.err);
    }
    // What was still on its way when the first run ended comes with the second; nothing comes twice.
    assert.ok(h.sent.bytes < 1.3 * h.size, `${h.sent.bytes} of ${h.size} bytes went out`);
    h.end();
});

const abc = { prompt: 'abc', temperature: 0, max_tokens: 12, logprobs: 3 };
const alone = async (body) => { // what one process answers
    const s = await serve([shape, '--threads', '1'], { env: { RANKS: '0' } });
    const r = await post(s.url + '/v1/completions', body);
    await s.stop();
    return r.json.choices;
};
await test('serve, eval and plan: each fetches its layers; a link that breaks is resumed', async () => {
    const h = await host(shape, { cut: 12, held: [1 << 20, Infinity] });
    const env = { XDG_CACHE_HOME: path.join(tmp, 'served') }, split = ['--pipeline-split', '1,2,3'];
    const plan = await run(['doctor', '--plan', h.url, '--pipeline'], { env: { RANKS: '3', ...env },
        timeout: 180000 });
    assert.match(plan.out, /rank 0 .*layers 0 to .*\n.*rank 1 .*\n.*rank 2 .*5 and the head/, plan.err);
    assert.ok(h.sent.bytes < 2e6, `${h.sent.bytes} bytes went out for a plan`);
    const s = await serve([h.url, '--threads', '1', ...split], { env: { RANKS: '3', ...env }, ready: false });
    const health = async () => (await (await fetch(s.url + '/health')).json()).status;
    while (!h.waiting.length) await sleep(20); // what is behind the header is wanted, and does not come
    assert.equal(await health(), 'loading');
    h.release();
    while (await health() === 'loading') await sleep(20);
    const r = await post(s.url + '/v1/completions', abc);
    await Promise.all([process.kill(ranksOf(s.pid)[0], 'SIGTERM'), s.exited]);
    haveTheirs(s.log());
    assert.equal(h.cut(), 0, 'no answer was cut off');
    assert.deepEqual(r.json?.choices, await alone(abc), r.text);
    const text = path.join(tmp, 'words');
    fs.writeFileSync(text, lines.slice(0, 12).join(' '));
    const evaluate = (from, more, ranks) => run(['eval', from, text, '--json', '--backend', 'cpu',
        '--threads', '1', ...more], { env: { RANKS: ranks, ...env }, timeout: 180000 });
    const [a, b] = [await evaluate(shape, [], '0'), await evaluate(h.url, split, '3')];
    assert.equal(b.code, 0, b.err);
    assert.equal(JSON.parse(a.out).nll, JSON.parse(b.out).nll);
    haveTheirs(b.err);
    assert.ok(h.sent.bytes < 1.3 * h.size, `${h.sent.bytes} of ${h.size} bytes went out`);
    h.end();
}, 300);
await test('a host that is gone while a model is fetched ends the job with a sentence', async () => {
    const h = await host(shape, { held: [1 << 20, Infinity] });
    const s = await serve([h.url, '--threads', '1', '--pipeline-split', '1,2,3'],
        { env: { RANKS: '3', XDG_CACHE_HOME: path.join(tmp, 'gone') }, ready: false });
    while (!h.waiting.length) await sleep(20);
    h.break();
    const { code } = await s.exited;
    assert.notEqual(code, 0);
    await s.said(/could not be loaded: .*127\.0\.0\.1/);
    h.end();
}, 300);
await test('a host that is gone later fails the answers; back again, the next loads the rest', async () => {
    const dump = await run(['dump', shape, '--json'], { env: { RANKS: '0' }, timeout: 180000 });
    const dumped = JSON.parse(dump.out);
    const t = dumped.tensors.find((t) => t.name === 'blk.5.ffn_up_exps.weight');
    const from = t.offset + 65536, to = t.offset + t.bytes - 65536; // without what shares a chunk with others
    const h = await host(shape, { held: [from, to] });
    const s = await serve([h.url, '--threads', '1', '--pipeline-split', '1,2,3'],
        { env: { RANKS: '3', XDG_CACHE_HOME: path.join(tmp, 'later') } });
    const completion = () => post(s.url + '/v1/completions', abc);
    const first = Promise.all([completion(), completion()]);
    while (!h.waiting.length) await sleep(20);
    h.break();
    for (const r of await first) {
        assert.equal(r.status, 500, r.text);
        assert.match(r.json.error.message, /rank 2 .*bytes of the model can't be had/);
    }
    await s.said(/rank 2 \(.*\) lost its model: .*127\.0\.0\.1/);
    let health; // says so when the processes have put the model away
    while ((health = await fetch(s.url + '/health')).status !== 503) await sleep(20);
    assert.match((await health.json()).error, /rank 2/);
    h.mend();
    const again = await completion();
    assert.deepEqual(again.json?.choices, await alone(abc), again.text);
    await Promise.all([process.kill(ranksOf(s.pid)[0], 'SIGTERM'), s.exited]);
    h.end();
}, 300);

// ---- the command line -------------------------------------------------------------------------------------
const june = ['-p', 'Which month comes after June?', '--temp', '0', '--backend', 'cpu', '--threads', '1'];
const ranks = (n) => ({ env: { RANKS: String(n) }, timeout: 180000 });
await test('run, bench, eval and doctor --plan in several processes', async () => {
    const r = await run(['run', '--pipeline', ...june], ranks(2));
    assert.equal(r.code, 0, r.err);
    assert.equal(r.out.trim(), july.trim());
    const plan = await run(['doctor', '--plan', model, '--pipeline'], ranks(3));
    assert.equal(plan.code, 0, plan.err);
    assert.match(plan.out, /rank 0 .*layers 0 to .*\n.*rank 1 .*\n.*rank 2 .*5 and the head/);
    const bench = await run(['bench', '--pipeline', '--backend', 'cpu', '--threads', '1', '--prefill', '64',
        '--depths', '0', '-r', '1', '-n', '16'], ranks(2));
    assert.equal(bench.code, 0, bench.err);
    const text = path.join(tmp, 'text');
    fs.writeFileSync(text, long);
    const evaluate = (n) => run(['eval', model, text, '--json', '--backend', 'cpu',
        ...(n ? ['--pipeline'] : [])], ranks(n));
    const nll = (e) => JSON.parse(e.out).nll;
    const [a, b] = [await evaluate(0), await evaluate(3)];
    assert.equal(b.code, 0, b.err);
    assert.equal(nll(a), nll(b));
});
await test('what can not be is said in a sentence', async () => {
    const cases = [[0, ['run', '--pipeline', ...june], 2, /mpirun starts/],
        [2, ['run', '--pipeline-split', '5,2', ...june], 2,
            /"5,2" is not one number for each of 2 ranks, 6 layers/],
        [2, ['run', '--pipeline', ...june.map((w) => (w === 'cpu' ? 'ref' : w))], 1,
            /computes on CPUs and GPUs/],
        [2, ['run', path.join(tmp, 'none.gguf'), '--pipeline', ...june], 1, /none\.gguf/],
        [7, ['run', '--pipeline', ...june], 2, /6 layers can't be shared out among 7 ranks/],
        [2, ['serve', '--pipeline', '--sandbox', 'on', '--port', '0'], 1, /exclude each other/]];
    for (const [n, args, code, words] of cases) {
        const r = await run(args, ranks(n));
        assert.match(r.err, words);
        assert.equal(r.code, code, r.err);
    }
    const lone = path.join(tmp, 'gossamer');
    fs.copyFileSync(process.env.PROGRAM, lone);
    fs.chmodSync(lone, 0o755);
    const r = await run(['run', '--pipeline', ...june],
        { env: { RANKS: '0', PROGRAM: lone, OMPI_COMM_WORLD_SIZE: '2' } });
    assert.match(r.err, /--pipeline needs OpenMPI .*gossamer_mpi\.so is not beside the program/);
    assert.equal(r.code, 1);
});
finish();
