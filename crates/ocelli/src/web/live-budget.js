// Who is shown live. A browser opens six connections to one host: four streams leave two, for the figures and snapshots.

/** How many cameras are live at once. */
export const MAX_LIVE = 4;

/**
 * What the choice depends on, of one camera.
 * @typedef {object} Candidate
 * @property {string} name
 * @property {boolean} visible on the screen, in part at least
 * @property {boolean} chosen shown alone, focused or pointed at
 * @property {boolean} live has a stream now
 */

/**
 * The cameras to show live. The chosen ones come first, then those that already are, so that a stream is not broken off
 * for another without need, then the page's order. What is not on the screen gets nothing.
 * @param {Candidate[]} candidates in the page's order
 * @param {number} limit
 * @returns {Set<string>}
 */
export function chooseLive(candidates, limit = MAX_LIVE) {
  const rank = (/** @type {Candidate} */ candidate) => (candidate.chosen ? 2 : 0) + (candidate.live ? 1 : 0);
  const visible = candidates.filter((candidate) => candidate.visible);
  visible.sort((a, b) => rank(b) - rank(a)); // stable: equals keep the page's order
  return new Set(visible.slice(0, limit).map((candidate) => candidate.name));
}
