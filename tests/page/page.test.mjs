// Who is live, how long a broken stream waits, and how figures read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../crates/ocelli/src/web/backoff.js";
import * as format from "../../crates/ocelli/src/web/format.js";
import { chooseLive } from "../../crates/ocelli/src/web/live-budget.js";

/** @param {string} name @param {string} marks v visible, c chosen, l live */
const camera = (name, marks) => ({
  name,
  visible: marks.includes("v"),
  chosen: marks.includes("c"),
  live: marks.includes("l"),
});

test("only what is on the screen is live, at most four", () => {
  const all = ["a", "b", "c", "d", "e", "f"].map((name) => camera(name, name === "b" ? "" : "v"));
  assert.deepEqual([...chooseLive(all)], ["a", "c", "d", "e"]);
});

test("a stream is not broken off for its equal, but for the chosen one", () => {
  const all = [camera("a", "v"), camera("b", "vl"), camera("c", "vl"), camera("d", "vl"), camera("e", "vl")];
  assert.deepEqual([...chooseLive(all)].sort(), ["b", "c", "d", "e"]);
  all[0] = camera("a", "vc");
  assert.deepEqual([...chooseLive(all)].sort(), ["a", "b", "c", "d"]);
});

test("waits double up to eight seconds and begin again after a reset", () => {
  const backoff = new Backoff(() => 0);
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => backoff.next()), [500, 1000, 2000, 4000, 8000, 8000]);
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test("figures", () => {
  assert.equal(format.size(1280, 720), "1280×720");
  assert.equal(format.size(null, null), "–");
  assert.equal(format.rate(29.97), "30 fps");
  assert.equal(format.rate(2.5), "2.5 fps");
  assert.equal(format.rate(0), "0 fps");
  assert.equal(format.bitRate(640_000), "640 kbit/s");
  assert.equal(format.bitRate(1_234_567), "1.2 Mbit/s");
  assert.equal(format.bitRate(33_600_000), "34 Mbit/s");
  assert.equal(format.latency(-3), "0 ms");
  assert.equal(format.latency(17.6), "18 ms");
  assert.equal(format.latency(3210), "3.2 s");
  assert.equal(format.latency(null), "–");
  assert.equal(format.duration(5400), "90 min");
  assert.equal(format.counted(1, "viewer"), "1 viewer");
  assert.equal(format.counted(0, "viewer"), "0 viewers");
});
