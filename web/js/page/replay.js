// replay.js - a recording on the page: what it holds comes into the panels and the chat as it did, by a
// player that stops, goes on and seeks. Two formats: docs/recording.md, or telemetry lines (a JSON array or
// JSON lines). A model that is loaded stays: what it had said comes back when the recording is closed.
import { isRecording, readRecording } from "./recording.js";
import { OF_TOKENS, select } from "./moment.js";
import { Player } from "./player.js";
import { ReplayChat } from "./replay_chat.js";
import { apply, freshState } from "./telemetry.js";

function readLines(bytes, name) {
  const text = new TextDecoder().decode(bytes).trim();
  if (text.startsWith("[")) return JSON.parse(text);
  return text.split("\n").map((line, i) => {
    try { return JSON.parse(line); } catch {
      throw new Error(`recording ${name}: line ${i + 1} is not JSON`);
    }
  });
}

async function bytesOf(source) {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const response = await fetch(source);
  if (!response.ok) throw new Error(`recording ${source}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** An item that is a token of an answer. */
export const isToken = item => item.token || item.event?.type === "token_generated";

/** What is played: {player, name, link: its address or "", own: it is the page's own chat}. */
class Replay {
  #shared;
  #page;
  #before;                           // the page's state and conversation, which come back
  #talk;
  #chat;
  #logged = 0;                       // items whose lines the log has
  #model;

  constructor(shared, page, { name, link, items, whole, model, own }) {
    Object.assign(this, { name, link, whole, own, count: items.length });
    this.#shared = shared;
    this.#page = page;
    this.#model = model;
    this.#before = shared.state;
    this.#talk = shared.chats[0].talk;
    this.#chat = new ReplayChat(shared.chats[0], own);
    this.player = new Player(items, { take: (...args) => this.#take(...args), restart: () => this.#anew(),
      landed: () => this.#landed(), changed: () => this.#changed() });
    this.#anew();
  }

  #anew() {
    const shared = this.#shared, { log, logCount, errors } = shared.state;
    const stream = streams += STREAMS, model = this.#model ?? {};
    shared.state = { ...freshState(), log, logCount, errors, model, stream };
    delete document.body.dataset.replay;
    this.#chat.restart();
  }

  /** A line that the log has is not put there once more. */
  #take(item, index, jumping) {
    const { state } = this.#shared, { logCount } = state;
    if (item.type === "talk") this.#chat.take(item, jumping);
    else apply(state, item);
    if (index >= this.#logged) this.#logged = index + 1;
    else if (state.logCount > logCount) {
      state.log.pop();
      state.logCount = logCount;
    }
  }

  #landed() {
    const { state } = this.#shared;
    state.moment = null;
    for (const name of [...OF_TOKENS, "kv"]) state.dirty.add(name);
    this.#chat.draw();
  }

  #changed() {
    const { player } = this, shared = this.#shared;
    if (!player.playing && /^(prefill|decode)$/.test(shared.state.stage)) shared.state.stage = "paused";
    shared.state.dirty.add("stats");
    if (player.over && document.body.dataset.replay !== "ended") {
      this.#page.messages.note("replay ended");
      document.body.dataset.replay = "ended";
    }
    this.#page.bar.show(this);
    shared.news();
  }

  /** The panels are as they were before; with `back` the chat, too. */
  close(back) {
    const shared = this.#shared, { messages, bar, backend } = this.#page;
    this.player.pause();
    bar.show(null);
    const { log, logCount, errors } = shared.state, { dirty } = freshState();
    shared.state = { ...this.#before, log, logCount, errors, dirty, stream: streams += STREAMS };
    delete document.body.dataset.replay;
    messages.banner();
    backend.server();
    this.#chat.close();
    if (back && !this.own) shared.chats[0].show(this.#talk);
    shared.news();
  }
}
/** Each state that comes has other streams of tokens: what is drawn of the one before goes. */
const STREAMS = 1e4;
let streams = STREAMS;

/** What is shown is the recording from now on, whoever answers. */
function open(shared, page, recording) {
  shared.endReplay();
  shared.hear();
  const replay = new Replay(shared, page, recording);
  shared.replay = replay;
  document.body.classList.remove("on-gpu");
  return replay;
}

/** "Replaying NAME · N events · no model is loaded" */
function sayOpened({ model, server }, messages, { name, count, whole }) {
  const who = model || server ? "CLOSE goes back to your chat" : "no model is loaded";
  const cut = whole ? "" : " · it was cut; this is up to its last whole block";
  messages.banner(`Replaying ${name} · ${count} events · ${who}${cut}`);
}

/** Plays a recording: an address's, a file's, or {bytes, name, own: it is what the chat shows}. at: the token
 * that is shown first, with all the others there. page: {messages, bar, backend} */
export async function replay(source, shared, page, { at, speed = 1 } = {}) {
  const file = source instanceof Blob, from = file || typeof source === "string";
  const given = from ? { bytes: await bytesOf(source), name: file ? source.name : source, own: false }
    : source;
  const { items, whole, model } = isRecording(given.bytes) ? await readRecording(given.bytes)
    : { items: readLines(given.bytes, given.name), whole: true, model: null };
  const link = typeof source === "string" ? source : "";
  const shown = open(shared, page, { ...given, link, items, whole, model });
  sayOpened(shared, page.messages, shown);
  const { speed: asked } = shared.params, wanted = +(asked ?? speed);
  if (wanted > 0) shown.player.pace(wanted);
  if (!(wanted > 0) || at !== undefined) {
    shown.player.jump(Infinity);
    if (at !== undefined) select(shared, +at);
  } else shown.player.play();
  return shown;
}
