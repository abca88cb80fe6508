// tool_sources.js - the tools that something runs for the model: the server's (server_tools.js), and this
// tab's own, Python and those of MCP servers (tab_tools.js). Here they get their names; here a call is found,
// allowed and run.
//
// A source has `list`: [{label, own: its name there, description, schema, builtin: the model knows it, on,
// always, run(given, {talk, before, signal}): what the model is told}]
import { callsOf } from "./conversation.js";

/** Calls that follow one question without being asked for. */
const MOST_ALONE = 16;
const STOPPED = "The user stopped this call.";

export class ToolSources {
  #sources;
  #made = new Set();                 // ids of calls that were begun

  constructor(...sources) { this.#sources = sources; }

  /** [[name, tool], ...]: its own name; where two have one, label__name. */
  get #named() {
    const all = this.#sources.flatMap(s => s.list), taken = new Set();
    const twice = own => all.filter(t => t.own === own).length > 1;
    return all.map(tool => {
      const { own, label, builtin } = tool, whole = !builtin && twice(own) ? `${label}__${own}` : own;
      const plain = whole.replace(/[^\w-]/g, "_").slice(0, 64);
      let name = plain;
      for (let n = 2; taken.has(name); n++) name = `${plain.slice(0, 61)}_${n}`;
      taken.add(name);
      return [name, tool];
    });
  }

  /** What a request says of them. */
  get request() {
    const of = builtin => this.#named.filter(([, t]) => t.on && !!t.builtin === builtin);
    return { builtin: of(true).map(([name]) => name), functions: of(false).map(([name, tool]) => ({
      type: "function", function: { name, description: tool.description, parameters: tool.schema } })) };
  }

  /** What can be done with a call of this conversation: null where nothing here knows its tool.
   * {alone: it need not be asked for, run(signal): what the model is told, always()} */
  call({ id, name, arguments: given }, { id: talk, path }) {
    const tool = this.#named.find(([n]) => n === name)?.[1];
    if (!tool) return null;
    const since = path.length - path.findLastIndex(t => t.role === "user");
    const answered = new Set(path.filter(t => t.role === "tool").map(t => t.call));
    const before = path.flatMap(callsOf).some(c => c.name === name && answered.has(c.id));
    const run = async signal => {
      this.#made.add(id);
      try { return await tool.run(given, { talk, before, signal }); } catch (e) {
        if (signal.aborted) return STOPPED;
        throw e;
      }
    };
    return { alone: tool.always && since < 2 * MOST_ALONE && !this.#made.has(id), run,
      always: () => { tool.always = true; } };
  }
}
