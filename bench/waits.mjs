// waits.mjs MODEL [TOKENS [CHATS]] - first words of short chats alone and beside a prompt of TOKENS (4000),
// and what the prompt loses by them. Both on the clock and in processor time of the server, which means
// something on a busy machine too. A model of a few of 20b's layers: gossamer synth layers=4 FILE.
import { post, processor, serve, program } from '../tests/http/lib.mjs';

const [model, tokens = '4000', chats = '10'] = process.argv.slice(2);
if (!model) { console.error('usage: waits.mjs MODEL [TOKENS [CHATS]]'); process.exit(2); }
const s = await serve(['--log', 'none', model]);
const words = (n, seed) =>
    Array.from({ length: n }, (_, i) => `w${(i * 7919 + seed * 104729) % 9973}`).join(' ');
const now = () => ({ clock: performance.now(), cpu: processor(s.pid) });
const since = (t) => ({ clock: performance.now() - t.clock, cpu: processor(s.pid) - t.cpu });
const column = (list, key) => list.map((x) => x[key]).sort((a, b) => a - b);
const median = (list, key) => column(list, key)[list.length >> 1];

// What passes until the first word comes.
async function first(i) {
    const began = now();
    let came;
    const r = await fetch(s.url + '/v1/completions', { method: 'POST', body: JSON.stringify({ stream: true,
        max_tokens: 4, prompt: words(8, i) }) });
    for await (const bytes of r.body) if (/"text":"[^"]/.test(Buffer.from(bytes))) came ??= since(began);
    return came ?? since(began);
}
let n_long = 0;
async function prefill() {
    const began = now();
    const r = await post(s.url + '/v1/completions', { max_tokens: 1,
        prompt: words(Number(tokens) >> 2, 1000 + n_long++) });
    return { ...since(began), tokens: r.json.usage.prompt_tokens };
}
await first(0);
const alone = [], beside = [];
let began = now();
for (let i = 0; i < Number(chats); i++) alone.push(await first(1 + i));
const shorts = since(began), quiet = await prefill();
let over = false;
began = now();
const long = prefill().finally(() => { over = true; });
while (!over && beside.length < Number(chats)) beside.push(await first(100 + beside.length));
await long;
const busy = since(began), share = beside.length / alone.length;
console.log(`${program} ${model}: ${quiet.tokens} tokens, ${beside.length} chats beside`);
for (const [key, name] of [['clock', 'on the clock'], ['cpu', 'processor time']]) {
    const mine = median(alone, key), theirs = median(beside, key);
    const own = shorts[key] * share, longest = column(beside, key).at(-1);
    console.log(`${name}: first words alone ${mine.toFixed(0)} ms, beside ${theirs.toFixed(0)} ms, ratio ` +
        `${(theirs / mine).toFixed(2)}, the longest ${longest.toFixed(0)} ms; the prompt ` +
        `alone ${(quiet[key] / 1000).toFixed(1)} s, with the chats ${(busy[key] / 1000).toFixed(1)} s, ` +
        `${(100 * (busy[key] - own) / quiet[key] - 100).toFixed(0)} % more than both alone`);
}
await s.stop();
