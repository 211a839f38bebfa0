// How long to wait before a broken stream is tried again.

const FIRST_MS = 500;
const LAST_MS = 8000;

export class Backoff {
  #nextMs = FIRST_MS;
  #random;

  /** @param {() => number} random in [0, 1), spreads the browsers that lost the same server */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** The next wait in milliseconds: twice the last one, up to 8 s, less up to a quarter by chance. */
  next() {
    const wait = this.#nextMs * (1 - this.#random() / 4);
    this.#nextMs = Math.min(this.#nextMs * 2, LAST_MS);
    return wait;
  }

  /** Pictures come: the next wait is the shortest again. */
  reset() {
    this.#nextMs = FIRST_MS;
  }
}
