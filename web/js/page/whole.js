// whole.js - what is known of the whole engine, whichever session the other panels show: whose rows each
// step had, what prompts found and whom they waited for, who holds which KV pages, the model's tensors,
// chunks and experts. It comes as lines (docs/telemetry.md); of steps and prompts the newest are kept.

const STEPS = 4096, SPARE = 512, TURNS = 256;

/** A sequence's rows of a step. */
const rowsOf = ([session, pos, n, prompt, drafted = 0, accepted = 0]) =>
  ({ session, pos, n, prompt, drafted, accepted });

export class Whole {
  steps = [];                        // {n, t0, ms, rows}
  turns = [];                        // a prompt and its answer: {session, tokens, reused, from, came, ...}
  #turn = new Map();                 // a session's newest
  pages = null;                      // the newest kv_pages
  tensors = [];                      // {name, type, bytes, shard, offset, shape}
  resident = new Set();              // names of those that a backend has said to have
  slots = null;                      // the newest expert_slots: {experts, here, ages}
  chunks = [];                       // by source: {chunk, states}

  #take = {
    steps: e => this.#steps(e), prompt: (e, ts) => this.#prompt(e, ts), wait: e => this.#wait(e),
    kv_pages: e => { this.pages = e; },
    expert_slots: e => this.#slots(e),
    tensors: ({ list }) => {
      this.tensors = list.map(([name, type, bytes, shard, offset, shape]) =>
        ({ name, type, bytes, shard, offset, shape }));
      this.resident.clear();
    },
  };

  /** A line: the panel that it changes, "" where it is none of these. */
  take({ type, stage, event, ts_ms, ...rest }) {
    if (type === "load_stage" && stage === "chunks") this.chunks[rest.source] = rest;
    else if (event?.type === "tensor_resident") this.resident.add(event.name);
    else if (!this.#take[event?.type]) return "";
    else this.#take[event.type](event, ts_ms);
    return /^(steps|prompt|wait)$/.test(event?.type) ? "lanes" : "memory";
  }

  // ---- lanes ----------------------------------------------------------------------------------------------
  #open(turn) {
    this.turns.push(turn);
    if (this.turns.length > TURNS) this.turns.shift();
    this.#turn.set(turn.session, turn);
    return turn;
  }

  #newTurn(session, known) {
    const none = { prompt: 0, made: 0, drafted: 0, accepted: 0, steps: 0, together: 0 };
    return this.#open({ session, first: null, last: null, ...none, ...known });
  }

  #prompt({ session, tokens, reused, from, stored, joined, came_ms: came }, begun) {
    const waits = this.#turn.get(session), known = { tokens, reused, from, stored, joined, came, begun };
    if (waits?.came === came) Object.assign(waits, known);
    else this.#newTurn(session, known);
  }

  #wait({ session, tokens, for: other, came_ms: came }) {
    this.#newTurn(session, { tokens, came, waitsFor: other });
  }

  #steps({ first, steps }) {
    steps.forEach(([t0, ms, ...rows], i) => this.#step({ n: first + i, t0, ms, rows: rows.map(rowsOf) }));
    if (this.steps.length > STEPS + SPARE) this.steps.splice(0, this.steps.length - STEPS);
  }

  #step(step) {
    this.steps.push(step);
    for (const { session, n, prompt, drafted, accepted } of step.rows) {
      if (session < 0) continue;
      const turn = this.#turn.get(session) ?? this.#newTurn(session, {});
      turn.first ??= step;
      turn.last = step;
      turn.steps++;
      turn.together += step.rows.some(r => r.session !== session);
      turn.prompt += prompt;
      turn.made += n - prompt - drafted + accepted;
      turn.drafted += drafted;
      turn.accepted += accepted;
    }
  }

  /** From a prompt's coming to its first row, in ms; NaN: not known, or not yet. */
  static waited({ first, came }) { return first ? Math.max(0, first.t0 - came) : NaN; }

  /** Whose steps ran while it waited: [[session, ms]], the longest first. */
  whoRan({ session, came, first }) {
    const out = new Map();
    if (came === undefined) return [];
    for (let i = this.steps.length - 1; i >= 0; i--) {
      const { t0, ms, rows } = this.steps[i];
      if (t0 + ms <= came) break;
      const over = Math.min(t0 + ms, first?.t0 ?? Infinity) - Math.max(t0, came);
      if (over <= 0) continue;
      for (const r of rows) if (r.session !== session) out.set(r.session, (out.get(r.session) ?? 0) + over);
    }
    return [...out].sort((a, b) => b[1] - a[1]);
  }

  // ---- experts that are paged -----------------------------------------------------------------------------
  /** ages: of each layer and expert how many lines ago it came (1, 2, ...) or went (-1, ...); 0: as ever. */
  #slots({ experts, here }) {
    const now = here.flatMap(digits => Array.from({ length: experts }, (_, e) =>
      parseInt(digits[e >> 2], 16) >> (e & 3) & 1)), before = this.slots;
    const ages = now.map((is, i) => {
      if (before && before.now[i] !== is) return is ? 1 : -1;
      const age = before?.ages[i] ?? 0;
      return age && age + Math.sign(age);
    });
    this.slots = { experts, layers: here.length, now, ages };
  }
}
