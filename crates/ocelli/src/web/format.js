// Figures as people read them.

/** What stands where a figure is not known. */
export const UNKNOWN = "–";

/** @param {number | null | undefined} value */
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** @param {number | null} width @param {number | null} height */
export function size(width, height) {
  return width && height ? `${width}×${height}` : UNKNOWN;
}

/** @param {number | null | undefined} perSecond pictures a second */
export function rate(perSecond) {
  if (!known(perSecond)) return UNKNOWN;
  const value = /** @type {number} */ (perSecond);
  return `${value < 10 && value % 1 > 0.05 ? value.toFixed(1) : Math.round(value)} fps`;
}

/** @param {number | null | undefined} bitsPerSecond */
export function bitRate(bitsPerSecond) {
  if (!known(bitsPerSecond)) return UNKNOWN;
  const value = /** @type {number} */ (bitsPerSecond);
  if (value < 1e6) return `${Math.round(value / 1e3)} kbit/s`;
  return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} Mbit/s`;
}

/** @param {number | null | undefined} milliseconds */
export function latency(milliseconds) {
  if (!known(milliseconds)) return UNKNOWN;
  const value = /** @type {number} */ (milliseconds);
  // Two clocks agree to a few milliseconds at best: less than nothing is nothing.
  if (value < 1000) return `${Math.max(0, Math.round(value))} ms`;
  return duration(value / 1000);
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** @param {number} count @param {string} singular */
export function counted(count, singular) {
  return `${count} ${singular}${count === 1 ? "" : "s"}`;
}
