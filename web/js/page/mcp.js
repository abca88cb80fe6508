// mcp.js - an MCP server that this page asks by itself: streamable HTTP (2025-06-18), by fetch. Its texts are
// texts; what it sends has a bound; a session that it has forgotten is begun again once.

const VERSION = "2025-06-18";
const LIST_MS = 60000, CALL_MS = 300000;
const MOST = { message: 16 << 20, result: 32768, description: 2048, schema: 65536, pages: 32 };

const isText = x => typeof x === "string";

/** The whole of a body, piece by piece, as far as a message may go. */
async function* piecesOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let n = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if ((n += value.length) > MOST.message) throw new Error("it sends more than 16 MB");
      yield value;
    }
  } finally { reader.cancel().catch(() => {}); }
}

/** The messages of an answer: one of JSON, or those of a stream of events. What is none is passed over. */
async function* messagesOf(response) {
  const events = /event-stream/.test(response.headers.get("content-type"));
  const read = text => { try { return [].concat(JSON.parse(text)); } catch { return []; } };
  const dataOf = event =>
    event.split("\n").filter(l => l.startsWith("data:")).map(l => l.slice(5)).join("\n");
  let text = "";
  for await (const piece of piecesOf(response)) {
    text = `${text}${piece}`;
    if (!events) continue;
    const all = text.replace(/\r\n/g, "\n").split("\n\n");
    text = all.pop();
    for (const event of all) yield* read(dataOf(event));
  }
  yield* read(events ? dataOf(text.replace(/\r\n/g, "\n")) : text);
}

/** A part of a result, as text. */
function partOf({ type, text, uri, resource, mimeType }) {
  if (isText(text)) return text;
  if (isText(resource?.text)) return resource.text;
  if (isText(uri ?? resource?.uri)) return uri ?? resource.uri;
  return `[${type}${isText(mimeType) ? ` ${mimeType}` : ""}: it can't be shown to the model]`;
}

/** What the model is told of a call's result. */
function resultText({ content, structuredContent, isError }) {
  const parts = (Array.isArray(content) ? content : []).map(partOf).join("\n");
  const text = `${isError ? "Error: " : ""}${parts || JSON.stringify(structuredContent ?? "")}`;
  return text.length > MOST.result ? `${text.slice(0, MOST.result)}\n[the result was cut here]` : text;
}

export class McpServer {
  #session = null;
  #version = null;
  #begun = null;
  #id = 0;

  constructor(url) {
    this.url = url;
    this.label = new URL(url).host;
  }

  /** Its tools, as a source lists them (tool_sources.js). */
  async tools() {
    const all = [];
    let cursor;
    for (let i = 0; i < MOST.pages; i++) {
      const page = await this.#request("tools/list", cursor ? { cursor } : {}, { ms: LIST_MS });
      all.push(...Array.isArray(page?.tools) ? page.tools : []);
      if (!isText(cursor = page?.nextCursor)) break;
    }
    return all.filter(t => isText(t?.name) && JSON.stringify(t.inputSchema ?? {}).length <= MOST.schema)
      .map(t => ({ label: this.label, own: t.name, on: false, always: false,
        description: String(t.description ?? "").slice(0, MOST.description),
        schema: t.inputSchema ?? { type: "object" },
        run: (given, { signal }) => this.#call(t.name, given, signal) }));
  }

  async #call(name, given, signal) {
    let args;
    try { args = JSON.parse(given || "{}"); } catch { return "Error: the arguments are no JSON."; }
    const how = { ms: CALL_MS, signal };
    return resultText(await this.#request("tools/call", { name, arguments: args }, how) ?? {});
  }

  /** A request within a session; one that the server has forgotten is begun again once. */
  async #request(method, params, how) {
    for (let again = 0; ; again++) {
      await (this.#begun ??= this.#begin());
      try { return await this.#ask(method, params, how); } catch (e) {
        if (!e.forgotten || again) throw e;
        this.#begun = this.#session = null;
      }
    }
  }

  #begin() {
    const begin = async () => {
      this.#version = this.#session = null;
      const clientInfo = { name: "gossamer", version: "1" };
      const { protocolVersion } = await this.#ask("initialize",
        { protocolVersion: VERSION, capabilities: {}, clientInfo }, { ms: LIST_MS }) ?? {};
      this.#version = isText(protocolVersion) ? protocolVersion : VERSION;
      await this.#post({ jsonrpc: "2.0", method: "notifications/initialized" }, AbortSignal.timeout(LIST_MS));
    };
    const begun = begin();
    begun.catch(() => { this.#begun = null; });
    return begun;
  }

  async #ask(method, params, { ms, signal: stopped }) {
    const id = ++this.#id, late = AbortSignal.timeout(ms);
    const signal = stopped ? AbortSignal.any([stopped, late]) : late;
    const fail = why => new Error(`${this.label}: ${why}`);
    try {
      const response = await this.#post({ jsonrpc: "2.0", id, method, params }, signal);
      if (method === "initialize") this.#session = response.headers.get("mcp-session-id");
      for await (const message of messagesOf(response)) {
        if (message?.method && "id" in message) this.#reply(message);
        if (message?.method || message?.id !== id) continue;
        const { error } = message;
        if (error) throw fail(String(error.message ?? "it refused").slice(0, MOST.description));
        return message.result;
      }
      throw fail("it sent no answer");
    } catch (e) {
      if (!signal.aborted) throw e;
      this.#post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id } },
        AbortSignal.timeout(LIST_MS)).catch(() => {});
      throw fail(late.aborted ? `no answer in ${ms / 1000} seconds` : "stopped");
    }
  }

  /** The server asks: only its ping is answered. */
  #reply({ id, method }) {
    const answer = method === "ping" ? { result: {} }
      : { error: { code: -32601, message: "not supported" } };
    this.#post({ jsonrpc: "2.0", id, ...answer }, AbortSignal.timeout(LIST_MS)).catch(() => {});
  }

  async #post(message, signal) {
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream",
      ...(this.#session && { "mcp-session-id": this.#session }),
      ...(this.#version && { "mcp-protocol-version": this.#version }) };
    const response = await fetch(this.url, { method: "POST", headers, body: JSON.stringify(message), signal,
      redirect: "error", credentials: "omit", cache: "no-store" }).catch(e => {
      if (signal.aborted) throw e;
      throw new Error(`${this.label} can't be reached, or does not let this page ask it: it must allow `
        + `${location.origin} by CORS, and expose Mcp-Session-Id.`);
    });
    if (response.ok) return response;
    const forgotten = response.status === 404 && !!this.#session;
    throw Object.assign(new Error(`${this.label}: it answered ${response.status}`), { forgotten });
  }
}
