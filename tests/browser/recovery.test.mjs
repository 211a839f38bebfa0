// What breaks is shown with its cause, disturbs nothing else, and mends itself without a hand on the page.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { card, descendants, moves, openPage, picture, pixels, startServer, temporaryFolder, until } from "./support.mjs";

const PATTERN = "pattern:?width=640&height=360&fps=15";

/** @param {import("playwright-core").Page} page @param {string} name */
const state = (page, name) => card(page, name).locator(".state span").innerText();

/** Whether the picture is as green as the clip. @param {import("playwright-core").Page} page @param {string} name */
async function green(page, name) {
  const data = await pixels(page, picture(name));
  if (!data) return null;
  const mean = (/** @type {number} */ channel) =>
    data.filter((_, index) => index % 4 === channel).reduce((sum, value) => sum + value, 0) / (data.length / 4);
  return mean(1) > 180 && mean(0) < 60 && mean(2) < 60;
}

test("a killed camera shows its notice and cause, comes back by itself, and the other camera misses nothing", async (t) => {
  const folder = temporaryFolder(t);
  const clip = join(folder, "clip.mjpeg");
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", "color=0x00ff00:size=640x360:rate=10", "-t", "2", "-f", "mjpeg", clip]);
  const server = await startServer(t, {
    yard: `exec:ffmpeg -v error -re -stream_loop -1 -f mjpeg -i ${clip} -c copy -f mjpeg -`,
    front: PATTERN,
  });
  const page = await openPage(t, server.url);
  await until("the camera's green picture", () => green(page, "yard"));
  await until("it is live", async () => (await state(page, "yard")) === "Live");
  await moves(page, picture("front"));

  // Without its clip the camera cannot be started again either: it stays lost until the clip is back.
  renameSync(clip, `${clip}.away`);
  const [camera, ...others] = descendants(server.pid, "ffmpeg");
  assert.ok(camera !== undefined && others.length === 0, "one ffmpeg runs");
  process.kill(camera, "SIGKILL");

  await until("it is shown as lost", async () => (await state(page, "yard")) === "Lost");
  await until("the cause and the next try are told", async () => {
    const detail = await card(page, "yard").locator(".detail").innerText();
    return /ffmpeg|exit|signal|clip/i.test(detail) && /try/i.test(detail);
  });
  await until("the picture is the notice", async () => (await green(page, "yard")) === false);
  assert.match(await page.locator("#summary").innerText(), /1 lost/);
  await moves(page, picture("front"));
  assert.equal(await state(page, "front"), "Live");

  renameSync(`${clip}.away`, clip);
  await until("the green picture is back", () => green(page, "yard"), 60_000);
  await until("it is live again", async () => (await state(page, "yard")) === "Live");
});

test("a server that goes away and comes back is followed without a reload", async (t) => {
  const first = await startServer(t, { front: PATTERN });
  const page = await openPage(t, first.url);
  await moves(page, picture("front"));
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));

  await first.stop("SIGKILL");
  await page.locator("#notice").waitFor({ state: "visible" });
  await until("the stream waits", async () => (await state(page, "front")) === "Reconnecting");

  await startServer(t, { front: PATTERN }, first.port);
  await until("it is live again", async () => (await state(page, "front")) === "Live");
  await page.locator("#notice").waitFor({ state: "hidden" });
  await moves(page, picture("front"));
  assert.equal(await page.evaluate(() => "sameDocument" in window), true);
});
