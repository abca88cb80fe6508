// columns.js - what a row knows of one token: 32-bit numbers at fixed places, NaN where nobody said. The
// engine makes rows (src/engine/telemetry/sheet.c), of lines packer.js does; the page keeps them
// (history.js). All make the same columns from the model's shape.
//
//   token   session, id, position, p (its probability), entropy, ms (since the session's token before),
// seconds
//           and milli (when), rate, step and most (tokens of this answer), channel (place in CHANNELS), made
//           (0: of a prompt), embed and head (ms of the two parts that belong to no layer)
//   tops    TOPS times id, then TOPS times probability: the best tokens that there were
//   looked  layer and head that were watched, then LOOKS times position, then LOOKS times weight
//   layers  of each: `used` experts, their weights, NORMS norms, PARTS times of its parts in ms

import { ROW, ROW_COUNT } from "./words.js";

export const { TOPS, LOOKS, NORMS } = ROW_COUNT;
export const PARTS = ["attn_qkv", "attn_score", "attn_out", "moe_router", "mlp"];
export const CHANNELS = ["", "analysis", "commentary", "final"];

/** The places of everything in a row of a model with so many layers, of whose experts `used` work. */
export function columns({ layers = 0, used = 0 } = {}) {
  const at = Object.fromEntries(Object.entries(ROW).map(([name, i]) => [name.toLowerCase(), i]));
  const tops = Object.keys(ROW).length, looks = tops + 2 * TOPS, first = looks + 2 * LOOKS;
  const each = 2 * used + NORMS + PARTS.length;
  return { ...at, tops, looks, first, each, layers, used, width: first + layers * each,
    experts: layer => first + layer * each, norms: layer => first + layer * each + 2 * used,
    parts: layer => first + layer * each + 2 * used + NORMS };
}

export const sameShape = (a, b) => a.layers === b.layers && a.used === b.used;
