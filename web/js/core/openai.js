// openai.js - chat.completions.create in OpenAI's shape over a session: channels become reasoning_content, content and tool_calls.

const FINISH = { eos: "stop", text: "stop", length: "length", call: "tool_calls", canceled: "stop" };
let counter = 0;

const usage = done => ({ prompt_tokens: done.nPrompt, completion_tokens: done.nGenerated, total_tokens: done.nPrompt + done.nGenerated,
  prompt_tokens_details: { cached_tokens: done.nReused } });

/** Which field of a delta a token's text belongs to; calls are numbered by their message. */
function delta(e, calls) {
  if (!e.text && !/^functions\./.test(e.recipient)) return null;
  if (!/^functions\./.test(e.recipient)) return e.channel === "analysis" ? { reasoning_content: e.text } : { content: e.text };
  let index = calls.findIndex(c => c.message === e.message);
  const fresh = index < 0;
  if (fresh) index = calls.push({ message: e.message, id: `call_${Date.now().toString(36)}${calls.length}`, name: e.recipient.slice(10) }) - 1;
  const call = calls[index];
  return { tool_calls: [{ index, ...(fresh ? { id: call.id, type: "function" } : {}), function: { ...(fresh ? { name: call.name } : {}),
    arguments: e.text } }] };
}

async function* chunks(session, request, head, options) {
  const calls = [], stream = session.generate(request, options);
  const chunk = (d, finish = null, extra = {}) => ({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta: d, finish_reason: finish }],
    ...extra });
  try {
    yield chunk({ role: "assistant", content: "" });
    for (;;) {
      const { value, done } = await stream.next();
      if (done) {
        yield chunk({}, FINISH[value.stop] ?? "stop");
        if (request.stream_options?.include_usage) yield { ...head, object: "chat.completion.chunk", choices: [], usage: usage(value) };
        return value;
      }
      const d = delta(value, calls);
      if (d) yield chunk(d);
    }
  } finally {
    await stream.return?.();
    session.close();
  }
}

function merge(message, d) {
  if (d.content) message.content = (message.content ?? "") + d.content;
  if (d.reasoning_content) message.reasoning_content = (message.reasoning_content ?? "") + d.reasoning_content;
  for (const t of d.tool_calls ?? []) {
    message.tool_calls ??= [];
    if (t.id) message.tool_calls[t.index] = { id: t.id, type: "function", function: { name: t.function.name, arguments: "" } };
    message.tool_calls[t.index].function.arguments += t.function.arguments ?? "";
  }
}

export async function completions(llm, request, options = {}) {
  if (!llm.model) throw new Error("load a model first");
  if (!Array.isArray(request?.messages)) throw new TypeError("messages must be an array");
  const head = { id: `chatcmpl-${Date.now().toString(36)}${counter++}`, created: Math.floor(Date.now() / 1000), model: request.model ?? llm.model.info.name };
  const { stream, stream_options, model, ...rest } = request;
  const parts = chunks(llm.model.createSession(), { ...rest, stream_options }, head, options);
  if (stream) return parts;
  const message = { role: "assistant", content: null };
  let finish = "stop";
  for (;;) {
    const { value, done } = await parts.next();
    if (done) return { ...head, object: "chat.completion", choices: [{ index: 0, message, finish_reason: finish, logprobs: null }], usage: usage(value) };
    merge(message, value.choices[0]?.delta ?? {});
    finish = value.choices[0]?.finish_reason ?? finish;
  }
}
