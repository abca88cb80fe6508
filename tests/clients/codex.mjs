// codex.mjs - @openai/codex, headless: a whole session on a toy repository with its own prompt (question,
// call, result, answer, resumed), and --oss, which looks for an Ollama.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { assert, finish, model, serve, sleep, test } from '../http/lib.mjs';
import { proxy } from './force.mjs';
import { packages, runs, toy } from './programs.mjs';

const s = await serve([model]);
const at = toy(), home = path.join(at.home, 'codex');
const codex = (args, env) => runs(at, process.execPath, [path.join(packages, '@openai/codex/bin/codex.js'),
    'exec',
    '--skip-git-repo-check', ...args], { CODEX_HOME: home, ...env });
// Of each request the log says how long the prompt was and how much of it was there already.
const written = () => [...s.log().matchAll(/"POST \/v1\/responses" (?:200|499) .*prompt=(\d+) reused=(\d+)/g)]
    .map((m) => ({ prompt: Number(m[1]), reused: Number(m[2]) }));

// The log's line comes when the connection is done with the answer, which may be after the client ended.
async function prompts(n) {
    while (written().length < n) await sleep(50);
    return written();
}

const through = await proxy(s.url, { name: 'exec_command', arguments: { cmd: 'cat hello.py' } });
mkdirSync(home);
writeFileSync(path.join(home, 'config.toml'), `model = "demo-gptoss"
model_provider = "gossamer"
[model_providers.gossamer]
name = "gossamer"
base_url = "${through.url}/v1"
wire_api = "responses"
[analytics]
enabled = false
`);
await test('exec: a question, a command, its output, an answer', async () => {
    const r = await codex(['--json', '-s', 'danger-full-access', 'What does hello.py print?']);
    const events = r.out.trim().split('\n').map((l) => JSON.parse(l));
    const items = events.filter((e) => e.type === 'item.completed').map((e) => e.item);
    const ran = items.find((i) => i.type === 'command_execution');
    assert.equal(r.code, 0, r.err + r.out);
    assert.match(ran.command, /cat hello\.py/);
    assert.match(ran.aggregated_output, /a zebra says hello/);
    assert.ok(items.at(-1).type === 'agent_message' && items.at(-1).text.length > 0);
    assert.ok(events.some((e) => e.type === 'turn.completed'));
    assert.match(JSON.stringify(through.bodies.at(-1).body.input), /a zebra says hello/);
    const [first, second] = await prompts(2);
    assert.ok(first.prompt > 5000, 'its prompt is unshortened');
    assert.ok(second.reused >= 0.95 * first.prompt, JSON.stringify([first, second]));
}, 600);
await test('exec resume: the conversation goes on, and the prompt is not computed again', async () => {
    const before = written().at(-1), n = written().length;
    const r = await codex(['resume', '--last', '--json', 'Which month comes after June?']);
    assert.equal(r.code, 0, r.err + r.out);
    assert.match(r.out, /"type":"agent_message"/);
    const now = (await prompts(n + 1)).at(-1);
    assert.ok(now.prompt > before.prompt && now.reused >= 0.95 * before.prompt, JSON.stringify([before,
        now]));
}, 600);
through.stop();
await test('--oss: finds the server as it finds an Ollama', async () => {
    const plain = await proxy(s.url, null);
    const r = await codex(['--oss', '--local-provider', 'ollama', '-m', 'demo-gptoss', '--json',
        'Which month comes after June?'], { CODEX_OSS_BASE_URL: plain.url + '/v1' });
    plain.stop();
    assert.equal(r.code, 0, r.err + r.out);
    assert.match(r.out, /"type":"agent_message"/);
}, 600);
await s.stop();
at.remove();
finish();
