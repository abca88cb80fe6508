// vercel.mjs - the AI SDK (ai 6) with its five providers: text whole and streamed, the tool loop, objects.
import { cosineSimilarity, embedMany, generateText, Output, stepCountIs, streamText, tool, generateObject,
    streamObject } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOllama } from 'ollama-ai-provider-v2';
import { z } from 'zod';
import { assert, finish, july, june, model, serve, sunny, test } from '../http/lib.mjs';

const s = await serve([model]);
const apiKey = 'none', v1 = s.url + '/v1';
const openai = createOpenAI({ baseURL: v1, apiKey });
const compatible = createOpenAICompatible({ name: 'gossamer', baseURL: v1, apiKey, includeUsage: true,
    supportsStructuredOutputs: true });
const ollama = createOllama({ baseURL: s.url + '/api' });
const providers = {
    'openai responses': openai.responses('gpt-oss-20b'),
    'openai chat': openai.chat('gpt-oss-20b'),
    'openai-compatible': compatible('gpt-oss-20b'),
    anthropic: createAnthropic({ baseURL: v1, apiKey })('claude-opus-4-6'),
    'ollama-v2': ollama('gpt-oss:20b'),
};
// Its numbers are small and its texts one of a few: a small model would fill a free text without an end.
const schema = z.object({ month: z.enum(['June', 'July']), number: z.number().int() });
const prompt = june[0].content;

for (const [name, provider] of Object.entries(providers)) {
    const base = { model: provider, temperature: 0, maxRetries: 0, maxOutputTokens: 400 };
    const named = (what, body) => test(`${name}: ${what}`, body);

    await named('text, whole and streamed', async () => {
        assert.equal((await generateText({ ...base, prompt })).text, july);
        const stream = streamText({ ...base, prompt });
        let text = '';
        for await (const piece of stream.textStream) text += piece;
        assert.equal(text, july);
        assert.equal(await stream.finishReason, 'stop');
        assert.ok((await stream.usage).outputTokens > 5);
    });
    await named('a tool, its result, an answer; whole and streamed', async () => {
        for (const run of [generateText, streamText]) {
            const asked = [];
            const get_weather = tool({ description: 'Gets the current weather in a city.',
                inputSchema: z.object({ city: z.string().describe('The name of the city') }),
                execute: async ({ city }) => { asked.push(city); return JSON.parse(sunny); } });
            const r = run({ ...base, prompt: 'What is the weather in Paris?', tools: { get_weather },
                stopWhen: stepCountIs(3) });
            if (run === streamText) await r.consumeStream();
            assert.match(await (run === streamText ? r.text : (await r).text), /sunny/);
            assert.deepEqual(asked, ['Paris']);
        }
    });
    await named('an object, whole and streamed; a choice', async () => {
        const whole = await generateText({ ...base, prompt, output: Output.object({ schema }) });
        assert.deepEqual(schema.parse(whole.output), whole.output);
        const object = await generateObject({ ...base, prompt, schema });
        assert.deepEqual(schema.parse(object.object), object.object);
        const stream = streamObject({ ...base, prompt, schema });
        for await (const part of stream.partialObjectStream) assert.equal(typeof part, 'object');
        schema.parse(await stream.object);
        const choice = await generateText({ ...base, prompt, output: Output.choice({ options: ['June',
            'July'] }) });
        assert.match(choice.output, /^Ju(ne|ly)$/);
    });
    await named('what was thought is told', async () => {
        const r = await generateText({ ...base, maxOutputTokens: 4000, prompt, providerOptions: {
            openai: { forceReasoning: true, reasoningSummary: 'auto' }, ollama: { think: true },
            anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } } });
        // Where a model reasons, the SDK sends no temperature: what it says is not known. OpenAI's chat has
        // no place for what was thought.
        if (name !== 'openai chat') assert.ok(r.reasoningText.length > 0);
    });
}
const embedders = { openai, 'openai-compatible': compatible, 'ollama-v2': ollama };
for (const [name, provider] of Object.entries(embedders))
    await test(`${name}: embeddings`, async () => {
        const { embeddings } = await embedMany({ maxRetries: 0,
            model: provider.textEmbeddingModel('gpt-oss-20b'),
            values: ['June', 'The sky is blue.', 'June'] });
        assert.equal(embeddings.length, 3);
        assert.ok(cosineSimilarity(embeddings[0], embeddings[2]) > 0.9999);
        assert.ok(cosineSimilarity(embeddings[0], embeddings[1]) < 0.999);
    });
await s.stop();
finish();
