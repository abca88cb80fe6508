// shared.js - what the page's parts share: who answers, what may be pressed, and what the panels show. One
// object for the whole page; the browser's console has it as `gossamer` (gossamer.model.createSession() and
// so on).
import { Steer } from "./steer.js";
import { apply, freshState, Queue } from "./telemetry.js";

export class Shared {
  /** "idle": nobody answers yet; "loading"; "ready". */
  status = "idle";
  /** The package in this page, and the model that it has loaded. */
  llm = null;
  model = null;
  /** The server that answers instead. */
  server = null;
  /** Files that were picked or dropped: they are loaded instead of the address. */
  files = null;
  /** The recording that is shown (replay.js). */
  replay = null;
  chats = [];
  /** The chat whose question came before there was a model. */
  pending = null;
  /** The CPU draws the page: fewer frames a second. */
  calm = false;
  /** There is something to draw (frames.js). */
  news = () => {};
  /** Called after each frame that was drawn, with its time: benchmarks count them. */
  drawn = null;
  /** Tokens that are pinned or banned. */
  steer = new Steer(() => this.#steered());
  /** Telemetry: what has come, and what it means. */
  queue = new Queue();
  state = freshState();

  /** params: the address's (params.js). */
  constructor(params) { this.params = params; }

  #steered() {
    this.state.dirty.add("topk");
    for (const chat of this.chats) chat.steer();
    this.news();
  }

  /** back: the chat that was there before comes back. */
  endReplay(back = false) {
    const { replay } = this;
    this.replay = null;
    replay?.close(back);
  }

  /** A line or rows of telemetry. */
  push(item) {
    this.queue.push(item);
    this.news();
  }

  /** A telemetry line of the page's own. */
  tell(line) { this.push({ ...line, ts_ms: performance.now() }); }

  /** What has come is taken in. */
  hear() { for (const line of this.queue.take()) apply(this.state, line); }
}
