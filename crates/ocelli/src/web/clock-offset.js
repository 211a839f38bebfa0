// How far the server's clock is ahead of this one's, from the `now` in its answers, as NTP does it: an answer was written
// somewhere between asking and hearing, so the quickest exchange tells the most.

/** An exchange this many answers ago says nothing about clocks that drift. */
const WINDOW = 60;
/** A clock that was set is told from one that drifts by contradicting the best exchange by more than this. */
const STEP_MS = 20;

/** @typedef {{ offsetMs: number, roundTripMs: number }} Exchange */

export class ClockOffset {
  /** @type {Exchange[]} */
  #exchanges = [];

  /**
   * Takes one exchange, all times in milliseconds since 1970: sent and received by this clock, `server` by the other.
   * @param {number} sent
   * @param {number} received
   * @param {number} server
   */
  add(sent, received, server) {
    if (![sent, received, server].every(Number.isFinite) || received < sent) return;
    const exchange = { offsetMs: server - (sent + received) / 2, roundTripMs: received - sent };
    const best = this.#best();
    if (best && contradict(best, exchange)) this.#exchanges = [];
    this.#exchanges.push(exchange);
    if (this.#exchanges.length > WINDOW) this.#exchanges.shift();
  }

  /** What to add to this clock to get the server's, in milliseconds; null before the first answer. */
  get offsetMs() {
    return this.#best()?.offsetMs ?? null;
  }

  /** The most `offsetMs` can be wrong by, either way, in milliseconds; null before the first answer. */
  get uncertaintyMs() {
    const best = this.#best();
    return best ? best.roundTripMs / 2 : null;
  }

  /** @returns {Exchange | undefined} */
  #best() {
    /** @type {Exchange | undefined} */
    let best;
    // Of equals the newest, which has drifted least.
    for (const exchange of this.#exchanges) {
      if (!best || exchange.roundTripMs <= best.roundTripMs) best = exchange;
    }
    return best;
  }
}

/** @param {Exchange} a @param {Exchange} b */
function contradict(a, b) {
  return Math.abs(a.offsetMs - b.offsetMs) > (a.roundTripMs + b.roundTripMs) / 2 + STEP_MS;
}
