// turns.js - when the engine's next turn is; at most one is asked for at a time. Messages get in between
// turns.
import { host } from "./host.js";

export class Turns {
  #take;
  #next;                             // asks for a turn at once
  #asked = false;
  #waiting = false;                  // asked for by a timer
  #timer = 0;

  /** take() is the turn. */
  constructor(take) {
    this.#take = () => {
      this.#asked = this.#waiting = false;
      take();
    };
    this.#next = host.turns(this.#take);
  }

  /** The next turn comes at once, or after so many milliseconds, if none is asked for yet. */
  schedule(delay = 0) {
    if (this.#asked) return;
    this.#asked = true;
    this.#waiting = delay > 0;
    if (delay) this.#timer = setTimeout(this.#take, delay);
    else this.#next();
  }

  /** Something that the engine waits for has come: the next turn is now. */
  hurry() {
    if (this.#waiting) {
      clearTimeout(this.#timer);
      this.#asked = this.#waiting = false;
    }
    this.schedule();
  }
}
