#!/usr/bin/env node
// Glass to glass in Chromium's <img>: how old the clock drawn into the picture is when the page can see it.
//
//   node bench/glass.mjs ORIGIN PATH [SECONDS]
//
// At each animation frame the page draws one row of the image's clock strip (crates/codec/src/pattern.rs) into a canvas
// and reads the time in it; each picture counts once, when it is first seen. Prints JSON, milliseconds.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(new URL("../tests/package.json", import.meta.url))("playwright-core");

const WARM_UP_MS = 3000;
const ARGUMENTS =
  "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync --disable-dev-shm-usage";

const [origin, path, seconds = "20"] = process.argv.slice(2);
if (!origin || !path) {
  console.error("usage: glass.mjs ORIGIN PATH [SECONDS], as http://127.0.0.1:8080 /stream 20");
  process.exit(2);
}

const profile = mkdtempSync(join(tmpdir(), "glass-"));
const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find((file) => existsSync(file));
const context = await chromium.launchPersistentContext(profile, {
  ...(executablePath && { executablePath }),
  headless: false, // the new headless mode below instead of the old shell's
  args: ARGUMENTS.split(" "),
  viewport: { width: 1280, height: 720 },
});
try {
  const page = await context.newPage();
  // An answer of the server itself, so that its pictures are of the page's own origin and their pixels may be read.
  await page.goto(`${origin}/`, { waitUntil: "commit" });
  await page.setContent(`<body style="margin:0"><img src="${path}" width="1280" height="720">`, { waitUntil: "commit" });
  const ages = await page.evaluate(watch, { millis: Number(seconds) * 1000, warmUp: WARM_UP_MS });
  ages.sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
  const at = (/** @type {number} */ share) => ages[Math.min(ages.length - 1, Math.ceil(ages.length * share) - 1)] ?? null;
  console.log(JSON.stringify({ pictures: ages.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}

/**
 * Runs in the page.
 * @param {{ millis: number, warmUp: number }} times
 * @returns {Promise<number[]>} the age of each picture when it was first seen
 */
function watch({ millis, warmUp }) {
  const image = /** @type {HTMLImageElement} */ (document.querySelector("img"));
  const canvas = Object.assign(document.createElement("canvas"), { height: 1 });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  const DAY = 86_400_000;

  /** Milliseconds since midnight UTC in the strip; null where there is none. */
  function clock() {
    if (!image.naturalWidth) return null;
    canvas.width = image.naturalWidth;
    const middle = Math.floor(Math.max(image.naturalHeight / 16, 8) / 2);
    context.drawImage(image, 0, middle, canvas.width, 1, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    const luma = Array.from({ length: 32 }, (_, cell) => data[4 * Math.floor(((2 * cell + 1) * canvas.width) / 64) + 1]);
    if (luma[0] < luma[1] + 64) return null;
    const bits = luma.slice(2).map((value) => Number(value * 2 > luma[0] + luma[1]));
    const read = bits.slice(0, 27).reduce((number, bit) => number * 2 + bit, 0);
    const check = bits.slice(27).reduce((number, bit) => number * 2 + bit, 0);
    let sum = 0;
    for (let group = 0; group < 9; group++) sum ^= Math.floor(read / 8 ** group) % 8;
    return sum === check ? read : null;
  }

  return new Promise((resolve) => {
    /** @type {number[]} */
    const ages = [];
    const start = Date.now();
    let last = clock();
    const look = () => {
      const read = clock();
      const now = Date.now();
      if (read !== null && read !== last) {
        last = read;
        if (now - start > warmUp) ages.push((now - read + DAY) % DAY);
      }
      if (now - start < warmUp + millis) requestAnimationFrame(look);
      else resolve(ages);
    };
    requestAnimationFrame(look);
  });
}
