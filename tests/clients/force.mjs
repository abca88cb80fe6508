// force.mjs - a proxy that makes the choices where a small model can't. One tool of the request gets a schema
// that lets one value through, and until its result is there it must be called: the server writes the call by
// its own masks. Behind the result, or where there is no such tool, an answer is wanted: the best tokens, but
// for the one that begins a call. Everything else passes as it came. It also keeps the bodies that went by.
import http from 'node:http';

const exactly = (value) => ({ type: 'object', additionalProperties: false, required: Object.keys(value),
    properties: Object.fromEntries(Object.entries(value).map(([key, v]) => [key, { const: v }])) });

const choices = {
    '/v1/responses': (name) => ({ type: 'function', name }),
    '/v1/chat/completions': (name) => ({ type: 'function', function: { name } }),
    '/v1/messages': (name) => ({ type: 'tool', name }),
};
const results = /"type":"(function_call_output|custom_tool_call_output|tool_result)"|"role":"tool"/;

// call: {name, arguments}, or null; comment: the token that begins a call.
function change(path, body, call, comment) {
    const tool = call && (body.tools ?? []).map((t) => t.function ?? t).find((t) => t.name === call.name);
    if (tool) {
        tool[path === '/v1/messages' ? 'input_schema' : 'parameters'] = exactly(call.arguments);
        tool.strict = true;
        if (!results.test(JSON.stringify(body.input ?? body.messages)))
            return { ...body, tool_choice: choices[path](call.name) };
    }
    return { ...body, temperature: 0, logit_bias: { [comment]: -100 } };
}

// {url, bodies: [{path, body}], stop()}
export async function proxy(target, call) {
    const bodies = [];
    const comment = await fetch(target + '/tokenize', { method: 'POST', body: '{"content":"commentary"}' });
    const [token] = (await comment.json()).tokens;
    const server = http.createServer(async (req, res) => {
        const pieces = [];
        for await (const piece of req) pieces.push(piece);
        let sent = Buffer.concat(pieces);
        const path = req.url.split('?')[0];
        if (req.method === 'POST' && sent.length) {
            const body = JSON.parse(sent);
            bodies.push({ path, body: structuredClone(body) });
            if (choices[path]) sent = Buffer.from(JSON.stringify(change(path, body, call, token)));
        }
        const headers = { ...req.headers, host: new URL(target).host, 'content-length': sent.length };
        delete headers['transfer-encoding'];
        const out = http.request(target + req.url, { method: req.method, headers }, (answer) => {
            res.writeHead(answer.statusCode, answer.headers);
            answer.pipe(res);
        });
        out.on('error', () => res.destroy());
        res.on('close', () => out.destroy());
        out.end(sent);
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    return { url: `http://127.0.0.1:${server.address().port}`, bodies,
        stop: () => { server.closeAllConnections(); server.close(); } };
}
