// client.mjs - the official openai client against every endpoint it has for us, streaming and not.
import OpenAI from 'openai';
import { assert, calculator, finish, july, june, serve, sunny, test, tools } from './lib.mjs';

const s = await serve();
const client = new OpenAI({ baseURL: s.url + '/v1', apiKey: 'none', maxRetries: 0 });
const base = { model: 'demo-gptoss', temperature: 0 };

await test('models.list and retrieve', async () => {
    const list = await client.models.list();
    assert.equal(list.data.length, 1);
    assert.deepEqual([list.data[0].id, list.data[0].object, list.data[0].owned_by],
        ['demo-gptoss', 'model', 'local']);
    assert.ok(list.data[0].context_length > 1000);
    assert.equal((await client.models.retrieve('demo-gptoss')).id, 'demo-gptoss');
    assert.equal((await client.models.retrieve('other')).id, 'demo-gptoss', 'any name means the only model');
});

// ---- chat -------------------------------------------------------------------------------------------------
await test('chat: answer, reasoning, usage', async () => {
    const r = await client.chat.completions.create({ ...base, messages: june });
    assert.equal(r.object, 'chat.completion');
    assert.equal(r.choices[0].message.content, july);
    assert.match(r.choices[0].message.reasoning_content, /After June comes July/);
    assert.equal(r.choices[0].finish_reason, 'stop');
    assert.equal(r.usage.prompt_tokens, 72);
    assert.equal(r.usage.completion_tokens, 26);
    assert.equal(r.usage.total_tokens, 98);
});
await test('chat: stream equals the whole', async () => {
    const stream = await client.chat.completions.create({ ...base, messages: june, stream: true,
        stream_options: { include_usage: true } });
    let content = '', reasoning = '', finishes = [], usage = null, ids = new Set(), roles = 0;
    for await (const c of stream) {
        ids.add(c.id);
        assert.equal(c.object, 'chat.completion.chunk');
        if (c.usage) { usage = c.usage; assert.equal(c.choices.length, 0); continue; }
        const d = c.choices[0].delta;
        roles += d.role === 'assistant';
        content += d.content ?? '';
        reasoning += d.reasoning_content ?? '';
        if (c.choices[0].finish_reason) finishes.push(c.choices[0].finish_reason);
    }
    assert.equal(content, july);
    assert.match(reasoning, /After June comes July/);
    assert.deepEqual(finishes, ['stop']);
    assert.equal(ids.size, 1);
    assert.equal(roles, 1);
    assert.equal(usage.completion_tokens, 26);
});
await test('chat: content as parts, several turns, system prompt', async () => {
    const r = await client.chat.completions.create({ ...base, messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'What is the capital ' },
            { type: 'text', text: 'of France?' }] },
        { role: 'assistant', content: 'Paris is the capital of France.', reasoning_content: 'It is Paris.' },
        { role: 'user', content: 'Which month comes after June?' }] });
    assert.match(r.choices[0].message.content, /July/);
});
await test('chat: n choices with one seed each', async () => {
    const r = await client.chat.completions.create({ ...base, temperature: 1, seed: 7, n: 3,
        messages: june, max_completion_tokens: 40 });
    assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2]);
    const again = await client.chat.completions.create({ ...base, temperature: 1, seed: 7, n: 3,
        messages: june, max_completion_tokens: 40 });
    assert.deepEqual(again.choices.map((c) => c.message), r.choices.map((c) => c.message));
    const zero = await client.chat.completions.create({ ...base, n: 2, messages: june });
    assert.deepEqual(zero.choices.map((c) => c.message.content), [july, july]);
});
await test('chat: logprobs', async () => {
    const r = await client.chat.completions.create({ ...base, messages: june, logprobs: true,
        top_logprobs: 3 });
    const l = r.choices[0].logprobs.content;
    assert.equal(l.map((t) => t.token).join(''), july);
    assert.equal(Buffer.from(l.flatMap((t) => t.bytes)).toString(), july);
    for (const t of l) {
        assert.ok(t.logprob <= 0 && t.logprob > -5);
        assert.equal(t.top_logprobs.length, 3);
        assert.equal(t.top_logprobs[0].token, t.token);
        assert.ok(Math.abs(t.top_logprobs[0].logprob - t.logprob) < 1e-4);
    }
    const stream = await client.chat.completions.create({ ...base, messages: june, logprobs: true,
        stream: true });
    let tokens = '';
    for await (const c of stream)
        tokens += (c.choices[0].logprobs?.content ?? []).map((t) => t.token).join('');
    assert.equal(tokens, july);
});
await test('chat: stop strings and length', async () => {
    const r = await client.chat.completions.create({ ...base, messages: june, stop: [' after'] });
    assert.equal(r.choices[0].message.content, 'July comes');
    assert.equal(r.choices[0].finish_reason, 'stop');
    const l = await client.chat.completions.create({ ...base, messages: june, max_completion_tokens: 5 });
    assert.equal(l.choices[0].finish_reason, 'length');
    assert.equal(l.usage.completion_tokens, 5);
});
await test('chat: reasoning_effort changes the prompt', async () => {
    const low = await client.chat.completions.create({ ...base, messages: june, reasoning_effort: 'low' });
    const high = await client.chat.completions.create({ ...base, messages: june, reasoning_effort: 'high' });
    assert.match(low.choices[0].message.content, /July/);
    assert.match(high.choices[0].message.content, /July/);
    assert.ok(low.usage.completion_tokens < high.usage.completion_tokens);
});
await test('chat: logit_bias and penalties', async () => {
    const t = await client.post('/../tokenize', { body: { content: 'July' } });
    const r = await client.chat.completions.create({ ...base, messages: june,
        logit_bias: { [t.tokens[0]]: -100 } });
    assert.ok(!r.choices[0].message.content.includes('July'));
    await client.chat.completions.create({ ...base, messages: june, presence_penalty: 0.5,
        frequency_penalty: 0.5, max_tokens: 8 });
});

// ---- tools ------------------------------------------------------------------------------------------------
const weather = [{ role: 'user', content: 'What is the weather in Paris?' }];
await test('tools: a whole loop', async () => {
    const first = await client.chat.completions.create({ ...base, messages: weather, tools });
    const m = first.choices[0].message;
    assert.equal(first.choices[0].finish_reason, 'tool_calls');
    assert.equal(m.content, null);
    assert.equal(m.tool_calls.length, 1);
    assert.equal(m.tool_calls[0].function.name, 'get_weather');
    assert.deepEqual(JSON.parse(m.tool_calls[0].function.arguments), { city: 'Paris' });
    const second = await client.chat.completions.create({ ...base, tools, messages: [...weather, m,
        { role: 'tool', tool_call_id: m.tool_calls[0].id, content: sunny }] });
    assert.equal(second.choices[0].finish_reason, 'stop');
    assert.match(second.choices[0].message.content, /21|sunny/);
});
await test('tools: streamed argument deltas', async () => {
    const stream = await client.chat.completions.create({ ...base, tools: calculator, stream: true,
        messages: [{ role: 'user', content: 'What is 123 * 45?' }] });
    let name = '', args = '', finish = '', chunks = 0, id = '';
    for await (const c of stream) {
        const call = c.choices[0].delta.tool_calls?.[0];
        if (call) {
            id ||= call.id;
            name += call.function.name ?? '';
            args += call.function.arguments ?? '';
            chunks++;
            assert.equal(call.index, 0);
        }
        finish ||= c.choices[0].finish_reason ?? '';
    }
    assert.equal(name, 'calculate');
    assert.match(id, /^call_/);
    assert.match(JSON.parse(args).expression, /123/);
    assert.ok(chunks > 2);
    assert.equal(finish, 'tool_calls');
});
await test('tools: choice none, required, named', async () => {
    const none = await client.chat.completions.create({ ...base, messages: weather, tools,
        tool_choice: 'none', max_tokens: 60 });
    assert.equal(none.choices[0].message.tool_calls, undefined);
    const required = await client.chat.completions.create({ ...base, messages: june, tools,
        tool_choice: 'required', max_tokens: 60 });
    assert.equal(required.choices[0].message.tool_calls[0].function.name, 'get_weather');
    const named = await client.chat.completions.create({ ...base, messages: weather,
        tools: [...tools, ...calculator], max_tokens: 60,
        tool_choice: { type: 'function', function: { name: 'calculate' } } });
    assert.equal(named.choices[0].message.tool_calls[0].function.name, 'calculate');
    await assert.rejects(
        client.chat.completions.create({ ...base, messages: june, tools,
            tool_choice: { type: 'function', function: { name: 'nope' } } }),
        (e) => e.status === 400 && e.param === 'tool_choice');
});
await test('tools: strict arguments follow the schema', async () => {
    const strict = structuredClone(tools);
    strict[0].function.strict = true;
    strict[0].function.parameters.properties.city.enum = ['Rome', 'Oslo'];
    strict[0].function.parameters.additionalProperties = false;
    const r = await client.chat.completions.create({ ...base, messages: weather, tools: strict,
        tool_choice: 'required' });
    const city = JSON.parse(r.choices[0].message.tool_calls[0].function.arguments).city;
    assert.ok(['Rome', 'Oslo'].includes(city), city);
});
await test('tools: several calls at once are allowed, one comes', async () => {
    for (const parallel_tool_calls of [true, false]) {
        const r = await client.chat.completions.create({ ...base, messages: weather, tools,
            parallel_tool_calls });
        assert.equal(r.choices[0].message.tool_calls.length, 1);
    }
});

// ---- structured output ------------------------------------------------------------------------------------
await test('response_format: json_schema holds for the answer', async () => {
    const schema = { type: 'object', properties: {
        month: { type: 'string', enum: ['May', 'July'] }, n: { type: 'integer', minimum: 0, maximum: 99 } },
        required: ['month', 'n'], additionalProperties: false };
    const r = await client.chat.completions.create({ ...base, messages: june,
        response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } });
    const answer = JSON.parse(r.choices[0].message.content);
    assert.deepEqual(Object.keys(answer), ['month', 'n']);
    assert.ok(['May', 'July'].includes(answer.month));
    assert.ok(Number.isInteger(answer.n));
});
await test('response_format: json_object', async () => {
    const r = await client.chat.completions.create({ ...base, messages: june,
        response_format: { type: 'json_object' }, max_tokens: 200 });
    if (r.choices[0].finish_reason === 'stop')
        assert.equal(typeof JSON.parse(r.choices[0].message.content), 'object');
    assert.match(r.choices[0].message.content, /^\s*\{/);
});
await test('response_format: what cannot be compiled is refused with a reason', async () => {
    await assert.rejects(
        client.chat.completions.create({ ...base, messages: june, response_format: { type: 'json_schema',
            json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'thing' } } } } } }),
        (e) => e.status === 400 && e.message.length > 20);
    await assert.rejects(
        client.chat.completions.create({ ...base, messages: june, response_format: { type: 'xml' } }),
        (e) => e.status === 400);
});

// ---- completions ------------------------------------------------------------------------------------------
await test('completions: text, echo, logprobs, n, stop', async () => {
    const r = await client.completions.create({ ...base, prompt: 'Once upon a time', max_tokens: 20 });
    assert.ok(r.choices[0].text.startsWith(', near a windy hill'), r.choices[0].text);
    assert.equal(r.choices[0].finish_reason, 'length');
    const e = await client.completions.create({ ...base, prompt: 'Once upon a time', max_tokens: 3,
        echo: true, logprobs: 2 });
    assert.ok(e.choices[0].text.startsWith('Once upon a time, near'));
    const l = e.choices[0].logprobs;
    assert.equal(l.tokens.join(''), e.choices[0].text);
    assert.equal(l.token_logprobs[0], null);
    assert.ok(l.token_logprobs.slice(1).every((p) => p <= 0));
    assert.equal(Object.keys(l.top_logprobs[1]).length, 2);
    assert.deepEqual(l.text_offset.slice(0, 2), [0, l.tokens[0].length]);
    const n = await client.completions.create({ ...base, prompt: ['Once upon a time', 'Once upon a time'],
        n: 2, max_tokens: 4 });
    assert.equal(n.choices.length, 4);
    assert.equal(new Set(n.choices.map((c) => c.text)).size, 1);
    const stop = await client.completions.create({ ...base, prompt: 'Once upon a time', max_tokens: 60,
        stop: '.' });
    assert.ok(!stop.choices[0].text.includes('.'));
    assert.equal(stop.choices[0].finish_reason, 'stop');
});
await test('completions: stream, token prompts, echo of nothing', async () => {
    const t = await client.post('/../tokenize', { body: { content: 'Once upon a time' } });
    const stream = await client.completions.create({ ...base, prompt: t.tokens, max_tokens: 20,
        stream: true });
    let text = '';
    for await (const c of stream) text += c.choices[0].text;
    assert.ok(text.startsWith(', near a windy hill'), text);
    const r = await client.completions.create({ ...base, prompt: 'Once upon a time', max_tokens: 0,
        echo: true, logprobs: 0 });
    const free = await client.completions.create({ ...base, prompt: 'Once upon a time', max_tokens: -1 });
    assert.deepEqual([free.choices[0].finish_reason, free.usage.completion_tokens > 16], ['stop', true]);
    assert.equal(r.choices[0].text, 'Once upon a time');
    assert.equal(r.choices[0].logprobs.tokens.length, t.tokens.length);
});
await test('completions: harmony: true answers like the chat', async () => {
    const r = await client.completions.create({ ...base, prompt: 'Which month comes after June?',
        harmony: true });
    assert.equal(r.choices[0].text, july);
    assert.match(r.choices[0].reasoning_content, /July/);
});

// ---- responses --------------------------------------------------------------------------------------------
await test('responses: string, instructions, reasoning item, usage', async () => {
    const r = await client.responses.create({ ...base, input: 'Which month comes after June?',
        reasoning: { effort: 'medium' } });
    assert.equal(r.status, 'completed');
    assert.equal(r.output_text, july);
    assert.deepEqual(r.output.map((o) => o.type), ['reasoning', 'message']);
    assert.match(r.output[0].content[0].text, /July/);
    assert.equal(r.usage.output_tokens, 26);
    assert.ok(r.usage.output_tokens_details.reasoning_tokens > 5);
    const i = await client.responses.create({ ...base,
        input: [{ role: 'user', content: [{ type: 'input_text', text: 'Which month comes after June?' }] }],
        instructions: 'Be brief.' });
    assert.match(i.output_text, /July/);
    assert.equal(i.instructions, 'Be brief.');
});
await test('responses: events in order, numbered', async () => {
    const stream = await client.responses.create({ ...base, input: 'Which month comes after June?',
        stream: true });
    const types = [];
    let n = 0, text = '', last;
    for await (const e of stream) {
        assert.equal(e.sequence_number, n++);
        if (types.at(-1) !== e.type) types.push(e.type);
        if (e.type === 'response.output_text.delta') text += e.delta;
        last = e;
    }
    assert.equal(text, july);
    assert.deepEqual(types, ['response.created', 'response.in_progress',
        'response.output_item.added', 'response.content_part.added',
        'response.reasoning_text.delta', 'response.reasoning_text.done',
        'response.content_part.done', 'response.output_item.done',
        'response.output_item.added', 'response.content_part.added',
        'response.output_text.delta', 'response.output_text.done',
        'response.content_part.done', 'response.output_item.done', 'response.completed']);
    assert.equal(last.response.output[1].content[0].text, july);
    assert.equal(last.response.status, 'completed');
});
await test('responses: the client\'s own stream helper agrees', async () => {
    const final = await client.responses.stream({ ...base, input: 'Which month comes after June?' })
        .finalResponse();
    assert.equal(final.output_text, july);
    const chat = await client.chat.completions.stream({ ...base, messages: june }).finalChatCompletion();
    assert.equal(chat.choices[0].message.content, july);
});
const flat = { type: 'function', name: 'get_weather', description: 'Gets the current weather in a city.',
    parameters: tools[0].function.parameters };
await test('responses: a tool loop over previous_response_id', async () => {
    const first = await client.responses.create({ ...base, input: 'What is the weather in Paris?',
        tools: [flat] });
    const call = first.output.find((o) => o.type === 'function_call');
    assert.equal(call.name, 'get_weather');
    assert.deepEqual(JSON.parse(call.arguments), { city: 'Paris' });
    const second = await client.responses.create({ ...base, tools: [flat], previous_response_id: first.id,
        input: [{ type: 'function_call_output', call_id: call.call_id, output: sunny }] });
    assert.match(second.output_text, /21|sunny/);
    assert.equal(second.previous_response_id, first.id);
    const whole = await client.responses.create({ ...base, tools: [flat], input: [
        { role: 'user', content: 'What is the weather in Paris?' }, ...first.output,
        { type: 'function_call_output', call_id: call.call_id, output: sunny }] });
    assert.equal(whole.output_text, second.output_text);
    assert.equal(whole.usage.input_tokens, second.usage.input_tokens);
});
await test('responses: streamed call, limits, store', async () => {
    const stream = await client.responses.create({ ...base, input: 'What is the weather in Paris?',
        tools: [flat], stream: true });
    let args = '', done = '';
    for await (const e of stream) {
        if (e.type === 'response.function_call_arguments.delta') args += e.delta;
        if (e.type === 'response.function_call_arguments.done') done = e.arguments;
    }
    assert.equal(args, done);
    assert.deepEqual(JSON.parse(args), { city: 'Paris' });
    const cut = await client.responses.create({ ...base, input: 'Which month comes after June?',
        max_output_tokens: 4 });
    assert.equal(cut.status, 'incomplete');
    assert.equal(cut.incomplete_details.reason, 'max_output_tokens');
    assert.equal((await client.responses.retrieve(cut.id)).id, cut.id);
    await client.responses.delete(cut.id);
    await assert.rejects(client.responses.retrieve(cut.id), (e) => e.status === 404);
    const kept = await client.responses.create({ ...base, input: 'Hello!', store: false,
        max_output_tokens: 4 });
    await assert.rejects(
        client.responses.create({ ...base, input: 'x', previous_response_id: kept.id }),
        (e) => e.status === 404);
});
await test('responses: a whole loop streamed, with a summary, a call and references to items', async () => {
    const question = { role: 'user', content: 'What is the weather in Paris?' };
    const ask = { ...base, tools: [flat], reasoning: { summary: 'auto' }, store: true };
    const run = async (body) => {
        const stream = client.responses.stream({ ...ask, ...body });
        const got = { summary: '', args: '', text: '', ids: [] };
        for await (const e of stream) {
            if (e.type === 'response.reasoning_summary_text.delta') got.summary += e.delta;
            if (e.type === 'response.function_call_arguments.delta') got.args += e.delta;
            if (e.type === 'response.output_text.delta') got.text += e.delta;
            if (e.type === 'response.output_item.done') got.ids.push(e.item.id);
        }
        got.final = await stream.finalResponse();
        assert.deepEqual(got.ids, got.final.output.map((i) => i.id));
        return got;
    };
    const first = await run({ input: [question] });
    const [thought, call] = first.final.output;
    assert.deepEqual([thought.type, call.type, call.name], ['reasoning', 'function_call', 'get_weather']);
    assert.ok(first.summary.length > 5);
    assert.equal(first.summary, thought.summary[0].text);
    assert.equal(first.args, call.arguments);

    const result = { type: 'function_call_output', call_id: call.call_id, output: sunny };
    const references = (r) => r.output.map((i) => ({ type: 'item_reference', id: i.id }));
    const second = await run({ input: [question, ...references(first.final), result] });
    assert.match(second.text, /21|sunny/);
    assert.equal(second.text, second.final.output_text);
    const chained = await run({ previous_response_id: first.final.id, input: [result] });
    const copied = await run({ input: [question, ...first.final.output, result] });
    for (const other of [chained, copied])
        assert.deepEqual([other.text, other.final.usage.input_tokens],
            [second.text, second.final.usage.input_tokens]);

    const june = { role: 'user', content: 'Which month comes after June?' };
    const last = await run({ input: [question, ...references(first.final), result,
        ...references(second.final), june] });
    const chain = await run({ previous_response_id: chained.final.id, input: [june] });
    assert.equal(last.text, july);
    assert.deepEqual([chain.text, chain.final.usage.input_tokens], [july, last.final.usage.input_tokens]);

    await client.responses.delete(first.final.id); // its items go with it
    await assert.rejects(run({ input: [question, ...references(first.final), result] }),
        (e) => e.status === 404);
});
await test('responses: text.format', async () => {
    const r = await client.responses.create({ ...base, input: 'Which month comes after June?',
        text: { format: { type: 'json_schema', name: 'a', strict: true,
            schema: { type: 'object', properties: { month: { enum: ['July', 'May'] } },
                required: ['month'], additionalProperties: false } } } });
    assert.ok(['July', 'May'].includes(JSON.parse(r.output_text).month));
});

// ---- errors -----------------------------------------------------------------------------------------------
await test('errors: an overlong prompt', async () => {
    await assert.rejects(client.chat.completions.create({ ...base, messages: june, max_kv: 40 }),
        (e) => e.status === 400 && e.code === 'context_length_exceeded');
});
await test('errors: wrong values name their field', async () => {
    for (const [field, value] of [['temperature', 3], ['top_p', 'x'], ['n', 0], ['n', 1000],
        ['max_tokens', -2], ['stop', [1]], ['logit_bias', { a: 1 }], ['seed', 1.5], ['top_logprobs', 30],
        ['stream', 'yes'], ['reasoning_effort', 'huge'], ['tools', {}], ['presence_penalty', 9]]) {
        await assert.rejects(client.chat.completions.create({ ...base, messages: june, [field]: value }),
            (e) => e.status === 400 && e.param === field && e.error.position > 0, field);
    }
    for (const messages of [[], 'x', [{}], [{ role: 'x', content: 'y' }],
        [{ role: 'user' }], [{ role: 'user', content: 5 }], [{ role: 'user', content: [{ type: 'text' }] }],
        [{ role: 'user', content: [{ image_url: { url: 'x' } }] }]]) {
        await assert.rejects(client.chat.completions.create({ ...base, messages }),
            (e) => e.status === 400, JSON.stringify(messages));
    }
});
await test('unknown fields are ignored and logged once', async () => {
    for (let i = 0; i < 2; i++) {
        const r = await client.chat.completions.create({ ...base, messages: june, max_tokens: 2,
            ['odd"\u001b[31m']: 1 });
        assert.equal(r.choices[0].finish_reason, 'length');
    }
    await s.said(/is unknown/);
    const lines = s.log().split('\n').filter((l) => l.includes('is unknown'));
    assert.equal(lines.filter((l) => l.includes('odd')).length, 1);
    assert.ok(!s.log().includes('\u001b'));
});
await s.stop();
finish();
