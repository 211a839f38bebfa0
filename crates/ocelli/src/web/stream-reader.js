// A camera's picture in the page: a canvas that the worker draws on, or an <img> where the browser cannot do that.

import { Backoff } from "./backoff.js";

/** @typedef {import("./stream-worker.js").Request} Request */
/** @typedef {import("./stream-worker.js").Report} Report */

/**
 * How the picture comes. `waiting`: the connection broke and is tried again at `retryAt`, milliseconds since 1970.
 * @typedef {object} Status
 * @property {"off" | "connecting" | "live" | "waiting" | "snapshots"} state
 * @property {string | null} cause
 * @property {number | null} retryAt
 */

/**
 * What has been shown; null where it cannot be known.
 * @typedef {object} Figures
 * @property {number | null} perSecond pictures drawn a second
 * @property {number | null} latencyMs from capture to drawn, median of the last half second
 * @property {number | null} shownAt when the newest was drawn, milliseconds since 1970
 */

/**
 * @typedef {object} Reader
 * @property {HTMLElement} element what the page shows
 * @property {Status} status
 * @property {Figures} figures
 * @property {(url: string) => void} live follows the stream, from the start again if it already does
 * @property {(url: string) => Promise<void>} snapshot shows one picture, done when it is there or has failed
 * @property {() => void} stop ends the connection, the last picture stays
 * @property {() => void} close gives everything back
 */

/** @returns {Status} */
const off = () => ({ state: "off", cause: null, retryAt: null });
/** @returns {Figures} */
const nothing = () => ({ perSecond: null, latencyMs: null, shownAt: null });

/** Whether this browser can draw in a worker from a stream of bytes; `?img` in the page's address says no. */
export function canUseWorker() {
  return (
    typeof Worker === "function" &&
    typeof OffscreenCanvas === "function" &&
    typeof ReadableStream === "function" &&
    typeof createImageBitmap === "function" &&
    "transferControlToOffscreen" in HTMLCanvasElement.prototype &&
    !new URLSearchParams(location.search).has("img")
  );
}

/** The one worker that every camera's reader talks to. */
export class StreamWorker {
  #worker;
  /** @type {Map<number, (report: Report) => void>} */
  #listeners = new Map();
  #nextId = 0;

  /** @param {() => void} onFailure the browser could not start it */
  constructor(onFailure) {
    this.#worker = new Worker(new URL("./stream-worker.js", import.meta.url), { type: "module" });
    this.#worker.addEventListener("error", onFailure);
    this.#worker.addEventListener("message", (/** @type {MessageEvent<Report>} */ event) => {
      this.#listeners.get(event.data.id)?.(event.data);
    });
  }

  /** @param {number | null} offsetMs */
  setClock(offsetMs) {
    this.#post({ type: "clock", offsetMs });
  }

  /** @param {() => void} onChange @returns {Reader} */
  reader(onChange) {
    const id = this.#nextId++;
    const element = document.createElement("canvas");
    const canvas = element.transferControlToOffscreen();
    this.#post({ type: "attach", id, canvas }, [canvas]);
    return new WorkerReader(element, onChange, (request) => this.#post({ ...request, id }), (listener) => {
      if (listener) this.#listeners.set(id, listener);
      else this.#listeners.delete(id);
    });
  }

  close() {
    this.#worker.terminate();
  }

  /** @param {Request} request @param {Transferable[]} [transfer] */
  #post(request, transfer = []) {
    this.#worker.postMessage(request, transfer);
  }
}

/** @implements {Reader} */
class WorkerReader {
  element;
  status = off();
  figures = nothing();
  #onChange;
  #post;
  #listen;
  /** @type {(() => void) | null} */
  #snapshotDone = null;

  /**
   * @param {HTMLElement} element
   * @param {() => void} onChange
   * @param {(request: { type: "live" | "snapshot", url: string } | { type: "stop" | "detach" }) => void} post
   * @param {(listener: ((report: Report) => void) | null) => void} listen
   */
  constructor(element, onChange, post, listen) {
    this.element = element;
    this.#onChange = onChange;
    this.#post = post;
    this.#listen = listen;
    listen((report) => this.#hear(report));
  }

  /** @param {string} url */
  live(url) {
    this.#settle({ state: "connecting", cause: null, retryAt: null });
    this.figures = { ...nothing(), shownAt: Date.now() };
    this.#post({ type: "live", url });
  }

  /** @param {string} url @returns {Promise<void>} */
  snapshot(url) {
    this.#settle({ state: "snapshots", cause: null, retryAt: null });
    return new Promise((resolve) => {
      this.#snapshotDone = resolve;
      this.#post({ type: "snapshot", url });
    });
  }

  stop() {
    this.#settle(off());
    this.figures = nothing();
    this.#post({ type: "stop" });
  }

  close() {
    this.#settle(off());
    this.#post({ type: "detach" });
    this.#listen(null);
    this.element.remove();
  }

  /** @param {Status} status */
  #settle(status) {
    this.status = status;
    this.#snapshotDone?.();
    this.#snapshotDone = null;
  }

  /** @param {Report} report */
  #hear(report) {
    // A report that was on its way when the page asked for something else.
    const following = this.status.state !== "off" && this.status.state !== "snapshots";
    if (report.type === "figures" && this.status.state !== "off") {
      const { perSecond, latencyMs, shownAt } = report;
      const before = this.figures;
      this.figures = { perSecond, latencyMs: latencyMs ?? before.latencyMs, shownAt: shownAt ?? before.shownAt };
    } else if (report.type === "status" && following) {
      this.status = { state: report.state, cause: report.cause, retryAt: report.retryAt };
    } else if (report.type === "snapshot" && this.status.state === "snapshots") {
      this.#settle({ state: "snapshots", cause: report.cause, retryAt: null });
    }
    this.#onChange();
  }
}

/**
 * The browser's own MJPEG: no latency, no figures, but pictures everywhere.
 * @implements {Reader}
 */
export class ImgReader {
  element = document.createElement("img");
  status = off();
  figures = nothing();
  #onChange;
  #backoff = new Backoff();
  #url = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void) | null} */
  #snapshotDone = null;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.element.addEventListener("load", () => this.#loaded());
    this.element.addEventListener("error", () => this.#failed());
  }

  /** @param {string} url */
  live(url) {
    this.#url = url;
    clearTimeout(this.#timer);
    this.#settle({ state: "live", cause: null, retryAt: null });
    this.element.src = url;
  }

  /** @param {string} url @returns {Promise<void>} */
  snapshot(url) {
    clearTimeout(this.#timer);
    this.#settle({ state: "snapshots", cause: null, retryAt: null });
    return new Promise((resolve) => {
      this.#snapshotDone = resolve;
      this.element.src = `${url}?at=${Date.now()}`;
    });
  }

  stop() {
    clearTimeout(this.#timer);
    this.#settle(off());
    this.element.removeAttribute("src");
  }

  close() {
    this.stop();
    this.element.remove();
  }

  /** @param {Status} status */
  #settle(status) {
    this.status = status;
    this.#snapshotDone?.();
    this.#snapshotDone = null;
    this.#onChange();
  }

  #loaded() {
    this.#backoff.reset();
    if (this.status.state === "snapshots") this.#settle(this.status);
  }

  #failed() {
    const cause = "no picture from the server";
    if (this.status.state === "snapshots") {
      this.#settle({ state: "snapshots", cause, retryAt: null });
    } else if (this.status.state === "live") {
      const wait = this.#backoff.next();
      this.#settle({ state: "waiting", cause, retryAt: Date.now() + wait });
      this.#timer = setTimeout(() => this.live(this.#url), wait);
    }
  }
}
