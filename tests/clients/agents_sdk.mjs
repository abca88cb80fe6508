// agents_sdk.mjs - @openai/agents: its loop over responses and over chat, tools in parallel settings, typed
// results, handing over to another agent, whole and streamed.
import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, setTracingDisabled,
    tool } from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { assert, finish, july, june, model, serve, sunny, test } from '../http/lib.mjs';

const s = await serve([model]);
const client = new OpenAI({ baseURL: s.url + '/v1', apiKey: 'none', maxRetries: 0 });
setTracingDisabled(true);
const paris = 'What is the weather in Paris?';

for (const Model of [OpenAIResponsesModel, OpenAIChatCompletionsModel]) {
    const named = (what, body) => test(`${Model.name}: ${what}`, body);
    const agent = (more) => new Agent({ name: 'A', instructions: '', model: new Model(client, 'gpt-oss-20b'),
        ...more, modelSettings: { temperature: 0, maxTokens: 400, parallelToolCalls: true,
            ...more?.modelSettings } });

    await named('an answer, whole and streamed', async () => {
        assert.equal((await run(agent(), june[0].content)).finalOutput, july);
        const stream = await run(agent(), june[0].content, { stream: true });
        let text = '';
        for await (const piece of stream.toTextStream()) text += piece;
        assert.equal(text, july);
    });
    await named('a tool, its result, an answer; whole and streamed', async () => {
        for (const stream of [false, true]) {
            const asked = [];
            const get_weather = tool({ name: 'get_weather',
                description: 'Gets the current weather in a city.',
                parameters: z.object({ city: z.string().describe('The name of the city') }),
                execute: ({ city }) => { asked.push(city); return sunny; } });
            const r = await run(agent({ tools: [get_weather] }), paris, { stream });
            if (stream) await r.completed;
            assert.match(r.finalOutput, /sunny/);
            assert.deepEqual(asked, ['Paris']);
        }
    });
    await named('a typed result with an integer', async () => {
        const outputType = z.object({ month: z.enum(['June', 'July']), number: z.number().int() });
        const r = await run(agent({ outputType }), june[0].content);
        assert.deepEqual(outputType.parse(r.finalOutput), r.finalOutput);
    });
    await named('tools are named and forced one by one, with integers', async () => {
        const asked = [];
        const add = tool({ name: 'add', description: 'Adds.',
            parameters: z.object({ a: z.number().int(), b: z.number().int() }),
            execute: ({ a, b }) => { asked.push(a, b); return `${a + b}`; } });
        await run(agent({ tools: [add], toolUseBehavior: 'stop_on_first_tool',
            modelSettings: { toolChoice: 'add', parallelToolCalls: false } }), 'What is 2 plus 3?');
        assert.ok(asked.length === 2 && asked.every(Number.isInteger));
    });
    await named('another agent takes over', async () => {
        const other = agent({ name: 'Other' });
        const first = agent({ handoffs: [other], modelSettings: { toolChoice: 'transfer_to_Other' } });
        const r = await run(first, june[0].content);
        assert.equal(r.lastAgent.name, 'Other');
        assert.equal(typeof r.finalOutput, 'string');
    });
}
await s.stop();
finish();
