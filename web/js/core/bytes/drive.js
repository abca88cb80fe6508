// drive.js - what a place where bytes are kept must do. Places: opfs.js, indexeddb.js and Node's
// node_files.js; drives.js and node_host.js choose among them. A new one is a class with these calls in a
// file of its own, `@implements {Drive}` above it (tsc checks that: tests/web/tsconfig.bytes.json), and a
// line in drives.js; tests/web/drives.mjs says how it must behave.
//
// A place has folders, a folder has files. Names are made by us: letters, digits, dots. What is asked for and
// isn't there is null or an empty list, never an error, and neither is removing it; whatever else fails may
// throw.
// @ts-check

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * @typedef {object} KeptFile
 * @property {string} name
 * @property {number} size
 * @property {(offset: number, n: number) => Bytes} read n bytes at once, without waiting; throws when they
 *   are no longer there
 */

/**
 * @typedef {object} Drive
 * @property {"opfs" | "indexeddb" | "files" | "test"} kind what telemetry and the page call it
 * @property {() => Promise<string[]>} list the folders
 * @property {(folder: string, name: string) => Promise<Bytes | null>} read a whole file
 * @property {(folder: string, name: string, bytes: Bytes) => Promise<void>} write makes the folder and the
 *   file, or replaces the file; a file is whole or absent afterwards. For lack of room: a QuotaExceededError.
 * @property {(folder: string) => Promise<void>} remove a folder and all that is in it
 * @property {(folder: string, name: string) => Promise<void>} drop one file
 * @property {(folder: string, name: string) => Promise<KeptFile | null>} file
 * @property {(folder: string) => Promise<KeptFile[]>} files all of a folder
 */

/** Where there is no room, whatever the system calls it.
 * @param {string} message */
export const noRoom = message => new DOMException(message, "QuotaExceededError");

/** A file whose bytes a worker may wait for.
 * @param {string} name
 * @param {Blob} blob
 * @returns {KeptFile} */
export function keptBlob(name, blob) {
  const read = (/** @type {number} */ offset, /** @type {number} */ n) =>
    new Uint8Array(new FileReaderSync().readAsArrayBuffer(blob.slice(offset, offset + n)));
  return { name, size: blob.size, read };
}

/** What JSON in a file says; null where it is missing or damaged.
 * @param {Uint8Array | null | undefined} bytes */
export function parse(bytes) {
  try { return bytes ? JSON.parse(new TextDecoder().decode(bytes)) : null; } catch { return null; }
}
