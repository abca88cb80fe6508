// indexeddb.js - IndexedDB as a drive, where OPFS is missing: the database "gossamer" has one store, "files",
// whose keys are [folder, name]. Every call is one transaction.
// @ts-check
import { keptBlob } from "./drive.js";
/** @import { Bytes, Drive } from "./drive.js" */

const STORE = "files";
/** All keys of a folder: arrays sort after strings.
 * @param {string} folder */
const keysOf = folder => IDBKeyRange.bound([folder], [folder, []]);

/** @implements {Drive} */
export class IndexedDb {
  kind = /** @type {const} */ ("indexeddb");
  #db;

  /** @param {IDBDatabase} db */
  constructor(db) { this.#db = db; }

  static async open() {
    return new IndexedDb(await new Promise((resolve, reject) => {
      const r = indexedDB.open("gossamer", 1);
      r.onupgradeneeded = () => r.result.createObjectStore(STORE);
      r.onsuccess = () => resolve(r.result);
      r.onerror = () => reject(r.error);
    }));
  }

  /** What fn's request gives, once its transaction is over.
   * @template T
   * @param {"readonly" | "readwrite"} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} fn
   * @returns {Promise<T>} */
  #do(mode, fn) {
    return new Promise((resolve, reject) => {
      const t = this.#db.transaction(STORE, mode), r = fn(t.objectStore(STORE));
      t.oncomplete = () => resolve(r.result);
      t.onabort = t.onerror = () => reject(t.error);
    });
  }

  /** @param {IDBKeyRange} [range] @returns {Promise<[string, string][]>} */
  #keys(range) { return this.#do("readonly", s => /** @type {IDBRequest<any>} */ (s.getAllKeys(range))); }

  async list() { return [...new Set((await this.#keys()).map(([folder]) => folder))]; }

  /** @param {string} folder @param {string} name @returns {Promise<Bytes | null>} */
  async read(folder, name) { return await this.#do("readonly", s => s.get([folder, name])) ?? null; }

  /** @param {string} folder @param {string} name @param {Bytes} bytes */
  async write(folder, name, bytes) { await this.#do("readwrite", s => s.put(bytes.slice(), [folder, name])); }

  /** @param {string} folder */
  async remove(folder) { await this.#do("readwrite", s => s.delete(keysOf(folder))); }

  /** @param {string} folder @param {string} name */
  async drop(folder, name) { await this.#do("readwrite", s => s.delete([folder, name])); }

  /** @param {string} folder @param {string} name */
  async file(folder, name) {
    const bytes = await this.read(folder, name);
    return bytes && keptBlob(name, new Blob([bytes]));
  }

  /** @param {string} folder */
  async files(folder) {
    const keys = await this.#keys(keysOf(folder));
    return (await Promise.all(keys.map(([, name]) => this.file(folder, name)))).filter(f => f !== null);
  }
}
