// packer.js - telemetry lines of tokens and layers, of servers and old recordings, become rows (columns.js).
// It promises: a line that is taken is in a row, which is whole when its session's token comes; a line that
// is not taken is somebody else's. What came of a step is kept by session until then.
import { CHANNELS, columns, LOOKS, PARTS, TOPS } from "./columns.js";

const NOBODY = -1, FIRST_ROWS = 64, FIRST_MAP = 1024, MOST_ROWS = 4096;
const OF_A_STEP = /^(token_embd|attn_\w+|moe_\w+|layer_mlp|lm_head)$/;
const partOf = stage => stage === "moe_mlp" || stage === "layer_mlp" ? 4 : PARTS.indexOf(stage);

/** Twice as much room, with what is there. */
function grown(list, least) {
  const more = new Float32Array(Math.max(2 * list.length, least));
  more.set(list);
  return more;
}

/** What a session's step has told before its token. */
class Step {
  constructor(width) {
    this.row = new Float32Array(width).fill(NaN);
    this.map = new Float32Array(FIRST_MAP);
    this.seen = -1;                  // weights in map; -1: none came
    this.first = 0;
    this.fresh = false;              // the channel came behind the last token: the prompt ends in an answer
    this.begin(0);
  }

  /** An answer behind so many tokens of a prompt. */
  begin(position) {
    this.position = position;
    if (!this.fresh) this.channel = 0;
    this.last = NaN;                 // when the token before came, in ms
  }

  clear() {
    this.row.fill(NaN);
    this.seen = -1;
  }
}

export class Packer {
  #columns = columns();
  #steps = new Map();                // by session
  #rows = new Float32Array(0);
  #count = 0;
  #maps = new Float32Array(FIRST_MAP);
  #mapped = 0;
  #texts = new Map();                // of tokens that were told: id -> text
  #fresh = [];                       // of those, what take() has not given yet

  get columns() { return this.#columns; }
  get count() { return this.#count; }

  /** The model: what is there of another one goes. */
  shape({ layers, used }) {
    this.#columns = columns({ layers, used });
    this.#steps.clear();
    this.#count = this.#mapped = 0;
    this.#rows = new Float32Array(FIRST_ROWS * this.#columns.width);
    this.#texts.clear();
    this.#fresh = [];
  }

  /** What has come since the last time: {rows, count, maps, texts, shape}. maps: of each row that has a
   * map its place, how many weights, the first position, then the weights. */
  take() {
    const { width, layers, used } = this.#columns;
    const got = { rows: this.#rows.slice(0, this.#count * width), count: this.#count,
      maps: this.#maps.slice(0, this.#mapped), texts: this.#fresh, shape: { layers, used } };
    this.#count = this.#mapped = 0;
    this.#fresh = [];
    return got;
  }

  // ---- lines ----------------------------------------------------------------------------------------------
  /** Takes the line, or returns false. The page wants to know of channels too: they are not taken. */
  object(e) {
    const { stage, status, event } = e, session = e.session ?? event?.session ?? NOBODY;
    if (e.type === "inference_stage") return this.#stageObject(session, stage, status, e);
    if (e.type !== "inference_event") return false;
    const step = this.#step(session), { row } = step, c = this.#columns, { layer } = event;
    const inside = layer < c.layers;
    switch (event.type) {
      case "token_generated":
        this.#token(step, session, event, e.ts_ms);
        return true;
      case "channel":
        step.channel = Math.max(0, CHANNELS.indexOf(event.channel));
        step.fresh = true;
        return false;
      case "prompt_tokens":
        this.#prompt(step, session, event);
        return true;
      case "seen":
        this.#seen(step, event);
        return true;
      case "router":
        for (let i = 0; inside && i < c.used; i++) {
          row[c.experts(layer) + i] = event.experts[i];
          row[c.experts(layer) + c.used + i] = event.weights?.[i];
        }
        return true;
      case "layer_activation":
        if (inside) row.set([event.attention_norm, event.mlp_norm, event.output_norm], c.norms(layer));
        return true;
      case "attention_weights": {
        const weights = event.weights?.at(-1) ?? [];
        while (step.map.length < weights.length) step.map = grown(step.map, FIRST_MAP);
        step.map.set(weights);
        Object.assign(step, { seen: weights.length, first: event.first ?? 0 });
        this.#looked(step, layer, event.head);
        return true;
      }
    }
    return false;
  }

  #stageObject(session, stage, status, { step, total_steps, detail = "" }) {
    const value = key => +(new RegExp(`\\b${key}=([\\d.]+)`).exec(detail)?.[1] ?? NaN);
    if (stage === "prompt_encode") this.#step(session).begin(value("tokens"));
    if (stage === "decode" && status === "progress") this.#decode(session, step, total_steps, value("tok/s"));
    else if (status === "completed" && OF_A_STEP.test(stage)) {
      this.#time(session, stage, value("layer"), value("ms"));
    } else return false;
    return true;
  }

  // ---- rows -----------------------------------------------------------------------------------------------
  #step(session) {
    let step = this.#steps.get(session);
    if (!step) this.#steps.set(session, step = new Step(this.#columns.width));
    return step;
  }

  /** A prompt's tokens are rows of their own. */
  #prompt(step, session, { first, tokens }) {
    const { row } = step, c = this.#columns;
    tokens.forEach(([id, text], i) => {
      this.#tell(id, text);
      row[c.session] = session;
      row[c.id] = id;
      row[c.position] = first + i;
      row[c.made] = 0;
      this.#commit(step);
    });
  }

  /** What a recording has of a row, as a line. */
  #seen({ row }, { layer, head, looks = [], experts = [] }) {
    const c = this.#columns;
    row[c.layer] = layer;
    row[c.watched] = head;
    looks.slice(0, LOOKS).forEach(([position, weight], i) => {
      row[c.looks + i] = position;
      row[c.looks + LOOKS + i] = weight;
    });
    experts.slice(0, c.layers * c.used).forEach(([expert, weight], i) => {
      const at = c.experts(Math.floor(i / c.used)) + i % c.used;
      row[at] = expert;
      row[at + c.used] = weight;
    });
  }

  #time(session, stage, layer, ms) {
    const { row } = this.#step(session), c = this.#columns, part = partOf(stage);
    if (part >= 0) {
      if (layer < c.layers) row[c.parts(layer) + part] = ms;
    } else row[stage === "token_embd" ? c.embed : c.head] = ms;
  }

  /** The positions that were looked at most. */
  #looked({ row, map, seen, first }, layer, head) {
    const { looks, layer: at, watched } = this.#columns;
    row[at] = layer;
    row[watched] = head;
    row.fill(NaN, looks, looks + 2 * LOOKS);
    let n = 0;
    for (let i = 0; i < seen; i++) {
      const w = map[i];
      if (n === LOOKS && !(w > row[looks + LOOKS + LOOKS - 1])) continue;
      let k = n < LOOKS ? n++ : LOOKS - 1;
      for (; k > 0 && row[looks + LOOKS + k - 1] < w; k--) {
        row[looks + k] = row[looks + k - 1];
        row[looks + LOOKS + k] = row[looks + LOOKS + k - 1];
      }
      row[looks + k] = first + i;
      row[looks + LOOKS + k] = w;
    }
  }

  /** Tells take() a token's text once. */
  #tell(id, text) {
    if (this.#texts.get(id) === text) return;
    this.#texts.set(id, text);
    this.#fresh.push([id, text]);
  }

  #token(step, session, { token_id: id, token_text = "", top_k = [], entropy, tokens_per_sec }, ts) {
    const c = this.#columns, { row } = step;
    const told = top_k.find(t => t.token_id === id)?.probability ?? (top_k.length ? 0 : NaN);
    this.#tell(id, token_text);
    for (let i = 0; i < Math.min(TOPS, top_k.length); i++) {
      this.#tell(top_k[i].token_id, top_k[i].token_text);
      row[c.tops + i] = top_k[i].token_id;
      row[c.tops + TOPS + i] = top_k[i].probability;
    }
    row[c.session] = session;
    row[c.id] = id;
    row[c.position] = step.position++;
    row[c.p] = told;
    row[c.entropy] = entropy;
    row[c.ms] = ts - step.last;
    row[c.seconds] = Math.floor(ts / 1000);
    row[c.milli] = ts % 1000;
    row[c.rate] = tokens_per_sec;
    row[c.channel] = step.channel;
    row[c.made] = 1;
    step.last = ts;
    step.fresh = false;
    this.#commit(step);
  }

  #commit(step) {
    const { width } = this.#columns;
    if (this.#count === MOST_ROWS) return step.clear();                  // nobody takes them
    if ((this.#count + 1) * width > this.#rows.length) this.#rows = grown(this.#rows, FIRST_ROWS * width);
    this.#rows.set(step.row, this.#count * width);
    if (step.seen >= 0) this.#keepMap(step);
    this.#count++;
    step.clear();
  }

  #keepMap({ map, seen, first }) {
    const end = this.#mapped + 3 + seen;
    while (end > this.#maps.length) this.#maps = grown(this.#maps, FIRST_MAP);
    this.#maps.set([this.#count, seen, first], this.#mapped);
    this.#maps.set(map.subarray(0, seen), this.#mapped + 3);
    this.#mapped = end;
  }

  /** How far the answer is: said behind its token. */
  #decode(session, step, most, rate) {
    const { width, step: at, session: whose } = this.#columns, last = (this.#count - 1) * width;
    if (last < 0 || this.#rows[last + whose] !== session) return;
    this.#rows[last + at] = step;
    this.#rows[last + at + 1] = most;
    if (Number.isFinite(rate)) this.#rows[last + at - 1] = rate;
  }
}
