// use_server.js - USE SERVER: a Gossamer server answers instead of this page; its key is asked for when it
// wants one.
import { $ } from "./dom.js";
import { connect } from "./server.js";
import { freshState } from "./telemetry.js";

export class UseServer {
  #shared;
  #page;
  #url;                              // the server that was asked for last
  /** page: {messages, backend, chats, serverTools, refresh()} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  /** url: without one, the server that this page comes from. */
  async use(url = new URL("/", location.href).href) {
    this.#url = url;
    $("use-server").checked = true;
    this.#say("started", `source=server url=${url}`);
    try {
      await this.#connect(url);
    } catch (e) { this.#failed(e); }
    this.#page.refresh();
  }

  #say(status, detail) { this.#shared.tell({ type: "load_stage", stage: "server_connect", status, detail }); }

  async #connect(url) {
    const shared = this.#shared, { params } = shared;
    shared.server = await connect(url, line => this.#hear(line), params.model, $("server-key").value);
    await this.#page.serverTools.of(shared.server);
    shared.endReplay();
    shared.status = "ready";
    const { name } = shared.server.info;
    shared.state = freshState(shared.state);
    this.#page.backend.server();
    for (const id of ["attn-layer", "attn-head"]) {
      $(id).value = "0";
      $(id).dispatchEvent(new Event("input"));
    }
    this.#page.messages.banner(`Connected to ${url} · ${name}`);
    this.#say("completed", `source=server url=${url} model=${name}`);
    if (params.autostart && params.prompt) this.#page.chats.first.ask(params.prompt);
  }

  /** Another of its models may run on another backend. */
  #hear(line) {
    const { server } = this.#shared;
    this.#shared.push(line);
    if (!server || line.stage !== "runtime_mode") return;
    server.info.backend = /\bbackend=(\w+)/.exec(line.detail)?.[1] ?? "";
    this.#page.backend.server();
  }

  #failed(e) {
    this.#shared.server = null;
    $("use-server").checked = false;
    this.#page.messages.banner(`Server connection failed: ${e.message}`, "bad");
    $("server-key").hidden = !e.needsKey;
    if (e.needsKey) $("server-key").focus();
    this.#say("failed", `url=${this.#url} ${e.message}`);
  }

  #leave() {
    this.#shared.server = null;
    this.#page.serverTools.of(null);
    this.#shared.status = this.#shared.model ? "ready" : "idle";
    this.#page.messages.banner();
    this.#page.backend.server();
    this.#page.refresh();
  }

  wire() {
    $("use-server").addEventListener("change", e => e.target.checked ? this.use() : this.#leave());
    $("server-key").addEventListener("change", () => this.use(this.#url));
  }
}
