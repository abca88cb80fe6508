// recording.js - reads recordings (docs/recording.md) into what the page plays: telemetry lines, and rows as
// the page's own worker makes them. A file is gzip members, each of them a block; unpacked blocks are read
// too. It promises: a file that was cut is read to its last whole block; what is no recording is refused in
// a sentence.
//
// Two rows meet in a token: how it was chosen is in its columns, what was computed meanwhile (experts, looks,
// times) in those of the token before it in its turn.
import { CHANNELS, columns, LOOKS, NORMS, PARTS, TOPS } from "../core/columns.js";

const FIXED = 28, TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array,
  f32: Float32Array, f64: Float64Array };
const NONE = 0xffffffff, WHOLE = 65535;
/** The format's stages of a layer, as the page's parts. */
export const STAGES = [0, 1, 2, 3, 4, 4];

const CONTROL = /^<\|.*\|>$/;

const ascii = (bytes, at, n) => String.fromCharCode(...bytes.subarray(at, at + n));
export const isRecording = bytes => ascii(bytes, 0, 4) === "GREC"
  || (bytes[0] === 0x1f && bytes[1] === 0x8b && ascii(bytes, 12, 2) === "GR");

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The blocks of a file, unpacked; what is behind the last whole one is left out. */
async function packed(bytes) {
  const out = [], view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + FIXED <= bytes.length;) {
    const size = view.getUint32(at + 16, true);
    if (ascii(bytes, at + 12, 2) !== "GR" || size < FIXED || at + size > bytes.length) break;
    out.push(await unpack(bytes.subarray(at, at + size)));
    at += size;
  }
  return out;
}

/** {header, data: bytes, columns: {name: {v: values, shape}}, end: where the next one begins} */
function readBlock(bytes, from) {
  const view = new DataView(bytes.buffer, bytes.byteOffset + from);
  if (bytes.length - from < 16 || ascii(bytes, from, 4) !== "GREC") return null;
  const version = view.getUint32(4, true), head = view.getUint32(8, true), size = view.getUint32(12, true);
  if (version !== 1) {
    throw new Error(`this recording has version ${version} of the format; this page reads 1`);
  }
  if (from + 16 + head + size > bytes.length) return null;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(from + 16, from + 16 + head)));
  const data = bytes.slice(from + 16 + head, from + 16 + head + size), found = {};
  for (const { name, type, shape, at } of header.columns ?? []) {
    const Type = TYPES[type], n = shape.reduce((a, b) => a * b, 1);
    const fits = Type && at + n * Type.BYTES_PER_ELEMENT <= size;
    if (fits) found[name] = { v: new Type(data.buffer, at, n), shape };
  }
  return { header, data, columns: found, end: from + 16 + head + size };
}

/** A turn as its tokens come. */
class Turn {
  constructor({ session, request }, before) {
    Object.assign(this, { session, request, rows: before, last: null, lastMs: NaN, firstMs: NaN, made: 0,
      message: 0, channel: null, text: null, ended: false });
  }

  /** A token of a message, as the chat takes it: the characters that its bytes make whole. */
  says(channel, bytes) {
    const [name, recipient = ""] = channel.split(" to=");
    if (channel !== this.channel) {
      Object.assign(this, { channel, message: this.message + 1, text: new TextDecoder() });
    }
    const text = this.text.decode(bytes, { stream: true });
    return { text, channel: name, recipient, message: this.message };
  }
}

/** Blocks of one file become the page's items. */
class Reader {
  items = [];                        // telemetry lines and rows, in order
  model = null;
  #columns = columns();
  #shape = {};
  #turns = new Map();
  #ends = false;
  #last = 0;                         // the newest time that was said

  take({ header, data, columns: found }) {
    if (header.kind === "head") this.#head(header);
    else if (header.kind === "lines") this.#lines(data);
    else if (header.kind === "tokens") this.#tokens(header, found);
    else if (header.kind === "end") this.#ends = true;
  }

  get whole() { return this.#ends; }

  /** Turns whose end is not there. */
  cut() {
    for (const [turn, { ended }] of this.#turns) if (!ended) this.#talk(turn, { stop: "canceled" });
  }

  #push(item, ms = this.#last) {
    this.#last = Math.max(this.#last, ms);
    this.items.push({ ...item, ts_ms: this.#last });
  }

  #head({ model, t0_ms, windowed }) {
    this.model = { ...model, windowed };
    this.#shape = { layers: model.n_layer, used: model.n_expert_used };
    this.#columns = columns(this.#shape);
    this.#push({ type: "load_stage", stage: "model_config", status: "completed",
      detail: `blocks=${model.n_layer} embd=${model.n_embd} heads=${model.n_head} experts=${model.n_expert} `
        + `topk=${model.n_expert_used}` }, t0_ms);
    this.backend = model.backend;
  }

  #lines(data) {
    for (const line of new TextDecoder().decode(data).trim().split("\n")) {
      if (line) this.items.push(JSON.parse(line));
    }
  }

  #stage(stage, status, session, detail, ms) {
    this.#push({ type: "inference_stage", stage, status, session, detail }, ms);
  }

  /** For the chat, where it is known what was asked. */
  #talk(turn, what, ms) {
    if (this.#turns.get(turn)?.request?.messages) this.#push({ type: "talk", turn, ...what }, ms);
  }

  #begin({ turn, session, of, from, prompt, reused, ms, request }) {
    const before = this.#turns.get(of)?.rows.slice(0, from) ?? [];
    this.#turns.set(turn, new Turn({ session, request }, before));
    const mode = `layers=${this.#shape.layers} backend=${this.backend}`;
    this.#stage("runtime_mode", "completed", session, mode, ms);
    this.#stage("prompt_encode", "completed", session, `tokens=${prompt} kept=${prompt} truncated=0`, ms);
    if (reused) this.#stage("prefix_reuse", "completed", session, `tokens=${reused}`, ms);
    if (before.length) this.#rows(this.#asked(before, session), before.length, [], ms);
    this.#talk(turn, { messages: request?.messages }, ms);
  }

  /** Rows of another turn as those of a prompt: nothing was chosen there. */
  #asked(before, session) {
    const c = this.#columns, rows = new Float32Array(before.length * c.width).fill(NaN);
    before.forEach((row, i) => {
      const at = i * c.width;
      for (const column of [c.id, c.position]) rows[at + column] = row[column];
      rows[at + c.made] = 0;
      rows[at + c.session] = session;
    });
    return rows;
  }

  #end({ turn, stop, generated, ms }) {
    const { session, firstMs, lastMs } = Object.assign(this.#turns.get(turn) ?? {}, { ended: true });
    const took = lastMs - firstMs || 0, rate = took ? (generated - 1) / took * 1000 : 0;
    const words = `stop_reason=${stop} ms=${took.toFixed(1)}`;
    this.#push({ type: "inference_stage", stage: "decode", status: "completed", session, step: generated,
      detail: `${words} tok/s=${rate.toFixed(1)}` }, ms);
    this.#stage("generation", "completed", session, words, ms);
    this.#talk(turn, { stop }, ms);
  }

  #rows(rows, n, texts, ms, token = false) {
    this.#push({ type: "rows", token, rows, count: n, from: 0, to: n, maps: new Float32Array(0), texts,
      shape: this.#shape }, ms);
  }

  #tokens(header, found) {
    this.#takeSteps(header, found);
    const texts = this.#words(found), begun = new Map(header.turns.map(t => [t.turn, t]));
    const n = found.turn.shape[0], ends = header.ends.toSorted((a, b) => a.ms - b.ms);
    for (let i = 0; i < n; i++) {
      const id = found.turn.v[i], begins = begun.get(id);
      while (begins && ends[0]?.ms <= begins.ms) this.#end(ends.shift());
      if (begins) this.#begin(begins);
      begun.delete(id);
      const turn = this.#turns.get(id);
      if (turn) this.#token(turn, header, found, i, i ? [] : texts);
    }
    for (const turn of begun.values()) this.#begin(turn);
    for (const end of ends) this.#end(end);
  }

  /** When steps were over, and the times of their stages: a token may be behind its step's block. */
  #takeSteps({ first_step }, { step_ms, step_took, stage_step, stage_us, ends_us }) {
    step_ms?.v.forEach((ms, i) => this.#over.set(first_step + i, ms + step_took.v[i]));
    const per = this.#shape.layers * STAGES.length;
    stage_step?.v.forEach((step, k) => this.#stages.set(step,
      { layers: stage_us?.v.subarray(k * per, (k + 1) * per), ends: ends_us.v.subarray(3 * k, 3 * k + 3) }));
  }
  #over = new Map();
  #stages = new Map();

  /** [[id, text]] of the block. */
  #words({ word_id, word_size, word }) {
    const text = new TextDecoder();
    let at = 0;
    return [...word_id?.v ?? []].map((id, i) => {
      const bytes = word.v.slice(at, at += word_size.v[i]);
      this.#bytes.set(id, bytes);
      return [id, text.decode(bytes)];
    });
  }
  #bytes = new Map();                // of tokens' texts

  #token(turn, header, found, i, texts) {
    const c = this.#columns, row = new Float32Array(c.width).fill(NaN), of = name => found[name]?.v[i];
    row[c.session] = turn.session;
    row[c.id] = of("id");
    row[c.position] = of("position");
    row[c.made] = of("kind") ? 1 : 0;
    const ms = row[c.made] ? this.#chosen(turn, row, header, found, i) : undefined;
    const channel = header.channels[of("channel")], bytes = this.#bytes.get(of("id")) ?? new Uint8Array(0);
    turn.last = { header, found, i };
    turn.rows.push(row);
    this.#rows(row, 1, texts, ms, row[c.made] === 1);
    if (!channel) turn.channel = null;
    const says = row[c.made] && channel && !CONTROL.test(ascii(bytes, 0, bytes.length));
    if (says) this.#talk(of("turn"), turn.says(channel, bytes), ms);
  }

  /** How a token of an answer was chosen; returns when. */
  #chosen(turn, row, header, found, i) {
    const c = this.#columns, { v: ids, shape: [, n] } = found.top_id;
    const step = found.step.v[i];
    row[c.p] = Math.exp(found.logprob.v[i]);
    row[c.entropy] = found.entropy.v[i];
    row[c.channel] = Math.max(0, CHANNELS.indexOf(header.channels[found.channel.v[i]]?.split(" ")[0]));
    for (let k = 0; k < Math.min(n, TOPS) && ids[i * n + k] >= 0; k++) {
      row[c.tops + k] = ids[i * n + k];
      row[c.tops + TOPS + k] = Math.exp(found.top_logprob.v[i * n + k]);
    }
    const ms = this.#over.get(step);
    this.#timed(turn, row, ms);
    if (turn.last) this.#computed(row, turn.last);
    this.#parts(row, step);
    return Number.isFinite(ms) ? ms : undefined;
  }

  #timed(turn, row, ms) {
    const c = this.#columns;
    row[c.step] = ++turn.made;
    if (!Number.isFinite(ms)) return;
    row[c.ms] = ms - turn.lastMs;
    turn.lastMs = ms;
    if (turn.made === 1) turn.firstMs = ms;
    row[c.rate] = turn.made > 1 ? (turn.made - 1) / (ms - turn.firstMs) * 1000 : 0;
    row[c.seconds] = Math.floor(ms / 1000);
    row[c.milli] = ms % 1000;
  }

  /** What was computed for the token before. */
  #computed(row, { found, i }) {
    const c = this.#columns, { layers, used } = this.#shape;
    const { look, look_weight, expert, expert_weight, norm } = found;
    [row[c.layer], row[c.watched]] = [found.watch?.v[2 * i], found.watch?.v[2 * i + 1]];
    const looks = look?.shape[1] ?? 0;
    for (let k = 0; k < Math.min(looks, LOOKS) && look.v[i * looks + k] !== NONE; k++) {
      row[c.looks + k] = look.v[i * looks + k];
      row[c.looks + LOOKS + k] = look_weight.v[i * looks + k] / WHOLE;
    }
    for (let layer = 0; norm && layer < layers; layer++) {
      const from = (i * layers + layer) * NORMS;
      row.set(norm.v.subarray(from, from + NORMS), c.norms(layer));
    }
    for (let layer = 0; expert && layer < layers; layer++) {
      const from = (i * layers + layer) * used, known = expert_weight.v[from] > 0;
      for (let k = 0; known && k < used; k++) {
        row[c.experts(layer) + k] = expert.v[from + k];
        row[c.experts(layer) + used + k] = expert_weight.v[from + k] / WHOLE;
      }
    }
  }

  /** Times of a step whose stages were timed. */
  #parts(row, step) {
    const timed = this.#stages.get(step), c = this.#columns;
    if (!timed) return;
    for (let layer = 0; timed.layers && layer < this.#shape.layers; layer++) {
      const at = c.parts(layer), from = layer * STAGES.length;
      row.fill(0, at, at + PARTS.length);
      STAGES.forEach((part, i) => { row[at + part] += timed.layers[from + i] / 1000; });
    }
    row[c.embed] = timed.ends[0] / 1000;
    row[c.head] = timed.ends[1] / 1000;
  }
}

/** What a file says, as the page plays it: {items, whole: it was not cut, model: its facts}. Items are
 * telemetry lines, rows, and the chat's: {type: "talk", turn} with messages (what was asked), a token's
 * text, channel, recipient and message, or stop. */
export async function readRecording(bytes) {
  const blocks = bytes[0] === 0x1f ? await packed(bytes) : [bytes], reader = new Reader();
  for (const block of blocks) {
    for (let at = 0, got; at < block.length && (got = readBlock(block, at)); at = got.end) reader.take(got);
  }
  reader.cut();
  if (!reader.items.length) {
    throw new Error("this file is no recording, or it was cut before its first block");
  }
  return { items: reader.items, whole: reader.whole, model: reader.model };
}
