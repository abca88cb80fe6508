// map_facts.js - what the map of the forward pass says: the model's facts, and of every box its name, what it
// is (for somebody who has never seen such a model), its shapes, and its numbers at the moment.
// docs/reference.md has the arithmetic that these sentences are about.
import { percent, visible } from "./dom.js";

const GPT_OSS = "gpt-oss";
const LOOKED = 3, TOPS = 3;

/** The model that the panels are about: a recording's, the loaded one, or what its lines have said. */
export function factsOf({ state, model, replay }) {
  const { blocks, embd, heads, experts, topk, arch } = state.config;
  const said = { n_layer: +blocks || 0, n_embd: +embd || 0, n_head: +heads || 0, n_expert: +experts || 0,
    n_expert_used: +topk || 0, ...(arch && { arch }) };
  const facts = { ...said, ...(replay ? state.model : model?.info) };
  const even = facts.arch === GPT_OSS && facts.window;
  const known = even ? Array.from({ length: facts.n_layer }, (_, i) => 1 - i % 2) : null;
  return { ...facts, windowed: facts.windowed ?? known };
}

const number = n => n ? n.toLocaleString("en") : "?";
const us = ms => ms >= 10 ? `${ms.toFixed(1)} ms` : `${(1000 * ms).toFixed(0)} µs`;
const norm = x => Number.isFinite(x) ? `norm ${x.toFixed(1)}` : "";
const word = (history, n) => `"${visible(history.text(n))}"`;

/** At the moment n, in a layer: what a box asks for. */
export class Now {
  constructor(history, n, layer) {
    Object.assign(this, { history, n, layer, columns: history.columns, there: n >= 0,
      timed: n >= 0 ? history.timed(n) : -1 });
  }

  get(column) { return this.there ? this.history.get(this.n, column) : NaN; }
  /** The time of a part of the layer; "~": of the last step before that was timed. */
  part(i) { return this.columns.layers ? this.ms(this.columns.parts(this.layer) + i) : ""; }
  ms(column) {
    const ms = this.timed >= 0 ? this.history.get(this.timed, column) : NaN;
    return Number.isFinite(ms) ? `${this.timed < this.n ? "~" : ""}${us(ms)}` : "";
  }
  norm(i) { return this.columns.layers ? norm(this.get(this.columns.norms(this.layer) + i)) : ""; }
  get position() { return this.get(this.columns.position) - 1; }
  /** The row of the token that went in. */
  get input() { return this.history.has(this.n - 1) ? this.n - 1 : -1; }
  get experts() { return this.there && this.columns.layers ? this.history.experts(this.n, this.layer) : []; }
  /** What was looked at, if it was this layer that was watched. */
  get looks() {
    return this.there && this.get(this.columns.layer) === this.layer ? this.history.looks(this.n) : [];
  }
  get tops() { return this.there ? this.history.tops(this.n) : []; }
}

const windowOf = (f, layer) => f.windowed?.[layer] ? f.window : 0;
const seen = (f, now) => {
  const all = now.position + 1, window = windowOf(f, now.layer);
  return Number.isFinite(all) ? window ? Math.min(all, window) : all : NaN;
};

const scaled = {
  shape: f => number(f.n_embd), live: () => "",
  what: () => "The numbers are scaled, so that together they are neither too large nor too small. Each "
    + "is then multiplied by a learned gain. This is called RMSNorm.",
};

/** Boxes from top to bottom. of: "layer": there is one in each layer. live: a few characters in the box;
 * says: a sentence of the moment. */
export const BOXES = [
  { id: "token", name: "Token in", shape: (f, now) => now.input >= 0 ? `position ${now.position}` : "",
    live: now => now.input >= 0 ? word(now.history, now.input) : "",
    what: () => "A model reads and writes tokens: words, or pieces of words. Each has a number. This "
    + "one was read last; the step below finds the token that comes behind it.",
    says: now => now.input >= 0
      ? `Token ${now.history.get(now.input, now.columns.id)}, ${word(now.history, now.input)}.` : "" },
  { id: "embed", name: "Embedding", shape: f => `${number(f.n_vocab)} rows of ${number(f.n_embd)}`,
    live: now => now.ms(now.columns.embed),
    what: f => `A table has a row of ${number(f.n_embd)} numbers for every token. The token's row is `
    + `taken out. `
      + "These numbers are all that the model knows of it here." },
  { ...scaled, id: "norm1", of: "layer", name: "Scale" },
  { id: "qkv", of: "layer", name: "Queries, key, value",
    shape: f => `q ${f.n_head}×${f.head_dim ?? "?"} · k, v ${f.n_head_kv ?? "?"}×${f.head_dim ?? "?"}`,
    live: now => now.part(0),
    what: f => "Learned tables turn the vector into queries (what am I looking for?), keys (what am I?) "
    + "and values "
      + `(what have I to tell?). There are ${f.n_head} heads, each with a query of its own`
      + (f.n_head_kv && f.n_head_kv < f.n_head
        ? `; ${f.n_head / f.n_head_kv} of them share a key and a value.` : ".") },
  { id: "rope", of: "layer", name: "Turn by position", shape: (f, now) => Number.isFinite(now.position)
    ? `angle × ${now.position}` : "queries and keys", live: () => "",
  what: f => "Queries and keys are turned by angles that grow with the token's position (RoPE). So a "
    + "head can tell how far away another token is." + (f.arch === GPT_OSS ? " YaRN makes the slow "
    + "angles 32 times slower: a model made for 4,096 positions so reads 131,072." : "") },
  { id: "cache", of: "layer", name: "Keep key and value", shape: f => `${f.n_head_kv ?? "?"} heads × 2 × `
    + `${f.head_dim ?? "?"}`, live: now => Number.isFinite(now.position) ? `${now.position + 1} kept` : "",
  what: () => "Key and value go behind those of all tokens before, in the KV cache. Nothing that was "
    + "computed for an earlier token is computed again: that is what makes the next token cheap." },
  { id: "attend", of: "layer", name: "Attention", tall: true, shape: (f, now) => Number.isFinite(seen(f, now))
    ? `${f.n_head} heads × ${seen(f, now)} tokens` : `${f.n_head} heads`, live: now => now.part(1),
  what: (f, now) => "A head compares its query with the keys. Each token that it sees gets a weight, "
    + "and the head takes that much of its value. " + (f.window ? (windowOf(f, now.layer)
      ? `This layer sees the newest ${f.window} tokens: a sliding window, as every even layer has. `
      : "This layer sees all tokens, as every odd layer does. ") : "")
    + (f.arch === GPT_OSS ? "A sink, one learned number a head, takes a part of the weight and gives "
    + "nothing: so a head may look at nothing." : ""),
  says(now) {
    const { looks } = now;
    if (!looks.length) return "Choose this layer in ATTENTION to see what a head of it looks at.";
    const most = looks.slice(0, LOOKED).map(l => `${word(now.history, l.n)} ${percent(l.w)}`).join(", ");
    return `Head ${now.get(now.columns.watched)} looked at ${most}.`;
  } },
  { id: "out", of: "layer", name: "Together again", shape: f =>
    `${f.head_dim ? number(f.n_head * f.head_dim) : "?"} → ${number(f.n_embd)}`, live: now => now.part(2),
  what: f => `What the heads brought is put side by side, and a learned table makes ${number(f.n_embd)} `
    + `numbers `
    + "of it." },
  { id: "add1", of: "layer", add: true, name: "Add attention", shape: () => "", live: now => now.norm(0),
    what: () => "The result is added to the vector that came in. A layer changes the vector, it does "
    + "not replace it. The vector that runs through all layers is called the residual stream.",
    says: now => now.norm(0) && `What attention added has ${now.norm(0)}.` },
  { ...scaled, id: "norm2", of: "layer", name: "Scale again" },
  { id: "router", of: "layer", moe: true, name: "Router", shape: f => `${number(f.n_embd)} → `
    + `${f.n_expert} scores`,
    live: now => now.part(3),
    what: f => `A small table gives each of the layer's ${f.n_expert} experts a score. The `
    + `${f.n_expert_used} best `
      + `are asked. Their scores become weights that sum to 1, by a softmax over these `
      + `${f.n_expert_used} alone.`,
    says: now => now.experts.length ? `Chosen: ${now.experts.map(e => `expert ${e.expert} (${percent(e.w)})`)
      .join(", ")}.` : "" },
  { id: "experts", of: "layer", tall: true, name: "Experts", dense: "MLP", shape: f => (f.n_expert
    ? `${f.n_expert_used} of ${f.n_expert}: ` : "") + `${number(f.n_embd)} → ${number(f.n_ff)} → `
    + number(f.n_embd), live: now => now.part(4),
  what: f => (f.n_expert ? "An expert is a small network: a table up, a curve that lets some numbers "
    + "through (SwiGLU), "
    + `a table down. Only ${f.n_expert_used} of ${f.n_expert} work on a token. So a model can know much `
    + `and still `
    + "be quick. " : "A small network: a table up, a curve that lets some numbers through (SwiGLU), a "
    + "table down. ")
    + (f.arch === GPT_OSS ? "Their tables are kept as MXFP4: 4 bits a number, and one scale for every "
    + "32." : ""),
  says: now => now.experts.map(e => `${e.expert}: ${percent(e.w)}`).join(" · ") },
  { id: "add2", of: "layer", add: true, name: "Add experts", dense: "Add MLP", shape: () => "",
    live: now => now.norm(2),
    what: f => (f.n_expert ? "What the experts say, each times its weight, is added to the vector. "
      : "The result is added to the vector. ") + "The next layer gets it.",
    says: now => now.norm(1) && `What was added has ${now.norm(1)}; the vector has ${now.norm(2)}.` },
  { id: "head", name: "Output head", shape: f => `${number(f.n_embd)} → ${number(f.n_vocab)} scores`,
    live: now => now.ms(now.columns.head),
    what: f => "Behind the last layer the vector is scaled once more. A table with a row for every "
    + "token gives each "
      + `of the ${number(f.n_vocab)} tokens a score. Such scores are called logits.` },
  { id: "pick", name: "Choose", shape: () => "softmax, then one is drawn",
    live: now => now.tops.length ? `${word(now.history, now.n)}` : "",
    what: () => "Softmax makes probabilities of the scores. One token is drawn by them, or the best is "
    + "taken. It is written, and then goes in at the top: one token after the other, until the model ends.",
    says: now => now.tops.slice(0, TOPS).map(t => `"${visible(t.text)}" ${percent(t.p)}`).join(" · ") }];
