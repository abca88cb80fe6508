// gpus_test.mjs - --gpu N on a machine with two devices, both software: Chromium's SwiftShader and Mesa's
// lavapipe. The Vulkan loader's order is the numbers'; whoever has one does not see the other. Debian 12's
// lavapipe is too old for Dawn: that only the other is seen is what counts there.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { assert, finish, post, program, run, serve, skip, test } from './lib.mjs';

const drivers = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json'];
if (!drivers.every((file) => fs.existsSync(file))) {
    skip('--gpu N', 'there are no two software devices here (chromium, mesa-vulkan-drivers)');
    finish();
}
const only = (list) => ({ VK_ICD_FILENAMES: list, VK_DRIVER_FILES: list }); // an older name, a newer one
const env = only(drivers.join(':'));
const doctor = async (...more) => {
    const r = await run(['doctor', ...more], { env, timeout: 60000 });
    return { ...r, adapter: r.out.match(/adapter=(.*)/)?.[1] };
};
const all = await doctor();
const names = all.out.match(/^gpus +0 (.*), software\n +1 (.*), software$/m)?.slice(1) || [];
await test('doctor lists the devices, and hides none', () => {
    assert.equal(names.filter((name) => /SwiftShader/.test(name)).length, 1, all.out);
    assert.doesNotMatch(all.err, /this process has/);
});
const swift = names.findIndex((name) => /SwiftShader/.test(name));
await test('--gpu N has that one, and no other', async () => {
    for (const n of [0, 1]) {
        const r = await doctor('--gpu', String(n));
        assert.ok(r.err.includes(`this process has GPU ${n} of 2, ${names[n]}\n`), r.err);
        if (n === swift) assert.equal(r.adapter, names[n], r.out);
        else assert.ok(r.adapter === names[n] || /none: the only GPU adapter is the null/.test(r.out), r.out);
    }
});
await test('a server has it, in its sandbox', async () => {
    const s = await serve(['--backend', 'gpu', '--gpu', String(swift), '--max-kv', '512'], { env });
    const r = await post(s.url + '/v1/completions', { prompt: 'June', temperature: 0, max_tokens: 2 });
    assert.equal(r.json?.usage.completion_tokens, 2, r.text);
    await s.said(/this process has GPU \d of 2, SwiftShader.*[^]* on gpu \(/);
    assert.deepEqual(await s.stop(), { code: 0, signal: null });
}, 600);
await test('a number that is not there, and devices that can not be hidden', async () => {
    const r = await doctor('--gpu', '2');
    assert.equal(r.code, 2, r.err);
    assert.ok(r.err.includes(`there is no GPU 2: Vulkan finds 0 (${names[0]}), 1 (${names[1]}).`), r.err);
    const none = await run(['doctor', '--gpu', '0'], { env: only('/none') });
    assert.match(none.err, /there is no GPU 0: Vulkan .* finds none/);
    assert.equal(none.code, 2);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-gpus-'));
    fs.copyFileSync(program, path.join(folder, 'gossamer')); // without its layer
    const lone = spawnSync(path.join(folder, 'gossamer'), ['doctor', '--gpu', '1'],
        { env: { ...process.env, ...env }, encoding: 'utf8' });
    fs.rmSync(folder, { recursive: true });
    assert.match(lone.stderr, /does not hide the other GPUs .*examples\/pipeline\/one-gpu/);
    assert.equal(lone.status, 1);
});
const module = path.join(path.dirname(program), 'gossamer_mpi.so');
if (spawnSync('mpirun', ['--version']).error || !fs.existsSync(module))
    skip('a GPU for each rank', 'OpenMPI is not installed');
else await test('ranks of one host take one each', async () => {
    const say = ['--max-kv', '512', '--raw', '-p', 'June', '--temp', '0', '--max-tokens', '3'];
    const ranks = (...more) => spawnSync('mpirun', ['--bind-to', 'none', '-n', '2', program, 'run',
        '--pipeline', ...say, ...more], { encoding: 'utf8', env: { ...process.env, ...env,
        OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
        OMPI_MCA_rmaps_base_oversubscribe: '1', OMPI_MCA_btl: 'self,vader,tcp' } });
    const has = (r) => [...r.stderr.matchAll(/this process has GPU (\d) of 2/g)].map((m) => m[1]).sort();
    assert.deepEqual(has(ranks('--backend', 'gpu')), ['0', '1']);
    const one = await run(['run', '--gpu', String(swift), ...say], { env, timeout: 300000 });
    const both = ranks('--gpu', String(swift)); // which means --backend gpu
    assert.deepEqual([has(both), both.stdout], [[String(swift), String(swift)], one.out], both.stderr);
    assert.ok(one.out.trim(), one.err);
    assert.deepEqual(has(ranks('--backend', 'cpu')), []);
}, 900);
finish();
