// One camera in the page: its picture, what state it is in and why, and its figures.

import * as format from "./format.js";

/** @typedef {import("./cameras.js").Camera} Camera */
/** @typedef {import("./stream-reader.js").Reader} Reader */

/** A camera that is well but brings no picture for this long has a connection that died without a word. */
const STALLED_AFTER_MS = 5000;

/**
 * A state in words.
 * @typedef {object} Shown
 * @property {"good" | "busy" | "bad" | "quiet"} tone
 * @property {string} label
 * @property {string | null} detail
 */

/** The figures, in the order they stand in. */
const FIGURES = /** @type {const} */ ({
  latency: "Latency",
  size: "Size",
  rate: "Rate",
  bits: "Data",
  viewers: "Viewers",
});

const TEMPLATE = document.createElement("template");
TEMPLATE.innerHTML = `
  <div class="picture">
    <p class="empty"></p>
    <button class="open" type="button" tabindex="-1"></button>
  </div>
  <div class="text">
    <div class="title"><h2></h2><span class="state"><i></i><span></span></span></div>
    <p class="detail" hidden></p>
    <dl>${Object.entries(FIGURES).map(([key, label]) => `<div data-figure="${key}"><dt>${label}</dt><dd>${format.UNKNOWN}</dd></div>`).join("")}</dl>
  </div>`;

/** Fires `open` when the camera is to be shown alone. */
export class CameraCard extends HTMLElement {
  /** On the screen, in part at least. Set by the page. */
  visible = false;
  /** @type {Camera | null} */
  #camera = null;
  /** @type {Reader | null} */
  #reader = null;
  /** A picture has been drawn, which stays when the stream ends. */
  #drawn = false;

  connectedCallback() {
    if (this.firstChild) return;
    this.append(TEMPLATE.content.cloneNode(true));
    this.tabIndex = 0;
    this.setAttribute("role", "group");
    this.setAttribute("aria-keyshortcuts", "Enter");
    const open = () => this.dispatchEvent(new CustomEvent("open", { bubbles: true }));
    this.#find(".picture").addEventListener("click", open);
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== this) return;
      event.preventDefault();
      open();
    });
  }

  get name() {
    return this.dataset.name ?? "";
  }

  /** The camera has a stream now. */
  get live() {
    const state = this.#reader?.status.state;
    return state !== undefined && state !== "off" && state !== "snapshots";
  }

  /** Whether there is anything to ask the server for. */
  get watchable() {
    return this.#camera !== null && this.#camera.state !== "disabled";
  }

  /** Replaces what brings the picture. @param {Reader | null} reader */
  useReader(reader) {
    this.#reader?.close();
    this.#reader = reader;
    this.#drawn = false;
    if (reader) this.#find(".picture").prepend(reader.element);
    this.render();
  }

  /** @param {Camera} camera */
  update(camera) {
    this.#camera = camera;
    const { figures, status } = this.#reader ?? {};
    const silentMs = Date.now() - (figures?.shownAt ?? Number.NaN);
    const due = camera.state === "ready" && camera.fps > 0.5 && (camera.picture_age_seconds ?? 99) < 2;
    if (status?.state === "live" && due && silentMs > STALLED_AFTER_MS) this.#reader?.live(this.#address("stream"));
    this.render();
  }

  showLive() {
    if (!this.live) this.#reader?.live(this.#address("stream"));
  }

  async showSnapshot() {
    await this.#reader?.snapshot(this.#address("snapshot"));
  }

  stop() {
    if (this.#reader && this.#reader.status.state !== "off") this.#reader.stop();
    this.render();
  }

  render() {
    const camera = this.#camera;
    if (!camera) return;
    const shown = this.#shown(camera);
    const figures = this.#figures(camera);
    this.dataset.tone = shown.tone;
    setText(this.#find("h2"), camera.name);
    setText(this.#find(".state span"), shown.label);
    const detail = this.#find(".detail");
    setText(detail, shown.detail ?? "");
    detail.hidden = !shown.detail;
    setText(this.#find(".empty"), this.#emptiness(camera));
    for (const [key, value] of Object.entries(figures)) setText(this.#find(`[data-figure="${key}"] dd`), value);
    this.#find(".open").setAttribute("aria-label", `Show ${camera.name} alone`);
    this.setAttribute("aria-label", [camera.name, shown.label, shown.detail].filter(Boolean).join(", "));
    this.#describePicture(camera.name);
  }

  /** What stands in a picture's place. @param {Camera} camera */
  #emptiness(camera) {
    return camera.state === "disabled" ? "Switched off in the configuration" : "Waiting for a picture";
  }

  /** @param {string} name */
  #describePicture(name) {
    const reader = this.#reader;
    if (!reader) return;
    this.#drawn ||= reader.status.state === "live" || reader.figures.perSecond !== null;
    this.#find(".empty").hidden = this.#drawn;
    reader.element.setAttribute("role", "img");
    reader.element.setAttribute("aria-label", `Picture of ${name}`);
  }

  /** The camera's own state first, then how its picture gets here. @param {Camera} camera @returns {Shown} */
  #shown(camera) {
    const status = this.#reader?.status;
    switch (camera.state) {
      case "disabled":
        return { tone: "quiet", label: "Off", detail: null };
      case "lost": {
        const wait = camera.retry_in_seconds;
        const next = wait === null ? "" : wait < 1 ? " Trying again now." : ` Next try in ${Math.ceil(wait)} s.`;
        return { tone: "bad", label: "Lost", detail: `${sentence(camera.cause ?? "No picture comes from it")}${next}` };
      }
      case "waiting":
        return { tone: "quiet", label: "Waiting", detail: camera.cause ? sentence(camera.cause) : null };
      case "starting":
        return { tone: "busy", label: "Starting", detail: camera.cause ? `Before: ${sentence(camera.cause)}` : null };
      default:
    }
    if (status?.state === "waiting") {
      const seconds = Math.max(1, Math.ceil(((status.retryAt ?? 0) - Date.now()) / 1000));
      return { tone: "busy", label: "Reconnecting", detail: `${sentence(status.cause ?? "The stream broke off")} Next try in ${seconds} s.` };
    }
    if (status?.state === "connecting") return { tone: "busy", label: "Connecting", detail: null };
    if (status?.state === "snapshots") {
      return { tone: "quiet", label: "Snapshots", detail: status.cause ? sentence(status.cause) : null };
    }
    if (camera.state === "idle") return { tone: "quiet", label: "Idle", detail: null };
    const detail = camera.note ? sentence(camera.note) : null;
    return this.live ? { tone: "good", label: "Live", detail } : { tone: "quiet", label: "Ready", detail };
  }

  /** @param {Camera} camera @returns {Record<keyof typeof FIGURES, string>} */
  #figures(camera) {
    const running = camera.state === "ready";
    return {
      latency: format.latency(running && this.live ? this.#reader?.figures.latencyMs : null),
      size: format.size(camera.width, camera.height),
      rate: format.rate(running ? camera.fps : null),
      bits: format.bitRate(running ? camera.bits_per_second : null),
      viewers: String(camera.viewers),
    };
  }

  /** @param {"stream" | "snapshot"} what */
  #address(what) {
    return new URL(`cameras/${encodeURIComponent(this.name)}/${what}`, document.baseURI).href;
  }

  /** @param {string} selector @returns {HTMLElement} */
  #find(selector) {
    return /** @type {HTMLElement} */ (this.querySelector(selector));
  }
}

/** Writes only what changed: a second's worth of equal texts would keep a screen reader busy. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} text */
function sentence(text) {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

customElements.define("camera-card", CameraCard);
