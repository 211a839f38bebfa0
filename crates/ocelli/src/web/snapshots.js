// Cameras beyond the live ones are shown by snapshots, one after another, all of them together two a second.

const EVERY_MS = 500;

/** @typedef {import("./camera-card.js").CameraCard} CameraCard */

export class SnapshotRound {
  #due;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #running = false;
  /** @type {CameraCard | null} */
  #last = null;

  /** @param {() => CameraCard[]} due the cards to be shown by snapshots now, in the page's order */
  constructor(due) {
    this.#due = due;
  }

  /** @param {boolean} wanted */
  run(wanted) {
    if (wanted && !this.#running) {
      this.#running = true;
      void this.#next();
    } else if (!wanted) {
      this.#running = false;
      clearTimeout(this.#timer);
    }
  }

  async #next() {
    const due = this.#due();
    const card = due[(this.#last ? due.indexOf(this.#last) : -1) + 1] ?? due[0];
    const began = performance.now();
    if (card) {
      this.#last = card;
      await card.showSnapshot();
    }
    if (!this.#running) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#next(), Math.max(0, EVERY_MS - (performance.now() - began)));
  }
}
