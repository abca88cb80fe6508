// panels.js - which part of the state is drawn where. Called once a frame; a panel is redrawn only when its
// name is in state.dirty, and while tokens are made only when it is in view.
import { Attention } from "./attention.js";
import { timeAxis, wireTip } from "./axes.js";
import * as charts from "./charts.js";
import { $, bytes, el, percent, setText, tag } from "./dom.js";
import { EventLog } from "./event_log.js";
import { Experts } from "./experts.js";
import { ioPanel, stats } from "./facts.js";
import { InView } from "./inview.js";
import { Lanes } from "./lanes.js";
import { Lens } from "./lens.js";
import { Memory } from "./memory.js";
import { momentOf, select, sentence, tagOf } from "./moment.js";
import { ForwardMap } from "./map.js";
import { inferPipeline, loadPipeline } from "./pipelines.js";
import { Parity } from "./parity.js";
import { Roofline } from "./roofline.js";
import { hasSteps, Steps } from "./steps.js";
import { Timeline } from "./timeline.js";
import { TopK } from "./topk.js";

/** Pixels a token in the histories (charts.js). */
const STEP = 4;
/** While tokens are made the chat's text is drawn in every frame. Beside it TOKEN STREAM is in one frame, and
 * so many of the other panels in the next, those first that waited longest: fewer where the CPU draws. */
const FAST = 4, CALM = 2;
/** What is drawn for the first time takes longest: once a frame has had so many milliseconds of it, the next
 * one goes on; but where there are tokens to show, nothing waits. */
const FIRST_MS = 4;

/** What is drawn in which panel. */
const PANELS = { load: "p-load", infer: "p-infer", io: "p-io", tokens: "p-stream", moment: "p-stream",
  strips: "p-stream", topk: "p-topk", hist: "p-hist", attn: "p-attn", stats: "p-stats", router: "p-router",
  layers: "p-layers", experts: "p-experts", map: "p-map", lens: "p-lens", parity: "p-parity",
  kv: "p-kv", kernels: "p-kernels", steps: "p-kernels", log: "p-log", lanes: "p-lanes",
  memory: "p-memory", roof: "p-roof" };

function kernelRow(k) {
  return [
    el("span.n", { title: `${k.dispatches} dispatches` }, k.kernel),
    el("span.v", null, k.gpu_us.toFixed(k.gpu_us < 100 ? 1 : 0)),
    el("span.v", null, k.gb_per_s ? k.gb_per_s.toFixed(1) : "—"),
    el("span.r", null, k.roofline ? percent(k.roofline) : "—"),
  ];
}

function kernels(s) {
  const slowest = [...s.kernels.values()].sort((a, b) => b.gpu_us - a.gpu_us).slice(0, 16);
  const head = ["kernel", "µs", "GB/s", "roof"].map((h, i) => el(`span.h${i ? ".v" : ""}`, null, h));
  const why = s.backend === "gpu" ? "no timings: on a GPU they need WebGPU timestamp queries"
    : "no timings yet: they come with a prompt, and with one token of 64";
  const none = el("span.none", null, why);
  const rows = slowest.length ? [...head, ...slowest.flatMap(kernelRow)] : hasSteps(s) ? [] : [none];
  $("kernels").replaceChildren(...rows);
}

function router(s) {
  charts.router($("router"), s, +s.config.experts);
  tag("p-router", tagOf(s));
  const { hits, misses = 0, evict = 0 } = s.experts ?? {};
  const use = hits ? `cache ${hits} hits · ${misses} misses · ${evict} evicted` : "all experts resident";
  const drawn = document.body.classList.contains("on-gpu") && s.history.count;
  const { experts } = s.config, none = experts === "0" ? "this model has no experts" : "no experts yet";
  const waiting = +experts ? `${experts} experts a layer, none asked yet` : none;
  setText($("router-note"), s.use.length || drawn ? use : waiting);
}

function cache(s) {
  charts.cache($("kv"), s.cache);
  const layers = [...s.cache.values()], [first] = layers;
  const total = layers.reduce((n, v) => n + (v.memory_bytes ?? 0), 0);
  const seen = first && first.seq_len + (first.offset ?? 0);
  setText($("kv-note"), first ? `${seen} / ${first.max_len} positions · ${bytes(total)}` : "empty");
}

export class PanelDrawer {
  #shared;
  #view;
  #draw;

  constructor(shared) {
    this.#shared = shared;
    this.#view = new InView(PANELS, () => shared.news());
    const timeline = new Timeline(shared), attention = new Attention(shared), experts = new Experts(shared);
    const steps = new Steps(shared), log = new EventLog(), map = new ForwardMap(shared);
    const topk = new TopK(shared), lens = new Lens(shared), parity = new Parity(shared);
    const lanes = new Lanes(shared), memory = new Memory(shared), roof = new Roofline(shared);
    this.#draw = { load: loadPipeline, infer: inferPipeline, io: ioPanel, kernels, stats, router,
      kv: cache, topk: s => topk.draw(s), lens: s => lens.draw(s), parity: s => parity.draw(s),
      tokens: s => timeline.draw(s),
      moment: s => timeline.moment(s), strips: s => timeline.strips(s), log: s => log.draw(s),
      attn: s => attention.draw(s), experts: s => experts.draw(s), steps: s => steps.draw(s),
      map: s => map.draw(s), lanes: s => lanes.draw(s), memory: s => memory.draw(s),
      roof: s => roof.draw(s),
      hist(s) {
        charts.history($("hist"), s);
        tag("p-hist", tagOf(s));
      },
      layers(s) {
        charts.activity($("activity"), s);
        tag("p-layers", tagOf(s));
      } };
    this.#wire();
  }

  /** What a pointer is told. */
  #wire() {
    const shared = this.#shared;
    wireTip($("router"), (x, y) => {
      const s = shared.state, hit = charts.routerAt($("router"), s, +s.config.experts, x, y);
      if (!hit) return "";
      return `layer ${hit.layer}, expert ${hit.expert}: ${s.use[hit.layer][hit.expert].toFixed(2)} of late`;
    });
    for (const id of ["hist", "entropy"]) {
      const n = x => timeAxis(shared.state, $(id).clientWidth, STEP).at(x);
      wireTip($(id), x => n(x) < 0 ? "" : sentence(shared.state.history, n(x)), x => {
        if (n(x) >= 0) select(shared, n(x));
      });
    }
    wireTip($("activity"), x => this.#norms(x));
  }

  #norms(x) {
    const { history } = this.#shared.state, { columns } = history, n = momentOf(this.#shared.state);
    const layer = Math.floor(x / $("activity").clientWidth * columns.layers), at = columns.norms(layer);
    if (n < 0 || !columns.layers) return "";
    const [attention, mlp, output] = [0, 1, 2].map(k => history.get(n, at + k).toFixed(1));
    return `layer ${layer}: attention ${attention}, mlp ${mlp}, output ${output}`;
  }

  /** What has changed and is in view; all of it where no tokens are made, or a token was picked. */
  draw() {
    const s = this.#shared.state, all = s.moment !== null || !/^(prefill|decode)$/.test(s.stage);
    document.body.classList.toggle("making", !all);
    const now = performance.now(), names = all ? [...s.dirty] : this.#due(s);
    const drawn = names.filter(name => this.#drawOne(name, s, now));
    if (all ? drawn.length < names.length : this.#waits(s)) this.#shared.news();
  }

  /** now: when the frame began. Returns whether it was drawn. */
  #drawOne(name, s, now) {
    const first = !(name in this.#last) && !s.history.count;
    if (first && performance.now() - now > FIRST_MS) return false;
    s.dirty.delete(name);
    this.#last[name] = now;
    this.#draw[name]?.(s);
    return true;
  }
  #last = {};                        // when each was drawn
  #turn = false;                     // whose turn it is: TOKEN STREAM's, or that of the others

  #waits({ dirty }) { return [...dirty].some(name => this.#view.has(name)); }

  /** Those that this frame draws. */
  #due({ dirty }) {
    const seen = [...dirty].filter(n => this.#view.has(n));
    const last = name => this.#last[name] ?? 0, text = seen.filter(name => name === "tokens");
    const others = seen.filter(name => name !== "tokens").sort((a, b) => last(a) - last(b));
    this.#turn = !this.#turn;
    return this.#turn && text.length ? text : others.slice(0, this.#shared.calm ? CALM : FAST);
  }
}
