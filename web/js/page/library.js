// library.js - CHATS: the conversations that this browser keeps, as a list that can be searched; opening,
// naming, deleting; export and import.
import { $, el } from "./dom.js";
import { Keeper } from "./keeper.js";

const STEP = 100;                    // so many rows are drawn at a time

/** Hands a text to the user as a file. */
function download(name, text, type) {
  const href = URL.createObjectURL(new Blob([text], { type })), link = el("a", { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

const fileName = name =>
  name.replace(/[^\p{L}\p{N} _-]+/gu, "").trim().replace(/\s+/g, "-").slice(0, 40) || "chat";

export class Library {
  #keeper;
  #page;
  #list = el("ul.rows", { "aria-label": "Kept chats" });
  #search = el("input", { type: "search", placeholder: "search", "aria-label": "Search the kept chats" });
  #file = el("input", { type: "file", accept: ".json", hidden: true, "aria-label": "Chats to import" });
  #asked = 0;

  /** page: {messages, chats, close()} */
  constructor(keeper, page) {
    this.#keeper = keeper;
    this.#page = page;
  }

  wire() {
    const act = (name, onclick) => el("button.quiet", { type: "button", onclick }, name);
    $("p-library").append(el("div.fields", null, el("label.long", null, this.#search),
      act("EXPORT ALL", () => this.#export()), act("IMPORT", () => this.#file.click()), this.#file),
      this.#list);
    this.#search.addEventListener("input", () => this.show());
    this.#file.addEventListener("change", () => {
      this.#import([...this.#file.files]);
      this.#file.value = "";
    });
  }

  /** Draws what is kept now. */
  async show() {
    const asked = ++this.#asked;
    try {
      const found = await this.#keeper.list(this.#search.value);
      if (asked === this.#asked) this.#draw(found, STEP);
    } catch (e) { this.#say(`The kept chats can't be read: ${e.message}`); }
  }

  #say(text) { this.#list.replaceChildren(el("li.note", null, text)); }

  #draw(found, n) {
    if (!found.length) return this.#say(this.#search.value ? "Nothing found." : "Nothing is kept yet.");
    const onclick = () => this.#draw(found, n + STEP);
    const more = el("li", null, el("button.quiet", { type: "button", onclick }, `${found.length - n} MORE`));
    this.#list.replaceChildren(...found.slice(0, n).map(c => this.#row(c)));
    if (found.length > n) this.#list.append(more);
  }

  #row(talk) {
    const act = (name, onclick, label) =>
      el("button.quiet", { type: "button", onclick, "aria-label": `${label} ${talk.name}` }, name);
    const row = el("li", { "data-id": talk.id });
    const open = async () => {
      await this.#page.chats.show(talk);
      this.#page.close();
    };
    const date = new Date(talk.updated).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    row.append(el("button.quiet.name", { type: "button", onclick: open }, talk.name),
      el("span.when", null, date),
      act("RENAME", () => this.#rename(talk, row), "Rename"),
      act("JSON", () => this.#save(talk, "json"), "Export as JSON"),
      act("MD", () => this.#save(talk, "md"), "Export as MD"),
      act("DELETE", () => this.#delete(talk), "Delete"));
    return row;
  }

  #save(talk, as) {
    const name = `${fileName(talk.name)}.${as}`;
    if (as === "md") download(name, talk.markdown(), "text/markdown");
    else download(name, Keeper.export([talk]), "application/json");
  }

  async #export() {
    download("gossamer-chats.json", Keeper.export(await this.#keeper.list()), "application/json");
  }

  async #import(files) {
    for (const file of files) {
      try {
        const n = await this.#keeper.import(await file.text());
        this.#page.messages.note(`${n} chats came from ${file.name}`);
      } catch (e) { this.#page.messages.error(`${file.name}: ${e.message}`); }
    }
    this.show();
  }

  #rename(talk, row) {
    const input = el("input", { value: talk.name, "aria-label": `New name of ${talk.name}` });
    const end = async keep => {
      if (!input.isConnected) return;
      const title = input.value.trim();
      input.replaceWith(row.ours);
      if (!keep || !title) return;
      for (const shown of this.#page.chats.shown(talk.id)) shown.title = title;
      await this.#keeper.put(Object.assign(talk, { title }));
      this.show();
    };
    row.ours = row.firstChild;
    row.firstChild.replaceWith(input);
    input.addEventListener("keydown", e => { if (/^(Enter|Escape)$/.test(e.key)) end(e.key === "Enter"); });
    input.addEventListener("blur", () => end(true));
    input.select();
  }

  async #delete(talk) {
    await this.#keeper.remove(talk.id);
    await this.#page.chats.forget(talk.id);
    this.show();
  }
}
