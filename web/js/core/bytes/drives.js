// drives.js - which place keeps bytes in a browser: OPFS, IndexedDB where that is missing. (Node's is
// js/node/node_files.js.)
// @ts-check
import { IndexedDb } from "./indexeddb.js";
import { Opfs } from "./opfs.js";
/** @import { Drive } from "./drive.js" */

/** The best drive there is, or null: then nothing is kept.
 * @param {string} [want] "indexeddb" leaves OPFS out
 * @returns {Promise<Drive | null>} */
export async function openDrive(want) {
  const opfs = want !== "indexeddb" && !!navigator.storage?.getDirectory;
  if (opfs) try { return await Opfs.open(); } catch { /* private windows refuse: the next */ }
  return IndexedDb.open().catch(() => null);
}
