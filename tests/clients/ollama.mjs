// ollama.mjs - the official ollama package: chat and generate, whole and streamed, thinking, tools, formats,
// what it lists and shows, errors.
import { Ollama } from 'ollama';
import { z } from 'zod';
import { assert, finish, july, june, model, serve, sunny, test, tools } from '../http/lib.mjs';

const s = await serve([model]);
const client = new Ollama({ host: s.url });
const base = { model: 'gpt-oss:20b', options: { temperature: 0 } };
const joined = async (stream, of) => {
    let text = '';
    for await (const part of stream) text += of(part) ?? '';
    return text;
};

await test('chat, whole and streamed; thinking', async () => {
    const r = await client.chat({ ...base, messages: june, think: true });
    assert.deepEqual([r.message.content, r.done, r.done_reason], [july, true, 'stop']);
    assert.match(r.message.thinking, /July/);
    const stream = await client.chat({ ...base, messages: june, stream: true });
    assert.equal(await joined(stream, (p) => p.message.content), july);
    const low = await client.chat({ ...base, messages: june, think: 'low' });
    assert.match(low.message.content, /July/);
});
await test('generate, whole and streamed', async () => {
    const prompt = june[0].content;
    assert.equal((await client.generate({ ...base, prompt })).response, july);
    const stream = await client.generate({ ...base, prompt, stream: true });
    assert.equal(await joined(stream, (p) => p.response), july);
});
await test('a tool, its result, an answer; whole and streamed', async () => {
    const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
    const first = (await client.chat({ ...base, messages, tools })).message;
    assert.deepEqual(first.tool_calls.map((c) => c.function),
        [{ name: 'get_weather', arguments: { city: 'Paris' } }]);
    const streamed = [];
    for await (const part of await client.chat({ ...base, messages, tools, stream: true }))
        streamed.push(...part.message.tool_calls ?? []);
    assert.deepEqual(streamed.map((c) => c.function), first.tool_calls.map((c) => c.function));
    const last = await client.chat({ ...base, tools,
        messages: [...messages, first, { role: 'tool', tool_name: 'get_weather', content: sunny }] });
    assert.match(last.message.content, /sunny/);
});
await test('format: a schema and json', async () => {
    const Month = z.object({ month: z.string(), number: z.number().int() });
    const r = await client.chat({ ...base, messages: june, format: z.toJSONSchema(Month) });
    Month.parse(JSON.parse(r.message.content));
    const any = await client.generate({ ...base, prompt: june[0].content, format: 'json' });
    assert.equal(typeof JSON.parse(any.response), 'object');
});
await test('images are told to the model, in chat and generate', async () => {
    const images = ['iVBORw0KGgo='];
    const r = await client.chat({ ...base, messages: [{ ...june[0], images }] });
    assert.ok(r.message.content.length > 0);
    const plain = await client.chat({ ...base, messages: june });
    assert.ok(r.prompt_eval_count > plain.prompt_eval_count);
    assert.ok((await client.generate({ ...base, prompt: june[0].content, images })).response.length > 0);
});
await test('embed: one, several, as long as they say', async () => {
    const { embeddings, prompt_eval_count } = await client.embed({ model: base.model,
        input: ['June', 'a sky'] });
    assert.equal(embeddings.length, 2);
    for (const e of embeddings) assert.ok(Math.abs(e.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-4);
    assert.ok(prompt_eval_count >= 2);
    const [june1] = (await client.embed({ model: base.model, input: 'June' })).embeddings;
    assert.deepEqual(june1, embeddings[0]);
    const { embedding } = await client.embeddings({ model: base.model, prompt: 'June' });
    assert.equal(embedding.length, june1.length);
});
await test('logprobs', async () => {
    const r = await client.chat({ ...base, messages: june, logprobs: true, top_logprobs: 2 });
    assert.equal(r.logprobs.map((l) => l.token).join(''), july);
    for (const l of r.logprobs) {
        assert.ok(l.logprob <= 0);
        assert.equal(l.top_logprobs.length, 2);
        assert.equal(Buffer.from(l.bytes).toString(), l.token);
    }
    const stream = await client.generate({ ...base, prompt: june[0].content, stream: true, logprobs: true });
    assert.equal(await joined(stream, (p) => (p.logprobs ?? []).map((l) => l.token).join('')), july);
});
await test('list, ps, show, version', async () => {
    const [one] = (await client.list()).models;
    assert.deepEqual([one.model, one.details.format, one.details.family], ['demo-gptoss', 'gguf', 'gpt-oss']);
    const shown = await client.show({ model: 'demo-gptoss' });
    assert.deepEqual([...shown.capabilities].sort(), ['completion', 'embedding', 'thinking', 'tools']);
    assert.equal(shown.details.quantization_level, 'MXFP4');
    assert.equal(shown.details.parent_model, '');
    const family = shown.model_info['general.architecture'];
    assert.equal(shown.model_info[`${family}.context_length`], 131072);
    assert.equal((await client.ps()).models[0].model, 'demo-gptoss');
    const [major, minor] = (await client.version()).version.split('.').map(Number);
    assert.ok(major > 0 || minor >= 14, 'what clients ask for at least');
});
await test('errors are sentences', async () => {
    await assert.rejects(client.chat({ ...base, messages: [{ role: 'nobody', content: '' }] }),
        (e) => e.name === 'ResponseError' && e.status_code === 400 && e.message.includes('messages.role'));
    await assert.rejects(client.generate({ ...base, prompt: 'a', suffix: 'b' }),
        (e) => e.status_code === 400 && e.message.includes('suffix'));
    const r = await fetch(s.url + '/api/nothing');
    assert.equal(r.status, 404);
    assert.equal(typeof (await r.json()).error, 'string');
});
await s.stop();
finish();
