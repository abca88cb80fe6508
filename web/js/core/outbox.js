// outbox.js - what the worker tells the page: events, telemetry lines, rows and notices, gathered and sent as
// one message {batch}. A page that draws says how often it wants to hear (pace): what comes meanwhile waits,
// unless nothing more comes by itself.
//
// telemetry: lines, and between them numbers: so many rows of the batch come here.

const MOST_LINES = 16384;

export class Outbox {
  #events = [];
  #telemetry = [];
  #notices = [];
  #rows = null;                      // Rows
  #told = 0;                         // of them those that #telemetry counts already
  #post = null;
  #last = 0;                         // when the page was told
  pace = 0;

  /** What was gathered before goes with the first flush. */
  connect(post) { this.#post = post; }

  /** Whose rows go along from now on, or null. */
  rows(rows) { this.#rows = rows; }

  event(e) { this.#events.push(e); }
  notice(text) { this.#notices.push(text); }

  /** A line that the engine has made; where the page does not take them the newest are dropped. */
  line(text) {
    if (this.#telemetry.length >= MOST_LINES) return;
    this.#countRows();
    this.#telemetry.push(text);
  }

  #countRows() {
    const n = (this.#rows?.count ?? 0) - this.#told;
    if (n > 0) this.#telemetry.push(n);
    this.#told += Math.max(0, n);
  }

  /** At once where the page is not told oftener than it wants. */
  tick() { if (performance.now() - this.#last >= this.pace) this.flush(); }

  flush() {
    this.#countRows();
    const events = this.#events, telemetry = this.#telemetry, notices = this.#notices;
    if (!events.length && !telemetry.length && !notices.length) return;
    const rows = this.#told ? this.#rows.take() : null;
    const moved = rows ? [rows.rows.buffer, rows.maps.buffer] : [];
    this.#post({ batch: { events, telemetry, notices, rows } }, moved);
    this.#events = [];
    this.#telemetry = [];
    this.#notices = [];
    this.#told = 0;
    this.#last = performance.now();
  }
}
