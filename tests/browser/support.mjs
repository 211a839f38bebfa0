// What the browser tests share: the server under test, a browser, and waiting for a condition with a deadline.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium, firefox } from "playwright-core";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {{ url: string, port: number, pid: number, stop: (signal?: NodeJS.Signals) => Promise<void> }} Server */

/** A condition that has not come true by then never will; wide, for a machine with much else to do. */
const DEADLINE_MS = 30_000;

const FIREFOX_NAMES = ["firefox-esr", "firefox"];

const program = process.env.OCELLI_BIN ?? fileURLToPath(new URL("../../target/debug/ocelli", import.meta.url));

/**
 * Waits until `condition` gives something other than false, null or undefined, and returns that.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} condition
 * @param {number} deadlineMs
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== null && value !== undefined) return value;
    assert.ok(Date.now() < end, `not within ${deadlineMs} ms: ${what}`);
    await pause(50);
  }
}

/** @returns {Promise<number>} */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Starts the server with these cameras; it is stopped with the test.
 * @param {TestContext} test
 * @param {Record<string, string>} cameras sources by name
 * @param {number} [port]
 * @returns {Promise<Server>}
 */
export async function startServer(test, cameras, port) {
  port ??= await freePort();
  const named = Object.entries(cameras).flatMap(([name, source]) => ["--camera", `${name}=${source}`]);
  const child = spawn(program, ["serve", "--address", "127.0.0.1", "--port", String(port), "--rtsp", "127.0.0.1:0", ...named], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log = (log + text).slice(-4000)));
  const exited = once(child, "exit");
  const running = () => child.exitCode === null && child.signalCode === null;
  const stop = async (/** @type {NodeJS.Signals} */ signal = "SIGTERM") => {
    if (!running()) return;
    child.kill(signal);
    const [code] = await exited;
    if (signal === "SIGTERM") assert.equal(code, 0, `the server ended badly:\n${log}`);
  };
  test.after(() => stop());
  const url = `http://127.0.0.1:${port}`;
  await until("the server answers", async () => {
    assert.ok(running(), `the server did not start:\n${log}`);
    return fetch(`${url}/healthz`).then((response) => response.ok, () => false);
  });
  return { url, port, pid: /** @type {number} */ (child.pid), stop };
}

/** @typedef {"Chromium" | "Firefox"} BrowserName */

/**
 * The browsers to test in. Firefox is the system's own, which playwright-core drives by WebDriver BiDi; where there is
 * none, Chromium alone.
 * @type {BrowserName[]}
 */
export const browsers = installed(FIREFOX_NAMES) || process.env.FIREFOX ? ["Chromium", "Firefox"] : ["Chromium"];

/** @param {BrowserName} name */
function launch(name) {
  if (name === "Firefox") {
    return firefox.launch({ channel: "moz-firefox", executablePath: process.env.FIREFOX ?? installed(FIREFOX_NAMES) });
  }
  // Without a Chromium of the system's, the one that playwright-core has fetched.
  const executablePath = process.env.CHROMIUM ?? installed(["chromium", "google-chrome"]);
  // A container's root cannot have Chromium's sandbox; only pages of our own server are opened.
  return chromium.launch({ ...(executablePath && { executablePath }), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** @param {string[]} names */
function installed(names) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

/**
 * The page in a fresh browser, both gone with the test. Any error of the page's own fails the test.
 * @param {TestContext} test
 * @param {string} url
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @param {BrowserName} [name]
 * @returns {Promise<Page>}
 */
export async function openPage(test, url, options = {}, name = "Chromium") {
  const browser = await launch(name);
  test.after(() => browser.close());
  const page = await (await browser.newContext(options)).newPage();
  /** @type {Error[]} */
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  test.after(() => assert.deepEqual(errors, [], "errors in the page"));
  await page.goto(url);
  return page;
}

/** @param {Page} page @param {string} name */
export function card(page, name) {
  return page.locator(`camera-card[data-name="${name}"]`);
}

/**
 * What an element shows now, as 32×18 pixels of red, green, blue and alpha; null before there is anything.
 * @param {Page} page
 * @param {string} selector of a canvas or an image
 * @returns {Promise<number[] | null>}
 */
export function pixels(page, selector) {
  return page.evaluate((selector) => {
    const element = document.querySelector(selector);
    const shown = element instanceof HTMLCanvasElement || (element instanceof HTMLImageElement && element.naturalWidth > 0);
    if (!shown) return null;
    const copy = document.createElement("canvas");
    copy.width = 32;
    copy.height = 18;
    const context = /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d"));
    context.drawImage(element, 0, 0, 32, 18);
    const data = [...context.getImageData(0, 0, 32, 18).data];
    return data.some((value) => value > 0) ? data : null;
  }, selector);
}

/**
 * Waits until the element has shown this many pictures that differ from the one before.
 * @param {Page} page
 * @param {string} selector
 * @param {number} changes
 */
export async function moves(page, selector, changes = 3) {
  let last = await until(`${selector} shows a picture`, () => pixels(page, selector));
  for (let seen = 0; seen < changes; seen += 1) {
    last = await until(`${selector} moves`, async () => {
      const next = await pixels(page, selector);
      return next?.some((value, index) => value !== last[index]) ? next : null;
    });
  }
}

/** The selector of a camera's picture. @param {string} name */
export function picture(name) {
  return `camera-card[data-name="${name}"] .picture > :is(canvas, img)`;
}

/** The processes below this one whose program has this name. @param {number} ancestor @param {string} program */
export function descendants(ancestor, program) {
  /** @type {{ pid: number, parent: number, name: string }[]} */
  const all = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const match = /^\d+ \((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, "utf8"));
      if (match) all.push({ pid: Number(entry), name: match[1] ?? "", parent: Number(match[2]) });
    } catch {
      // It ended while we looked.
    }
  }
  const below = new Set([ancestor]);
  for (let size = 0; size !== below.size; ) {
    size = below.size;
    for (const { pid, parent } of all) if (below.has(parent)) below.add(pid);
  }
  return all.filter(({ pid, name }) => pid !== ancestor && below.has(pid) && name === program).map(({ pid }) => pid);
}

/** A folder that is gone with the test. @param {TestContext} test */
export function temporaryFolder(test) {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-"));
  test.after(() => rmSync(folder, { recursive: true }));
  return folder;
}
