// The page: every camera the server names, in a grid, or one of them alone. The address says which: `#front`.

import { CameraCard } from "./camera-card.js";
import { CameraPoll } from "./cameras.js";
import { MAX_LIVE, chooseLive } from "./live-budget.js";
import { SnapshotRound } from "./snapshots.js";
import * as format from "./format.js";
import { ImgReader, StreamWorker, canUseWorker } from "./stream-reader.js";

/** @typedef {import("./cameras.js").Answer} Answer */

const grid = byId("grid");
const summary = byId("summary");
const notice = byId("notice");
const news = byId("news");

/** The cards in the server's order. @type {Map<string, CameraCard>} */
const cards = new Map();
/** The states last told, to tell only what changes. @type {Map<string, string>} */
const told = new Map();
/** @type {StreamWorker | null} */
let worker = canUseWorker() ? new StreamWorker(useImages) : null;

const poll = new CameraPoll(new URL("api/v1/cameras", document.baseURI).href, { onAnswer, onSilence });
const snapshots = new SnapshotRound(() => [...cards.values()].filter((card) => card.visible && !card.live && card.watchable));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) /** @type {CameraCard} */ (entry.target).visible = entry.isIntersecting;
  share();
}, { rootMargin: "80px" });

/** @param {Answer} answer @param {number | null} clockOffsetMs */
function onAnswer(answer, clockOffsetMs) {
  worker?.setClock(clockOffsetMs);
  notice.hidden = true;
  placeCards(answer.cameras.map((camera) => camera.name));
  for (const camera of answer.cameras) {
    cards.get(camera.name)?.update(camera);
    tellNews(camera.name, camera.state, camera.cause);
  }
  const lost = answer.cameras.filter((camera) => camera.state === "lost").length;
  summary.textContent = format.counted(answer.cameras.length, "camera") + (lost > 0 ? `, ${lost} lost` : "");
  byId("version").textContent = answer.version;
  byId("none").hidden = answer.cameras.length > 0;
  share();
}

/** @param {string} cause @param {number} forMs */
function onSilence(cause, forMs) {
  notice.hidden = false;
  notice.textContent = `${cause} What is shown is ${format.duration(forMs / 1000)} old.`;
  for (const card of cards.values()) card.render();
}

/** Adds, removes and orders the cards as the server has them. @param {string[]} names */
function placeCards(names) {
  for (const [name, card] of cards) {
    if (names.includes(name)) continue;
    watcher.unobserve(card);
    card.useReader(null);
    card.remove();
    cards.delete(name);
  }
  names.forEach((name, index) => {
    let card = cards.get(name);
    if (!card) {
      card = new CameraCard();
      card.dataset.name = name;
      cards.set(name, card);
    }
    if (grid.children[index] !== card) grid.insertBefore(card, grid.children[index] ?? null);
    if (card.dataset.watched === undefined) {
      card.dataset.watched = "";
      card.useReader(newReader(card));
      watcher.observe(card);
    }
  });
  grid.dataset.count = String(names.length);
  showAlone();
}

/** @param {CameraCard} card */
function newReader(card) {
  const onChange = () => card.render();
  return worker ? worker.reader(onChange) : new ImgReader(onChange);
}

/** The worker could not be started: the browser's own MJPEG instead. */
function useImages() {
  worker?.close();
  worker = null;
  for (const card of cards.values()) card.useReader(newReader(card));
  share();
}

/** Gives the live streams to those who should have them. */
function share() {
  const alone = document.body.dataset.alone;
  const candidates = [...cards.values()].map((card) => ({
    name: card.name,
    visible: !document.hidden && card.watchable && (alone === undefined ? card.visible : card.name === alone),
    chosen: card.contains(document.activeElement) || card.matches(":hover"),
    live: card.live,
  }));
  const chosen = chooseLive(candidates);
  for (const card of cards.values()) if (!chosen.has(card.name) && card.live) card.stop();
  for (const card of cards.values()) if (chosen.has(card.name)) card.showLive();
  const waiting = candidates.filter((candidate) => candidate.visible && !chosen.has(candidate.name)).length;
  const budget = byId("budget");
  budget.hidden = waiting === 0;
  budget.textContent = `No more than ${MAX_LIVE} cameras are live at once, the others are shown as snapshots: point at one, or open it, to see it live.`;
  snapshots.run(!document.hidden && waiting > 0);
}

/** Shows the camera the address names alone, or the grid. */
function showAlone() {
  const name = decodeURIComponent(location.hash.slice(1));
  const card = cards.get(name);
  if (document.body.dataset.alone === card?.name) return;
  for (const other of cards.values()) {
    other.classList.toggle("alone", other === card);
    other.inert = card !== undefined && other !== card;
  }
  if (card) {
    document.body.dataset.alone = name;
    card.focus({ preventScroll: true });
  } else {
    const before = cards.get(document.body.dataset.alone ?? "");
    delete document.body.dataset.alone;
    before?.focus();
  }
  byId("back").hidden = !card;
  for (const outside of document.querySelectorAll("body > :is(header, footer)")) outside.toggleAttribute("inert", card !== undefined);
  document.title = card ? `${name} · Ocelli` : "Ocelli";
  share();
}

/** @param {string} name @param {string} state @param {string | null} cause */
function tellNews(name, state, cause) {
  const before = told.get(name);
  told.set(name, state);
  if (before === undefined || before === state || (state !== "lost" && before !== "lost")) return;
  if (state === "starting" || state === "waiting") told.set(name, "lost"); // being tried is not being back
  else news.textContent = state === "lost" ? `${name} is lost: ${cause ?? "no picture"}` : `${name} is back`;
}

/** The card a key leads to from another, by where they are on the screen. @param {CameraCard} from @param {string} key */
function neighbour(from, key) {
  const all = [...cards.values()];
  const index = all.indexOf(from);
  if (key === "ArrowLeft") return all[index - 1];
  if (key === "ArrowRight") return all[index + 1];
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  const here = from.getBoundingClientRect();
  const down = key === "ArrowDown";
  const beyond = all.filter((card) => {
    const { top } = card.getBoundingClientRect();
    return down ? top > here.top + 1 : top < here.top - 1;
  });
  const away = (/** @type {CameraCard} */ card) => {
    const { top, left } = card.getBoundingClientRect();
    return Math.abs(top - here.top) * 1000 + Math.abs(left - here.left);
  };
  return beyond.sort((a, b) => away(a) - away(b))[0];
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const alone = document.body.dataset.alone;
  if (event.key === "Escape" && alone !== undefined) {
    event.preventDefault();
    location.hash = "";
  } else if (event.key === "f" && alone !== undefined) {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void document.documentElement.requestFullscreen?.();
  } else if (/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) {
    const active = cards.get(alone ?? "") ?? document.activeElement?.closest("camera-card");
    if (!(active instanceof CameraCard) || (alone !== undefined && !/Left|Right/.test(event.key))) return;
    const next = neighbour(active, event.key);
    if (!next) return;
    event.preventDefault();
    if (alone === undefined) next.focus();
    else location.replace(`#${encodeURIComponent(next.name)}`);
  }
}

/** @param {string} id @returns {HTMLElement} */
function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

function onVisibility() {
  if (document.hidden) poll.stop();
  else poll.start();
  share();
}

grid.addEventListener("open", (event) => {
  const { name } = /** @type {CameraCard} */ (event.target);
  if (document.body.dataset.alone === undefined) location.hash = encodeURIComponent(name);
});
grid.addEventListener("focusin", share);
grid.addEventListener("pointerover", share);
byId("back").addEventListener("click", () => (location.hash = ""));
addEventListener("hashchange", showAlone);
addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", onVisibility);
onVisibility();
