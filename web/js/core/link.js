// link.js - the page's side of one loaded model: what is asked of it, and the events of its sessions. Once
// it is over, whatever is awaited or asked of it fails.

/** The events of one generation, in order. */
class Events {
  #items = [];
  #wake = null;
  #failure = null;
  over = false;                      // nothing more comes

  push(item) {
    this.#items.push(item);
    this.#wake?.();
  }

  fail(e) {
    this.#failure = e;
    this.over = true;
    this.#wake?.();
  }

  async next() {
    while (!this.#items.length && !this.#failure) await new Promise(r => { this.#wake = r; });
    if (this.#failure) throw this.#failure;
    return this.#items.shift();
  }
}

export class Link {
  #remote;
  #queues = new Map();               // by the session's number
  #over = null;                      // why nothing is asked any more

  constructor(remote) { this.#remote = remote; }

  check() { if (this.#over) throw this.#over; }

  async ask(op, args) {
    this.check();
    return this.#remote.ask(op, args);
  }

  hold(on) { this.#remote.hold(on); }

  /** Where the events of a session go from now on. */
  listen(session) {
    const queue = new Events();
    this.#queues.set(session, queue);
    return queue;
  }

  push(e) { this.#queues.get(e.session)?.push(e); }

  /** All generations fail; for good: what is asked later fails too. */
  fail(e, forGood = false) {
    if (forGood) this.#over ??= e;
    for (const queue of this.#queues.values()) queue.fail(e);
    this.#queues.clear();
  }
}
