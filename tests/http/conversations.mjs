// conversations.mjs - what the server keeps of conversations, responses in the background, and compaction: as
// OpenAI documents them. tests/clients/openai.mjs asks the same of OpenAI's own packages.
import { assert, events, finish, july, june, model, post, serve, sleep, sunny, test, tools } from './lib.mjs';
import { endless, unending } from './endless.mjs';

const s = await serve([model, '--max-sessions', '2', '--background', '3']);
const ask = { temperature: 0, model: 'm' };
const weather = { type: 'function', ...tools[0].function };

// {status, json}; no body: GET, or what `method` says.
async function call(path, body, method = body ? 'POST' : 'GET', at = s) {
    const r = await fetch(at.url + '/v1' + path, { method, body: body && JSON.stringify(body) });
    const text = await r.text();
    return { status: r.status, headers: r.headers, text, json: /^[[{]/.test(text) ? JSON.parse(text) : null };
}
async function good(...args) {
    const r = await call(...args);
    assert.equal(r.status, 200, r.text);
    return r.json;
}
async function bad(status, code, ...args) {
    const r = await call(...args);
    assert.deepEqual([r.status, r.json?.error.code], [status, code], r.text);
    return r;
}
const said = (role, text) => ({ role, content: text });
const texts = (list) => list.data.map((i) => i.content?.[0].text ?? i.type);
const metric = async (name, at = s) => Number((await (await fetch(at.url + '/metrics')).text())
    .match(new RegExp(`^gossamer_${name} (.*)$`, 'm'))[1]);
// Until it holds, however busy the machine is: the test's own limit ends it.
async function until(what) {
    for (;;) {
        const got = await what();
        if (got) return got;
        await sleep(20);
    }
}

// ---- conversations ----------------------------------------------------------------------------------------
await test('conversations are made, read, described anew and deleted', async () => {
    const made = await good('/conversations', { metadata: { topic: 'months' } });
    assert.match(made.id, /^conv_[0-9a-f]{24}$/);
    assert.deepEqual(made, { id: made.id, object: 'conversation', created_at: made.created_at,
        metadata: { topic: 'months' } });
    assert.ok(Math.abs(made.created_at - Date.now() / 1000) < 600);
    assert.deepEqual(await good(`/conversations/${made.id}`), made);
    const other = await good(`/conversations/${made.id}`, { metadata: { a: 'b', c: '' } });
    assert.deepEqual(other, { ...made, metadata: { a: 'b', c: '' } });
    assert.deepEqual(await good(`/conversations/${made.id}`), other);
    assert.deepEqual(await good(`/conversations/${made.id}`, undefined, 'DELETE'),
        { id: made.id, object: 'conversation.deleted', deleted: true });
    for (const method of ['GET', 'DELETE'])
        await bad(404, 'conversation_not_found', `/conversations/${made.id}`, undefined, method);
    await bad(404, 'conversation_not_found', `/conversations/${made.id}`, { metadata: {} });
    await bad(404, 'conversation_not_found', `/conversations/${made.id}/items`, { items: [] });
    const empty = await fetch(s.url + '/v1/conversations', { method: 'POST' });
    assert.deepEqual((await empty.json()).metadata, {});
});
await test('items are whole, each with an id, listed by pages both ways, and taken away', async () => {
    const { id } = await good('/conversations', { items: [said('user', 'one'),
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'two' }] }] });
    const more = await good(`/conversations/${id}/items`, { items: [
        { type: 'reasoning', id: 'mine', summary: [], content: [{ type: 'reasoning_text', text: 'Hm.' }] },
        { type: 'function_call', call_id: 'c', name: 'get_weather', arguments: '{"city":"Paris"}' },
        { type: 'function_call_output', call_id: 'c', output: sunny }, said('user', 'three'),
        { type: 'something_new', a: [1] }] });
    assert.deepEqual([more.object, more.has_more, more.data.length, more.first_id, more.last_id],
        ['list', false, 5, more.data[0].id, more.data[4].id]);
    assert.deepEqual(more.data.map((i) => i.status),
        [undefined, 'completed', 'completed', 'completed', undefined]);
    const all = await good(`/conversations/${id}/items?order=asc`);
    assert.deepEqual(texts(all), ['one', 'two', 'Hm.', 'function_call', 'function_call_output', 'three',
        'something_new']);
    assert.equal(new Set(all.data.map((i) => i.id)).size, 7);
    assert.ok(all.data.every((i) => /^(msg|rs|fc|fco|item)_[0-9a-f]{24}$/.test(i.id)));
    assert.deepEqual(all.data[0], { id: all.data[0].id, role: 'user', type: 'message', status: 'completed',
        content: [{ type: 'input_text', text: 'one' }] });
    const newest = await good(`/conversations/${id}/items?limit=3`);
    assert.deepEqual([newest.data, newest.has_more], [all.data.slice(4).reverse(), true]);
    const rest = await good(`/conversations/${id}/items?limit=4&after=${newest.last_id}`);
    assert.deepEqual([rest.data, rest.has_more], [all.data.slice(0, 4).reverse(), false]);

    const at = `/conversations/${id}/items/${all.data[1].id}`;
    assert.deepEqual(await good(at), all.data[1]);
    assert.equal((await good(at, undefined, 'DELETE')).id, id);
    for (const method of ['GET', 'DELETE']) await bad(404, 'item_not_found', at, undefined, method);
    const last = `/conversations/${id}/items/${all.data[6].id}`;
    await good(last, undefined, 'DELETE');
    await good(`/conversations/${id}/items`, { items: [said('user', 'four')] });
    assert.deepEqual(texts(await good(`/conversations/${id}/items?order=asc`)),
        ['one', 'Hm.', 'function_call', 'function_call_output', 'three', 'four']);
});
await test('what is no item, no metadata and no path is refused with the field', async () => {
    const { id } = await good('/conversations', {});
    for (const [field, body] of [['items', { items: 'x' }], ['items', { items: [1] }],
        ['items.role', { items: [{ role: 'king', content: 'x' }] }], ['metadata', { metadata: [] }],
        ['metadata', { metadata: { a: 1 } }], ['metadata', { metadata: { a: 'x'.repeat(513) } }],
        ['metadata', { metadata: Object.fromEntries([...Array(17)].map((_, i) => [i, 'x'])) }]]) {
        const r = await bad(400, 'invalid_value', '/conversations', body);
        assert.equal(r.json.error.param, field);
    }
    await bad(400, 'invalid_value', `/conversations/${id}/items`, {});
    await bad(400, 'invalid_value', `/conversations/${id}/items?limit=0`);
    for (const path of ['x/y', 'items/a/b', 'items/a/', '/items'].map((p) => `/conversations/${id}/${p}`))
        assert.equal((await call(path)).status, 404, path);
    assert.equal((await call(`/conversations/${id}/items`, undefined, 'DELETE')).status, 405);
    assert.equal((await call(`/conversations/${id}/items/x`, {})).status, 405);
    assert.equal((await call('/conversations')).status, 405);
});
await test('a response goes on from its conversation and adds to it; its prompt is found', async () => {
    const long = 'The months of the year follow one another. '.repeat(20);
    const { id } = await good('/conversations', { items: [said('user', long), said('assistant', 'Yes.')] });
    const one = await good('/responses', { ...ask, conversation: id, input: june[0].content,
        instructions: 'Be brief.', store: false });
    assert.deepEqual([one.conversation, one.previous_response_id], [{ id }, null]);
    const list = await good(`/conversations/${id}/items?order=asc`);
    assert.deepEqual(texts(list).slice(0, 3), [long, 'Yes.', june[0].content]);
    assert.deepEqual(list.data.slice(3), one.output);
    const two = await good('/responses', { ...ask, conversation: { id }, instructions: 'Be brief.',
        input: [said('user', 'And after that?')] });
    assert.ok(two.usage.input_tokens > one.usage.input_tokens);
    assert.ok(two.usage.input_tokens_details.cached_tokens >= 0.95 * one.usage.input_tokens,
        JSON.stringify([one.usage, two.usage]));
    const after = await good(`/conversations/${id}/items?order=asc`);
    assert.equal(after.data.length, list.data.length + 1 + two.output.length);
    // what was asked has the ids that the conversation gave it
    assert.deepEqual((await good(`/responses/${two.id}/input_items`)).data, [after.data[list.data.length]]);
    // as much is read as if all had been sent
    const sent = await good('/responses/input_tokens', { ...ask, instructions: 'Be brief.',
        input: [...list.data, said('user', 'And after that?')] });
    assert.equal(two.usage.input_tokens, sent.input_tokens);
});
await test('a conversation is one request\'s at a time, until its answer ends in whatever way', async () => {
    const { id } = await good('/conversations', { items: [said('user', 'Hi.')] });
    const { data: [item] } = await good(`/conversations/${id}/items`);
    const long = { ...ask, ...await unending(s), conversation: id, input: 'Tell me a story.' };
    const locked = (...args) => bad(400, 'conversation_locked', ...args);
    const next = { ...ask, conversation: id, input: 'And?', max_output_tokens: 2 };
    // in the background, until it is cancelled
    const r = await good('/responses', { ...long, background: true });
    const refused = await locked('/responses', next);
    assert.deepEqual([refused.json.error.type, refused.json.error.param],
        ['invalid_request_error', 'conversation']);
    await locked('/responses', { ...next, stream: true });
    await locked(`/conversations/${id}/items`, { items: [said('user', 'x')] });
    await locked(`/conversations/${id}/items/${item.id}`, undefined, 'DELETE');
    const count = await good('/responses/input_tokens', { model: 'm', conversation: id, input: 'x' });
    assert.ok(count.input_tokens > 0);
    assert.deepEqual(texts(await good(`/conversations/${id}/items`)), ['Hi.']);
    await good('/responses', { ...next, conversation: null });
    await good(`/responses/${r.id}/cancel`, {});
    await good('/responses', next); // at once
    await good('/responses', next);
    // until the client is gone
    const stop = new AbortController();
    const stream = await fetch(s.url + '/v1/responses', { method: 'POST', signal: stop.signal,
        body: JSON.stringify({ ...long, stream: true }) });
    await locked('/responses', next);
    stop.abort();
    await stream.text().catch(() => {});
    await until(async () => (await call('/responses', next)).status === 200);
    // a refused request holds nothing
    await bad(400, 'invalid_value', '/responses', { ...next, input: 7 });
    const items = (await good(`/conversations/${id}/items?limit=100`)).data;
    assert.equal(items.filter((i) => i.role === 'user').length, 4);
    // of two at a time one is answered
    const both = await Promise.all([1, 2].map(() => call('/responses', { ...next, max_output_tokens: 60 })));
    assert.deepEqual(both.map((b) => b.status).sort(), [200, 400]);
    assert.deepEqual(await good(`/conversations/${id}`, undefined, 'DELETE'),
        { id, object: 'conversation.deleted', deleted: true });
});
await test('a call and its result go through a conversation; so does what a reference means', async () => {
    const { id } = await good('/conversations', {});
    const one = await good('/responses', { ...ask, conversation: id, tools: [weather],
        input: 'What is the weather in Paris?' });
    const { call_id } = one.output.find((i) => i.type === 'function_call');
    const two = await good('/responses', { ...ask, conversation: id, tools: [weather],
        input: [{ type: 'function_call_output', call_id, output: sunny }] });
    assert.match(two.output.at(-1).content[0].text, /sunny/);
    const other = await good('/conversations', { items: [said('user', 'Hi.'),
        { type: 'item_reference', id: two.output.at(-1).id }] });
    const list = await good(`/conversations/${other.id}/items?order=asc`);
    assert.deepEqual(list.data[1].content, two.output.at(-1).content);
    await bad(404, 'item_not_found', '/conversations', { items: [{ type: 'item_reference', id: 'x' }] });
});
await test('a conversation that is not there, or no conversation, is refused', async () => {
    const { id } = await good('/conversations', {});
    const r = await good('/responses', { ...ask, input: 'Hi.', max_output_tokens: 2 });
    await bad(404, 'conversation_not_found', '/responses', { ...ask, input: 'x', conversation: r.id });
    await bad(400, 'invalid_value', '/responses', { ...ask, input: 'x', conversation: 7 });
    await bad(400, 'invalid_value', '/responses', { ...ask, input: 'x', conversation: {} });
    await bad(400, 'invalid_value', '/responses', { ...ask, input: 'x', conversation: id,
        previous_response_id: r.id });
    await bad(404, 'conversation_not_found', `/conversations/${r.id}`);
    const gone = await good('/responses', { ...ask, input: 'x', conversation: null, max_output_tokens: 2 });
    assert.equal(gone.conversation, null);
});

// ---- in the background ------------------------------------------------------------------------------------
const ended = (id) => until(async () => {
    const r = await good(`/responses/${id}`);
    return !/queued|in_progress/.test(r.status) && r;
});
const runs = (id) => until(async () => (await good(`/responses/${id}`)).status === 'in_progress');
// The events of a stream, so long as `more` says so.
async function follow(path, more = () => true, options = {}) {
    const stop = new AbortController(), got = [];
    const r = await fetch(s.url + '/v1' + path, { ...options, signal: stop.signal });
    assert.equal(r.status, 200);
    let text = '';
    for await (const piece of r.body.pipeThrough(new TextDecoderStream())) {
        text += piece;
        const whole = text.lastIndexOf('\n\n') + 2;
        got.push(...events(text.slice(0, whole)).filter((e) => e.event));
        text = text.slice(whole);
        if (!more(got)) { stop.abort(); break; }
    }
    return got.map((e) => e.data);
}
const begin = (body, more) => follow('/responses', more, { method: 'POST',
    body: JSON.stringify({ ...ask, background: true, stream: true, ...body }) });

await test('a response in the background is asked for until it is there', async () => {
    const { id: conversation } = await good('/conversations', {});
    const r = await good('/responses', { ...ask, background: true, input: june[0].content, conversation });
    assert.deepEqual([r.status, r.background, r.output, r.usage], ['queued', true, [], null]);
    const last = await ended(r.id);
    assert.deepEqual([last.status, last.id, last.background, last.created_at],
        ['completed', r.id, true, r.created_at]);
    assert.equal(last.output.at(-1).content[0].text, july);
    const two = await good('/responses', { ...ask, input: 'Thanks.', previous_response_id: r.id,
        max_output_tokens: 2 });
    assert.ok(two.usage.input_tokens > last.usage.input_tokens);
    assert.equal((await good(`/conversations/${conversation}/items`)).data.length, 1 + last.output.length);
    assert.deepEqual(await good(`/responses/${r.id}/cancel`, {}), last);
    await bad(400, 'invalid_value', `/responses/${r.id}?stream=true`);
    await bad(400, 'invalid_value', '/responses', { ...ask, background: true, store: false, input: 'x' });
    await bad(404, 'not_found', '/responses/resp_x/cancel', {});
    await bad(404, 'not_found', '/responses/resp_x?stream=true');
});
await test('one that fails says why', async () => {
    const r = await good('/responses', { ...ask, background: true, max_kv: 8, input: 'x '.repeat(50) });
    const last = await ended(r.id);
    assert.deepEqual([last.status, last.error.code, last.output], ['failed', 'invalid_prompt', []]);
    assert.match(last.error.message, /context holds 8/);
});
await test('a stream is taken up again behind any event, while it runs and when it is over', async () => {
    const whole = await begin({ input: june[0].content });
    assert.deepEqual(whole.map((e) => e.sequence_number), whole.map((_, i) => i));
    assert.deepEqual(whole.slice(0, 3).map((e) => [e.type, e.response.status]),
        [['response.created', 'queued'], ['response.queued', 'queued'],
            ['response.in_progress', 'in_progress']]);
    const { response } = whole.at(-1);
    assert.deepEqual(await good(`/responses/${response.id}`), response);
    for (const after of [0, 5, whole.length - 2, whole.length + 5])
        assert.deepEqual(await follow(`/responses/${response.id}?stream=true&starting_after=${after}`),
            whole.slice(after + 1));
    assert.deepEqual(await follow(`/responses/${response.id}?stream=true`), whole);
});
await test('it runs on when its client is gone', async () => {
    const first = await begin({ input: 'Tell me a story.', ...await unending(s), max_output_tokens: 400 },
        (got) => got.length < 5);
    const { id } = first[0].response;
    const two = await Promise.all([3, 4].map((after) =>
        follow(`/responses/${id}?stream=true&starting_after=${after}`)));
    assert.deepEqual(two[0].slice(1), two[1]);
    assert.deepEqual(two[1].map((e) => e.sequence_number), two[1].map((_, i) => i + 5));
    assert.deepEqual([two[1].at(-1).type, two[1].at(-1).response.status],
        ['response.incomplete', 'incomplete']);
    assert.equal((await good(`/responses/${id}`)).status, 'incomplete');
    assert.equal(await metric('background_responses'), 0);
});
await test('cancelling ends it, once; its followers too', async () => {
    const body = { ...ask, ...await unending(s), background: true, input: 'Tell me a story.' };
    const r = await good('/responses', body);
    await runs(r.id);
    const gone = await good(`/responses/${r.id}/cancel`, {});
    assert.deepEqual([gone.id, gone.status, gone.output], [r.id, 'cancelled', []]);
    assert.deepEqual(await good(`/responses/${r.id}/cancel`, {}), gone);
    assert.deepEqual(await good(`/responses/${r.id}`), gone);
    let id;
    const seen = await begin(body, (got) => {
        const [{ data }] = got;
        if (got.length > 4 && !id) call(`/responses/${id = data.response.id}/cancel`, {});
        return true;
    });
    assert.equal((await good(`/responses/${id}`)).status, 'cancelled');
    await until(async () => await metric('background_responses') === 0); // its stream is kept by then
    assert.deepEqual(await follow(`/responses/${id}?stream=true`), seen);
    const other = await good('/responses', body);
    await good(`/responses/${other.id}`, undefined, 'DELETE');
    await bad(404, 'not_found', `/responses/${other.id}`);
    await until(async () => await metric('background_responses') === 0);
});
await test('some run, some wait, and one too many is refused', async () => {
    const busy = [await endless(s), await endless(s)]; // they have the two sessions
    const body = { ...ask, background: true, input: 'Hi.', max_output_tokens: 4 };
    const three = [];
    for (let i = 0; i < 3; i++) three.push(await good('/responses', body));
    const full = await bad(429, 'background_full', '/responses', body);
    assert.equal(full.headers.get('retry-after'), '1');
    await bad(429, 'background_full', '/responses', { ...body, stream: true });
    assert.equal(await metric('background_responses'), 3);
    assert.equal((await good(`/responses/${three[1].id}`)).status, 'queued');
    assert.equal((await good(`/responses/${three[1].id}/cancel`, {})).status, 'cancelled');
    for (const b of busy) b.end();
    assert.equal((await ended(three[0].id)).status, 'incomplete');
    assert.equal((await ended(three[2].id)).status, 'incomplete');
});

// ---- compaction -------------------------------------------------------------------------------------------
const history = [said('user', 'Which month comes after June?'), said('assistant', july),
    { type: 'function_call', call_id: 'c', name: 'get_weather', arguments: '{"city":"Paris"}' },
    { type: 'function_call_output', call_id: 'c', output: sunny }, said('user', 'Thanks.')];
const count = async (input) => (await good('/responses/input_tokens', { ...ask, input })).input_tokens;

await test('compact keeps what the user said, and a summary of all that is read again', async () => {
    const r = await good('/responses/compact', { model: 'm', input: history, instructions: 'Be brief.' });
    assert.deepEqual([r.object, r.output.map((i) => i.type)],
        ['response.compaction', ['message', 'message', 'compaction']]);
    assert.deepEqual(r.output.slice(0, 2).map((i) => [i.role, i.content[0].text]),
        [['user', 'Which month comes after June?'], ['user', 'Thanks.']]);
    assert.ok(r.usage.input_tokens > 50 && r.usage.total_tokens ===
        r.usage.input_tokens + r.usage.output_tokens);
    const item = r.output.at(-1);
    assert.match(item.id, /^cmp_/);
    const summary = item.encrypted_content.replace('gossamer:1:', '');
    assert.equal(await count([...r.output, said('user', 'Go on.')]), await count([...r.output.slice(0, 2),
        said('user', `What was said before, as the assistant summed it up:\n\n${summary}`),
        said('user', 'Go on.')]));
    const again = await good('/responses/compact', { model: 'm',
        input: [...r.output, said('user', 'Go on.')] });
    assert.deepEqual(again.output.map((i) => i.content?.[0].text),
        ['Which month comes after June?', 'Thanks.', 'Go on.', undefined]);
    const kept = await good('/responses', { ...ask, input: 'Hello!', max_output_tokens: 8 });
    const by = await good('/responses/compact', { model: 'm', previous_response_id: kept.id });
    assert.deepEqual(by.output.map((i) => i.type), ['message', 'compaction']);
    await bad(404, 'previous_response_not_found', '/responses/compact', { previous_response_id: 'x' });
    await bad(400, 'invalid_value', '/responses/compact', { model: 'm' });
});
await test('a compaction of another server is told of; conversations take compactions', async () => {
    const { id } = await good('/conversations', { items: [
        { type: 'compaction', encrypted_content: 'gossamer:1:All is well.' }] });
    const r = await good('/responses', { ...ask, conversation: id, input: 'Hi.', max_output_tokens: 2 });
    assert.equal(r.usage.input_tokens, await count([
        said('user', 'What was said before, as the assistant summed it up:\n\nAll is well.'),
        said('user', 'Hi.')]));
    assert.ok(await count([{ type: 'compaction', encrypted_content: 'gAAAA' }, said('user', 'Hi.')]) >
        await count([said('user', 'Hi.')]));
});
await test('a trigger at the end makes the answer one compaction, whole and streamed', async () => {
    const body = { ...ask, tools: [weather], input: [...history, { type: 'compaction_trigger' }] };
    const r = await good('/responses', body);
    assert.deepEqual(r.output.map((i) => i.type), ['compaction']);
    const all = events((await post(s.url + '/v1/responses', { ...body, stream: true })).text)
        .map((e) => e.data);
    assert.deepEqual(all.map((e) => e.type), ['response.created', 'response.in_progress',
        'response.output_item.added', 'response.output_item.done', 'response.completed']);
    assert.deepEqual(all[4].response.output, [all[3].item]);
    assert.equal(all[3].item.encrypted_content, r.output[0].encrypted_content);
    const next = await good('/responses', { ...ask, previous_response_id: r.id, input: 'Hi.',
        max_output_tokens: 2 });
    assert.equal(next.usage.input_tokens, await count([r.output[0], said('user', 'Hi.')]));
});
await test('an input of which nothing can be shown is refused', async () => {
    const input = [{ type: 'web_search_call', id: 'ws_1' }, { type: 'unheard_of', content: 'Hi' }];
    const r = await bad(400, 'invalid_value', '/responses', { ...ask, input });
    assert.match(r.text, /input has no item that can be shown/);
    await good('/responses', { ...ask, max_output_tokens: 1, input: [...input, ...june] });
});
await s.stop();

// ---- bounds -----------------------------------------------------------------------------------------------
await test('very many conversations, and large ones, make room for each other', async () => {
    const few = await serve([model, '--store', '40', '--store-bytes', '8M', '--max-body', '2M',
        '--max-messages', '50']);
    const make = (items) => good('/conversations', { items }, 'POST', few);
    const used = await make([said('user', 'Stay.')]);
    let last;
    for (let i = 0; i < 300; i++) {
        last = await make([said('user', `${i}`)]);
        if (i % 20 === 0) await good(`/conversations/${used.id}`, undefined, 'GET', few);
    }
    assert.equal(await metric('stored_conversations', few), 40);
    await good(`/conversations/${last.id}`, undefined, 'GET', few);
    await good(`/conversations/${used.id}`, undefined, 'GET', few); // what is used stays
    for (let i = 0; i < 20; i++) {
        last = await make([said('user', 'x'.repeat(1e6))]);
        assert.ok(await metric('stored_bytes', few) <= 8 << 20);
    }
    assert.ok(await metric('stored_conversations', few) <= 8);
    // one alone has as many items as a request may have, and as many bytes
    await bad(400, 'conversation_full', `/conversations/${last.id}/items`,
        { items: [said('user', 'x'.repeat(1.5e6))] }, 'POST', few);
    const { id } = await make([]);
    for (let i = 0; i < 5; i++)
        await good(`/conversations/${id}/items`, { items: Array(10).fill(said('user', 'a')) }, 'POST', few);
    await bad(400, 'conversation_full', `/conversations/${id}/items`, { items: [said('user', 'a')] }, 'POST',
        few);
    assert.equal((await good(`/conversations/${id}/items?limit=100`, undefined, 'GET', few)).data.length, 50);
    await few.stop();
});
await test('one that takes too long fails, and the end of the server ends it', async () => {
    const t = await serve([model, '--background-time', '1', '--drain', '1']);
    const body = { ...ask, ...await unending(t), background: true, input: 'Tell me a story.' };
    const r = await good('/responses', body, 'POST', t);
    const last = await until(async () => {
        const now = await good(`/responses/${r.id}`, undefined, 'GET', t);
        return now.status === 'failed' && now;
    });
    assert.match(last.error.message, /--background-time/);
    await t.stop();
    const u = await serve([model, '--drain', '1']);
    const stream = await fetch(u.url + '/v1/responses', { method: 'POST',
        body: JSON.stringify({ ...body, stream: true }) });
    const reader = stream.body.getReader();
    await reader.read();
    u.kill('SIGTERM');
    let text = '';
    for (let got = await reader.read(); !got.done; got = await reader.read())
        text += Buffer.from(got.value).toString();
    assert.match(text, /event: response.failed\ndata: [^\n]*server is stopping/);
    assert.deepEqual(await u.exited, { code: 0, signal: null });
});
finish();
