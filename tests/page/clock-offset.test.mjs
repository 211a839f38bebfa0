// The clocks' offset is found through delay that is uneven and one-sided.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockOffset } from "../../crates/ocelli/src/web/clock-offset.js";

/** A repeatable source of chance in [0, 1). @param {number} seed */
function chance(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** @param {ClockOffset} clock @param {{ at: number, ahead: number, there: number, back: number }} exchange */
function exchange(clock, { at, ahead, there, back }) {
  clock.add(at, at + there + back, at + there + ahead);
}

test("nothing is known before the first answer", () => {
  const clock = new ClockOffset();
  assert.equal(clock.offsetMs, null);
  assert.equal(clock.uncertaintyMs, null);
});

test("even delay gives the offset exactly", () => {
  const clock = new ClockOffset();
  exchange(clock, { at: 1.76e12, ahead: 5000, there: 10, back: 10 });
  assert.equal(clock.offsetMs, 5000);
  assert.equal(clock.uncertaintyMs, 10);
});

test("the true offset stays within the stated uncertainty, whatever the delays", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = chance(seed);
    const ahead = (random() - 0.5) * 1e7;
    const clock = new ClockOffset();
    for (let index = 0; index < 100; index += 1) {
      exchange(clock, { at: 1.76e12 + index * 1000, ahead, there: random() ** 3 * 300, back: random() ** 3 * 300 });
    }
    const error = Math.abs(/** @type {number} */ (clock.offsetMs) - ahead);
    assert.ok(error <= /** @type {number} */ (clock.uncertaintyMs) + 0.01, `seed ${seed}: ${error} ms`);
    assert.ok(error < 20, `seed ${seed}: ${error} ms`);
  }
});

test("a clock that is set is followed at once", () => {
  const clock = new ClockOffset();
  for (let index = 0; index < 30; index += 1) exchange(clock, { at: index * 1000, ahead: 0, there: 2, back: 2 });
  exchange(clock, { at: 31_000, ahead: 86_400_000, there: 30, back: 20 });
  assert.ok(Math.abs(/** @type {number} */ (clock.offsetMs) - 86_400_000) <= 25);
});

test("a clock that drifts is followed within a minute of answers", () => {
  const clock = new ClockOffset();
  for (let index = 0; index < 600; index += 1) {
    exchange(clock, { at: index * 1000, ahead: index * 0.1, there: 5 + (index % 7), back: 5 });
  }
  assert.ok(Math.abs(/** @type {number} */ (clock.offsetMs) - 60) < 12);
});

test("nonsense is not an exchange", () => {
  const clock = new ClockOffset();
  clock.add(10, 5, 7);
  clock.add(1, 2, Number.NaN);
  assert.equal(clock.offsetMs, null);
});
