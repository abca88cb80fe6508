// server.js - the client of USE SERVER: the same interface as a model in this page, answered by a Gossamer
// server (POST /v1/chat/completions, streamed; its extra.telemetry lines feed the same panels).

const STOPS = { length: "length", tool_calls: "call" };
const listOf = x => x === undefined || x === null ? [] : [].concat(x);

/** The data of server-sent events. */
async function* dataOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split("\n").filter(l => l.startsWith("data:"));
      const data = lines.map(l => l.slice(5).trim()).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

class ServerSession {
  #server;
  #names = {};                       // of the functions that are called, by index
  constructor(server) { this.#server = server; }
  close() {}

  async *generate(request, { signal } = {}) {
    const asked = performance.now(), done = { stop: "eos", nGenerated: 0, decodeMs: 0 };
    const response = await this.#post(request, signal);
    if (!response) return { stop: "canceled" };
    try {
      for await (const chunk of dataOf(response)) {
        if (chunk.error) throw new Error(chunk.error.message);
        for (const line of listOf(chunk.extra?.telemetry)) this.#hear(line, done);
        if (chunk.choices?.length) done.firstMs ??= performance.now() - asked;
        const { delta = {}, finish_reason } = chunk.choices?.[0] ?? {};
        done.nGenerated = chunk.usage?.completion_tokens ?? done.nGenerated;
        yield* this.#tokens(delta);
        if (finish_reason) done.stop = STOPS[finish_reason] ?? "eos";
      }
    } catch (e) {
      if (!signal?.aborted) throw e;
      done.stop = "canceled";
    }
    return done;
  }

  /** A line of telemetry: the server's own figures are those that are shown. Each answer says the model
   * once more. */
  #hear(line, done) {
    const server = this.#server;
    if (line.stage === "model_config") {
      if (line.detail === server.told) return;
      server.told = line.detail;
    }
    server.telemetry(line);
    if (line.stage !== "decode") return;
    done.nGenerated = line.step ?? done.nGenerated;
    done.decodeMs = +(/\bms=([\d.]+)/.exec(line.detail)?.[1] ?? done.decodeMs);
  }

  /** The answer to a request; null: it was canceled before it came. */
  async #post(request, signal) {
    const { url, headers, info, watched: [layer, head] } = this.#server;
    // Alternatives come with the telemetry; the server knows the date.
    const { top_logprobs: topK = 8, date: _, ...rest } = request;
    const asked = { model: info.name, ...rest, stream: true,
      stream_options: { include_usage: true }, telemetry: true, telemetry_top_k: topK,
      telemetry_layer: layer, telemetry_head: head };
    let response;
    try {
      response = await fetch(new URL("v1/chat/completions", url), { method: "POST", signal,
        headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(asked) });
    } catch (e) {
      if (signal?.aborted) return null;
      throw new Error(`The server can't be reached: ${e.message}`);
    }
    if (response.ok) return response;
    const why = await response.json().catch(() => null);
    throw new Error(why?.error?.message ?? `The server answered ${response.status}`);
  }

  /** What a delta says, as tokens of a session. */
  *#tokens({ content, reasoning_content, tool_calls = [] }) {
    if (reasoning_content) yield { text: reasoning_content, channel: "analysis", recipient: "", message: 0 };
    if (content) yield { text: content, channel: "final", recipient: "", message: 1 };
    for (const { index = 0, function: part } of tool_calls) {
      if (part?.name) this.#names[index] = part.name;
      const recipient = `functions.${this.#names[index]}`;
      yield { text: part?.arguments ?? "", channel: "commentary", recipient, message: 2 + index };
    }
  }
}

/** The backend of the model that a server has loaded; "": it has not said. */
async function backendOf(url, headers, name) {
  const answer = await fetch(new URL("health", url), { headers }).catch(() => null);
  const { model, backend = "" } = answer?.ok ? await answer.json() : {};
  return model === name ? backend : "";
}

/** An error has `needsKey` when the server wants another `key`. */
export async function connect(url, telemetry, wanted, key) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(new URL("v1/models", url), { headers });
  } catch { throw new Error("no answer"); }
  if (response.status === 401) {
    const e = new Error(key ? "this is not its API key" : "it wants its API key");
    throw Object.assign(e, { needsKey: true });
  }
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  const models = (await response.json()).data ?? [], model = models.find(m => m.id === wanted) ?? models[0];
  if (!model) throw new Error("it has no model");
  const server = { url, telemetry, headers, models: models.map(m => m.id),
    info: { name: model.id, backend: await backendOf(url, headers, model.id) }, told: "", watched: [0, 0],
    createSession: () => new ServerSession(server), close() {},
    /** From the next question on. */
    watchAttention(layer, head) { server.watched = [layer, head]; } };
  return server;
}
