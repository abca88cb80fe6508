// host.js - what differs between browsers and Node, in one object. What stands here is a browser's;
// js/node/node_host.js puts Node's in its place before anything else runs, so that no bundler for browsers
// ever sees a module of Node's.
import { openDrive } from "./bytes/drives.js";
import { browserParent, browserWorker } from "./spawn.js";

/** Calls fn at the next turn, which lets messages in between; a message of its own, for browsers hold timers
 * back.
 * @param {() => void} fn */
function turns(fn) {
  const channel = new MessageChannel();
  channel.port1.onmessage = fn;
  return () => channel.port2.postMessage(0);
}

export const host = {
  node: false,
  /** May threads share memory? */
  shares: () => globalThis.crossOriginIsolated === true,
  cores: () => navigator.hardwareConcurrency ?? 4,
  turns,
  /** What `new Worker` in `make` says, as {listen(message, failure), post, hold, stop}. */
  worker: browserWorker,
  /** The worker's own side of it: {listen(fn), post(message, transfer)}. */
  parent: browserParent,
  /** A module's bytes, as a Response. */
  fetchModule: url => fetch(url),
  /** navigator.gpu, or null. */
  gpu: async () => globalThis.navigator?.gpu ?? null,
  /** Whose WebGPU that is, with its version. */
  gpuLibrary: () => /\w+\/[\d.]+(?= Safari|$)/.exec(navigator.userAgent)?.[0] ?? navigator.userAgent,
  openDrive,
  /** A source of a file of this machine; browsers have none. */
  openPath: null,
  /** An address that is relative is relative to the page. */
  address: text => new URL(text, globalThis.location.href).href,
  /** Where hf: looks. */
  hub: () => "https://huggingface.co",
};
