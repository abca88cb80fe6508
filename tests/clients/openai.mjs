// openai.mjs MAJOR... - the official openai packages, beside what tests/http/client.mjs asks of the newest:
// answers and streams, tools run by the client's own loop, parsed answers, and what responses and
// conversations keep.
import * as seven from 'openai';
import * as six from 'openai6';
import { z } from 'zod';
import { zodResponseFormat as chat7, zodTextFormat as text7, zodFunction as tool7 } from 'openai/helpers/zod';
import { zodResponseFormat as chat6, zodTextFormat as text6,
    zodFunction as tool6 } from 'openai6/helpers/zod';
import { unending } from '../http/endless.mjs';
import { assert, finish, july, june, model, serve, sunny, test } from '../http/lib.mjs';

const s = await serve([model]);
const paris = 'What is the weather in Paris?';
const Month = z.object({ month: z.string(), number: z.int(), next: z.enum(['July', 'August']) });
const base = { model: 'gpt-oss-20b', temperature: 0 };
const near = (a, dot, b = a) =>
    assert.ok(Math.abs(a.reduce((sum, x, i) => sum + x * b[i], 0) - dot) < 1e-4 && a.length > 100);

async function suite(label, { OpenAI }, { chatFormat, textFormat, zodTool }) {
    const client = new OpenAI({ baseURL: s.url + '/v1', apiKey: 'none', maxRetries: 0 });
    const named = (name, body) => test(`${label}: ${name}`, body);
    const get_weather = { type: 'function', name: 'get_weather', strict: true,
        description: 'Gets the current weather in a city.',
        parameters: { type: 'object', properties: { city: { type: 'string',
            description: 'The name of the city' } }, required: ['city'],
            additionalProperties: false } };

    await named('chat, whole and streamed', async () => {
        const r = await client.chat.completions.create({ ...base, messages: june });
        assert.equal(r.choices[0].message.content, july);
        const stream = client.chat.completions.stream({ ...base, messages: june });
        assert.equal(await stream.finalContent(), july);
        assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, 'stop');
    });
    await named('chat: a parsed answer, with an integer and a choice', async () => {
        const r = await client.chat.completions.parse({ ...base, messages: june,
            response_format: chatFormat(Month, 'month') });
        assert.deepEqual(Month.parse(r.choices[0].message.parsed), r.choices[0].message.parsed);
    });
    await named('chat: runTools calls, and the answer follows the result; whole and streamed', async () => {
        for (const stream of [false, true]) {
            const asked = [];
            const runner = client.chat.completions.runTools({ ...base, stream,
                messages: [{ role: 'user', content: paris }],
                tools: [zodTool({ name: 'get_weather', description: 'Gets the current weather in a city.',
                    parameters: z.object({ city: z.string().describe('The name of the city') }),
                    function: ({ city }) => { asked.push(city); return sunny; } })] });
            assert.match(await runner.finalContent(), /sunny/);
            assert.deepEqual(asked, ['Paris']);
        }
    });
    await named('responses, whole and streamed', async () => {
        const r = await client.responses.create({ ...base, input: 'Which month comes after June?' });
        assert.equal(r.output_text, july);
        const stream = client.responses.stream({ ...base, input: 'Which month comes after June?' });
        let text = '';
        stream.on('response.output_text.delta', (e) => { text += e.delta; });
        const last = (await stream.finalResponse()).output.at(-1);
        assert.equal(last.content[0].text, july);
        assert.equal(text, july);
    });
    await named('responses: a parsed answer', async () => {
        const r = await client.responses.parse({ ...base, input: 'Which month comes after June?',
            text: { format: textFormat(Month, 'month') } });
        assert.deepEqual(Month.parse(r.output_parsed), r.output_parsed);
    });
    await named('responses: a call, its result, an answer', async () => {
        const input = [{ role: 'user', content: paris }];
        const r = await client.responses.create({ ...base, input, tools: [get_weather] });
        const call = r.output.find((i) => i.type === 'function_call');
        assert.deepEqual([call.name, JSON.parse(call.arguments)], ['get_weather', { city: 'Paris' }]);
        const last = await client.responses.create({ ...base, tools: [get_weather],
            input: [...input, ...r.output, { type: 'function_call_output', call_id: call.call_id,
                output: sunny }] });
        assert.match(last.output_text, /sunny/);
    });
    await named('responses: what was asked is listed, counted and deleted', async () => {
        const input = [{ role: 'user', content: 'Hello.' }, { role: 'assistant', content: 'Hi.' },
            ...june];
        const r = await client.responses.create({ ...base, input, instructions: 'Be brief.' });
        const items = [];
        for await (const item of client.responses.inputItems.list(r.id, { order: 'asc',
            limit: 2 })) items.push(item);
        assert.deepEqual(items.map((i) => [i.type, i.role, i.content[0].type, i.content[0].text]), [
            ['message', 'user', 'input_text', 'Hello.'], ['message', 'assistant', 'output_text', 'Hi.'],
            ['message', 'user', 'input_text', june[0].content]]);
        assert.equal(new Set(items.map((i) => i.id)).size, 3);
        const newest = await client.responses.inputItems.list(r.id);
        assert.deepEqual(newest.data.map((i) => i.id), items.map((i) => i.id).reverse());
        const n = await client.responses.inputTokens.count({ model: base.model, input,
            instructions: 'Be brief.' });
        assert.equal(n.input_tokens, r.usage.input_tokens);
        await client.responses.delete(r.id);
        await assert.rejects(client.responses.retrieve(r.id), (e) => e.status === 404);
    });
    await named('conversations: made, added to, answered in, paged, taken apart', async () => {
        const { conversations, responses } = client;
        const c = await conversations.create({ metadata: { topic: 'months' },
            items: [{ type: 'message', role: 'user', content: 'Hello.' },
                { role: 'assistant', content: 'Hi.' }] });
        assert.deepEqual([c.object, c.metadata], ['conversation', { topic: 'months' }]);
        const one = await responses.create({ ...base, conversation: c.id, input: june[0].content });
        assert.equal(one.output_text, july);
        assert.equal(one.conversation.id, c.id);
        const two = await responses.create({ ...base, conversation: { id: c.id }, input: 'Thank you.' });
        assert.ok(two.usage.input_tokens_details.cached_tokens >= 0.95 * one.usage.input_tokens);
        const items = [];
        for await (const i of conversations.items.list(c.id, { order: 'asc', limit: 2,
            include: ['reasoning.encrypted_content'] })) items.push(i);
        assert.deepEqual(items.filter((i) => i.role === 'user').map((i) => i.content[0].text),
            ['Hello.', june[0].content, 'Thank you.']);
        assert.equal(items.at(-1).content[0].text, two.output_text);
        const more = await conversations.items.create(c.id, { items: [{ role: 'user', content: 'Bye.' }] });
        const at = { conversation_id: c.id };
        assert.deepEqual(await conversations.items.retrieve(more.data[0].id, at), more.data[0]);
        assert.equal((await conversations.items.delete(more.data[0].id, at)).id, c.id);
        await assert.rejects(conversations.items.retrieve(more.data[0].id, at), (e) => e.status === 404);
        assert.deepEqual((await conversations.update(c.id, { metadata: { a: 'b' } })).metadata, { a: 'b' });
        assert.deepEqual((await conversations.retrieve(c.id)).metadata, { a: 'b' });
        assert.equal((await conversations.delete(c.id)).deleted, true);
        await assert.rejects(conversations.retrieve(c.id), (e) => e instanceof OpenAI.NotFoundError);
    });
    await named('responses in the background: asked for, followed again, cancelled', async () => {
        const { responses } = client, body = { ...base, background: true, input: june[0].content };
        let r = await responses.create(body);
        while (r.status === 'queued' || r.status === 'in_progress') r = await responses.retrieve(r.id);
        assert.deepEqual([r.status, r.output_text], ['completed', july]);
        assert.equal((await responses.cancel(r.id)).status, 'completed');
        const stream = await responses.create({ ...body, stream: true });
        let id, cursor;
        for await (const e of stream) { // the connection ends after a few events
            id ??= e.response.id;
            cursor = e.sequence_number;
            if (cursor === 4) break;
        }
        const rest = [];
        for await (const e of await responses.retrieve(id, { stream: true, starting_after: cursor }))
            rest.push(e);
        assert.equal(rest[0].sequence_number, cursor + 1);
        assert.equal(rest.at(-1).type, 'response.completed');
        const whole = responses.stream({ response_id: id }); // the package's own way to take one up again
        assert.equal((await whole.finalResponse()).output.at(-1).content[0].text, july);
        const long = await responses.create({ ...body, ...await unending(s), input: 'Tell me a story.' });
        assert.equal((await responses.cancel(long.id)).status, 'cancelled');
        assert.equal((await responses.retrieve(long.id)).status, 'cancelled');
    });
    await named('responses: compacted, and gone on from there', async () => {
        const input = [{ role: 'user', content: 'Hello.' }, { role: 'assistant', content: 'Hi.' }, ...june];
        const short = await client.responses.compact({ model: base.model, input });
        assert.deepEqual(short.output.map((i) => i.type), ['message', 'message', 'compaction']);
        const r = await client.responses.create({ ...base, input: [...short.output,
            { role: 'user', content: 'Thank you.' }], max_output_tokens: 20 });
        assert.ok(r.usage.input_tokens > 30);
    });
    await named('models: any name is the one there is', async () => {
        assert.equal((await client.models.retrieve('gpt-4o')).object, 'model');
        assert.equal((await client.models.list()).data[0].id, 'demo-gptoss');
    });
    await named('embeddings: floats that came as base64, of length 1, and usage', async () => {
        const r = await client.embeddings.create({ model: base.model, input: ['June', 'The sky is blue.'] });
        assert.deepEqual(r.data.map((d) => d.index), [0, 1]);
        for (const { embedding } of r.data) near(embedding, 1);
        assert.ok(r.usage.prompt_tokens > 2);
        const [one] = (await client.embeddings.create({ model: base.model, input: 'June',
            encoding_format: 'float' })).data;
        near(one.embedding, 1, r.data[0].embedding);
    });
    await named('a refusal is an error of the package, with the field', async () => {
        await assert.rejects(client.chat.completions.create({ ...base, messages: june, temperature: 9 }),
            (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature' &&
                e.code === 'invalid_value');
    });
}
await suite('openai 7', seven, { chatFormat: chat7, textFormat: text7, zodTool: tool7 });
await suite('openai 6', six, { chatFormat: chat6, textFormat: text6, zodTool: tool6 });
await s.stop();
finish();
