// openai.js - chat.completions.create in OpenAI's shape over a session: channels become reasoning_content,
// content and tool_calls.
import { want } from "./wants.js";

const FINISH = { eos: "stop", text: "stop", length: "length", call: "tool_calls", canceled: "stop" };
const FUNCTION = /^functions\./;

function usage({ nPrompt, nGenerated, nReused }) {
  return { prompt_tokens: nPrompt, completion_tokens: nGenerated, total_tokens: nPrompt + nGenerated,
    prompt_tokens_details: { cached_tokens: nReused } };
}

/** The tool call that a token belongs to: {index, fresh, call}. Calls are numbered by their message. */
function callOf(e, calls) {
  const index = calls.findIndex(c => c.message === e.message);
  if (index >= 0) return { index, fresh: false, call: calls[index] };
  const id = `call_${Date.now().toString(36)}${calls.length}`;
  const call = { message: e.message, id, name: e.recipient.replace(FUNCTION, "") };
  return { index: calls.push(call) - 1, fresh: true, call };
}

/** What a token adds to the message; null: nothing. */
function delta(e, calls) {
  if (!FUNCTION.test(e.recipient)) {
    if (!e.text) return null;
    return e.channel === "analysis" ? { reasoning_content: e.text } : { content: e.text };
  }
  const { index, fresh, call } = callOf(e, calls);
  const first = fresh ? { id: call.id, type: "function" } : {}, name = fresh ? { name: call.name } : {};
  return { tool_calls: [{ index, ...first, function: { ...name, arguments: e.text } }] };
}

/** Adds a delta to a whole message. */
function merge(message, d) {
  for (const key of ["content", "reasoning_content"]) {
    if (d[key]) message[key] = (message[key] ?? "") + d[key];
  }
  for (const { index, id, function: part } of d.tool_calls ?? []) {
    message.tool_calls ??= [];
    const empty = { name: part.name, arguments: "" };
    if (id) message.tool_calls[index] = { id, type: "function", function: empty };
    message.tool_calls[index].function.arguments += part.arguments ?? "";
  }
}

/** chat.completions of one Llm. */
export class Completions {
  #llm;
  #count = 0;

  constructor(llm) { this.#llm = llm; }

  create = async (request, options = {}) => {
    const { model } = this.#llm;
    want("request", request, "object");
    want("request.messages", request.messages, "list");
    if (options.signal !== undefined) want("signal", options.signal, "signal");
    if (!model) throw new Error("no model is loaded: loadModel() comes first");
    const { stream, stream_options, model: name, ...rest } = request;
    const head = { id: `chatcmpl-${Date.now().toString(36)}${this.#count++}`,
      created: Math.floor(Date.now() / 1000), model: name ?? model.info.name };
    const withUsage = stream && stream_options?.include_usage;
    const chunks = this.#chunks(model.createSession(), rest, { head, withUsage, options });
    return stream ? chunks : this.#whole(chunks, head);
  };

  async *#chunks(session, request, { head, withUsage, options }) {
    const calls = [], tokens = session.generate(request, options), object = "chat.completion.chunk";
    const chunk = (d, finish_reason = null) =>
      ({ ...head, object, choices: [{ index: 0, delta: d, finish_reason }] });
    try {
      yield chunk({ role: "assistant", content: "" });
      for (;;) {
        const { value, done } = await tokens.next();
        if (done) {
          yield chunk({}, FINISH[value.stop] ?? "stop");
          if (withUsage) yield { ...head, object, choices: [], usage: usage(value) };
          return value;
        }
        const d = delta(value, calls);
        if (d) yield chunk(d);
      }
    } finally {
      await tokens.return();
      session.close();
    }
  }

  async #whole(chunks, head) {
    const message = { role: "assistant", content: null };
    let finish_reason = "stop";
    for (;;) {
      const { value, done } = await chunks.next();
      if (done) {
        const choices = [{ index: 0, message, finish_reason, logprobs: null }];
        return { ...head, object: "chat.completion", choices, usage: usage(value) };
      }
      merge(message, value.choices[0].delta);
      finish_reason = value.choices[0].finish_reason ?? finish_reason;
    }
  }
}
