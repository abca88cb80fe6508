// first.mjs - the first token's byte leaves at most 2 ms after the prefill: the median over one client's
// requests, told by the load generator (bench/load.c) from the last byte of a request to the first of its
// first token, less the prefill. Of five runs the best counts: a machine that others use too is slow at
// times, a server that waits for something is slow in each.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { assert, finish, root, serve, test } from './lib.mjs';

await test('the first byte comes soon after the prefill; ' +
    'streams of 1 and 16 clients have no error', async () => {
    const load = path.join(root, 'build/load');
    execFileSync(process.env.CC || 'cc', ['-O2', '-o', load, path.join(root, 'bench/load.c')]);
    const s = await serve(['--threads', '1', '--log', 'none']);
    const run = (clients, seconds) => JSON.parse(execFileSync(load,
        ['127.0.0.1', s.port, clients, seconds, 'raw', 'Once upon a time'].map(String)));
    const runs = [];
    do {
        const one = run(1, 1.5);
        assert.ok(one.requests > 5 && one.errors === 0, JSON.stringify(one));
        runs.push(one.more_than_prefill_ms.p50);
    } while (Math.min(...runs) > 2 && runs.length < 5);
    assert.ok(Math.min(...runs) <= 2, `medians of ${runs}`);
    const many = run(16, 4);
    assert.ok(many.requests > 5 && many.errors === 0, JSON.stringify(many));
    assert.equal((await s.stop()).code, 0);
});
finish();
