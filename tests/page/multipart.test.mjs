// The multipart reader gives the same parts however the stream is cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MultipartError, MultipartParser, boundaryOf } from "../../crates/ocelli/src/web/multipart.js";

const encoder = new TextEncoder();

/** @param {...(string | Uint8Array)} pieces */
function bytes(...pieces) {
  return new Uint8Array(pieces.flatMap((piece) => [...(typeof piece === "string" ? encoder.encode(piece) : piece)]));
}

/** A body that holds everything a careless reader stumbles over: line ends, dashes, all but the boundary. */
const tricky = bytes(new Uint8Array([0xff, 0xd8]), "\r\n--fram\r\n\r\n--\r\n-\r\r\n--fra", new Uint8Array([0, 10, 13, 0xff, 0xd9]));

const withLength = bytes(
  "preamble\r\n\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\nX-Timestamp: 1760000000.123456\r\n\r\nabc\r\n",
  `--frame\r\ncontent-length:${tricky.length}\r\n\r\n`, tricky, "\r\n",
  "--frame\r\nContent-Length: 0\r\n\r\n\r\n--frame--\r\n",
);

const withoutLength = bytes(
  "--frame\r\nContent-Type: image/jpeg\r\nX-Timestamp: 7.5\r\n\r\nabc\r\n",
  "--frame\r\nContent-Type: image/jpeg\r\n\r\n", tricky, "\r\n",
  "--frame\r\nContent-Type: image/jpeg\r\n\r\n\r\n--frame--\r\n",
);

/** @param {Uint8Array} stream @param {number[]} cuts */
function read(stream, cuts) {
  const parser = new MultipartParser("frame");
  const parts = [];
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    parts.push(...parser.push(stream.subarray(from, to)));
    from = to;
  }
  return { parts, ended: parser.ended };
}

/** @param {{ parts: import("../../crates/ocelli/src/web/multipart.js").Part[], ended: boolean }} result @param {string} how */
function check(result, how) {
  assert.equal(result.parts.length, 3, how);
  assert.deepEqual(result.parts.map((part) => [...part.body]), [[97, 98, 99], [...tricky], []], how);
  assert.ok(result.ended, how);
}

for (const [name, stream] of /** @type {[string, Uint8Array][]} */ ([["with", withLength], ["without", withoutLength]])) {
  test(`parts ${name} Content-Length: every pair of cuts`, () => {
    for (let first = 0; first <= stream.length; first += 1) {
      for (let second = first; second <= stream.length; second += 1) {
        check(read(stream, [first, second]), `cut at ${first} and ${second}`);
      }
    }
  });

  test(`parts ${name} Content-Length: chunks of every size`, () => {
    for (let step = 1; step < stream.length; step += 1) {
      const cuts = [];
      for (let at = step; at < stream.length; at += step) cuts.push(at);
      check(read(stream, cuts), `chunks of ${step}`);
    }
  });
}

test("a picture is given the moment its last byte is there", () => {
  const parser = new MultipartParser("frame");
  const head = bytes("--frame\r\nContent-Length: 4\r\nX-Timestamp: 1760000000.123456\r\n\r\n");
  assert.equal(parser.push(bytes(head, "abc")).length, 0);
  const [part] = parser.push(bytes("d"));
  assert.equal(part?.headers.get("x-timestamp"), "1760000000.123456");
});

test("what is not a part's length is refused", () => {
  for (const length of ["-1", "1e9", "99999999999", "9999999999", "a", "0x10"]) {
    const parser = new MultipartParser("frame");
    assert.throws(() => parser.push(bytes(`--frame\r\nContent-Length: ${length}\r\n\r\n`)), MultipartError, length);
  }
});

test("endless headers and endless parts are refused, not kept", () => {
  const header = new MultipartParser("frame");
  assert.throws(() => {
    header.push(bytes("--frame\r\n"));
    for (let sent = 0; sent < 100_000; sent += 1000) header.push(new Uint8Array(1000).fill(65));
  }, MultipartError);

  const part = new MultipartParser("frame");
  assert.throws(() => {
    part.push(bytes("--frame\r\n\r\n"));
    const chunk = new Uint8Array(1024 * 1024);
    for (let sent = 0; sent < 100; sent += 1) part.push(chunk);
  }, MultipartError);
});

test("the boundary is taken from Content-Type", () => {
  assert.equal(boundaryOf("multipart/x-mixed-replace;boundary=frame"), "frame");
  assert.equal(boundaryOf('Multipart/x-mixed-replace; charset=x; boundary="a b"'), "a b");
  for (const other of [null, "", "image/jpeg", "multipart/x-mixed-replace", "text/html; boundary=x"]) {
    assert.throws(() => boundaryOf(other), MultipartError);
  }
});
