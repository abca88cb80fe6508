// budget.mjs - one client against the others: hostile schemas, tools and bodies, while somebody else asks for
// little things. What they cost the engine's thread at a stretch, besides the model's own steps, is the
// server's own figure (/metrics, engine_own_seconds_longest, processor time): the machine may be busy.
import fs from 'node:fs';
import { assert, finish, june, july, post, serve, test } from './lib.mjs';

const MOST = 0.020;                      // seconds
const metric = async (s, name) => {
    const text = await (await fetch(s.url + '/metrics')).text();
    return Number(text.match(new RegExp(`^gossamer_${name} (.*)$`, 'm'))?.[1]);
};
const chat = (s, extra = {}) =>
    post(s.url + '/v1/chat/completions', { messages: june, temperature: 0, max_tokens: 40, ...extra });
const schema = (of) => ({ response_format: { type: 'json_schema',
    json_schema: { name: 'x', strict: true, schema: of } } });
const pattern = (p) => schema({ type: 'object', properties: { a: { type: 'string', pattern: p } },
    required: ['a'], additionalProperties: false });
const strict = (name, parameters) => ({ type: 'function', function: { name, strict: true, parameters } });
const peak = (s) =>
    Number(fs.readFileSync(`/proc/${s.pid}/status`, 'utf8').match(/VmHWM:\s*(\d+)/)[1]) / 1024; // MB

// Runs the attack; meanwhile somebody asks for something small again and again. All of it must be right.
async function beside(s, attack) {
    let over = false, asked = 0, slowest = 0;
    const others = (async () => {
        while (!over) {
            const t0 = performance.now();
            const r = await post(s.url + '/tokenize', { content: 'a small question' });
            slowest = Math.max(slowest, performance.now() - t0);
            assert.equal(r.status, 200);
            asked++;
        }
    })();
    try { await attack(); } finally { over = true; await others; }
    const own = await metric(s, 'engine_own_seconds_longest');
    if (process.env.VERBOSE)
        console.log(`      own ${own * 1000} ms, ${asked} asked, slowest ${Math.round(slowest)} ms`);
    assert.ok(asked > 0 && own <= MOST, `the engine's thread was held for ${own} s`);
}

await test('patterns with very many ways to match hold nobody', async () => {
    const s = await serve();
    const all = ['^(.?){256}$', '^(.?.?){250}$', '^(a|b|ab|ba|.)*(a|b)(.){200}$',
        '^(\\w|\\d|[a-f]|.){0,250}x(\\w|\\d|.){0,250}$',
        '(.?){256}', '^((((a?){20}){20}){20}){20}$', '^((((){256}){256}){256}){256}$', '^(.{0,250}){0,250}$',
        `^(${Array.from({ length: 59 }, (_, i) => `.{${i + 1}}`).join('|')})*$`,
        'a.*b.*c.*d.*e.*'.repeat(20)];
    await beside(s, async () => {
        const answers = await Promise.all(all.map((p) => chat(s, pattern(p))));
        for (const [i, r] of answers.entries()) {
            assert.ok(r.status === 200 || r.status === 400, `${all[i]}: ${r.status}`);
            if (r.status === 400) assert.match(r.json.error.message, /schema/, all[i]);
        }
        assert.equal(answers[6].status, 200);          // counts of nothing are nothing
        assert.equal(answers[7].status, 400);          // 62,500 copies of a class
    });
    assert.equal(await metric(s, 'schema_bytes'), 0);
    assert.equal((await chat(s)).json.choices[0].message.content, july);
    await s.stop();
});
await test('strict tools that grow: one budget for all of them', async () => {
    const s = await serve();
    const grown = (n) => ({ type: 'object', properties: { a: { type: 'array', minItems: n, items: {
        type: 'string', pattern: '^(.{200}|[a-z]{250}){20}$' } } }, required: ['a'],
        additionalProperties: false });
    const tools = Array.from({ length: 120 }, (_, i) => strict(`t${i}`, grown(i)));
    assert.ok(JSON.stringify(tools).length < 40000);
    const before = peak(s);
    await beside(s, async () => {
        const r = await chat(s, { tools });
        assert.deepEqual([r.status, r.json.error.code], [400, 'invalid_value']);
        assert.match(r.json.error.message, /JSON schemas are too large/);
    });
    assert.ok(peak(s) - before < 200, `${(peak(s) - before).toFixed()} MB`);
    assert.ok(await metric(s, 'schemas_refused_total') >= 1);
    assert.equal(await metric(s, 'schema_nodes'), 0);
    assert.equal(await metric(s, 'schema_bytes'), 0);
    await s.stop();
});
await test('--schema-memory, --schemas-memory, --schema-time: 400 with the reason', async () => {
    const large = schema({ type: 'object', properties: { a: { type: 'string', pattern: '^(.{200}){12}$' } },
        required: ['a'], additionalProperties: false });
    const small = schema({ type: 'object', properties: { month: { type: 'string' } }, required: ['month'],
        additionalProperties: false });
    let s = await serve(['--schema-memory', '4M']);
    let r = await chat(s, large);
    assert.deepEqual([r.status, r.json.error.code], [400, 'invalid_value']);
    assert.match(r.json.error.message, /more than 4 MB/);
    assert.equal((await chat(s, small)).status, 200);
    await s.stop();
    s = await serve(['--schemas-memory', '4M']);
    r = await chat(s, large);
    assert.deepEqual([r.status, /all requests take more than 4 MB/.test(r.json.error.message)], [400, true]);
    assert.equal((await chat(s, small)).status, 200);
    await s.stop();
    s = await serve(['--schema-time', '1']);
    r = await chat(s, pattern('^(.?.?){160}$'));
    assert.deepEqual([r.status, r.json.error?.code], [400, 'invalid_value']);
    assert.match(r.json.error.message, /too long|more than 1 ms to compile/);
    assert.equal((await chat(s)).json.choices[0].message.content, july);
    await s.stop();
});
await test('12 MB of anything to /tokenize hold nobody', async () => {
    const s = await serve(['--max-body', '32M']);
    const letters = 'abcdefghijklmnopqrstuvwxyz';
    let random = '';
    for (let i = 0, x = 1; i < 1e6; i++) random += letters[(x = (x * 48271) % 2147483647) % 26];
    const texts = [' '.repeat(12e6), '<'.repeat(2e6), ' \n'.repeat(1e6), random];
    await beside(s, async () => {
        for (const content of texts) {
            const r = await post(s.url + '/tokenize', { content });
            assert.equal(r.status, 200);
            const back = await post(s.url + '/detokenize', { tokens: r.json.tokens.slice(0, 1000) });
            assert.ok(content.startsWith(back.json.content.slice(0, 500)));
        }
    });
    await s.stop();
});
await test('large conversations and tools hold nobody', async () => {
    const s = await serve(['--max-body', '32M']);
    await beside(s, async () => {
        const long = await chat(s, { messages: [{ role: 'user', content: 'word '.repeat(1e6) }] });
        assert.deepEqual([long.status, long.json.error.code], [400, 'context_length_exceeded']);
        const tools = Array.from({ length: 100 }, (_, i) => ({ type: 'function', function: { name: `t${i}`,
            description: 'long '.repeat(20000), parameters: { type: 'object', properties: {} } } }));
        const many = await chat(s, { tools });
        assert.deepEqual([many.status, many.json.error.code], [400, 'context_length_exceeded']);
    });
    assert.equal((await chat(s)).json.choices[0].message.content, july);
    await s.stop();
});
await test('who hangs up while a request is prepared is forgotten', async () => {
    const s = await serve(['--max-body', '32M']);
    const stop = new AbortController();
    const body = JSON.stringify({ content: 'x y\n'.repeat(1e6) });
    const gone = Array.from({ length: 3 }, () =>
        fetch(s.url + '/tokenize', { method: 'POST', body, signal: stop.signal })
        .then((r) => r.text()).catch(() => 'gone'));
    while (await metric(s, 'jobs_waiting') < 1) await new Promise((done) => setImmediate(done));
    stop.abort();
    await Promise.all(gone);
    while (await metric(s, 'jobs_waiting') > 0) await new Promise((done) => setTimeout(done, 20));
    assert.equal((await chat(s)).json.choices[0].message.content, july);
    assert.equal((await s.stop()).code, 0);
});
finish();
