// Receives, decodes and draws every camera's pictures away from the page's own thread.
//
// For each camera it holds one picture that is being decoded and the newest behind it: a picture that comes while another
// waits replaces it, so a slow machine shows fewer pictures and never older ones.

import { Backoff } from "./backoff.js";
import { MultipartParser, boundaryOf } from "./multipart.js";

/** @typedef {import("./multipart.js").Part} Part */

/**
 * What the page asks for. `attach` comes first for an id, `detach` last.
 * @typedef {{ type: "attach", id: number, canvas: OffscreenCanvas }
 *   | { type: "live" | "snapshot", id: number, url: string }
 *   | { type: "stop" | "detach", id: number }
 *   | { type: "clock", offsetMs: number | null }} Request
 */

/**
 * What the page is told. Times are milliseconds since 1970 by the browser's clock.
 * @typedef {{ type: "status", id: number, state: "connecting" | "live" | "waiting", cause: string | null, retryAt: number | null }
 *   | { type: "figures", id: number, shown: number, skipped: number, broken: number, perSecond: number,
 *       latencyMs: number | null, shownAt: number | null, width: number, height: number }
 *   | { type: "snapshot", id: number, cause: string | null }} Report
 */

/** How often the figures of a live camera are reported. */
const REPORT_EVERY_MS = 500;
/** Pictures for this long mean the connection is sound and the waits begin again at the shortest. */
const SOUND_AFTER_MS = 5000;

/** @type {Map<number, Stream>} */
const streams = new Map();
/** What to add to this machine's clock to get the server's. @type {number | null} */
let clockOffsetMs = null;

const now = () => performance.timeOrigin + performance.now();
/** @param {Report} report */
const tell = (report) => self.postMessage(report);

self.addEventListener("message", (/** @type {MessageEvent<Request>} */ event) => {
  const request = event.data;
  if (request.type === "clock") {
    clockOffsetMs = request.offsetMs;
  } else if (request.type === "attach") {
    streams.set(request.id, new Stream(request.id, request.canvas));
  } else {
    const stream = streams.get(request.id);
    if (request.type === "live") stream?.live(request.url);
    else if (request.type === "snapshot") void stream?.snapshot(request.url);
    else stream?.stop();
    if (request.type === "detach") streams.delete(request.id);
  }
});

/** One camera's pictures, on one canvas. */
class Stream {
  #id;
  #canvas;
  #context;
  /** Ends what runs now; a picture decoded for an earlier run is not drawn. */
  #run = new AbortController();
  #decoding = false;
  /** @type {Part | null} */
  #waiting = null;
  #shown = 0;
  #skipped = 0;
  #broken = 0;
  /** @type {number | null} */
  #shownAt = null;
  /** Of the pictures drawn since the last report. @type {number[]} */
  #latencies = [];
  #shownInReport = 0;

  /** @param {number} id @param {OffscreenCanvas} canvas */
  constructor(id, canvas) {
    this.#id = id;
    this.#canvas = canvas;
    this.#context = /** @type {ImageBitmapRenderingContext} */ (canvas.getContext("bitmaprenderer"));
  }

  stop() {
    this.#run.abort();
    this.#waiting = null;
  }

  /** @param {string} url */
  live(url) {
    this.stop();
    this.#run = new AbortController();
    void this.#follow(url, this.#run.signal);
  }

  /** @param {string} url */
  async snapshot(url) {
    this.stop();
    this.#run = new AbortController();
    const { signal } = this.#run;
    let cause = null;
    try {
      const response = await fetch(url, { signal: AbortSignal.any?.([signal, AbortSignal.timeout(10_000)]) ?? signal });
      if (!response.ok) throw await refusal(response);
      const timestamp = response.headers.get("x-timestamp");
      const headers = new Map(timestamp === null ? [] : [["x-timestamp", timestamp]]);
      await this.#take({ headers, body: new Uint8Array(await response.arrayBuffer()) }, signal);
    } catch (error) {
      cause = describe(error);
    }
    if (!signal.aborted) {
      this.#report(0);
      tell({ type: "snapshot", id: this.#id, cause });
    }
  }

  /** Reads the stream until stopped, again and again with growing waits. @param {string} url @param {AbortSignal} signal */
  async #follow(url, signal) {
    const backoff = new Backoff();
    let reportedAt = now();
    const timer = setInterval(() => {
      const at = now();
      this.#report((this.#shownInReport * 1000) / (at - reportedAt));
      reportedAt = at;
    }, REPORT_EVERY_MS);
    while (!signal.aborted) {
      tell({ type: "status", id: this.#id, state: "connecting", cause: null, retryAt: null });
      const { cause, waitMs } = await this.#read(url, signal, backoff);
      if (signal.aborted) break;
      tell({ type: "status", id: this.#id, state: "waiting", cause, retryAt: now() + waitMs });
      await pause(waitMs, signal);
    }
    clearInterval(timer);
  }

  /**
   * Reads one connection to its end.
   * @param {string} url @param {AbortSignal} signal @param {Backoff} backoff
   * @returns {Promise<{ cause: string, waitMs: number }>}
   */
  async #read(url, signal, backoff) {
    /** @type {number | null} */
    let firstAt = null;
    try {
      const response = await fetch(url, { signal, cache: "no-store" });
      if (!response.ok || !response.body) throw await refusal(response);
      const parser = new MultipartParser(boundaryOf(response.headers.get("content-type")));
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { cause: "the server ended the stream", waitMs: backoff.next() };
        for (const part of parser.push(value)) {
          if (firstAt === null) tell({ type: "status", id: this.#id, state: "live", cause: null, retryAt: null });
          firstAt ??= now();
          if (now() - firstAt > SOUND_AFTER_MS) backoff.reset();
          void this.#take(part, signal);
        }
      }
    } catch (error) {
      return { cause: describe(error), waitMs: Math.max(backoff.next(), retryAfterMs(error)) };
    }
  }

  /** Draws a picture, or keeps it as the next while another is decoded. @param {Part} part @param {AbortSignal} signal */
  async #take(part, signal) {
    if (this.#waiting) this.#skipped += 1;
    this.#waiting = part;
    if (this.#decoding) return;
    this.#decoding = true;
    while (this.#waiting) {
      const next = /** @type {Part} */ (this.#waiting);
      this.#waiting = null;
      try {
        const bitmap = await createImageBitmap(new Blob([next.body], { type: "image/jpeg" }));
        if (signal.aborted) bitmap.close();
        else this.#draw(bitmap, Number(next.headers.get("x-timestamp") ?? Number.NaN));
      } catch {
        this.#broken += 1;
      }
      signal = this.#run.signal;
    }
    this.#decoding = false;
  }

  /** @param {ImageBitmap} bitmap @param {number} capturedSeconds NaN when the server does not say */
  #draw(bitmap, capturedSeconds) {
    if (this.#canvas.width !== bitmap.width) this.#canvas.width = bitmap.width;
    if (this.#canvas.height !== bitmap.height) this.#canvas.height = bitmap.height;
    this.#context.transferFromImageBitmap(bitmap);
    this.#shownAt = now();
    this.#shown += 1;
    this.#shownInReport += 1;
    const latency = this.#shownAt + (clockOffsetMs ?? Number.NaN) - capturedSeconds * 1000;
    if (Number.isFinite(latency)) this.#latencies.push(latency);
  }

  /** @param {number} perSecond */
  #report(perSecond) {
    const sorted = this.#latencies.sort((a, b) => a - b);
    tell({
      type: "figures",
      id: this.#id,
      shown: this.#shown,
      skipped: this.#skipped,
      broken: this.#broken,
      perSecond,
      latencyMs: sorted[Math.floor(sorted.length / 2)] ?? null,
      shownAt: this.#shownAt,
      width: this.#canvas.width,
      height: this.#canvas.height,
    });
    this.#latencies = [];
    this.#shownInReport = 0;
  }
}

/** An answer that is not a picture. */
class Refused extends Error {
  /** @param {string} message @param {number} retryAfterMs */
  constructor(message, retryAfterMs) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** @param {Response} response */
async function refusal(response) {
  const seconds = Number(response.headers.get("retry-after") ?? 0);
  let message = `the server answered ${response.status}`;
  try {
    const { error } = await response.json();
    if (typeof error === "string") message = error;
  } catch {
    // Not every answer has a body in JSON; the status says enough.
  }
  return new Refused(message, Number.isFinite(seconds) ? Math.min(seconds, 30) * 1000 : 0);
}

/** @param {unknown} error */
function retryAfterMs(error) {
  return error instanceof Refused ? error.retryAfterMs : 0;
}

/** @param {unknown} error */
function describe(error) {
  // fetch() says TypeError for every failure of the network, each browser in other words.
  if (error instanceof TypeError) return "no connection to the server";
  return error instanceof Error ? error.message : String(error);
}

/** @param {number} milliseconds @param {AbortSignal} signal @returns {Promise<void>} */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
