// cut_test.mjs - one model over four processes on two hosts, launched without ssh; then the cable between the
// hosts is cut in the middle of an answer. tests/two_hosts.sh makes the hosts and runs this on the first.
import { execFileSync } from 'node:child_process';
import { assert, finish, june, july, post, serve, sleep, test } from './lib.mjs';
import { endless } from './endless.mjs';

await test('four processes on two hosts; cut off, the answer ends with an error in 5 s', async () => {
    const s = await serve(['--threads', '1', '--pipeline'], { env: { RANKS: '4' } });
    await s.said(/rank 1 \(near.*\n.*rank 2 \(far.*\n.*rank 3 \(far/);
    const r = await post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, max_tokens: 60 });
    assert.equal(r.json?.choices[0].message.content, july, r.text);
    const stream = await endless(s);
    execFileSync('ip', ['-n', process.env.NEAR, 'link', 'set', 'cable', 'down']);
    const began = Date.now();
    await stream.closed;
    const ms = Date.now() - began;
    assert.match(stream.got, /"error".*rank [23] \(far\) has not been heard/);
    assert.ok(ms < 5000, `the error came after ${ms} ms`);
    const { code } = await s.exited;
    assert.notEqual(code, 0);
    await s.said(/a rank of the pipeline is lost: the server ends, start it anew/);
    // Those that were cut off end, too.
    const left = () => execFileSync('ip', ['netns', 'pids', process.env.FAR]).toString().trim();
    for (let i = 0; i < 600 && left(); i++) await sleep(100);
    assert.equal(left(), '');
});
finish();
