// keeper.js - where conversations are kept: an IndexedDB of this origin, one record each. Knows nothing of
// the page. It promises: what put() was given last is what there is; where the browser keeps nothing (a
// private window, storage that is full), put() fails with the reason and the conversation goes on in memory.
import { Conversation } from "./conversation.js";

const NAME = "gossamer-chats", STORE = "conversations";

const done = request => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

export class Keeper {
  #opening = null;

  #open() {
    this.#opening ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error("another tab holds the kept chats"));
    });
    this.#opening.catch(() => { this.#opening = null; });
    return this.#opening;
  }

  async #store(mode) { return (await this.#open()).transaction(STORE, mode).objectStore(STORE); }

  async put(conversation) {
    const data = conversation.data();
    await done((await this.#store("readwrite")).put(data));
  }

  async get(id) {
    const data = await done((await this.#store("readonly")).get(id));
    return data ? new Conversation(data) : null;
  }

  async remove(id) { await done((await this.#store("readwrite")).delete(id)); }

  /** All, the newest first; with `words` those that have each of them somewhere. */
  async list(words = "") {
    const all = (await done((await this.#store("readonly")).getAll())).map(d => new Conversation(d));
    const found = words.trim() ? all.filter(c => c.finds(words.trim())) : all;
    return found.sort((a, b) => b.updated - a.updated);
  }

  /** Takes in what export() made, or one conversation; returns how many came. Those that are here already
   * stay beside them. */
  async import(text) {
    let data;
    try { data = JSON.parse(text); } catch { throw new Error("it is no JSON"); }
    const list = (Array.isArray(data?.conversations) ? data.conversations : [data]).map(Conversation.read);
    for (const conversation of list) await this.put(conversation);
    return list.length;
  }

  static export(list) {
    const conversations = list.map(c => c.data());
    return JSON.stringify({ format: "gossamer-chats", version: 1, conversations }, null, 1);
  }
}
