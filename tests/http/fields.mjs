// fields.mjs - every field of every endpoint with every kind of value that nobody expects there: it is
// honoured, or refused with 400 and the field's name. Never 5xx, never a hang. Unknown fields are ignored and
// logged once.
import { assert, events, finish, june, model, serve, test, tools } from './lib.mjs';

const s = await serve([model, '--max-kv', '1000', '--max-tokens', '4', '--max-messages', '100000']);
const raw = (text) => ({ raw: text });      // JSON that JSON.stringify doesn't write
const values = [null, true, false, 0, -1, 1, 0.5, 3000000000, '', 'x', 'y'.repeat(20000),
    raw('1e308'), raw('-1e308'), raw('1e999'), raw('-0'),
    raw('"\\u0000"'), raw('"a\\u0001\\u001f\\u007fb"'), raw('"\\ud800"'), raw('"\\udc00\\ud800"'),
    '\u202e\ufeff', '<|start|>system<|message|>',
    [], [null], [[]], [1, 'a', {}], ['', ''],
    {}, { '': null }, { type: 'x' }, { type: null }, { a: { b: { c: [] } } }];

const [tool] = tools;
const city = tool.function.parameters, schema = { type: 'object', properties: { a: { type: 'integer' } } };
const flat = { type: 'function', ...tool.function, strict: false };
const sampling = { temperature: 0, top_p: 1, top_k: 5, min_p: 0, seed: 1, sample: true, presence_penalty: 0,
    frequency_penalty: 0, repetition_penalty: 1, repeat_penalty: 1, repeat_last_n: 5, logit_bias: { 5: 1 } };
const ours = { telemetry: false, telemetry_top_k: 2, telemetry_layer: 0, telemetry_head: 0, max_kv: 900,
    layers: 'all', moe_fallback: false };

const bodies = {
    '/v1/chat/completions': {
        model: 'm', stream: false, n: 1, stop: ['q'], logprobs: true, top_logprobs: 1, max_tokens: 2,
        max_completion_tokens: 2, tools: [tool], tool_choice: 'auto', parallel_tool_calls: true,
        response_format: { type: 'text' }, reasoning_effort: 'low', user: 'u', store: false, metadata: {},
        reasoning_budget_tokens: 5,
        ...sampling, ...ours,
        messages: [
            { role: 'system', content: 'Hi.', name: 'n' },
            { role: 'user', content: [{ type: 'text', text: 'a' }] },
            { role: 'assistant', content: 'b', reasoning: 'r', tool_calls: [{ id: 'c1', type: 'function',
                function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] },
            { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
            ...june] },
    '/v1/completions': {
        model: 'm', prompt: 'a', stream: false, n: 1, stop: 'q', logprobs: 1, max_tokens: 2, echo: false,
        best_of: 1, suffix: '', harmony: false, reasoning_effort: 'low', user: 'u', ...sampling, ...ours },
    '/v1/responses': {
        model: 'm', instructions: 'Hi.', stream: false, tool_choice: 'auto', parallel_tool_calls: true,
        tools: [flat, { type: 'namespace', name: 's', tools: [{ ...flat, name: 'z' }] },
            { type: 'custom', name: 'c', format: { type: 'text' } }],
        reasoning: { effort: 'low', summary: 'auto' }, text: { format: { type: 'text' } }, include: [],
        max_output_tokens: 2, previous_response_id: null, store: false, metadata: {}, top_logprobs: 0,
        truncation: 'disabled', user: 'u', background: false, conversation: null, prompt: null, stop: 'q',
        ...sampling, ...ours,
        input: [
            { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a' }] },
            { type: 'reasoning', id: 'r', summary: [{ type: 'summary_text', text: 's' }], content: null },
            { type: 'function_call', call_id: 'c', name: 'get_weather', namespace: null, arguments: '{}' },
            { type: 'function_call_output', call_id: 'c', output: 'sunny' },
            { type: 'custom_tool_call', call_id: 'd', name: 'c', input: 'x' },
            { type: 'custom_tool_call_output', call_id: 'd', output: 'x' },
            { type: 'compaction', id: 'e', encrypted_content: 'gossamer:1:x' }] },
    '/v1/responses/compact': {
        model: 'm', instructions: 'Hi.', previous_response_id: null, prompt_cache_key: 'k',
        prompt_cache_options: null, prompt_cache_retention: '24h', service_tier: 'auto',
        input: [{ role: 'user', content: 'a' }, { type: 'compaction', encrypted_content: 'gossamer:1:x' },
            { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'b' }] }] },
    '/v1/messages': {
        model: 'm', max_tokens: 2, system: [{ type: 'text', text: 'Hi.' }], stream: false,
        tools: [{ name: 'get_weather', description: 'd', input_schema: city }],
        tool_choice: { type: 'auto', disable_parallel_tool_use: true },
        thinking: { type: 'enabled', budget_tokens: 1024 }, stop_sequences: ['q'], metadata: {},
        service_tier: 'auto', temperature: 0, top_p: 1, top_k: 5, ...ours,
        output_config: { effort: 'low', format: { type: 'json_schema', schema } },
        messages: [
            { role: 'user', content: [{ type: 'text', text: 'a' },
                { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } }] },
            { role: 'assistant', content: [{ type: 'thinking', thinking: 't', signature: '' },
                { type: 'tool_use', id: 'c', name: 'get_weather', input: { city: 'Paris' } }] },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: 'sunny' }] }] },
    '/api/chat': {
        model: 'm', stream: false, tools: [tool], format: '', think: true, keep_alive: '5m', logprobs: true,
        top_logprobs: 1, ...ours, options: { num_predict: 2, num_ctx: 900, stop: ['q'], ...sampling },
        messages: [
            { role: 'user', content: 'a', images: [] },
            { role: 'assistant', content: '',
                tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Paris' } } }] },
            { role: 'tool', tool_name: 'get_weather', content: 'sunny' }] },
    '/api/generate': {
        model: 'm', prompt: 'a', system: 'b', stream: false, format: schema, think: 'low', raw: false,
        suffix: '', images: [], keep_alive: 60, template: '', context: [], options: { num_predict: 2 } },
    '/api/show': { model: 'm', name: 'm', verbose: false },
    '/tokenize': { content: 'a', special: true, add_special: true, with_pieces: true, parse_special: false },
    '/detokenize': { tokens: [1, 2] },
    '/v1/embeddings': { model: 'm', input: ['a', 'b'], encoding_format: 'base64', dimensions: 8, user: 'u' },
    '/api/embed': { model: 'm', input: 'a', truncate: true, dimensions: 8, keep_alive: '5m', options: {} },
    '/api/embeddings': { model: 'm', prompt: 'a', keep_alive: '5m', options: {} },
};
// All kinds of items; a conversation of its own for those that are added and described anew.
const { input: items } = bodies['/v1/responses'];
const made = await (await fetch(s.url + '/v1/conversations', { method: 'POST' })).json();
bodies['/v1/conversations'] = { items, metadata: { a: 'b' } };
bodies[`/v1/conversations/${made.id}`] = { metadata: { a: 'b', c: 'd' } };
bodies[`/v1/conversations/${made.id}/items`] = { items, include: ['reasoning.encrypted_content'] };
bodies['/v1/messages/count_tokens'] = bodies['/v1/messages'];
bodies['/v1/responses/input_tokens'] = bodies['/v1/responses'];

// Every place in a body, as a list of keys.
function* places(value, at = []) {
    if (at.length) yield at;
    if (!value || typeof value !== 'object') return;
    for (const key of Object.keys(value))
        yield* places(value[key], [...at, Array.isArray(value) ? Number(key) : key]);
}
// The body as JSON with something else at a place.
function written(body, at, value) {
    const mark = '\u0001mark';
    const copy = structuredClone(body);
    let o = copy;
    for (const key of at.slice(0, -1)) o = o[key];
    o[at.at(-1)] = mark;
    return JSON.stringify(copy).replace(JSON.stringify(mark), () => value?.raw ?? JSON.stringify(value));
}
// A refusal names a field on the way to the place: its parameter does, or (Ollama's have none) its sentence.
function named(answer, at) {
    const error = answer.error, text = typeof error === 'string' ? error : `${error.param} ${error.message}`;
    const names = at.filter((key) => typeof key === 'string');
    return /is not JSON|the context holds/.test(text) || names.some((name) => text.includes(name));
}

async function judge(path, at, value) {
    const text = written(bodies[path], at, value);
    const shown = text.length > 10000 ? '(long)' : value?.raw ?? JSON.stringify(value);
    const what = `${path} ${at.join('.')} = ${shown}`;
    const r = await fetch(s.url + path, { method: 'POST', body: text,
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(180000) }).catch((e) => { throw new Error(`${what}: ${e.message}`); });
    const got = await r.text();
    const refused = r.status === 400 || r.status === 404;
    if (refused ? !named(JSON.parse(got), at) : r.status !== 200)
        return `${what}: ${r.status} ${got.slice(0, 200)}`;
    if (/^(event|data):/.test(got)) return events(got).length ? null : `${what}: an empty stream`;
    for (const line of got.trim().split('\n')) JSON.parse(line);
    return null;
}

for (const path of Object.keys(bodies))
    await test(`${path}: fields that are something else`, async () => {
        // Deep places get a third of the values each, in turn.
        const work = [...places(bodies[path])].flatMap((at, n) =>
            values.filter((_, i) => at.length < 3 || (i + n) % 3 === 0).map((value) => [at, value]));
        const plain = await judge(path, ['model'], 'm');
        assert.equal(plain, null);
        const bad = [], total = work.length;
        await Promise.all(Array.from({ length: 8 }, async () => {
            for (let one = work.pop(); one; one = work.pop()) {
                const said = await judge(path, ...one);
                if (said) bad.push(said);
            }
        }));
        assert.ok(total > 60);
        assert.equal(bad.length, 0, `${bad.length} of ${total}:\n${bad.slice(0, 40).join('\n')}`);
        assert.equal((await fetch(s.url + '/health')).status, 200);
    }, 300);
await test('unknown fields are ignored, and each is logged once', async () => {
    for (const [path, body] of Object.entries(bodies)) {
        if (/tokenize|show/.test(path)) continue;
        for (let i = 0; i < 2; i++) {
            const r = await fetch(s.url + path, { method: 'POST',
                body: JSON.stringify({ ...body, never_heard_of: { a: [1, null] } }) });
            assert.equal(r.status, 200, path);
        }
    }
    await s.said(/"never_heard_of" is unknown/);
    const lines = s.log().split('\n').filter((l) => l.includes('"never_heard_of" is unknown'));
    assert.equal(lines.length, new Set(lines).size);
    assert.ok(lines.length >= 6);
});
await s.stop();
finish();
