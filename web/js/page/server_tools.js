// server_tools.js - the tools that the server of USE SERVER runs (GET /v1/tools, POST /v1/tools/call), as a
// source of tools (tool_sources.js). The user says which of them the model may call.
import { $, el } from "./dom.js";

/** A tool's box: the model may call it. */
export const tick = tool => el("label.check", { title: tool.description },
  el("input", { type: "checkbox", checked: tool.on, onchange: e => { tool.on = e.target.checked; } }),
  el("span", null, `${tool.label}: ${tool.own}`));

export class ServerTools {
  #server = null;
  list = [];

  /** Asks a server what it offers; null: there is none now. */
  async of(server) {
    this.#server = server;
    const list = server ? await this.#ask(server) : [];
    if (this.#server !== server) return;
    this.list = list;
    $("server-tools").hidden = !list.length;
    $("server-tools").replaceChildren(el("legend", null, "SERVER'S TOOLS"), ...list.map(tick));
  }

  async #ask({ url, headers }) {
    const answer = await fetch(new URL("v1/tools", url), { headers }).catch(() => null);
    const { data = [] } = answer?.ok ? await answer.json() : {};
    return data.map(t => ({ label: t.server_label, own: t.name, description: t.description,
      schema: t.input_schema, on: false, always: false,
      run: (given, { signal }) => this.#run(t, given, signal) }));
  }

  async #run({ server_label, name }, given, signal) {
    const { url, headers } = this.#server;
    const response = await fetch(new URL("v1/tools/call", url), { method: "POST", signal,
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ server_label, name, arguments: given || "{}", approve: true }) });
    const answer = await response.json().catch(() => null);
    const why = answer?.error?.message ?? `The server answered ${response.status}`;
    if (!response.ok || !answer) throw new Error(why);
    const { output, error } = answer;
    return output ?? error?.message ?? error?.content?.map(c => c.text).join("\n") ?? "";
  }
}
