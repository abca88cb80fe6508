// langchain.mjs - LangChain's openai, anthropic and ollama: text whole and streamed, tools and their results,
// structured output in each mode that the package has.
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { ChatAnthropic } from '@langchain/anthropic';
import { ChatOllama, OllamaEmbeddings } from '@langchain/ollama';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { z } from 'zod';
import { assert, finish, july, june, model, serve, sunny, test } from '../http/lib.mjs';

const s = await serve([model]);
const configuration = { baseURL: s.url + '/v1' }, apiKey = 'none';
const openai = { model: 'gpt-oss-20b', temperature: 0, maxTokens: 400, maxRetries: 0, apiKey, configuration };
const models = {
    'openai chat': [new ChatOpenAI(openai), ['jsonSchema', 'functionCalling', 'jsonMode']],
    'openai responses': [new ChatOpenAI({ ...openai, useResponsesApi: true }), ['jsonSchema',
        'functionCalling']],
    anthropic: [new ChatAnthropic({ model: 'claude-sonnet-4-6', temperature: 0, maxTokens: 400, maxRetries: 0,
        apiKey, anthropicApiUrl: s.url }), ['jsonSchema', 'functionCalling']],
    ollama: [new ChatOllama({ model: 'gpt-oss:20b', baseUrl: s.url, temperature: 0, maxRetries: 0,
        numPredict: 400 }), ['jsonSchema', 'functionCalling', 'jsonMode']],
};
const get_weather = tool(() => sunny, { name: 'get_weather',
    description: 'Gets the current weather in a city.',
    schema: z.object({ city: z.string().describe('The name of the city') }) });

for (const [name, [llm, methods]] of Object.entries(models)) {
    const named = (what, body) => test(`${name}: ${what}`, body);
    await named('text, whole and streamed', async () => {
        assert.equal((await llm.invoke(june[0].content)).text, july);
        let text = '';
        for await (const piece of await llm.stream(june[0].content)) text += piece.text;
        assert.equal(text, july);
    });
    await named('a tool, its result, an answer; whole and streamed', async () => {
        const bound = llm.bindTools([get_weather]);
        const asked = new HumanMessage('What is the weather in Paris?');
        let streamed;
        for await (const piece of await bound.stream([asked])) streamed = streamed ? streamed.concat(
            piece) : piece;
        for (const first of [await bound.invoke([asked]), streamed]) {
            assert.deepEqual(first.tool_calls.map((c) => [c.name, c.args]), [['get_weather',
                { city: 'Paris' }]]);
            const result = new ToolMessage({ content: sunny, tool_call_id: first.tool_calls[0].id,
                name: 'get_weather' });
            const last = await bound.invoke([asked, first, result]);
            assert.ok(last.usage_metadata.input_tokens > first.usage_metadata.input_tokens + 20);
            // (Its ollama gives calls ids of its own and drops what was thought before them.)
            assert.match(last.text, /sunny/);
        }
    });
    for (const method of methods)
        await named(`structured output by ${method}`, async () => {
            const ask = (schema, options, prompt) =>
                llm.withStructuredOutput(schema, { method, ...options }).invoke(prompt);
            if (method === 'jsonMode') {    // which promises JSON, not the schema
                assert.equal(typeof await ask(z.object({}).loose(), {}, june[0].content), 'object');
            } else if (method === 'functionCalling') {
                const asked = 'What is the weather in Paris?';
                const r = await ask(get_weather.schema, { name: 'get_weather' }, asked);
                assert.deepEqual(r, { city: 'Paris' });
            } else {
                const schema = z.object({ number: z.number().int(), summer: z.boolean() });
                const r = await ask(schema, { name: 'month' }, june[0].content);
                assert.deepEqual(schema.parse(r), r);
            }
        });
}
for (const [name, vectors] of Object.entries({
    openai: new OpenAIEmbeddings({ model: 'gpt-oss-20b', maxRetries: 0, apiKey, configuration }),
    ollama: new OllamaEmbeddings({ model: 'gpt-oss:20b', baseUrl: s.url, maxRetries: 0 }) }))
    await test(`${name}: embeddings of a query and of documents`, async () => {
        const one = await vectors.embedQuery('June'), all = await vectors.embedDocuments(['June', 'The sky']);
        assert.ok(all.length === 2 && one.length > 100 && all[1].length === one.length);
        const dot = one.reduce((sum, x, i) => sum + x * all[0][i], 0);
        assert.ok(Math.abs(dot - 1) < 1e-4, String(dot));
    });
await s.stop();
finish();
