// reasoning.mjs - the reasoning budget in every protocol: by each name that clients send, and as the server's
// default.
import { assert, events, finish, july, june, post, serve, test, tools } from './lib.mjs';

const s = await serve(['--log', 'none']);
const base = { temperature: 0, messages: june };
const thought = (j) => j.choices[0].message.reasoning_content ?? '';

await test('chat: no longer than the budget, and an answer follows', async () => {
    const whole = (await post(s.url + '/v1/chat/completions', base)).json;
    assert.ok(thought(whole).length > 20, JSON.stringify(whole));
    for (const name of ['reasoning_budget_tokens', 'reasoning_budget', 'thinking_token_budget'])
        for (const n of [0, 1, 4]) {
            const { json } = await post(s.url + '/v1/chat/completions', { ...base, [name]: n });
            assert.ok(whole.choices[0].message.reasoning_content.startsWith(thought(json)));
            assert.equal(json.usage.completion_tokens_details.reasoning_tokens > 0, n > 0);
            if (!n) assert.equal(thought(json), '');
            else assert.ok(thought(json) && thought(json).length < thought(whole).length);
            assert.ok(json.choices[0].message.content.length > 1);
            assert.equal(json.choices[0].finish_reason, 'stop');
        }
    const { json } = await post(s.url + '/v1/chat/completions', { ...base, reasoning_budget_tokens: -1 });
    assert.equal(thought(json), thought(whole));
    for (const bad of [-2, 1.5, 'x', {}])
        assert.equal((await post(s.url + '/v1/chat/completions',
            { ...base, reasoning_budget_tokens: bad })).status, 400, JSON.stringify(bad));
});
await test('chat: the model may still call a tool, streamed too', async () => {
    const body = { temperature: 0, tools, reasoning_budget_tokens: 0,
        messages: [{ role: 'user', content: 'What is the weather in Paris?' }] };
    const { json } = await post(s.url + '/v1/chat/completions', body);
    assert.equal(json.choices[0].message.tool_calls?.[0].function.name, 'get_weather');
    const { text } = await post(s.url + '/v1/chat/completions', { ...body, stream: true });
    const deltas = events(text).flatMap((e) => e.data?.choices ?? []).map((c) => c.delta);
    assert.ok(deltas.some((d) => d.tool_calls?.[0].function.name === 'get_weather'));
    assert.ok(!deltas.some((d) => d.reasoning_content));
});
await test('messages: thinking.budget_tokens bounds it, disabled means none', async () => {
    const ask = async (thinking) => (await post(s.url + '/v1/messages',
        { ...base, max_tokens: 200, ...thinking })).json;
    const kinds = (j) => j.content.map((b) => b.type).join();
    const whole = await ask({ thinking: { type: 'enabled', budget_tokens: 4096 } });
    assert.equal(kinds(whole), 'thinking,text');
    const short = await ask({ thinking: { type: 'enabled', budget_tokens: 3 } });
    assert.equal(kinds(short), 'thinking,text');
    assert.ok(short.content[0].thinking.length < whole.content[0].thinking.length);
    const none = await ask({ thinking: { type: 'disabled' } });
    assert.equal(kinds(none), 'text');
    assert.ok(none.usage.output_tokens < whole.usage.output_tokens);
});
await test('responses, Ollama and completions take it too', async () => {
    const r = (await post(s.url + '/v1/responses', { input: june[0].content, temperature: 0,
        reasoning_budget_tokens: 0 })).json;
    assert.ok(!r.output.some((o) => o.type === 'reasoning'));
    assert.ok(r.output.some((o) => o.type === 'message'));
    const o = (await post(s.url + '/api/chat', { messages: june, stream: false, think: true,
        options: { temperature: 0, reasoning_budget: 2 } })).json;
    assert.ok(o.message.thinking.length < 24 && o.message.content, JSON.stringify(o));
    const c = await post(s.url + '/v1/completions',
        { prompt: 'x', max_tokens: 2, reasoning_budget_tokens: 0 });
    assert.equal(c.status, 200);
});
await test('a turn that the model ends behind its reasoning goes on to its answer', async () => {
    const id = async (content) => (await post(s.url + '/tokenize', { content,
        special: true })).json.tokens[0];
    // The reasoning can't end as a message does, but as a turn does.
    const ends = { [await id('<|end|>')]: -100, [await id('<|return|>')]: 10 };
    const ask = { messages: june, temperature: 0, logit_bias: ends };
    const { choices: [c], usage } = (await post(s.url + '/v1/chat/completions', ask)).json;
    assert.deepEqual([c.message.content, c.finish_reason, usage.prompt_tokens], [july, 'stop', 72]);
    assert.ok(c.message.reasoning.length > 20 && usage.completion_tokens > 20);
    const pieces = events((await post(s.url + '/v1/chat/completions', { ...ask, stream: true })).text)
        .flatMap((e) => e.data.choices ?? []);
    assert.equal(pieces.map((p) => p.delta.content ?? '').join(''), july);
    assert.equal(pieces.filter((p) => p.finish_reason).length, 1);
    const r = (await post(s.url + '/v1/responses', { input: june[0].content, temperature: 0,
        logit_bias: ends })).json;
    assert.deepEqual(r.output.map((i) => i.type), ['reasoning', 'message']);
    const short = (await post(s.url + '/v1/chat/completions', { ...ask,
        max_tokens: usage.completion_tokens - 3 })).json;
    assert.equal(short.choices[0].finish_reason, 'length');
    assert.equal(short.usage.completion_tokens, usage.completion_tokens - 3);
});
await test('serve --reasoning-budget is what holds where a request says nothing', async () => {
    const t = await serve(['--log', 'none', '--reasoning-budget', '0']);
    assert.equal(thought((await post(t.url + '/v1/chat/completions', base)).json), '');
    assert.ok(thought((await post(t.url + '/v1/chat/completions', { ...base, reasoning_budget: -1 })).json));
    await t.stop();
});
await s.stop();
finish();
