// playbar.js - the recording's bar: play, pause, seek, speed, a link, close; and its keys. Hidden while none
// is open.
import { $, announce, copyText, setText } from "./dom.js";
import { SPEEDS } from "./player.js";
import { isToken } from "./replay.js";

const EDITED = "input:not([type=range]), textarea, select", AS_IT_WAS = "was";
const nameOf = speed => ({ 0.25: "¼×", 0.5: "½×" })[speed] ?? `${speed}×`;
const clock = ms => `${(ms / 1000).toFixed(1)} s`;

export class Playbar {
  #shared;
  #replay = null;

  constructor(shared) {
    this.#shared = shared;
    const option = (value, name) => new Option(name, value);
    $("speed").append(...SPEEDS.map(s => option(String(s), nameOf(s))), option(AS_IT_WAS, "as it was"));
    $("play").addEventListener("click", () => this.#player?.toggle());
    $("seek").addEventListener("input", () => this.#player?.seek(+$("seek").value));
    $("seek").addEventListener("keydown", e => this.#stepKey(e));
    $("speed").addEventListener("change", e => this.#pace(e.target.value));
    $("replay-link").addEventListener("click", () => this.#link());
    $("replay-close").addEventListener("click", () => shared.endReplay(true));
    addEventListener("keydown", e => this.#key(e));
  }

  get #player() { return this.#replay?.player; }

  #pace(value) {
    const was = value === AS_IT_WAS;
    this.#player?.pace(was ? 1 : +value, was);
  }

  /** The slider's arrows go by tokens. */
  #stepKey(e) {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[e.key];
    if (!by) return;
    e.preventDefault();
    this.#step(by);
  }

  #step(by) {
    this.#player.pause();
    this.#player.step(by, isToken);
  }

  /** K plays and pauses, "," and "." go a token, "<" and ">" change the speed, wherever one does not type. */
  #key(e) {
    const typed = e.target instanceof Element && e.target.matches(EDITED);
    if (!this.#replay || typed || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "k" || e.key === "K") this.#player.toggle();
    else if (e.key === "," || e.key === ".") this.#step(e.key === "," ? -1 : 1);
    else if (e.key === "<" || e.key === ">") this.#faster(e.key === "<" ? -1 : 1);
    else return;
    e.preventDefault();
  }

  #faster(by) {
    const { speed } = this.#player, at = SPEEDS.findIndex(s => s >= speed);
    this.#player.pace(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at + by))]);
  }

  /** An address that opens the recording here, at the moment that is picked. */
  get address() {
    const { moment } = this.#shared.state, url = new URL(location.pathname, location.href);
    url.searchParams.set("data", this.#replay.link);
    if (moment !== null) url.searchParams.set("at", String(moment));
    return url.href;
  }

  #link() {
    copyText(this.address);
    announce("The link is copied");
    setText($("replay-link"), "COPIED");
  }

  /** replay: what is open; null: nothing any more. */
  show(replay) {
    this.#replay = replay;
    $("p-player").hidden = !replay;
    if (!replay) return;
    const { player } = replay, at = `${clock(player.ms)} of ${clock(player.length)}`;
    setText($("play"), player.playing ? "PAUSE" : "PLAY");
    $("seek").max = String(Math.ceil(player.length));
    $("seek").step = "any";
    $("seek").value = String(player.ms);
    $("seek").setAttribute("aria-valuetext", at);
    setText($("play-at"), at);
    $("speed").value = player.asItWas ? AS_IT_WAS : String(player.speed);
    $("replay-link").hidden = !replay.link;
    setText($("replay-link"), "LINK");
  }
}
