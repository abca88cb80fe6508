// ollama.mjs - the ollama package ($PEERS, a folder with it) pulls, lists, shows, copies, creates, deletes.
import { assert, finish, model, serve, skip, test } from './lib.mjs';
import { startHub } from './hub_server.mjs';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

if (!process.env.PEERS) {
    skip('ollama', 'PEERS is not set (tests/npm_cached.sh tests/peers peers)');
    finish();
}
const at = path.join(process.env.PEERS, 'node_modules/ollama/dist/index.mjs');
const { Ollama } = await import(pathToFileURL(at).href);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gossamer-ollama-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const draft = fs.readFileSync('models/demo-gptoss-draft.gguf');
const hub = await startHub({ repos: { 'me/one': { files: { 'demo.gguf': draft } },
    'ggml-org/gpt-oss-20b-GGUF': { files: { 'gpt-oss-20b-mxfp4.gguf': draft } } } });
const s = await serve([model, '--pull'], { env: { XDG_CACHE_HOME: folder, HF_ENDPOINT: hub.url } });
const client = new Ollama({ host: s.url });
const names = async () => (await client.list()).models.map((m) => m.name).sort();

await test('pull, streamed and not', async () => {
    const parts = [];
    for await (const p of await client.pull({ model: 'hf.co/me/one', stream: true })) parts.push(p);
    assert.deepEqual([parts[0].status, parts.at(-1).status], ['pulling manifest', 'success']);
    assert.ok(parts.some((p) => p.digest && p.total === draft.length && p.completed <= p.total));
    assert.equal((await client.pull({ model: 'gpt-oss:20b' })).status, 'success');
    assert.deepEqual(await names(), ['demo-gptoss', 'gpt-oss:20b', 'hf.co/me/one']);
    await assert.rejects(client.pull({ model: 'hf.co/no/no' }), /no public repository/);
    await assert.rejects(async () => {
        for await (const p of await client.pull({ model: 'hf.co/no/no', stream: true })) void p;
    }, /no public repository/);
});
await test('show, chat, copy, create, delete', async () => {
    assert.equal((await client.show({ model: 'hf.co/me/one' })).details.format, 'gguf');
    await client.copy({ source: 'hf.co/me/one', destination: 'mine' });
    assert.equal((await client.create({ model: 'third', from: 'mine', stream: false })).status, 'success');
    await assert.rejects(client.create({ model: 'x', from: 'mine', system: 'Be kind.' }), /another name/);
    const r = await client.chat({ model: 'third', options: { num_predict: 8 },
        messages: [{ role: 'user', content: 'Which month comes after June?' }] });
    assert.equal(r.model, 'third');
    for (const name of ['mine', 'third', 'hf.co/me/one', 'gpt-oss:20b']) await client.delete({ model: name });
    assert.deepEqual(await names(), ['demo-gptoss']);
    await assert.rejects(client.delete({ model: 'mine' }), /no model of this name/);
    await assert.rejects(client.delete({ model: 'demo-gptoss' }), /not removed here/);
});
await test('a server without --pull says how', async () => {
    const plain = await serve([model]);
    await assert.rejects(new Ollama({ host: plain.url }).pull({ model: 'hf.co/me/one' }), /--pull/);
    await plain.stop();
});
await s.stop();
hub.close();
finish();
