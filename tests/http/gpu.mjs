// gpu.mjs - the server on WebGPU: a chat whole and streamed, two at once, one that hangs up in the middle,
// and no CPU use when idle; all of it inside the sandbox, where the kernel has one. A software adapter does
// (VK_ICD_FILENAMES names SwiftShader's); without any it is left out.
import fs from 'node:fs';
import os from 'node:os';
import { assert, events, finish, july, june, post, serve, skip, sleep, test } from './lib.mjs';

const on = (flag) => serve(['--backend', 'gpu', '--sandbox', flag], { ready: false });
const s = await on('on').catch((e) => {
    if (!/sandbox is not complete/.test(e.message)) throw e;
    skip('gpu inside the sandbox', e.message.trim());
    return on('off');
});
const loading = []; // what /health said until it said 200
for (let status = 0; s.child.exitCode === null && status !== 200; await sleep(20)) {
    const r = await fetch(s.url + '/health').catch(() => null);
    status = r?.status;
    if (r) loading.push([status, await r.json()]);
}
if (s.child.exitCode !== null && /adapter|WebGPU|Vulkan/i.test(s.log())) {
    skip('gpu', s.log().match(/.*could not be loaded.*/)?.[0] ?? s.log().trim());
    finish();
}
// One answer is whole; of the others a few tokens do: each takes long on an adapter made of software.
const ask = { messages: june, temperature: 0, max_tokens: 10 };
const metric = async (name) => Number((await (await fetch(s.url + '/metrics')).text())
    .match(new RegExp(`^${name} (.*)$`, 'm'))[1]);
const joined = (text) => {
    const d = events(text).map((e) => e.data?.choices?.[0]?.delta ?? {});
    return d.map((x) => (x.reasoning_content ?? '') + (x.content ?? '')).join('');
};
const said = (r) => (r.json.choices[0].message.reasoning_content ?? '') +
    (r.json.choices[0].message.content ?? '');
let first;

await test('/health while it loads: 503 with progress that grows, then 200', async () => {
    const held = loading.filter(([status]) => status === 503).map(([, h]) => h);
    assert.ok(held.length > 0 && held.every((h) => h.status === 'loading'), JSON.stringify(loading));
    assert.ok(held.every((h, i) => h.progress <= 1 && h.progress >= (held[i - 1]?.progress ?? 0)),
        JSON.stringify(held));
    assert.ok(held.some((h) => h.progress > 0 && h.progress < 1), JSON.stringify(held));
    assert.deepEqual(loading.at(-1), [200, { status: 'ok', model: 'demo-gptoss', loaded: true,
        backend: 'gpu' }]);
});
await test('it runs on the GPU', async () => {
    await s.said(/on gpu/);
    const r = await post(s.url + '/v1/chat/completions', { ...ask, max_tokens: 64 });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.choices[0].message.content, july);
    assert.ok(r.json.usage.completion_tokens > 4);
    first = said(await post(s.url + '/v1/chat/completions', ask));
    assert.ok(first.length && said(r).startsWith(first));
    const loaded = (await (await fetch(s.url + '/api/ps')).json()).models[0];
    assert.ok(loaded.size_vram > 1e6, JSON.stringify(loaded));
});
await test('streamed, the same', async () => {
    const r = await post(s.url + '/v1/chat/completions', { ...ask, stream: true });
    assert.equal(joined(r.text), first);
    assert.match(r.text, /data: \[DONE\]/);
});
await test('two at once, each its own', async () => {
    const other = { ...ask, messages: [{ role: 'user', content: 'What is the capital of France?' }] };
    const alone = (await post(s.url + '/v1/chat/completions', { ...other, stream: true })).text;
    const [a, b] = await Promise.all([ask, other].map((body) =>
        post(s.url + '/v1/chat/completions', { ...body, stream: true })));
    assert.equal(joined(a.text), first);
    assert.equal(joined(b.text), joined(alone));
    assert.notEqual(joined(alone), first);
});
await test('one that hangs up in the middle is cancelled', async () => {
    const text = JSON.stringify({ ...ask, max_tokens: 4000, stream: true,
        messages: [{ role: 'user', content: 'Tell me a story about a fox and a golden key.' }] });
    const hangUp = new AbortController();
    const r = await fetch(s.url + '/v1/chat/completions',
        { method: 'POST', body: text, signal: hangUp.signal });
    const reader = r.body.getReader();
    for (let i = 0; i < 4; i++) await reader.read();
    hangUp.abort();
    const t0 = Date.now();
    while (await metric('gossamer_jobs_running')) {
        assert.ok(Date.now() - t0 < 30000, 'still running');
        await sleep(20);
    }
    const again = await post(s.url + '/v1/chat/completions', ask);
    assert.equal(said(again), first);
});
await test('idle: no CPU', async () => {
    const ticks = () => {
        const f = fs.readFileSync(`/proc/${s.pid}/stat`, 'utf8').split(') ')[1].split(' ');
        return Number(f[11]) + Number(f[12]);
    };
    // what warms prefixes in idle time ends
    for (let i = 0, n = -1; i < 100 && n !== (n = ticks()); i++) await sleep(500);
    const before = ticks();
    await sleep(3000);
    assert.ok(ticks() - before <= 3, `${ticks() - before} ticks of CPU in 3 s while idle`);
});
await test('it ends well', async () => {
    const { code } = await s.stop();
    assert.equal(code, 0, s.log().slice(-1000));
});
await test('with --record rows say what they looked at and chose; without, nothing', async () => {
    const seen = async (...args) => {
        const own = await serve(args);
        const r = await post(own.url + '/v1/chat/completions', { ...ask, stream: true, telemetry: true,
            telemetry_layer: 2, telemetry_head: 5 });
        await own.stop();
        const lines = events(r.text).flatMap((e) => e.data?.extra?.telemetry ?? []);
        assert.ok(lines.some((t) => t.event?.type === 'prompt_tokens'));
        return lines.filter((t) => t.event?.type === 'seen').map((t) => t.event);
    };
    const folder = fs.mkdtempSync(`${os.tmpdir()}/gossamer-gpu-`);
    const rows = await seen('--record', folder);
    fs.rmSync(folder, { recursive: true });
    assert.equal(rows.length, 9); // of ten tokens the prompt's row chose the first
    for (const { layer, head, looks, experts } of rows) {
        assert.deepEqual([layer, head, looks.length, experts.length], [2, 5, 16, 24]);
        assert.ok(looks.every((l, i) => l[0] < 90 && l[1] <= (looks[i - 1]?.[1] ?? 1)));
    }
    assert.equal((await seen()).length, 0);
});
finish();
