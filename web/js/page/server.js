// server.js - USE SERVER: the same interface as a model in this page, answered by a Gossamer server (POST /v1/chat/completions,
// streamed; its extra.telemetry lines feed the same panels).

async function* serverEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).split("\n").filter(l => l.startsWith("data:")).map(l => l.slice(5).trim()).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

class ServerSession {
  constructor(server) { this.server = server; }
  close() {}
  async *generate(request, { signal } = {}) {
    const t0 = performance.now();
    const { top_logprobs: topK = 8, date, ...rest } = request; // alternatives come with the telemetry; the server knows the date
    const body = { model: this.server.info.name, ...rest, stream: true, telemetry: true, telemetry_top_k: topK };
    let response;
    try {
      response = await fetch(new URL("v1/chat/completions", this.server.url), { method: "POST", signal,
        headers: { "content-type": "application/json", ...this.server.headers }, body: JSON.stringify(body) });
    } catch (e) {
      if (signal?.aborted) return { stop: "canceled" };
      throw new Error(`The server can't be reached: ${e.message}`);
    }
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.error?.message ?? `The server answered ${response.status}`);
    const done = { stop: "eos", nGenerated: 0, decodeMs: 0 };
    try {
      for await (const chunk of serverEvents(response)) {
        if (chunk.error) throw new Error(chunk.error.message);
        const lines = chunk.extra?.telemetry;
        for (const line of Array.isArray(lines) ? lines : lines ? [lines] : []) this.server.telemetry(line);
        const choice = chunk.choices?.[0], d = choice?.delta ?? {};
        done.firstMs ??= performance.now() - t0;
        if (d.content || d.reasoning_content || d.tool_calls) done.nGenerated++;
        if (d.reasoning_content) yield { text: d.reasoning_content, channel: "analysis", recipient: "", message: 0 };
        if (d.content) yield { text: d.content, channel: "final", recipient: "", message: 1 };
        for (const call of d.tool_calls ?? []) {
          if (call.function?.name) this.names = { ...this.names, [call.index ?? 0]: call.function.name };
          yield { text: call.function?.arguments ?? "", channel: "commentary", recipient: `functions.${this.names[call.index ?? 0]}`,
            message: 2 + (call.index ?? 0) };
        }
        if (choice?.finish_reason) done.stop = { length: "length", tool_calls: "call" }[choice.finish_reason] ?? "eos";
      }
    } catch (e) { if (!signal?.aborted) throw e; done.stop = "canceled"; }
    done.decodeMs = performance.now() - t0 - (done.firstMs ?? 0);
    return done;
  }
}

/** An error has `needsKey` when the server wants another `key`. */
export async function connect(url, telemetry, wanted, key) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  let response;
  try { response = await fetch(new URL("v1/models", url), { headers }); } catch { throw new Error("no answer"); }
  if (response.status === 401) throw Object.assign(new Error(key ? "this is not its API key" : "it wants its API key"), { needsKey: true });
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  const models = (await response.json()).data ?? [], model = models.find(m => m.id === wanted) ?? models[0];
  if (!model) throw new Error("it has no model");
  const server = { url, telemetry, headers, info: { name: model.id, backend: "server" }, createSession: () => new ServerSession(server), close() {} };
  return server;
}
