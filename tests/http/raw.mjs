// raw.mjs - requests as bytes: cut at every point, byte by byte, pipelined; bad JSON of every kind; the other
// protocols' shapes; limits.
import { spawnSync } from 'node:child_process';
import {
    assert, events, finish, july, june, model, parse, post, program, raw, serve, sleep, sunny, test, tools,
} from './lib.mjs';

const s = await serve(['--queue', '256', '--max-body', '64K', '--max-depth', '32', '--max-tools', '4',
    '--max-schema', '2K', '--max-stops', '3', '--max-messages', '20']);
const body = JSON.stringify({ messages: june, temperature: 0, max_tokens: 3 });
const request = (path, text, extra = '') => `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${s.port}\r\n` +
    `Content-Type: application/json\r\n${extra}Content-Length: ${Buffer.byteLength(text)}\r\n` +
    `Connection: close\r\n\r\n${text}`;

// ---- transcripts ------------------------------------------------------------------------------------------
await test('a request cut in two at every point', async () => {
    const text = request('/tokenize', '{"content":"Hello"}');
    const whole = parse(await raw(s.port, text));
    assert.equal(whole.status, 200);
    const answers = [];
    for (let i = 1; i < text.length; i++)
        answers.push(raw(s.port, [text.slice(0, i), text.slice(i)], { pause: 15 }).then(parse));
    for (const a of await Promise.all(answers)) {
        assert.equal(a.status, 200);
        assert.equal(a.body, whole.body);
    }
});
await test('a request byte by byte, and an answer read slowly', async () => {
    const a = parse(await raw(s.port, [...request('/v1/chat/completions', body)], { pause: 3 }));
    assert.equal(a.status, 200);
    assert.equal(JSON.parse(a.body).usage.completion_tokens, 3);
});
await test('keep-alive and pipelining', async () => {
    const one = request('/tokenize', '{"content":"Hello"}').replace('Connection: close\r\n', '');
    const answer = await raw(s.port, one + one + request('/tokenize', '{"content":"Hello"}'));
    assert.equal(answer.split('HTTP/1.1 200').length, 4);
});
await test('chunked request bodies and Expect: 100-continue', async () => {
    const text = '{"content":"Hello"}';
    const a = await raw(s.port, 'POST /tokenize HTTP/1.1\r\nHost: localhost\r\n' +
        'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n' +
        `${[...text].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`);
    assert.equal(parse(a).status, 200);
    const e = await raw(s.port, request('/tokenize', text, 'Expect: 100-continue\r\n'));
    assert.match(e, /100 Continue/);
    assert.match(e, /HTTP\/1.1 200/);
});
await test('malformed HTTP is answered or closed, and harms nobody', async () => {
    for (const text of ['GARBAGE\r\n\r\n', 'GET\r\n\r\n', '\0\0\0\0\r\n\r\n',
        'POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\nConnection: close\r\n\r\n',
        'POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: zzz\r\nConnection: close\r\n\r\n',
        'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n']) {
        const a = await raw(s.port, text, { timeout: 2000 }).catch(() => 'closed');
        assert.ok(!a.startsWith('HTTP/1.1 200'), text);
    }
    assert.equal((await fetch(s.url + '/health')).status, 200);
});
await test('a large header gives 431, a long path 404 or 414', async () => {
    assert.equal(parse(await raw(s.port,
        `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(40000)}\r\n\r\n`)).status, 431);
    assert.ok([404, 400, 414].includes(parse(await raw(s.port,
        `GET /${'a'.repeat(3000)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)).status));
});

// ---- JSON -------------------------------------------------------------------------------------------------
const deep = (n) => '{"messages":' + '['.repeat(n) + ']'.repeat(n) + '}';
await test('bad JSON of every kind: 400 with a position', async () => {
    const bad = ['', ' ', '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '[1,]',
        '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":+1}', '{"a":1e}', '{"a":NaN}', '{"a":Infinity}',
        "{'a':1}", '{"a":"\\x"}', '{"a":"\\u12"}', '{"a":"\t"}', '{"a":"',
        '{"a":tru}', '{"a":true}x', '{"a":1}{"b":2}', '{"a":1,"a":2}', '{a:1}', '/*x*/{}',
        'nul', deep(40), deep(4000), '"text"', '[]', '5', '{"messages":"\u0000"}'];
    for (const text of bad) {
        for (const path of ['/v1/chat/completions', '/v1/responses']) {
            const r = await post(s.url + path, text);
            assert.equal(r.status, 400, `${path} ${text.slice(0, 60)} -> ${r.status}`);
            assert.equal(typeof r.json.error.position, 'number', text.slice(0, 60));
            assert.equal(r.json.error.type, 'invalid_request_error');
        }
    }
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf5, 0x80, 0x80, 0x80]]) {
        const r = await post(s.url + '/tokenize',
            Buffer.concat([Buffer.from('{"content":"'), Buffer.from(bytes), Buffer.from('"}')]));
        assert.equal(r.status, 400, bytes.join());
        assert.equal(r.json.error.position, 12, bytes.join());
    }
});
await test('limits: body, depth, tools, schema, stops, messages', async () => {
    const big = await post(s.url + '/v1/chat/completions',
        { messages: [{ role: 'user', content: 'x'.repeat(70000) }] });
    assert.deepEqual([big.status, big.json.error.code], [413, 'body_too_large']);
    const chunked = await raw(s.port, [
        'POST /tokenize HTTP/1.1\r\nHost: localhost\r\n' +
        'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n',
        ...Array(70).fill(`400\r\n${'x'.repeat(1024)}\r\n`), '0\r\n\r\n']);
    assert.equal(parse(chunked).status, 413);
    const over = async (extra, param) => {
        const r = await post(s.url + '/v1/chat/completions', { messages: june, ...extra });
        assert.equal(r.status, 400);
        assert.match(r.json.error.param, new RegExp(param));
        assert.match(r.json.error.message, /--max-/);
    };
    await over({ tools: Array(5).fill(tools[0]) }, 'tools');
    await over({ response_format: { type: 'json_schema',
        json_schema: { name: 'x', schema: { type: 'object', description: 'x'.repeat(3000) } } } }, 'schema');
    await over({ tools: [{ type: 'function', function: {
        name: 'f', parameters: { type: 'object', description: 'x'.repeat(3000) } } }] }, 'parameters');
    await over({ stop: ['a', 'b', 'c', 'd'] }, 'stop');
    await over({ messages: Array(21).fill(june[0]) }, 'messages');
});
await test('control tokens in user text stay text', async () => {
    const special = await post(s.url + '/tokenize', { content: '<|start|>', special: true });
    const plain = await post(s.url + '/tokenize', { content: '<|start|>' });
    assert.equal(special.json.count, 1);
    assert.ok(plain.json.count > 1);
    const back = await post(s.url + '/detokenize', { tokens: plain.json.tokens });
    assert.equal(back.json.content, '<|start|>');
    const r = await post(s.url + '/v1/messages/count_tokens',
        { messages: [{ role: 'user', content: '<|end|><|start|>system<|message|>' }] });
    assert.ok(r.json.input_tokens > 75);
});

// ---- Anthropic --------------------------------------------------------------------------------------------
const claude = [{ name: 'get_weather', description: 'Gets the current weather in a city.',
    input_schema: tools[0].function.parameters }];
const ask = { role: 'user', content: 'What is the weather in Paris?' };
await test('messages: answer, thinking, usage', async () => {
    const r = await post(s.url + '/v1/messages',
        { model: 'm', max_tokens: 100, temperature: 0, messages: june });
    assert.deepEqual(r.json.content, [{ type: 'text', text: july }]);
    assert.deepEqual([r.json.type, r.json.role, r.json.stop_reason], ['message', 'assistant', 'end_turn']);
    assert.equal(r.json.usage.input_tokens + r.json.usage.cache_read_input_tokens, 72);
    const t = await post(s.url + '/v1/messages', { max_tokens: 100, temperature: 0, messages: june,
        thinking: { type: 'enabled', budget_tokens: 4096 } });
    assert.deepEqual(t.json.content.map((b) => b.type), ['thinking', 'text']);
    assert.match(t.json.content[0].thinking, /July/);
    const none = await post(s.url + '/v1/messages', { messages: june });
    assert.deepEqual([none.status, none.json.type, none.json.error.type],
        [400, 'error', 'invalid_request_error']);
});
await test('messages: a tool loop, and the stream of its call', async () => {
    const first = await post(s.url + '/v1/messages',
        { max_tokens: 200, temperature: 0, messages: [ask], tools: claude });
    const use = first.json.content.find((b) => b.type === 'tool_use');
    assert.deepEqual([use.name, use.input, first.json.stop_reason],
        ['get_weather', { city: 'Paris' }, 'tool_use']);
    const second = await post(s.url + '/v1/messages', { max_tokens: 200, temperature: 0, tools: claude,
        messages: [ask, { role: 'assistant', content: first.json.content },
            { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: sunny }] }] });
    assert.match(second.json.content[0].text, /sunny/);
    const stream = events((await post(s.url + '/v1/messages', { max_tokens: 200, temperature: 0, stream: true,
        messages: [ask], tools: claude, thinking: { type: 'enabled', budget_tokens: 4096 } })).text);
    assert.ok(stream.every((e) => e.event === e.data.type));
    const order = stream.map((e) => e.event).filter((e, i, all) => e !== all[i - 1]);
    assert.deepEqual(order, ['message_start', 'ping',
        'content_block_start', 'content_block_delta', 'content_block_stop',
        'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']);
    const args = stream.filter((e) => e.data.delta?.type === 'input_json_delta')
        .map((e) => e.data.delta.partial_json).join('');
    assert.deepEqual(JSON.parse(args), { city: 'Paris' });
    assert.equal(stream.find((e) => e.event === 'message_delta').data.delta.stop_reason, 'tool_use');
});

// ---- Ollama -----------------------------------------------------------------------------------------------
const lines = (text) => text.trim().split('\n').map((l) => JSON.parse(l));
await test('Ollama: chat streams lines, the last one with durations', async () => {
    const r = lines((await post(s.url + '/api/chat',
        { model: 'demo-gptoss:latest', messages: june, options: { temperature: 0 } })).text);
    assert.equal(r.map((l) => l.message?.content ?? '').join(''), july);
    assert.match(r.map((l) => l.message?.thinking ?? '').join(''), /July/);
    const last = r.at(-1);
    assert.equal(last.done, true);
    assert.equal(last.done_reason, 'stop');
    assert.equal(last.eval_count, 26);
    for (const k of ['total_duration', 'prompt_eval_duration', 'eval_duration']) assert.ok(last[k] > 0, k);
    assert.ok(r.slice(0, -1).every((l) => l.done === false));
});
await test('Ollama: whole answers, generate, tools, format, tags', async () => {
    const c = (await post(s.url + '/api/chat',
        { messages: june, stream: false, think: false, options: { temperature: 0 } })).json;
    assert.match(c.message.content, /July/);
    assert.equal(c.message.thinking, undefined);
    const g = (await post(s.url + '/api/generate',
        { prompt: 'Which month comes after June?', stream: false, options: { temperature: 0 } })).json;
    assert.equal(g.response, july);
    const raw1 = (await post(s.url + '/api/generate', { prompt: 'Once upon a time', raw: true, stream: false,
        options: { temperature: 0, num_predict: 8 } })).json;
    assert.ok(raw1.response.startsWith(', near a'));
    const t = lines((await post(s.url + '/api/chat',
        { messages: [ask], tools, options: { temperature: 0 } })).text);
    const call = t.flatMap((l) => l.message.tool_calls ?? [])[0];
    assert.deepEqual(call.function, { name: 'get_weather', arguments: { city: 'Paris' } });
    const after = (await post(s.url + '/api/chat', { stream: false, tools, options: { temperature: 0 },
        messages: [ask, { role: 'assistant', content: '', tool_calls: [call] },
            { role: 'tool', tool_name: 'get_weather', content: sunny }] })).json;
    assert.match(after.message.content, /sunny/);
    const f = (await post(s.url + '/api/generate', {
        prompt: 'Which month comes after June?', stream: false, options: { temperature: 0 },
        format: { type: 'object', properties: { month: { enum: ['July', 'May'] } },
            required: ['month'], additionalProperties: false } })).json;
    assert.ok(['July', 'May'].includes(JSON.parse(f.response).month));
    const tags = await (await fetch(s.url + '/api/tags')).json();
    assert.equal(tags.models[0].name, 'demo-gptoss');
    assert.equal(tags.models[0].details.family, 'gpt-oss');
    for (const [target, body] of [
        ['/api/generate', {}], ['/api/generate', { prompt: '' }], ['/api/chat', { messages: [] }]])
        assert.deepEqual(
            (({ done, done_reason: why }) => [done, why])((await post(s.url + target, body)).json),
            [true, 'load']);
    const show = (await post(s.url + '/api/show', { model: 'demo-gptoss' })).json;
    assert.deepEqual(show.capabilities, ['completion', 'embedding', 'tools', 'thinking']);
    assert.equal(show.model_info[`${show.model_info['general.architecture']}.context_length`], 131072);
    assert.deepEqual([show.details.parameter_size, show.details.format], ['15.2M', 'gguf']);
    assert.match(show.modified_at, /^20\d\d-\d\d-\d\dT/);
    assert.match(tags.models[0].digest, /^[0-9a-f]{64}$/);
    const bad = await post(s.url + '/api/chat', { messages: 5 });
    assert.deepEqual([bad.status, typeof bad.json.error], [400, 'string']);
});

await test('Ollama: ps, and keep_alive unloads a model or keeps it', async () => {
    const loaded = async (n) => {
        for (let i = 0; ; i++, await sleep(20)) {
            const list = (await (await fetch(s.url + '/api/ps')).json()).models;
            if (list.length === n) return list[0];
            assert.ok(i < 250, `${list.length} are loaded, not ${n}`);
        }
    };
    const ask = async (body) => (await post(s.url + '/api/generate',
        { model: 'demo-gptoss', stream: false, options: { temperature: 0 }, ...body })).json;
    await ask({});
    const m = await loaded(1);
    assert.deepEqual([m.name, m.model, m.details.family, m.size_vram, m.context_length],
        ['demo-gptoss', 'demo-gptoss', 'gpt-oss', 0, 131072]);
    assert.ok(m.size >= 11000000 && m.size < 2e9, String(m.size));
    assert.ok(Date.parse(m.expires_at) > Date.now() + 1e12); // without --keep-alive: never
    const running = post(s.url + '/api/generate', { prompt: 'Once upon a time', raw: true, stream: false,
        options: { temperature: 0, num_predict: 200 } });
    await sleep(30);
    assert.equal((await ask({ keep_alive: 0 })).done_reason, 'unload');
    assert.ok((await running).json.eval_count > 20); // it ends first
    await loaded(0);
    assert.deepEqual((({ status, loaded: l }) => [status, l])(await (await fetch(s.url + '/health')).json()),
        ['ok', false]);
    assert.equal((await ask({ prompt: 'Which month comes after June?', keep_alive: '1h30m' })).response,
        july); // loads it again
    for (let i = 0; ; i++, await sleep(20)) {
        const left = Date.parse((await loaded(1)).expires_at) - Date.now();
        if (Math.abs(left - 5400000) < 5000) break;
        assert.ok(i < 100, `${left} ms left`);
    }
    assert.equal((await ask({ prompt: 'Which month comes after June?', keep_alive: 0 })).response, july);
    await loaded(0);
    await ask({ keep_alive: 0.3 });
    await loaded(1);
    await loaded(0);
    assert.match((await ask({ keep_alive: '10' })).error, /keep_alive must be/);
    await ask({ keep_alive: -1 });
    await loaded(1);
});

// ---- ours -------------------------------------------------------------------------------------------------
await test('telemetry on the stream, of this session only', async () => {
    const [mine, other] = await Promise.all([
        post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, stream: true,
            telemetry: true, telemetry_top_k: 4 }),
        post(s.url + '/v1/chat/completions', {
            messages: [{ role: 'user', content: 'What is the capital of France?' }],
            temperature: 0, stream: true, telemetry: true }),
    ]);
    const extras = events(mine.text).map((e) => e.data.extra).filter(Boolean);
    assert.ok(extras.length > 5);
    const told = extras.find((x) => x.token_id !== undefined);
    assert.equal(told.top_k.length, 4);
    assert.ok(told.entropy >= 0);
    const tokens = extras.flatMap((x) => x.telemetry ?? [])
        .filter((t) => t.event?.type === 'token_generated').map((t) => t.event.token_text).join('');
    assert.match(tokens, /July comes after June/);
    assert.ok(!tokens.includes('Paris'));
    assert.ok(other.text.includes('Paris'));
    assert.ok(extras.at(-1).stats.generated_tokens === 26);
    assert.ok(extras.flatMap((x) => x.telemetry ?? [])
        .some((t) => t.type === 'inference_stage' && t.stage === 'prefill'));
});
// What `gossamer probe attention` says of the last of these tokens: [[position, weight]].
function probed(ids, layer, head) {
    const { stdout } = spawnSync(program, ['probe', 'attention', model, '--backend', 'cpu', '--tokens',
        ids.join(','), '--layer', layer, '--head', head], { encoding: 'utf8' });
    const [, said] = /the last token looks at:(.*)/.exec(stdout);
    return [...said.matchAll(/(\d+) (\d\.\d+)/g)].map((m) => [+m[1], +m[2]]);
}
await test('telemetry: the prompt, what a head looked at, the experts; what is reused counts', async () => {
    const told = async (messages, fields) => {
        const r = await post(s.url + '/v1/chat/completions', { messages, temperature: 0, stream: true,
            telemetry: true, max_tokens: 20, ...fields });
        const streamed = r.status === 200 ? events(r.text) : [];
        return { r, lines: streamed.flatMap((e) => e.data?.extra?.telemetry ?? []) };
    };
    const of = (lines, type) => lines.filter((t) => t.event?.type === type).map((t) => t.event);
    await told(june, {});
    const { lines } = await told(june, { telemetry_layer: 2, telemetry_head: 5 });
    assert.ok(lines.some((t) => t.stage === 'prefix_reuse'), 'nothing was reused');
    const config = lines.find((t) => t.stage === 'model_config').detail;
    assert.match(config, /blocks=6 .*heads=16 .*experts=16 topk=4/);
    const [prompt] = of(lines, 'prompt_tokens'), seen = of(lines, 'seen');
    const made = of(lines, 'token_generated').map((t) => t.token_id);
    assert.equal(seen.length, made.length);
    assert.equal(prompt.first, 0);
    assert.match(prompt.tokens.map((t) => t[1]).join(''), /<\|user\|>|user<\|message\|>Which month/);
    const ids = prompt.tokens.map((t) => t[0]);
    for (const i of [0, 1, 9, 19]) { // the row before token i chose it
        const { layer, head, looks, experts } = seen[i], want = probed([...ids, ...made.slice(0, i)], 2, 5);
        assert.deepEqual([layer, head, experts.length], [2, 5, 24]);
        assert.ok(want.length >= 3);
        for (const [position, weight] of want) {
            const got = looks.find((l) => l[0] === position)?.[1];
            assert.ok(Math.abs(got - weight) < 0.01, `row ${i}: ${position} ${got}, probe says ${weight}`);
        }
        const layers = [0, 4, 8, 12, 16, 20].map((at) => experts.slice(at, at + 4));
        const sums = layers.map((l) => l.reduce((n, e) => n + e[1], 0));
        for (const sum of sums) assert.ok(Math.abs(sum - 1) < 0.001, `experts' weights: ${sum}`);
    }
    const { r } = await told(june, { telemetry_layer: 6 });
    assert.equal(r.status, 400);
    assert.match(r.text, /layer 6, head 0 can't be watched: the model has 6 and 16/);
    const silent = await post(s.url + '/v1/chat/completions',
        { messages: june, temperature: 0, stream: true });
    assert.doesNotMatch(silent.text, /"seen"|prompt_tokens/);
});
await test('prefix reuse across requests', async () => {
    const chat = [...june,
        { role: 'assistant', content: july,
            reasoning_content: 'The months go in order. After June comes July.' },
        { role: 'user', content: 'Hello!' }];
    await post(s.url + '/v1/chat/completions', { messages: june, temperature: 0 });
    await sleep(500);
    const r = await post(s.url + '/v1/chat/completions', { messages: chat, temperature: 0, max_tokens: 2 });
    assert.ok(r.json.usage.prompt_tokens_details.cached_tokens >= 60, JSON.stringify(r.json.usage));
});
await test('several answers to one prompt: it is computed once', async () => {
    const messages = [{ role: 'system', content: 'You watch crows. '.repeat(40) },
        { role: 'user', content: 'Which month comes after June?' }];
    const r = await post(s.url + '/v1/chat/completions', { messages, temperature: 0, max_tokens: 30, n: 3 });
    assert.equal(new Set(r.json.choices.map((c) => c.message.content)).size, 1);
    await sleep(300);                                      // the engine's figures come five times a second
    const joined = Number((await (await fetch(s.url + '/metrics')).text())
        .match(/^gossamer_joined_tokens_total (.*)$/m)[1]);
    const n = r.json.usage.prompt_tokens;
    assert.ok(n > 200 && joined >= 2 * (n - 1), `${joined} of ${n}`);
});
await test('what is not there is not there, whatever the method', async () => {
    for (const p of ['/v1/audio/speech', '/api/push', '/nothing']) {
        assert.equal((await post(s.url + p, {})).status, 404, p);
        assert.equal((await fetch(s.url + p)).status, 404, p);
    }
    assert.equal((await post(s.url + '/v1/models', {})).status, 405);
    // a method is a word, not a part of one
    const head = ' /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    for (const method of ['T', 'GE', 'HEA', 'GETS', ',']) {
        const { status } = parse(await raw(s.port, [method + head]));
        assert.ok(status === 405 || status === 400, `${method}: ${status}`);
    }
    const d = await post(s.url + '/detokenize', { tokens: [-1] });
    assert.deepEqual([d.status, d.json.error.param], [400, 'tokens']);
    assert.equal((await post(s.url + '/v1/completions', { prompt: [999999999] })).status, 400);
    await sleep(100);
    await s.said(/"POST \/v1\/completions" 400 .* invalid_value/);
});
await test('metrics count what happened', async () => {
    await post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, max_tokens: 60,
        response_format: { type: 'json_object' } });
    await sleep(300);                                      // the engine's figures come five times a second
    const text = await (await fetch(s.url + '/metrics')).text();
    const value = (name) =>
        Number(text.match(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (.*)$`, 'm'))?.[1]);
    assert.ok(value('gossamer_generated_tokens_total') > 100);
    assert.ok(value('gossamer_requests_total{route="chat",status="4xx"}') > 30);
    assert.ok(value('gossamer_first_token_seconds_count') > 5);
    assert.equal(value('gossamer_jobs_running'), 0);
    const masks = ['guarded_tokens_total', 'schema_tokens_total', 'kv_shared_bytes']
        .map((n) => value('gossamer_' + n));
    assert.ok(masks[0] > 10 && masks[1] > 5 && masks[2] > 0, String(masks));
    for (const line of text.trim().split('\n'))
        assert.match(line, /^(# (HELP|TYPE) gossamer_\w+ .+|gossamer_\w+(\{[^}]*\})? -?[0-9.e+-]+)$/);
});
await test('a variant: fewer layers on demand', async () => {
    const r = await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 8, layers: 2 });
    const full = await post(s.url + '/v1/completions',
        { prompt: 'Once upon a time', temperature: 0, max_tokens: 8 });
    assert.equal(r.status, 200);
    assert.notEqual(r.json.choices[0].text, full.json.choices[0].text);
});
await s.stop();
finish();
