// tab_tools.js - the tools that this tab itself runs for the model, as a source of tools (tool_sources.js):
// PYTHON, and those of MCP SERVERS. Both stand in SETTINGS; nothing of either is fetched before it is asked
// for there.
import { $, bytes, el, setText } from "./dom.js";
import { tick } from "./server_tools.js";

const AT = "gossamer-pyodide", SERVERS = "gossamer-mcp";
const MOST_SERVERS = 32, MOST_TOOLS = 128;
const ABOUT = "Runs Python code and tells what it prints, and the value of its last expression. Variables "
  + "stay.";
const CODE = { type: "object", properties: { code: { type: "string" } }, required: ["code"] };

/** Code as the model writes it, or in the arguments of a function. */
function codeOf(given) {
  try {
    const { code } = JSON.parse(given);
    if (typeof code === "string") return code;
  } catch { /* it is code */ }
  return given;
}

const isAddress = text => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

export class TabTools {
  #shared;
  #python = null;                    // its tool, while it is switched on
  #asked = 0;                        // how often the switch was set
  #servers = new Map();              // by address: {tools, error}

  constructor(shared) { this.#shared = shared; }

  /** Tools of both. Through USE SERVER the model sees Python as a function. */
  get list() {
    const python = this.#python && Object.assign(this.#python, { builtin: !this.#shared.server });
    return [...python ? [python] : [], ...this.#mcp];
  }

  get #mcp() { return [...this.#servers.values()].flatMap(s => s.tools ?? []).slice(0, MOST_TOOLS); }

  // ---- Python ---------------------------------------------------------------------------------------------
  async #switch() {
    const on = $("python").checked, mine = ++this.#asked, say = text => setText($("python-note"), text);
    this.#python?.close();
    this.#python = null;
    say(on ? "Pyodide is fetched…" : "");
    if (!on) return;
    try {
      const { Python, fetchPyodide } = await import("./python.js");
      const files = await fetchPyodide($("pyodide").value.trim() || "pyodide/");
      if (mine !== this.#asked) return;
      const python = new Python(files), size = Object.values(files).reduce((sum, f) => sum + f.length, 0);
      this.#python = { label: "tab", own: "python", description: ABOUT, schema: CODE, on: true, always: false,
        run: (given, how) => python.run(codeOf(given), how), close: () => python.close() };
      say(`The model may call python: Pyodide, ${bytes(size)}. It has no network.`);
    } catch (e) {
      if (mine !== this.#asked) return;
      $("python").checked = false;
      say(e.message);
    }
  }

  // ---- MCP ------------------------------------------------------------------------------------------------
  /** SETTINGS is open: servers that were not asked yet are asked. */
  async show() {
    const lines = [...new Set($("mcp-servers").value.split(/\s+/).filter(Boolean))].slice(0, MOST_SERVERS);
    for (const url of this.#servers.keys()) if (!lines.includes(url)) this.#servers.delete(url);
    const fresh = lines.filter(url => !this.#servers.get(url)?.tools);
    for (const url of fresh) this.#servers.set(url, {});
    this.#draw();
    await Promise.all(fresh.map(url => this.#ask(url)));
  }

  async #ask(url) {
    const entry = this.#servers.get(url);
    try {
      if (!isAddress(url)) throw new Error(`${url} is no address: https://example.org/mcp is`);
      const { McpServer } = await import("./mcp.js");
      entry.tools = await new McpServer(url).tools();
    } catch (e) { entry.error = e.message; }
    if (this.#servers.get(url) === entry) this.#draw();
  }

  #draw() {
    const all = [...this.#servers], waits = all.some(([, { tools, error }]) => !tools && !error);
    $("mcp-tools").replaceChildren(el("legend", null, "TOOLS OF MCP SERVERS"), ...this.#mcp.map(tick));
    $("mcp-tools").hidden = !this.#mcp.length;
    const said = [...all.map(([, s]) => s.error), waits && "MCP servers are asked…"].filter(Boolean);
    $("mcp-note").hidden = !said.length;
    setText($("mcp-note"), said.join(" "));
  }

  wire() {
    const kept = (id, key) => {
      $(id).value = localStorage.getItem(key) ?? "";
      $(id).addEventListener("change", () => localStorage.setItem(key, $(id).value.trim()));
    };
    kept("pyodide", AT);
    kept("mcp-servers", SERVERS);
    for (const id of ["python", "pyodide"]) $(id).addEventListener("change", () => this.#switch());
    $("mcp-servers").addEventListener("change", () => this.show());
  }
}
