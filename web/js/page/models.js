// models.js - MODELS: what this browser keeps of models, with sizes; one is loaded or deleted from here. With
// USE SERVER, the server's models.
import { parse } from "../core/bytes/drive.js";
import { openDrive } from "../core/bytes/drives.js";
import { $, bytes, el } from "./dom.js";

/** What one folder keeps: {folder, url, size, kept, used}; null: it is no model's. */
async function readFolder(drive, folder) {
  const manifest = parse(await drive.read(folder, "manifest.json"));
  if (!manifest?.url) return null;
  const { url, size, chunk, hashes = {}, used = 0 } = manifest;
  const kept = Object.keys(hashes).reduce((n, i) => n + Math.min(chunk, size - i * chunk), 0);
  return { folder, url, size, kept, used };
}

export class Models {
  #shared;
  #page;
  #list = el("ul.rows", { "aria-label": "Models" });
  #note = el("p.note");

  /** page: {messages, refresh(), load(), close()} */
  constructor(shared, page) {
    this.#shared = shared;
    this.#page = page;
  }

  wire() { $("p-models").append(this.#note, this.#list); }

  async show() {
    const { server } = this.#shared;
    if (server) return this.#showServer(server);
    const drive = await openDrive().catch(() => null);
    const found = drive ? await Promise.all((await drive.list()).map(f => readFolder(drive, f))) : [];
    const models = found.filter(Boolean).sort((a, b) => b.used - a.used);
    const { usage = 0, quota = 0 } = await navigator.storage?.estimate?.() ?? {};
    this.#note.textContent = models.length
      ? `This browser keeps ${bytes(models.reduce((n, m) => n + m.kept, 0))} of models; ${bytes(usage)} of `
        + `${bytes(quota)} are used here.` : "This browser keeps no model yet.";
    this.#list.replaceChildren(...models.map(m => this.#row(drive, m)));
  }

  #row(drive, { folder, url, size, kept }) {
    const name = decodeURIComponent(url.split("/").at(-1)), part = kept < size ? ` of ${bytes(size)}` : "";
    const load = () => {
      this.#shared.files = null;
      $("source").value = url.startsWith(`${location.origin}/`) ? url.slice(location.origin.length) : url;
      this.#page.refresh();
      this.#page.close();
      this.#page.load();
    };
    const drop = async () => {
      try { await drive.remove(folder); } catch (e) {
        this.#page.messages.error(`${name} can't be deleted: ${e.message}`);
      }
      this.show();
    };
    return el("li", { title: url }, el("button.quiet.name", { type: "button", onclick: load }, name),
      el("span.when", null, `${bytes(kept)}${part}`),
      el("button.quiet", { type: "button", onclick: drop, "aria-label": `Delete ${name}` }, "DELETE"));
  }

  #showServer(server) {
    const pick = name => {
      server.info.name = name;
      this.#page.refresh();
      this.#showServer(server);
    };
    this.#note.textContent = `Models of ${server.url}`;
    this.#list.replaceChildren(...server.models.map(name => el("li", null,
      el("button.quiet.name", { type: "button", "aria-pressed": String(name === server.info.name),
        onclick: () => pick(name) }, name))));
  }
}
