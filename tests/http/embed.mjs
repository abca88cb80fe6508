// embed.mjs - embeddings as OpenAI's client and Ollama's ask for them: forms, counts, refusals, many at once
// beside chats.
import OpenAI from 'openai';
import { assert, finish, june, post, serve, test } from './lib.mjs';

const s = await serve(['--log', 'none']);
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const ask = (body) => post(s.url + '/v1/embeddings', { model: 'demo-gptoss', ...body });
const one = async (body) => (await ask(body)).json.data[0].embedding;

await test('the openai client: strings, lists, floats as base64, usage', async () => {
    const client = new OpenAI({ baseURL: s.url + '/v1', apiKey: 'x', maxRetries: 0 });
    const r = await client.embeddings.create({ model: 'demo-gptoss', input: ['The sky is blue.', 'June'] });
    assert.equal(r.data.length, 2);
    assert.deepEqual(r.data.map((d) => d.index), [0, 1]);
    for (const d of r.data) assert.ok(Math.abs(dot(d.embedding, d.embedding) - 1) < 1e-4);
    assert.ok(r.usage.prompt_tokens > 2 && r.usage.total_tokens === r.usage.prompt_tokens);
    const plain = await client.embeddings.create({ model: 'demo-gptoss', input: 'June',
        encoding_format: 'float' });
    assert.ok(dot(plain.data[0].embedding, r.data[1].embedding) > 0.99999);
});
await test('token ids are the text they are; dimensions are the first, of length 1', async () => {
    const { json } = await post(s.url + '/tokenize', { content: 'Which month comes after June?' });
    const text = await one({ input: 'Which month comes after June?' });
    for (const input of [json.tokens, [json.tokens]]) assert.deepEqual(await one({ input }), text);
    const short = await one({ input: json.tokens, dimensions: 16 });
    assert.equal(short.length, 16);
    assert.ok(Math.abs(dot(short, short) - 1) < 1e-4);
    assert.ok(Math.abs(short[1] / short[0] - text[1] / text[0]) < 1e-3 * Math.abs(text[1] / text[0]));
    assert.notDeepEqual(await one({ input: json.tokens, pooling: 'last' }), text);
});
await test('control tokens in a text are its letters', async () => {
    const { json: { usage } } = await ask({ input: '<|end|>' });
    assert.ok(usage.prompt_tokens > 1);
});
await test('near texts are nearer than far ones', async () => {
    const { data } = (await ask({ input: ['Which month comes after June?', 'Which month comes after May?',
        'The capital of France is Paris.'] })).json;
    const [a, b, c] = data.map((d) => d.embedding);
    assert.ok(dot(a, b) > dot(a, c));
});
await test('Ollama: /api/embed and /api/embeddings, too long inputs are cut', async () => {
    const { json } = await post(s.url + '/api/embed', { model: 'demo-gptoss', input: ['a', 'June'] });
    assert.equal(json.embeddings.length, 2);
    assert.ok(json.prompt_eval_count >= 2 && json.total_duration > 0 && json.model);
    const old = (await post(s.url + '/api/embeddings', { model: 'demo-gptoss', prompt: 'June' })).json;
    assert.ok(dot(old.embedding, json.embeddings[1]) > 0.99999);
    const bad = await post(s.url + '/api/embed', { model: 'demo-gptoss', input: { a: 1 } });
    assert.equal(bad.status, 400);
    assert.equal(typeof bad.json.error, 'string');
});
await test('what is wrong is a 400 that names it', async () => {
    for (const [body, param] of [[{}, 'input'], [{ input: 5 }, 'input'], [{ input: [] }, 'input'],
        [{ input: [1.5] }, 'input'], [{ input: ['a', 5] }, 'input'],
        [{ input: 'a', dimensions: 0 }, 'dimensions'], [{ input: 'a', dimensions: 99999 }, 'dimensions'],
        [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
        [{ input: 'a', pooling: 'max' }, 'pooling'], [{ input: Array(2049).fill('a') }, 'input']]) {
        const { status, json } = await ask(body);
        assert.equal(status, 400, JSON.stringify(body).slice(0, 99));
        assert.equal(json.error.param, param);
    }
    assert.equal((await ask({ input: [999999] })).status, 400);
});
await test('a hundred inputs work beside chats', async () => {
    const alone = await one({ input: 'text 7 of a hundred' });
    let over = false;
    const many = ask({ input: Array.from({ length: 100 }, (_, i) => `text ${i} of a hundred`) })
        .finally(() => { over = true; });
    let beside = 0;
    do {
        const r = await post(s.url + '/v1/chat/completions',
            { messages: june, temperature: 0, max_tokens: 8 });
        assert.equal(r.status, 200);
        beside += !over;
    } while (!over);
    const { json } = await many;
    assert.equal(json.data.length, 100);
    assert.deepEqual(json.data[7].embedding, alone);
    assert.ok(beside > 0, 'no chat was answered before the embeddings');
});
await s.stop();
finish();
