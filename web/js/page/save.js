// save.js - a recording of what the page's history holds: the same file that `gossamer run --record` writes
// (docs/recording.md). It promises: what the page knows of a token is in it, where the format has a place; a
// token that is a part of a character has the text that the page has, which is U+FFFD.
//
// A row of the history holds how a token was chosen and what was computed for that, which belongs to the
// token before it.
import { CHANNELS, LOOKS, NORMS, TOPS } from "../core/columns.js";
import { STAGES } from "./recording.js";

const BLOCK = 64, NONE = 0xffffffff, WHOLE = 65535, MADE = 1;
const TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array,
  f64: Float64Array };
const encoder = new TextEncoder(), padded = n => Math.ceil(n / 8) * 8;

// ---- the file ---------------------------------------------------------------------------------------------
/** A block, not packed. columns: {name: [type, shape, values]} */
function block(header, columns = {}, lines = "") {
  const parts = [], told = [], text = encoder.encode(lines);
  let at = 0;
  const add = bytes => {
    parts.push([at, bytes]);
    at += padded(bytes.length);
  };
  for (const [name, [type, shape, values]] of Object.entries(columns)) {
    told.push({ name, type, shape, at });
    add(new Uint8Array(TYPES[type].from(values).buffer));
  }
  if (lines) add(encoder.encode(lines.padEnd(lines.length + padded(text.length) - text.length)));
  const head = encoder.encode(JSON.stringify({ ...header, ...(told.length && { columns: told }) }));
  const room = padded(head.length), out = new Uint8Array(16 + room + at), view = new DataView(out.buffer);
  out.set(encoder.encode("GREC"));
  [1, room, at].forEach((n, i) => view.setUint32(4 + 4 * i, n, true));
  out.fill(32, 16, 16 + room);
  out.set(head, 16);
  for (const [from, bytes] of parts) out.set(bytes, 16 + room + from);
  return out;
}

/** As one gzip member, whose header says its size, its first token and how many it has. */
async function member(bytes, first, n) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  const plain = new Uint8Array(await new Response(stream).arrayBuffer());
  const out = new Uint8Array(plain.length + 18), view = new DataView(out.buffer);
  out.set(plain.subarray(0, 10));
  out.set(plain.subarray(10), 28);
  out[3] = 4;                        // FEXTRA
  view.setUint16(10, 16, true);
  out.set(encoder.encode("GR"), 12);
  view.setUint16(14, 12, true);
  [out.length, first, n].forEach((x, i) => view.setUint32(16 + 4 * i, x, true));
  return out;
}

// ---- turns ------------------------------------------------------------------------------------------------
/** The rows of each prompt and its answer: [{rows: [n, ...], prompt: how many of them are asked}]. */
function turnsOf(history) {
  const { columns: c } = history, turns = [], get = (n, column) => history.get(n, column);
  for (let n = history.first; n < history.count; n++) {
    const again = get(n, c.position) <= get(n - 1, c.position)
      || (history.made(n) && history.made(n - 1) && get(n, c.step) <= get(n - 1, c.step));
    if (!turns.length || again) turns.push({ rows: [], prompt: 0 });
    turns.at(-1).rows.push(n);
    if (!history.made(n)) turns.at(-1).prompt++;
  }
  return turns;
}

const CONTROL = /^<\|(.*)\|>$/;

/** The channel of each token of an answer: "" in headers. */
function channelsOf(history, { rows, prompt }) {
  const texts = rows.map(n => history.text(n)), says = texts.slice(prompt);
  if (!says.includes("<|message|>")) return says.map(text => CONTROL.test(text) ? "" : "final");
  let channel = "", header = "", body = texts[prompt - 1] === "<|message|>";
  return says.map(text => {
    const control = CONTROL.exec(text)?.[1];
    if (control === "message") {
      const [, name = "final"] = /^\s*(\w+)/.exec(header) ?? [], [, to] = /\bto=(\S+)/.exec(header) ?? [];
      channel = to ? `${name} to=${to}` : name;
    }
    if (control) body = control === "message";
    if (control === "channel") header = "";
    if (control || body) return control ? "" : channel;
    header += text;
    return "";
  });
}

/** How many tokens a turn has in common with the one before, whose first they are. One of the prompt's stays:
 * what was computed for it belongs to the answer's first token. */
function common(history, turn, before) {
  const { columns: c } = history, same = (a, b) => history.get(a, c.id) === history.get(b, c.id)
    && history.get(a, c.position) === history.get(b, c.position);
  if (!before || history.get(turn.rows[0], c.position) || history.get(before.rows[0], c.position)) return 0;
  let n = 0;
  while (n < turn.prompt - 1 && n < before.rows.length && same(turn.rows[n], before.rows[n])) n++;
  return n;
}

const timeOf = (history, n) =>
  history.get(n, history.columns.seconds) * 1000 + history.get(n, history.columns.milli);

// ---- a block's columns --------------------------------------------------------------------------------
/** What the parts of a row's step took, in ms; 0: not known. */
function partsOf(history, n, shape) {
  const { columns: c } = history;
  let ms = (history.get(n, c.embed) || 0) + (history.get(n, c.head) || 0);
  for (let layer = 0; layer < shape.layers; layer++) {
    for (let i = 0; i < STAGES.length - 1; i++) ms += history.get(n, c.parts(layer) + i) || 0;
  }
  return ms;
}

/** Tokens [{n: its row, next: that of the token behind it or -1, turn, channel}] as columns. */
class Columns {
  #out = {};
  constructor(history, shape) { Object.assign(this, { history, shape }); }

  add(name, type, shape, values) {
    this.#out[name] = [type, [values.length / size(shape), ...shape], values];
  }

  /** of: a value of a row; absent: what stands for NaN */
  rows(name, type, rows, of, absent = NaN) {
    this.add(name, type, [], rows.map(n => {
      const value = n < 0 ? NaN : of(n);
      return Number.isNaN(value) ? absent : value;
    }));
  }

  lists(name, type, shape, rows, of, absent) {
    const n = size(shape);
    this.add(name, type, shape, rows.flatMap(row => Array.from({ length: n }, (_, i) => {
      const value = row < 0 ? NaN : of(row, i);
      return Number.isNaN(value) ? absent : value;
    })));
  }

  get all() { return this.#out; }
}
const size = shape => shape.reduce((a, b) => a * b, 1);

function tokenColumns(out, tokens, channels, steps, tops) {
  const { history } = out, { columns: c } = history, get = (n, column) => history.get(n, column);
  const rows = tokens.map(t => t.n), made = rows.map(n => history.made(n) ? n : -1);
  out.add("turn", "u32", [], tokens.map(t => t.turn));
  out.rows("position", "u32", rows, n => get(n, c.position), 0);
  out.rows("id", "i32", rows, n => get(n, c.id));
  out.rows("kind", "u8", rows, n => history.made(n) ? MADE : 0);
  out.add("channel", "u8", [], tokens.map(t => channels.indexOf(t.channel)));
  out.rows("logprob", "f32", made, n => Math.log(get(n, c.p)));
  out.rows("entropy", "f32", made, n => get(n, c.entropy));
  out.add("step", "u32", [], tokens.map(t => steps.get(t.n) ?? NONE));
  out.add("row_step", "u32", [], tokens.map(t => steps.get(t.next) ?? NONE));
  out.lists("top_id", "i32", [tops], made, (n, i) => get(n, c.tops + i), -1);
  out.lists("top_logprob", "f32", [tops], made, (n, i) => Math.log(get(n, c.tops + TOPS + i)), 0);
}

/** What was computed for the token is in the row of the next. */
function computedColumns(out, tokens) {
  const { history, shape: { layers, used } } = out, { columns: c } = history;
  const next = tokens.map(t => t.next >= 0 && history.made(t.next) ? t.next : -1);
  const get = (n, column) => history.get(n, column), each = layers * used;
  const layered = (at, n, i, per) => get(n, at(Math.floor(i / per)) + i % per);
  out.lists("watch", "u16", [2], next, (n, i) => get(n, i ? c.watched : c.layer), 0);
  out.lists("look", "u32", [LOOKS], next, (n, i) => get(n, c.looks + i), NONE);
  out.lists("look_weight", "u16", [LOOKS], next,
    (n, i) => Math.round(WHOLE * get(n, c.looks + LOOKS + i)), 0);
  if (layers) {
    out.lists("norm", "f32", [layers, NORMS], next, (n, i) => layered(c.norms, n, i, NORMS), NaN);
  }
  if (!each) return;
  out.lists("expert", "u8", [layers, used], next, (n, i) => layered(c.experts, n, i, used), 0);
  out.lists("expert_weight", "u16", [layers, used], next,
    (n, i) => Math.round(WHOLE * layered(l => c.experts(l) + used, n, i, used)), 0);
}

/** The words of ids that no block has had. */
function wordColumns(out, tokens, tops) {
  const { history } = out, { columns: c } = history, ids = new Set();
  for (const { n } of tokens) {
    ids.add(history.get(n, c.id));
    for (let i = 0; history.made(n) && i < tops; i++) ids.add(history.get(n, c.tops + i));
  }
  const known = [...ids].filter(id => history.texts.has(id));
  const texts = known.map(id => encoder.encode(history.texts.get(id)));
  out.add("word_id", "i32", [], known);
  out.add("word_size", "u16", [], texts.map(t => t.length));
  out.add("word", "u8", [], texts.flatMap(t => [...t]));
}

/** The steps of the block's answers: one a token. */
function stepColumns(out, made, first) {
  const { history, shape, shape: { layers, experts } } = out, { columns: c } = history;
  const took = made.map(n => partsOf(history, n, shape) || history.get(n, c.ms) || 0);
  const ones = made.map(() => 1), zeros = made.map(() => 0);
  out.add("step_ms", "f64", [], made.map((n, i) => timeOf(history, n) - took[i]));
  out.add("step_took", "f32", [], took);
  for (const name of ["rows", "sessions"]) out.add(`step_${name}`, "u16", [], ones);
  for (const name of ["prompt_rows", "drafted", "accepted"]) out.add(`step_${name}`, "u16", [], zeros);
  const timed = made.filter(n => history.get(n, c.embed) >= 0);
  if (!timed.length || !layers) return;
  const us = (n, column) => 1000 * history.get(n, column);
  const none = STAGES.length - (experts ? 1 : 2);      // the stage that this model hasn't
  out.add("stage_step", "u32", [], timed.map(n => first + made.indexOf(n)));
  out.lists("stage_us", "f32", [layers, STAGES.length], timed, (n, i) => {
    const stage = i % STAGES.length;
    return stage === none ? 0 : us(n, c.parts(Math.floor(i / STAGES.length)) + STAGES[stage]);
  }, 0);
  out.lists("ends_us", "f32", [3], timed, (n, i) => i === 2 ? 0 : us(n, i ? c.head : c.embed), 0);
}

// ---- all of it --------------------------------------------------------------------------------------------
/** The answer that a turn's tokens say, as the chat has it. */
function saidOf(history, { rows, prompt }, channels) {
  return rows.slice(prompt).map((n, i) => channels[i] ? history.text(n) : "").join("");
}

/** What was asked and how it ended, from the page's conversations: the newest answer of the same letters. */
function askedOf(talks, said) {
  const plain = text => text.replace(/[^!-~]/g, "");
  for (const talk of talks) {
    const answer = talk.turns.findLast(t => t.role === "assistant"
      && plain(t.parts.map(p => p.text).join("")) === plain(said));
    if (!answer) continue;
    const path = [];
    for (let at = answer.parent; at; at = path[0].parent) path.unshift(talk.turns.find(t => t.id === at));
    return { request: { messages: talk.messages(path) }, stop: answer.done.stop };
  }
  return {};
}

/** The page's turns as the file's: what they begin with, their tokens, their ends. */
function fileTurns(history, talks) {
  const { columns: c } = history, all = turnsOf(history);
  const session = Math.max(0, history.get(history.first, c.session));
  return all.map((own, turn) => {
    const from = common(history, own, all[turn - 1]), channels = channelsOf(history, own);
    const made = own.rows.slice(own.prompt), last = own.rows.at(-1);
    const { request, stop } = askedOf(talks, saidOf(history, own, channels));
    const tokens = own.rows.slice(from).map((n, i) => ({ n, turn, next: own.rows[from + i + 1] ?? -1,
      channel: channels[from + i - own.prompt] ?? "" }));
    const begun = made.length ? timeOf(history, made[0]) - (partsOf(history, made[0], c) || 0) : 0;
    const ended = stop === "call" ? "tool_call" : stop ?? "eos";
    return { tokens, made,
      begin: { turn, session, of: from ? turn - 1 : -1, from, prompt: history.get(own.rows[0], c.position)
        + own.prompt, reused: from, ms: begun, ...(request && { request }) },
      end: made.length ? { turn, stop: ended, generated: made.length, ms: timeOf(history, last) } : null };
  });
}

/** Blocks of tokens: [{tokens, turns that begin in it, ends}]. */
function blocksOf(turns) {
  const blocks = [], all = turns.flatMap(t => t.tokens);
  for (let at = 0; at < all.length; at += BLOCK) {
    const tokens = all.slice(at, at + BLOCK), within = t => tokens.includes(t);
    blocks.push({ tokens, first: at, turns: turns.filter(t => within(t.tokens[0])).map(t => t.begin),
      ends: turns.filter(t => t.end && within(t.tokens.at(-1))).map(t => t.end) });
  }
  return blocks;
}

function headOf(history, { model, windowed, tops, t0 }) {
  const { layer, watched } = history.columns, newest = history.count - 1;
  return { kind: "head", program: "gossamer, its page", t0_ms: t0, model, ...(windowed && { windowed }),
    n_top: tops, n_looks: LOOKS, watch: [layer, watched].map(column => history.get(newest, column) || 0),
    stages: ["attn_in", "attend", "attn_out", "route", "experts", "ffn"] };
}

/** How many alternatives a token has, at most. */
function topsOf(history) {
  let most = 1;
  for (let n = history.first; n < history.count; n++) most = Math.max(most, history.tops(n).length);
  return most;
}

/** The history as a file's bytes. model: its facts, windowed: one a layer; talks: the conversations that
 * are on the page; lines: telemetry of other things, kernels' times. */
export async function recordingOf(history, { model, windowed, talks, lines = [] }) {
  const shape = { layers: history.columns.layers, used: history.columns.used, experts: model.n_expert };
  const turns = fileTurns(history, talks), channels = [...new Set(["", ...CHANNELS.slice(1),
    ...turns.flatMap(t => t.tokens.map(token => token.channel))])], tops = topsOf(history);
  const made = turns.flatMap(t => t.made), steps = new Map(made.map((n, i) => [n, i]));
  const t0 = made.length ? timeOf(history, made[0]) : 0;
  const parts = [await member(block(headOf(history, { model, windowed, tops, t0 })), 0, 0)];
  for (const { tokens, first, turns: begun, ends } of blocksOf(turns)) {
    const out = new Columns(history, shape), own = tokens.map(t => t.n).filter(n => history.made(n));
    const firstStep = own.length ? steps.get(own[0]) : 0;
    tokenColumns(out, tokens, channels, steps, tops);
    computedColumns(out, tokens);
    wordColumns(out, tokens, tops);
    stepColumns(out, own, firstStep);
    const header = { kind: "tokens", first, first_step: firstStep, channels, turns: begun, ends };
    parts.push(await member(block(header, out.all), first, tokens.length));
  }
  const n = turns.reduce((sum, t) => sum + t.tokens.length, 0);
  if (lines.length) parts.push(await member(block({ kind: "lines" }, {}, lines.join("\n")), n, 0));
  const last = made.length ? timeOf(history, made.at(-1)) : 0;
  const end = { kind: "end", tokens: n, steps: made.length, ms: last };
  parts.push(await member(block(end), n, 0));
  return new Blob(parts, { type: "application/octet-stream" });
}
