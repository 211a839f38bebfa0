// The page in a browser: pictures that move, figures that are true, keyboard, phone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { browsers, card, moves, openPage, picture, startServer, until } from "./support.mjs";

const PATTERN = "pattern:?width=640&height=360&fps=15";

/** @param {import("playwright-core").Page} page @param {string} name @param {string} figure */
const figure = (page, name, figure) => card(page, name).locator(`[data-figure="${figure}"] dd`).innerText();

for (const browser of browsers) {
  // Of a phone, Firefox driven this way has the size alone.
  const phone = browser === "Chromium" ? { isMobile: true, hasTouch: true } : {};
  const tap = (/** @type {import("playwright-core").Locator} */ target) => (browser === "Chromium" ? target.tap() : target.click());

  test(`${browser}: every camera's picture moves, with its state and true figures`, async (t) => {
    const server = await startServer(t, { front: PATTERN, "back-yard": "pattern:?width=320&height=240&fps=10" });
    const page = await openPage(t, server.url, {}, browser);
    await moves(page, picture("front"));
    await moves(page, picture("back-yard"));
    await until("both are live", async () => (await page.locator(".state span").allInnerTexts()).join() === "Live,Live");

    assert.equal(await figure(page, "front", "size"), "640×360");
    assert.equal(await figure(page, "back-yard", "size"), "320×240");
    await until("the rate is the camera's", async () => /^1[456](\.\d)? fps$/.test(await figure(page, "front", "rate")));
    assert.match(await figure(page, "front", "bits"), /^[\d.]+ [kM]bit\/s$/);
    await until("the page counts as one viewer", async () => (await figure(page, "front", "viewers")) === "1");
    assert.equal(await page.locator("#summary").innerText(), "2 cameras");
  });

  test(`${browser}: a camera of H.264 is shown like any other`, async (t) => {
    const film = "ffmpeg -v error -re -f lavfi -i testsrc2=size=160x120:rate=25 -c:v libx264 -tune zerolatency -g 25 -f h264 -";
    const server = await startServer(t, { front: PATTERN, yard: `exec:${film}` });
    const page = await openPage(t, server.url, {}, browser);
    await moves(page, picture("yard"));
    await moves(page, picture("front"));
    await until("both are live", async () => (await page.locator(".state span").allInnerTexts()).join() === "Live,Live");
    assert.equal(await figure(page, "yard", "size"), "160×120");
  });

  test(`${browser}: the latency shown is that of a picture from this machine`, async (t) => {
    const server = await startServer(t, { front: PATTERN });
    const page = await openPage(t, server.url, {}, browser);
    const shown = await until("a latency", async () => /^(\d+) ms$/.exec(await figure(page, "front", "latency")));
    // Not a bound on speed, which a busy machine could break, but on clocks and units gone wrong.
    assert.ok(Number(shown[1]) < 1000, `${shown[0]}`);
  });

  test(`${browser}: the latency does not depend on the browser's clock`, async (t) => {
    const server = await startServer(t, { front: PATTERN });
    const page = await openPage(t, "about:blank", {}, browser);
    // The browser believes it is an hour later than it is, in the page and in its worker alike.
    await page.route("**/web/stream-worker.js", async (route) => {
      const answer = await route.fetch();
      const late = "const realNow = performance.now.bind(performance); performance.now = () => realNow() + 3600e3;";
      await route.fulfill({ response: answer, body: (await answer.text()).replace(/^const /m, `${late}\nconst `) });
    });
    await page.addInitScript(() => {
      const real = performance.now.bind(performance);
      performance.now = () => real() + 3600e3;
    });
    await page.goto(server.url);
    const shown = await until("a latency", async () => /^(\d+) ms$/.exec(await figure(page, "front", "latency")));
    assert.ok(Number(shown[1]) < 1000, `${shown[0]}`);
  });

  test(`${browser}: the browser's own MJPEG moves, by <img> and as the fallback of the page`, async (t) => {
    const server = await startServer(t, { front: PATTERN });
    const page = await openPage(t, `${server.url}/healthz`, {}, browser);
    await page.setContent("<p></p>"); // keeps the address, so that the picture's pixels may be read
    await page.evaluate(() => document.body.append(Object.assign(new Image(), { src: "/stream" })));
    await moves(page, "img");
    await page.goto(`${server.url}/?img`);
    await moves(page, picture("front"));
    assert.equal(await page.locator(picture("front")).evaluate((element) => element.localName), "img");
  });

  test(`${browser}: a camera by the keyboard alone: to it, open, the next, back`, async (t) => {
    const server = await startServer(t, { one: PATTERN, two: PATTERN, three: PATTERN });
    const page = await openPage(t, server.url, { viewport: { width: 1280, height: 900 } }, browser);
    const focused = () => page.evaluate(() => /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.name);
    const alone = () => page.evaluate(() => document.body.dataset.alone ?? null);
    await card(page, "three").waitFor();

    await page.keyboard.press("Tab");
    assert.equal(await focused(), "one");
    await page.keyboard.press("ArrowRight");
    assert.equal(await focused(), "two");
    await page.keyboard.press("End");
    assert.equal(await focused(), "three");
    await page.keyboard.press("Home");
    assert.equal(await focused(), "one");

    await page.keyboard.press("Enter");
    await until("one is alone", async () => (await alone()) === "one");
    const box = await card(page, "one").boundingBox();
    assert.deepEqual(box, { x: 0, y: 0, width: 1280, height: 900 });
    await moves(page, picture("one"));
    await page.keyboard.press("ArrowRight");
    await until("two is alone", async () => (await alone()) === "two");
    await moves(page, picture("two"));
    await page.keyboard.press("Escape");
    await until("the grid is back", async () => (await alone()) === null);
    assert.equal(await focused(), "two");
    await moves(page, picture("three"));
  });

  test(`${browser}: a camera has an address of its own, and the browser's way back works`, async (t) => {
    const server = await startServer(t, { one: PATTERN, two: PATTERN });
    const page = await openPage(t, `${server.url}/`, {}, browser);
    await card(page, "two").locator(".picture").click();
    await until("two is alone", () => page.evaluate(() => document.body.dataset.alone === "two"));
    await page.reload();
    await until("two is alone again", () => page.evaluate(() => document.body.dataset.alone === "two"));
    await page.evaluate(() => history.back());
    await until("the grid is back", () => page.evaluate(() => document.body.dataset.alone === undefined));
  });

  for (const width of [320, 390, 844]) {
    test(`${browser}: a phone ${width} pixels wide scrolls in one direction only`, async (t) => {
      const server = await startServer(t, { "a-camera-with-quite-a-long-name-for-a-small-screen": PATTERN, two: PATTERN });
      const page = await openPage(t, server.url, { viewport: { width, height: 700 }, ...phone }, browser);
      await moves(page, picture("two"));
      const wider = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(await wider(), 0);
      await tap(card(page, "two").locator(".picture"));
      await until("two is alone", () => page.evaluate(() => document.body.dataset.alone === "two"));
      assert.equal(await wider(), 0);
      await tap(page.locator("#back"));
      await until("the grid is back", () => page.evaluate(() => document.body.dataset.alone === undefined));
    });
  }

  test(`${browser}: more cameras than the browser has connections: four live, the others by snapshots that go on`, async (t) => {
    const names = ["a", "b", "c", "d", "e", "f"];
    const server = await startServer(t, Object.fromEntries(names.map((name) => [name, PATTERN])));
    const page = await openPage(t, server.url, { viewport: { width: 1600, height: 1200 } }, browser);
    const count = async (/** @type {string} */ label) =>
      (await page.locator(".state span").allInnerTexts()).filter((text) => text === label).length;
    await until("four are live and two are not", async () => (await count("Live")) === 4 && (await count("Snapshots")) === 2);
    for (const name of names) await moves(page, picture(name), 2);
    await card(page, "f").focus();
    await until("the chosen one is live", async () => (await card(page, "f").locator(".state span").innerText()) === "Live");
    assert.equal(await count("Live"), 4);
    assert.equal(await page.locator("#budget").isVisible(), true);
  });
}
