// Asks the server once a second how its cameras are, and from the same answers how far its clock is ahead.

import { ClockOffset } from "./clock-offset.js";

const EVERY_MS = 1000;
/** A server that has not answered by then is not answering. */
const GIVE_UP_MS = 5000;

/**
 * One camera of `GET /api/v1/cameras`.
 * @typedef {object} Camera
 * @property {string} name
 * @property {string} source
 * @property {"ready" | "starting" | "waiting" | "idle" | "lost" | "disabled"} state
 * @property {string | null} cause of the last failure
 * @property {string | null} note what its owner should know though it works
 * @property {number | null} retry_in_seconds
 * @property {number} restarts
 * @property {string | null} codec
 * @property {number | null} width
 * @property {number | null} height
 * @property {number} fps
 * @property {number} bits_per_second
 * @property {number} frames
 * @property {number} dropped
 * @property {number} viewers
 * @property {number | null} picture_age_seconds
 */

/**
 * @typedef {object} Answer
 * @property {number} now
 * @property {string} version
 * @property {number | null} rtsp_port where players find the cameras
 * @property {Camera[]} cameras
 */

/**
 * @typedef {object} Listener
 * @property {(answer: Answer, clockOffsetMs: number | null) => void} onAnswer
 * @property {(cause: string, sinceMs: number) => void} onSilence no answer, and for how long
 */

const now = () => performance.timeOrigin + performance.now();

export class CameraPoll {
  #url;
  #listener;
  #clock = new ClockOffset();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** The loop that runs; one that finds itself replaced ends. @type {object | null} */
  #loop = null;
  #answeredAt = now();

  /** @param {string} url @param {Listener} listener */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
  }

  start() {
    if (this.#loop) return;
    this.#loop = {};
    this.#answeredAt = now();
    void this.#ask(this.#loop);
  }

  stop() {
    this.#loop = null;
    clearTimeout(this.#timer);
  }

  /** @param {object} loop */
  async #ask(loop) {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), GIVE_UP_MS);
    const sent = now();
    let cause = "The server does not answer.";
    try {
      const response = await fetch(this.#url, { signal: giveUp.signal, cache: "no-store" });
      const received = now();
      if (!response.ok) {
        cause = `The server answered ${response.status}.`;
        throw new Error(cause);
      }
      const answer = /** @type {Answer} */ (await response.json());
      this.#clock.add(sent, received, answer.now * 1000);
      this.#answeredAt = received;
      if (loop === this.#loop) this.#listener.onAnswer(answer, this.#clock.offsetMs);
    } catch {
      if (loop === this.#loop) this.#listener.onSilence(cause, now() - this.#answeredAt);
    } finally {
      clearTimeout(timer);
    }
    if (loop !== this.#loop) return;
    this.#timer = setTimeout(() => void this.#ask(loop), Math.max(0, EVERY_MS - (now() - sent)));
  }
}
