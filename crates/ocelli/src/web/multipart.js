// Reads a `multipart/x-mixed-replace` stream as its bytes come, in chunks cut anywhere.
//
// A part with Content-Length is copied once, into a buffer of just that size; one without is searched for the next
// boundary. It holds at most one part and one header block, both bounded; a stream past the bounds is refused.

/** A header block longer than this is not a camera's. */
const MAX_HEADER_BYTES = 16 * 1024;
/** No camera picture is longer than this. */
const MAX_PART_BYTES = 32 * 1024 * 1024;

const LINE_FEED = 10;
const latin1 = new TextDecoder("latin1");

/** What was received is not a multipart stream, or one past the bounds. */
export class MultipartError extends Error {
  name = "MultipartError";
}

/**
 * One part of the stream.
 * @typedef {object} Part
 * @property {Map<string, string>} headers names in lower case
 * @property {Uint8Array<ArrayBuffer>} body
 */

/**
 * The boundary named by a Content-Type header, without its leading dashes.
 * @param {string | null} contentType
 * @returns {string}
 */
export function boundaryOf(contentType) {
  const match = /^multipart\/[^;]+;.*\bboundary=(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType ?? "");
  const boundary = match?.[1] ?? match?.[2];
  if (!boundary) throw new MultipartError(`not a multipart stream: ${contentType ?? "no Content-Type"}`);
  return boundary;
}

export class MultipartParser {
  /** What the next byte belongs to. @type {"between" | "headers" | "body" | "search" | "ended"} */
  #state = "between";
  #delimiter;
  #searched;
  /** The beginning of a line whose end has not come yet. @type {number[]} */
  #line = [];
  /** @type {Map<string, string>} */
  #headers = new Map();
  #headerBytes = 0;
  /** @type {Uint8Array<ArrayBuffer>} */
  #body = new Uint8Array(0);
  #filled = 0;

  /** @param {string} boundary */
  constructor(boundary) {
    this.#delimiter = `--${boundary}`;
    this.#searched = new TextEncoder().encode(`\r\n${this.#delimiter}`);
  }

  /** Whether the closing boundary has been read. */
  get ended() {
    return this.#state === "ended";
  }

  /**
   * Takes the next bytes and returns the parts they complete.
   * @param {Uint8Array} chunk
   * @returns {Part[]}
   */
  push(chunk) {
    /** @type {Part[]} */
    const parts = [];
    let rest = chunk;
    while (rest.length > 0 && this.#state !== "ended") {
      if (this.#state === "body") rest = this.#fill(rest, parts);
      else if (this.#state === "search") rest = this.#search(rest, parts);
      else rest = this.#readLine(rest, parts);
    }
    return parts;
  }

  /** @param {Uint8Array} rest @param {Part[]} parts @returns {Uint8Array} */
  #readLine(rest, parts) {
    const end = rest.indexOf(LINE_FEED);
    const piece = end < 0 ? rest : rest.subarray(0, end);
    this.#headerBytes += piece.length + 1;
    if (this.#headerBytes > MAX_HEADER_BYTES) throw new MultipartError("headers longer than 16 KiB");
    if (end < 0) {
      for (const byte of piece) this.#line.push(byte);
      return rest.subarray(rest.length);
    }
    let line = latin1.decode(this.#line.length > 0 ? new Uint8Array([...this.#line, ...piece]) : piece);
    this.#line = [];
    if (line.endsWith("\r")) line = line.slice(0, -1);
    if (this.#state === "headers") this.#headerLine(line, parts);
    else this.#betweenLine(line);
    return rest.subarray(end + 1);
  }

  /** @param {string} line */
  #betweenLine(line) {
    if (line === `${this.#delimiter}--`) {
      this.#state = "ended";
    } else if (line.trimEnd() === this.#delimiter) {
      this.#state = "headers";
      this.#headers = new Map();
      this.#headerBytes = 0;
    }
  }

  /** @param {string} line @param {Part[]} parts */
  #headerLine(line, parts) {
    if (line !== "") {
      const colon = line.indexOf(":");
      if (colon > 0) this.#headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
      return;
    }
    this.#headerBytes = 0;
    this.#filled = 0;
    const length = this.#headers.get("content-length");
    if (length === undefined) {
      this.#state = "search";
      this.#body = new Uint8Array(64 * 1024);
      return;
    }
    if (!/^\d{1,10}$/.test(length) || Number(length) > MAX_PART_BYTES) {
      throw new MultipartError(`a part's Content-Length is ${length.slice(0, 40)}`);
    }
    this.#state = "body";
    this.#body = new Uint8Array(Number(length));
    if (this.#body.length === 0) this.#finish(parts, this.#body);
  }

  /** @param {Uint8Array} rest @param {Part[]} parts @returns {Uint8Array} */
  #fill(rest, parts) {
    const piece = rest.subarray(0, this.#body.length - this.#filled);
    this.#body.set(piece, this.#filled);
    this.#filled += piece.length;
    if (this.#filled === this.#body.length) this.#finish(parts, this.#body);
    return rest.subarray(piece.length);
  }

  /** @param {Uint8Array} rest @param {Part[]} parts @returns {Uint8Array} */
  #search(rest, parts) {
    // A boundary may have begun in the bytes before this chunk.
    const from = Math.max(0, this.#filled - this.#searched.length + 1);
    const before = this.#filled;
    this.#append(rest);
    const found = indexOf(this.#body.subarray(0, this.#filled), this.#searched, from);
    if (found < 0) {
      if (this.#filled > MAX_PART_BYTES) throw new MultipartError("a part without an end");
      return rest.subarray(rest.length);
    }
    // The boundary's own line is read again, as a line. Of it, what earlier chunks brought goes ahead of `rest`.
    const line = found + 2;
    const body = this.#body.slice(0, found);
    const carried = line < before ? [...this.#body.subarray(line, before)] : [];
    this.#finish(parts, body);
    this.#line = carried;
    return rest.subarray(Math.max(0, line - before));
  }

  /** @param {Uint8Array} piece */
  #append(piece) {
    const needed = this.#filled + piece.length;
    if (needed > this.#body.length) {
      const larger = new Uint8Array(Math.max(needed, this.#body.length * 2));
      larger.set(this.#body.subarray(0, this.#filled));
      this.#body = larger;
    }
    this.#body.set(piece, this.#filled);
    this.#filled = needed;
  }

  /** @param {Part[]} parts @param {Uint8Array<ArrayBuffer>} body */
  #finish(parts, body) {
    parts.push({ headers: this.#headers, body });
    this.#state = "between";
    this.#body = new Uint8Array(0);
    this.#filled = 0;
  }
}

/** @param {Uint8Array} bytes @param {Uint8Array} wanted @param {number} from @returns {number} */
function indexOf(bytes, wanted, from) {
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(/** @type {number} */ (wanted[0]), from); at >= 0 && at <= last; ) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at;
    at = bytes.indexOf(/** @type {number} */ (wanted[0]), at + 1);
  }
  return -1;
}
