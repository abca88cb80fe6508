// claude.mjs - @anthropic-ai/claude-code in print mode: an answer, and a command with its output, by a stream
// of events.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { assert, finish, model, serve, skip, test } from '../http/lib.mjs';
import { proxy } from './force.mjs';
import { packages, runs, toy } from './programs.mjs';

const s = await serve([model]);
const at = toy();
const through = await proxy(s.url, { name: 'Bash', arguments: { command: 'cat hello.py',
    description: 'Reads it' } });
const plain = await proxy(s.url, null);
const program = path.join(packages, `@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`);
const claude = (args, url) => runs(at, program, ['--model', 'demo-gptoss', '--tools', 'Bash', ...args],
    { IS_SANDBOX: '1', ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'none', DISABLE_TELEMETRY: '1',
        DISABLE_AUTOUPDATER: '1',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' });

if (!existsSync(program)) skip('claude', `no ${program}`);
else {
    await test('print mode answers', async () => {
        const r = await claude(['-p', 'Which month comes after June?', '--output-format', 'json'], plain.url);
        assert.equal(r.code, 0, r.err + r.out);
        const { is_error, result, usage } = JSON.parse(r.out);
        assert.ok(!is_error && result.length > 0 && usage.output_tokens > 0, r.out);
    }, 600);
    await test('print mode: a question, a command, its output, an answer', async () => {
        const r = await claude(['-p', 'What does hello.py print?', '--output-format', 'stream-json',
            '--verbose',
            '--dangerously-skip-permissions'], through.url);
        assert.equal(r.code, 0, r.err + r.out);
        const events = r.out.trim().split('\n').map((l) => JSON.parse(l));
        const blocks = events.filter((e) => e.message).flatMap((e) => e.message.content);
        const use = blocks.find((b) => b.type === 'tool_use');
        assert.deepEqual([use.name, use.input.command], ['Bash', 'cat hello.py']);
        const result = blocks.find((b) => b.type === 'tool_result');
        assert.ok(!result.is_error && JSON.stringify(result.content).includes('a zebra says hello'));
        const last = events.at(-1);
        assert.deepEqual([last.type, last.subtype, last.is_error], ['result', 'success', false]);
        assert.ok(last.result.length > 0 && last.num_turns >= 2, r.out.slice(-3000));
        assert.ok(!r.out.includes('had no visible output'), 'the first answer has words');
    }, 600);
    await test('the session goes on, with --continue', async () => {
        const r = await claude(['-p', '--continue', 'Which month comes after June?', '--output-format',
            'json'],
            through.url);
        assert.equal(r.code, 0, r.err + r.out);
        const reused = [...s.log().matchAll(
            /"POST \/v1\/messages[^"]*" 200 .*prompt=(\d+) reused=(\d+)/g)].at(-1);
        assert.ok(Number(reused[2]) > 0.9 * Number(reused[1]), reused[0]);
    }, 600);
}
through.stop();
plain.stop();
await s.stop();
at.remove();
finish();
