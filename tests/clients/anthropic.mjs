// anthropic.mjs - the official @anthropic-ai/sdk: messages whole and streamed, thinking, its tool loop,
// parsed answers, counting, errors.
import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { z } from 'zod';
import { assert, finish, july, june, model, serve, sunny, test } from '../http/lib.mjs';

const s = await serve([model]);
const client = new Anthropic({ baseURL: s.url, apiKey: 'none', maxRetries: 0 });
const base = { model: 'claude-sonnet-4-6', max_tokens: 400, temperature: 0 };
const paris = [{ role: 'user', content: 'What is the weather in Paris?' }];
const get_weather = { name: 'get_weather', description: 'Gets the current weather in a city.',
    input_schema: { type: 'object', properties: { city: { type: 'string',
        description: 'The name of the city' } },
        required: ['city'] } };
const text = (m) => m.content.filter((b) => b.type === 'text').map((b) => b.text).join('');

await test('messages, whole and streamed', async () => {
    const r = await client.messages.create({ ...base, messages: june });
    assert.equal(text(r), july);
    assert.deepEqual([r.type, r.role, r.stop_reason], ['message', 'assistant', 'end_turn']);
    const stream = client.messages.stream({ ...base, messages: june });
    let streamed = '';
    stream.on('text', (t) => { streamed += t; });
    const final = await stream.finalMessage();
    assert.deepEqual([text(final), streamed, final.usage.output_tokens], [july, july, r.usage.output_tokens]);
});
await test('thinking comes before the text, and goes back', async () => {
    const ask = (messages) => client.messages.stream({ ...base, max_tokens: 4000, messages,
        thinking: { type: 'enabled', budget_tokens: 1024 } }).finalMessage();
    const r = await ask(june);
    assert.deepEqual(r.content.map((b) => b.type), ['thinking', 'text']);
    assert.match(r.content[0].thinking, /July/);
    const next = await ask([...june, { role: 'assistant', content: r.content }, ...june]);
    assert.equal(next.stop_reason, 'end_turn');
});
await test('a tool, its result, an answer; whole and streamed', async () => {
    for (const how of ['create', 'stream']) {
        const ask = async (messages) => {
            const m = client.messages[how]({ ...base, messages, tools: [get_weather],
                tool_choice: { type: 'auto', disable_parallel_tool_use: true } });
            return how === 'stream' ? m.finalMessage() : m;
        };
        const first = await ask(paris), use = first.content.find((b) => b.type === 'tool_use');
        assert.equal(first.stop_reason, 'tool_use');
        assert.deepEqual([use.name, use.input], ['get_weather', { city: 'Paris' }]);
        const last = await ask([...paris, { role: 'assistant', content: first.content },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: sunny }] }]);
        assert.match(text(last), /sunny/);
    }
});
await test('toolRunner calls and answers; whole and streamed', async () => {
    for (const stream of [false, true]) {
        const asked = [];
        const runner = client.beta.messages.toolRunner({ ...base, stream, messages: paris,
            tools: [betaZodTool({
            name: 'get_weather', description: get_weather.description,
            inputSchema: z.object({ city: z.string().describe('The name of the city') }),
            run: ({ city }) => { asked.push(city); return sunny; } })] });
        assert.match(text(await runner.runUntilDone()), /sunny/);
        assert.deepEqual(asked, ['Paris']);
    }
});
await test('parse: an answer of a schema', async () => {
    const Month = z.object({ month: z.enum(['June', 'July']), number: z.number().int() });
    const r = await client.messages.parse({ ...base, messages: june,
        output_config: { format: zodOutputFormat(Month) } });
    assert.deepEqual(Month.parse(r.parsed_output), r.parsed_output);
});
await test('models: the list, and any name', async () => {
    const list = [];
    for await (const m of client.models.list()) list.push(m);
    assert.deepEqual(list.map((m) => [m.id, m.type, m.display_name]), [['demo-gptoss', 'model',
        'demo-gptoss']]);
    assert.equal((await client.models.retrieve('claude-sonnet-4-6')).type, 'model');
});
await test('tokens are counted as they are used', async () => {
    const system = [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }];
    const n = await client.messages.countTokens({ model: base.model, system, messages: paris,
        tools: [get_weather] });
    const r = await client.messages.create({ ...base, max_tokens: 1, system, messages: paris,
        tools: [get_weather] });
    assert.equal(n.input_tokens, r.usage.input_tokens + r.usage.cache_read_input_tokens);
});
await test('a refusal is an error of the package, with the field', async () => {
    await assert.rejects(client.messages.create({ ...base, temperature: 9, messages: june }),
        (e) => e instanceof Anthropic.BadRequestError && e.error.error.type === 'invalid_request_error' &&
            e.message.includes('temperature'));
});
await s.stop();
finish();
