// agents.mjs - requests in the shapes that coding agents send (written after Codex 0.171 and Claude Code
// 2.1): tools the server can't run, namespaces, custom tools, history of all kinds of items, instructions
// between messages, images, files.
import { assert, events, finish, model, post, serve, sunny, test, tools } from './lib.mjs';

const s = await serve([model]);
// Of bounded length: forced calls obey their schema, and the demo model need not find an end by itself.
const { city } = tools[0].function.parameters.properties;
const weather = { ...tools[0].function, type: 'function', strict: false, parameters: { type: 'object',
    properties: { city: { ...city, maxLength: 20 } }, required: ['city'], additionalProperties: false } };
const obeys = (call) => assert.match(call.arguments, /^{\s*"city":\s?"[^"]{0,20}"\s*}$/);
const declared = [
    { type: 'function', name: 'exec_command', description: 'Runs a command.', strict: false,
        parameters: { type: 'object', properties: { cmd: { type: 'string' } }, required: ['cmd'] } },
    { type: 'namespace', name: 'mcp__wx', description: 'Weather.', tools: [weather] },
    { type: 'custom', name: 'apply_patch', description: 'Edits files.',
        format: { type: 'grammar', syntax: 'lark', definition: 'start: "*** Begin Patch" LF' } },
    { type: 'web_search', external_web_access: false }, { type: 'image_generation' }, { type: 'local_shell' },
];
const said = (text, role = 'user') => ({ type: 'message', role, content: [{ type: 'input_text', text }] });
const codex = { model: 'demo-gptoss', temperature: 0, tool_choice: 'auto', parallel_tool_calls: true,
    store: false, reasoning: { summary: 'auto' }, include: ['reasoning.encrypted_content'],
    prompt_cache_key: 'k', client_metadata: { a: 'b' }, tools: declared };
const respond = async (body) => {
    const r = await post(s.url + '/v1/responses', { ...codex, ...body });
    assert.equal(r.status, 200, JSON.stringify(r.json));
    return r.json;
};
const stream = async (body) =>
    events((await post(s.url + '/v1/responses', { ...codex, stream: true, ...body })).text);

await test('responses: an agent asks, with tools that nobody here can run', async () => {
    const r = await respond({ input: [said('You are a coding agent.', 'developer'),
        said('Which month comes after June?')] });
    assert.equal(r.output.at(-1).content[0].text, 'July comes after June.');
    assert.equal(r.parallel_tool_calls, true);
    const thought = r.output.find((i) => i.type === 'reasoning');
    assert.deepEqual(thought.summary, [{ type: 'summary_text', text: thought.content[0].text }]);
    for (const kind of ['web_search', 'image_generation', 'local_shell']) {
        await s.said(new RegExp(`"${kind}" is nothing`));
        assert.equal(s.log().split('\n').filter((l) => l.includes(`"${kind}" is nothing`)).length, 1, kind);
    }
});
await test('responses: the stream of a summary', async () => {
    const all = await stream({ input: 'Which month comes after June?' });
    const kinds = all.map((e) => e.event);
    const at = ['response.reasoning_summary_part.added', 'response.reasoning_summary_text.delta',
        'response.reasoning_summary_text.done', 'response.reasoning_summary_part.done',
        'response.output_item.done'].map((k) => kinds.indexOf(k));
    assert.deepEqual(at, [...at].sort((a, b) => a - b));
    assert.ok(at[0] > 0);
    const text = all.filter((e) => e.event.endsWith('summary_text.delta')).map((e) => e.data.delta).join('');
    assert.equal(text, all.find((e) => e.event.endsWith('summary_text.done')).data.text);
    assert.deepEqual(all.map((e) => e.data.sequence_number), all.map((_, i) => i));
});
await test('responses: a member of a namespace is called back with it, and its result is read', async () => {
    const input = [said('What is the weather in Paris?')];
    const r = await respond({ input,
        tool_choice: { type: 'function', name: 'get_weather', namespace: 'mcp__wx' } });
    const call = r.output.find((i) => i.type === 'function_call');
    assert.deepEqual([call.name, call.namespace, call.id.slice(0, 3)], ['get_weather', 'mcp__wx', 'fc_']);
    const again = await respond({ input: [...input, ...r.output,
        { type: 'function_call_output', call_id: call.call_id, output: [{ type: 'input_text', text: sunny },
            { type: 'input_image', image_url: 'data:image/png;base64,AAAA' }] }] });
    assert.ok(again.usage.input_tokens > r.usage.input_tokens + 20);
});
await test('responses: a custom tool gets its input as text, whole and streamed, ' +
    'and its history is read', async () => {
    const body = { input: [said('Write a file.')], tool_choice: { type: 'custom', name: 'apply_patch' },
        max_output_tokens: 300 };
    const r = await respond(body), call = r.output.at(-1);
    assert.deepEqual([call.type, call.name, typeof call.input, call.id.slice(0, 4)],
        ['custom_tool_call', 'apply_patch', 'string', 'ctc_']);
    assert.ok(!('arguments' in call));
    const all = await stream(body);
    const delta = all.find((e) => e.event === 'response.custom_tool_call_input.delta').data.delta;
    const done = all.find((e) => e.event === 'response.custom_tool_call_input.done').data;
    assert.deepEqual([delta, done.input], [call.input, call.input]);
    await respond({ input: [said('Write a file.'),
        { type: 'custom_tool_call', call_id: 'c1', name: 'apply_patch', input: '*** "x"' },
        { type: 'custom_tool_call_output', call_id: 'c1', output: 'Done!' }], max_output_tokens: 4 });
});
await test('responses: items of every kind, known or not, and parts that are no text', async () => {
    const r = await respond({ input: [
        { type: 'message', role: 'user', content: [
            { type: 'input_text', text: 'Look: ' }, { type: 'input_image', image_url: 'x' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'x' }, { type: 'something_new', a: 1 }] },
        { type: 'local_shell_call', call_id: 's1', status: 'completed',
            action: { type: 'exec', command: ['ls'] } },
        { type: 'local_shell_call_output', id: 's1', output: 'a.txt' },
        { type: 'compaction', encrypted_content: 'x' },
        { type: 'web_search_call', id: 'ws_1', status: 'completed' },
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'Hm.' }],
            encrypted_content: null, content: null },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I see.' }] },
        said('Which month comes after June?')] });
    assert.equal(r.output.at(-1).content[0].text, 'July comes after June.');
    const bad = await post(s.url + '/v1/responses', { ...codex,
        input: [{ type: 'message', role: 'user', content: [{ type: 'input_text' }] }] });
    assert.equal(bad.status, 400);
});
await test('responses: items are referred to by their ids', async () => {
    const input = [said('What is the weather in Paris?')];
    const r = await respond({ input, store: true, tool_choice: { type: 'function', name: 'get_weather' } });
    const call = r.output.find((i) => i.type === 'function_call');
    const result = { type: 'function_call_output', call_id: call.call_id, output: sunny };
    const again = await respond({ input: [...input,
        ...r.output.map((i) => ({ type: 'item_reference', id: i.id })), result] });
    const whole = await respond({ input: [...input, ...r.output, result] });
    assert.deepEqual([again.usage.input_tokens, again.output.at(-1).content],
        [whole.usage.input_tokens, whole.output.at(-1).content]);
    const lost = await post(s.url + '/v1/responses', { ...codex,
        input: [{ type: 'item_reference', id: 'rs_none' }, ...input] });
    assert.deepEqual([lost.status, lost.json.error.code], [404, 'item_not_found']);
    for (const id of [call.call_id, r.id]) { // what the store has beside items
        const body = { ...codex, input: [{ type: 'item_reference', id }, ...input] };
        const other = await post(s.url + '/v1/responses', body);
        assert.deepEqual([other.status, other.json.error.code], [404, 'item_not_found'], id);
    }
    const item = await post(s.url + '/v1/responses', { ...codex, input, previous_response_id: call.id });
    assert.equal(item.status, 404);
});
await test('tool names are shown in plain characters and come back as they were', async () => {
    const name = 'wx/<|call|> get weather', odd = [{ ...weather, name }];
    const r = await respond({ input: 'What is the weather in Paris?', tools: odd,
        tool_choice: { type: 'function', name } });
    assert.equal(r.output.at(-1).name, name);
    obeys(r.output.at(-1));
    const chat = await post(s.url + '/v1/chat/completions', { temperature: 0,
        messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
        tools: [{ type: 'function', function: { ...weather, name } }],
        tool_choice: { type: 'function', function: { name } } });
    obeys(chat.json.choices[0].message.tool_calls[0].function);
    assert.equal(chat.json.choices[0].message.tool_calls[0].function.name, name);
    assert.equal(chat.json.choices[0].finish_reason, 'tool_calls');
});
await test('tool_choice: allowed_tools leaves the others out', async () => {
    const only = (mode, name) => ({ type: 'allowed_tools', mode, tools: [{ type: 'function', name }] });
    const r = await respond({ input: 'What is the weather in Paris?', tools: [weather, declared[0]],
        tool_choice: only('required', 'get_weather') });
    assert.equal(r.output.find((i) => i.type === 'function_call').name, 'get_weather');
    const none = await respond({ input: 'What is the weather in Paris?', tools: [weather, declared[0]],
        tool_choice: only('auto', 'exec_command') });
    assert.ok(none.output.every((i) => i.name !== 'get_weather'));
});
await test('chat: permissions, custom tools, null content, both names of the reasoning', async () => {
    const ask = async (body) => {
        const r = await post(s.url + '/v1/chat/completions', { temperature: 0, ...body });
        assert.equal(r.status, 200, JSON.stringify(r.json));
        return r.json.choices[0].message;
    };
    const june = { role: 'user', content: 'Which month comes after June?' };
    const m = await ask({
        messages: [{ role: 'user', content: null }, { role: 'assistant', content: null }, june],
        tools, parallel_tool_calls: true });
    assert.equal(m.content, 'July comes after June.');
    assert.ok(m.reasoning.length > 5);
    assert.equal(m.reasoning, m.reasoning_content);
    const custom = await ask({ messages: [june],
        tools: [{ type: 'custom', custom: { name: 'note', description: 'Writes a note.' } }],
        tool_choice: { type: 'custom', custom: { name: 'note' } }, max_tokens: 300 });
    assert.deepEqual([custom.tool_calls[0].type, custom.tool_calls[0].custom.name,
        typeof custom.tool_calls[0].custom.input], ['custom', 'note', 'string']);
    await ask({ messages: [june, { role: 'assistant', tool_calls: custom.tool_calls },
        { role: 'tool', tool_call_id: custom.tool_calls[0].id, content: 'ok' }], max_tokens: 4 });
});
await test('messages: an agent asks, with instructions between messages, images, documents ' +
    'and an answer of a schema', async () => {
    const claude = { model: 'm', max_tokens: 200, temperature: 0, metadata: { user_id: 'x' },
        thinking: { type: 'adaptive' },
        context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
        output_config: { effort: 'high' },
        system: [{ type: 'text', text: 'You are an agent.', cache_control: { type: 'ephemeral' } }],
        tools: [{ name: 'get_weather', description: weather.description, input_schema: weather.parameters },
            { type: 'web_search_20250305', name: 'web_search', max_uses: 5 },
            { type: 'bash_20250124', name: 'bash' }] };
    const text = (t) => ({ type: 'text', text: t, cache_control: { type: 'ephemeral' } });
    const ask = async (body) => {
        const r = await post(s.url + '/v1/messages?beta=true', { ...claude, ...body });
        assert.equal(r.status, 200, JSON.stringify(r.json));
        return r.json;
    };
    const r = await ask({ messages: [
        { role: 'user', content: [text('Hello.'),
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } },
            { type: 'document', title: 'a.pdf',
                source: { type: 'base64', media_type: 'application/pdf', data: 'AA' } },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'words' } },
            { type: 'new_block' }] },
        { role: 'system', content: 'Available agent types: none.' },
        { role: 'assistant', content: [text('Yes?'),
            { type: 'server_tool_use', id: 'st_1', name: 'web_search', input: {} },
            { type: 'web_search_tool_result', tool_use_id: 'st_1', content: [] }] },
        { role: 'user', content: [text('Which month comes after June?')] }] });
    assert.equal(r.content.at(-1).text, 'July comes after June.');
    assert.equal(r.usage.cache_creation_input_tokens, 0);
    const tool = await ask({ system: undefined,
        messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
        tool_choice: { type: 'auto', disable_parallel_tool_use: true } });
    assert.equal(tool.stop_reason, 'tool_use');
    const use = tool.content.find((b) => b.type === 'tool_use');
    assert.deepEqual([use.name, use.input], ['get_weather', { city: 'Paris' }]);
    const shown = await ask({ system: undefined, messages: [
        { role: 'user', content: 'What is the weather in Paris?' },
        { role: 'assistant', content: tool.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: [text(sunny),
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } }] }] }] });
    assert.ok(shown.usage.input_tokens + shown.usage.cache_read_input_tokens > 150);
    const schema = { type: 'object', properties: { month: { type: 'string' } },
        required: ['month'], additionalProperties: false };
    const json = await ask({ messages: [{ role: 'user', content: 'Which month comes after June?' }],
        tools: undefined, output_config: { format: { type: 'json_schema', schema } } });
    assert.equal(typeof JSON.parse(json.content.at(-1).text).month, 'string');
});
await test('responses: what one was asked with is listed in pages, either way', async () => {
    const input = [said('Hello.'), { role: 'assistant', content: 'Hi.' }, { type: 'reasoning', summary: [] },
        said('Which month comes after June?')];
    const { id } = await respond({ input, store: true });
    const list = async (query) => (await (await fetch(
        `${s.url}/v1/responses/${id}/input_items${query}`)).json());
    const first = await list('?order=asc&limit=3'), rest = await list(`?order=asc&after=${first.last_id}`);
    assert.deepEqual([first.data.length, first.has_more, rest.data.length, rest.has_more], [3, true, 1,
        false]);
    assert.deepEqual(first.data[1].content, [{ type: 'output_text', annotations: [], text: 'Hi.' }]);
    assert.deepEqual(rest.data[0].content, input[3].content);
    const all = [...first.data, ...rest.data].map((i) => i.id);
    assert.deepEqual((await list('')).data.map((i) => i.id), all.reverse());
    assert.equal((await fetch(`${s.url}/v1/responses/${id}/input_items?limit=0`)).status, 400);
    assert.equal((await fetch(`${s.url}/v1/responses/resp_none/input_items`)).status, 404);
    const text = await respond({ input: 'Hi.', store: true });
    const one = await (await fetch(`${s.url}/v1/responses/${text.id}/input_items`)).json();
    assert.deepEqual([one.data.length, one.data[0].role, one.data[0].content[0].text], [1, 'user', 'Hi.']);
});
await test('messages: a thread is refused with the code that makes the library go on without', async () => {
    const r = await post(s.url + '/v1/messages', { model: 'm', max_tokens: 5, thread: { type: 'create' },
        messages: [{ role: 'user', content: 'Hi.' }] });
    assert.equal(r.status, 400);
    assert.deepEqual(r.json.error.details,
        { error_code: 'thread_unsupported_request', unsupported: ['thread'] });
});
await test('a refusal names the field of a whole: the conversation, the schema', async () => {
    const orphan = { type: 'function_call_output', call_id: 'c', output: 'x' };
    const param = async (path, body) => (await post(s.url + path, body)).json.error.param;
    assert.equal(await param('/v1/responses', { ...codex, input: [orphan] }), 'input');
    assert.equal(await param('/v1/chat/completions', { messages: [{ role: 'tool', tool_call_id: 'c',
        content: 'x' }] }), 'messages');
    const bad = { type: 'nothing' }, messages = [{ role: 'user', content: 'Hi.' }];
    assert.equal(await param('/v1/chat/completions', { messages,
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema: bad } } }),
            'response_format');
    assert.equal(await param('/v1/chat/completions', { messages, tools: [{ type: 'function',
        function: { name: 'f', strict: true, parameters: bad } }] }), 'tools');
});
await test('ollama: images are told, suffix is refused, errors are sentences, the version is new',
    async () => {
    const ask = async (path, body) => post(s.url + path, { stream: false, options: { num_predict: 2 },
        ...body });
    const prompt = 'Hi.', images = ['AA==', 'AA=='];
    const plain = (await ask('/api/generate', { prompt })).json.prompt_eval_count;
    const one = (await ask('/api/generate', { prompt, images: ['AA=='] })).json.prompt_eval_count;
    const two = (await ask('/api/chat', { messages: [{ role: 'user', content: prompt, images }] })).json;
    assert.ok(one > plain + 5 && two.prompt_eval_count > one + 5);
    const suffix = await ask('/api/generate', { prompt, suffix: 'x' });
    assert.deepEqual([suffix.status, suffix.json.error.startsWith('suffix ')], [400, true]);
    const nothing = await fetch(s.url + '/api/nothing');
    assert.deepEqual([nothing.status, typeof (await nothing.json()).error], [404, 'string']);
    const [major, minor] = (await (await fetch(s.url + '/api/version')).json()).version.split('.').map(
        Number);
    assert.ok(major > 0 || minor >= 14);
});
await test('what was thought before a call comes back with another id, in the same conversation alone',
    async () => {
    const asked = { role: 'user', content: 'What is the weather in Paris?' };
    const ask = async (messages) => (await post(s.url + '/api/chat', { stream: false, tools, messages,
        options: { temperature: 0, num_predict: 60 } })).json;
    const { message } = await ask([asked]), [call] = message.tool_calls;
    const goes = async (user, id) => (await ask([{ role: 'user', content: user },
        { role: 'assistant', content: '', tool_calls: [{ ...call, id }] },
        { role: 'tool', content: sunny }])).prompt_eval_count;
    const known = await goes(asked.content, call.id);
    assert.equal(await goes(asked.content, 'other'), known);
    const elsewhere = await goes('What is the weather in Paris!', 'other');
    assert.ok(elsewhere < known - 5, `${elsewhere} of ${known}`);
});
await s.stop();
finish();
