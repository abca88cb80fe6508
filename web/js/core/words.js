// words.js - made by tools/words.py from the lists of C: don't edit. OP: the ops of a submit
// (src/gpu/device/gpu_types.h); OP_WORDS: how many words each has; PANEL: the words of the panel buffer
// (src/gpu/kernels/blocks.h); ROW: the first columns of a row, ROW_COUNT: how many there are of the others
// (src/engine/telemetry/sheet.h).
export const OP = { PASS: 1, DISPATCH: 2, END: 3, COPY: 4, CLEAR: 5, RESOLVE: 6, CUT: 7 };
export const OP_WORDS = [0, 2, 7, 1, 6, 4, 5, 1];
export const PANEL = {
  LAYERS: 0, N_EXPERT: 1, POSITION: 2, LAYER: 3, HEAD: 4, MAX_KV: 5, FIRSTS: 16, RECORDS: 256,
  RECORD: 544, USE: 0, WEIGHTS: 256, NORM: 512, KEYS: 513, FIRST: 514, WINDOW: 515, EXPERTS: 256,
  ROWS: 128, COLUMNS: 256,
};
export const ROW = {
  SESSION: 0, ID: 1, POSITION: 2, P: 3, ENTROPY: 4, MS: 5, SECONDS: 6, MILLI: 7,
  RATE: 8, STEP: 9, MOST: 10, CHANNEL: 11, MADE: 12, EMBED: 13, HEAD: 14, LAYER: 15,
  WATCHED: 16,
};
export const ROW_COUNT = { TOPS: 10, LOOKS: 16, NORMS: 3, PARTS: 5 };
