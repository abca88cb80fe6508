// others.mjs - programs that speak chat completions: opencode-ai, @qwen-code/qwen-code, @continuedev/cli. An
// answer; and a question, a tool, its result, an answer.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { assert, finish, model, serve, test } from '../http/lib.mjs';
import { proxy } from './force.mjs';
import { packages, runs, toy } from './programs.mjs';

// A model this small may go on without an end about what it doesn't know.
const s = await serve([model, '--max-tokens', '200']);
const arch = process.arch === 'x64' ? 'x64-baseline' : process.arch; // without AVX2, too
const zebra = /a zebra says hello/;
const results = (through) => JSON.stringify(through.bodies.flatMap(({ body }) =>
    body.messages.filter((m) => m.role === 'tool')));

// One program: `configure(at, url)` writes its files, `args(prompt)` runs it.
async function program(name, { call, configure, command, args, env = () => ({}) }) {
    const ask = async (through, at, prompt) => {
        configure(at, through.url);
        const r = await runs(at, command, args(prompt), env(at, through.url));
        assert.equal(r.code, 0, r.err + r.out);
        assert.ok(through.bodies.length > 0, 'it asked here');
        return r.out;
    };
    for (const [what, forced] of [['an answer', null], ['a question, a tool, its result, an answer', call]])
        await test(`${name}: ${what}`, async () => {
            const at = toy(), through = await proxy(s.url, forced && forced(at));
            const out = await ask(through, at,
                forced ? 'What does hello.py print?' : 'Which month comes after June?');
            assert.ok(out.trim().length > 0);
            if (forced) assert.match(results(through), zebra);
            through.stop();
            at.remove();
        }, 600);
}

await program('opencode', {
    command: path.join(packages, `opencode-${process.platform}-${arch}/bin/opencode`),
    call: (at) => ({ name: 'read', arguments: { filePath: path.join(at.dir, 'hello.py') } }),
    configure: (at, url) => writeFileSync(path.join(at.dir, 'opencode.json'), JSON.stringify({
        share: 'disabled', autoupdate: false, tools: { '*': false, read: true },
        model: 'gossamer/demo-gptoss', small_model: 'gossamer/demo-gptoss',
        provider: { gossamer: { npm: '@ai-sdk/openai-compatible', name: 'gossamer',
            models: { 'demo-gptoss': { name: 'demo' } },
            options: { baseURL: url + '/v1', apiKey: 'none' } } } })),
    args: (prompt) => ['run', '--format', 'json', prompt],
    env: () => ({ OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_LSP_DOWNLOAD: '1', OPENCODE_DISABLE_DEFAULT_PLUGINS: '1' }),
});
// Qwen Code's own prompt and tools are 10,000 tokens and more: one tool and a sentence do here.
const unwanted = ['edit', 'get_goal', 'notebook_edit', 'run_shell_command', 'update_goal'];
await program('qwen', {
    command: process.execPath,
    call: (at) => ({ name: 'read_file', arguments: { file_path: path.join(at.dir, 'hello.py') } }),
    configure: () => {},
    args: (prompt) => [path.join(packages, '@qwen-code/qwen-code/cli-entry.js'), '--auth-type', 'openai',
        '-m', 'demo-gptoss', '--bare', '--system-prompt', 'You help.', '--exclude-tools', ...unwanted, '-y',
        '--output-format', 'json', prompt],
    env: (at, url) => ({ QWEN_CODE_SUPPRESS_YOLO_WARNING: '1', OPENAI_API_KEY: 'none',
        OPENAI_BASE_URL: url + '/v1', OPENAI_MODEL: 'demo-gptoss' }),
});
await program('continue', {
    command: process.execPath,
    call: (at) => ({ name: 'Read', arguments: { filepath: path.join(at.dir, 'hello.py') } }),
    configure: (at, url) => {
        mkdirSync(path.join(at.home, '.continue'));
        writeFileSync(path.join(at.home, 'config.yaml'), `name: toy
version: 1.0.0
schema: v1
models:
  - name: demo
    provider: openai
    model: demo-gptoss
    apiBase: ${url}/v1
    apiKey: none
    roles: [chat]
    capabilities: [tool_use]
`);
    },
    args: (prompt) => [path.join(packages, '@continuedev/cli/dist/cn.js'), '-p', '--auto', '--config',
        '../home/config.yaml',
        prompt],
    env: () => ({ CONTINUE_TELEMETRY_ENABLED: '0', CONTINUE_ALLOW_ANONYMOUS_TELEMETRY: '0' }),
});
await s.stop();
finish();
