// endless.mjs - an answer that goes on until something happens to its server.
import net from 'node:net';
import { post, sleep } from './lib.mjs';

// What of a request makes its answer go on until the context is full (here: many minutes).
export const unending = async (s) => {
    const stops = (await Promise.all(['<|return|>', '<|end|>', '<|call|>', '<|endoftext|>'].map((content) =>
        post(s.url + '/tokenize', { content, special: true })))).flatMap((r) => r.json.tokens);
    return { temperature: 1, seed: 1, logit_bias: Object.fromEntries(stops.map((t) => [t, -100])) };
};

// An answer that does not end by itself, as it comes.
export const endless = async (s) => {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'Tell me a story.' }],
        ...await unending(s), max_tokens: 1e6, stream: true });
    const socket = net.connect(s.port, '127.0.0.1');
    const stream = { got: '', end: () => socket.destroy() };
    socket.on('data', (d) => { stream.got += d; });
    socket.on('error', () => {});
    stream.closed = new Promise((done) => socket.on('close', done));
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    while (!/"(reasoning_)?content":"[^"]/.test(stream.got)) await sleep(10);
    return stream;
};
