// wants.js - what callers give is what it must be, or an error names it in a sentence.
import { LARGEST, SMALLEST } from "./bytes/store.js";

function shown(x) {
  if (typeof x === "string") return JSON.stringify(x.length > 40 ? `${x.slice(0, 40)}…` : x);
  if (typeof x === "function") return "a function";
  if (x === null || typeof x !== "object") return String(x);
  return Array.isArray(x) ? `a list of ${x.length}` : `an object (${x.constructor?.name ?? "no class"})`;
}

const isSignal = x => typeof x?.addEventListener === "function" && "aborted" in x;
const isCount = x => Number.isInteger(x) && x >= 0;
const isChunk = x => Number.isInteger(Math.log2(x)) && x >= SMALLEST && x <= LARGEST;

const KINDS = {
  text: [x => typeof x === "string", "a text"],
  function: [x => typeof x === "function", "a function"],
  object: [x => x !== null && typeof x === "object" && !Array.isArray(x), "an object"],
  list: [Array.isArray, "a list"],
  count: [isCount, "a whole number from 0 on"],
  chunk: [isChunk, "a power of two from 16384 to 16777216"],
  signal: [isSignal, "an AbortSignal"],
  ids: [x => typeof x?.[Symbol.iterator] === "function" && [...x].every(isCount), "a list of token ids"],
  address: [x => typeof x === "string" || x instanceof URL, "an address"],
};

/** kind: one of KINDS, or a list of the words that are known. */
export function want(name, value, kind) {
  const [fits, what] = Array.isArray(kind)
    ? [x => kind.includes(x), `one of ${kind.map(k => JSON.stringify(k)).join(", ")}`] : KINDS[kind];
  if (!fits(value)) throw new TypeError(`${name} must be ${what}, not ${shown(value)}`);
}

/** Members that are there: `kinds` is {member: kind}. */
export function wantMembers(name, object, kinds) {
  want(name, object, "object");
  for (const [member, kind] of Object.entries(kinds)) {
    if (object[member] !== undefined) want(`${name}.${member}`, object[member], kind);
  }
}

const SOURCES = "a URL, hf:OWNER/REPO:FILE, a File or Blob, a list of them, or in Node a path";

/** What loadModel is given. */
export function wantSource(source) {
  const one = x => (typeof x === "string" && x.trim() !== "") || x instanceof URL || x instanceof Blob;
  const fits = Array.isArray(source) ? source.length > 0 && source.every(one) : one(source);
  if (!fits) throw new TypeError(`source must be ${SOURCES}, not ${shown(source)}`);
}
