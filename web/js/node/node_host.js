// node_host.js - what Node has instead of a browser's (core/host.js): imported first by every entry of
// Node's.
import { readFile, open } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parentPort, Worker } from "node:worker_threads";
import { host } from "../core/host.js";
import { NodeFiles } from "./node_files.js";

const HERE = import.meta.url;
const ended = e => Object.assign(e, { ended: true });

/** The workers of Node's are those of a browser behind node_host.js: node_worker.js, node_io.js,
 * node_thread.js. */
function nodeWorker({ name, file }) {
  const worker = new Worker(new URL(`node_${file}`, HERE), { name });
  let stopped = false;
  worker.unref();
  return {
    listen(onMessage, onFailure) {
      worker.on("message", onMessage);
      worker.on("error", e => onFailure(ended(e)));
      worker.on("exit", code => {
        if (!stopped) onFailure(ended(new Error(`the worker ${name} ended with code ${code}`)));
      });
    },
    post: (message, transfer) => worker.postMessage(message, transfer),
    hold: on => { if (on) worker.ref(); else worker.unref(); },
    stop: () => {
      stopped = true;
      return worker.terminate();
    },
  };
}

class PathSource {
  static async open(path) {
    const s = new PathSource();
    s.handle = await open(path).catch(e => { throw new Error(`${path}: ${e.message}`); });
    Object.assign(s, { name: String(path), size: (await s.handle.stat()).size, kept: 0 });
    return s;
  }
  async read(offset, out) {
    for (let have = 0; have < out.length;) {
      const { bytesRead } = await this.handle.read(out, have, out.length - have, offset + have);
      if (!bytesRead) throw new Error(`${this.name} ended early`);
      have += bytesRead;
    }
    return out;
  }
  close() { return this.handle.close(); }
}

/** Node's package is Dawn: as in src/gpu/device/gpu_native.c, whose words say why. */
const TOGGLES = ["enable-dawn-features=vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,"
  + "disable_robustness,disable_workgroup_init,disable_polyfills_on_integer_div_and_mod,allow_unsafe_apis",
  "disable-dawn-features=timestamp_quantization"];

/** That of the optional package `webgpu`; null where it is not installed: the CPU does the work. */
async function gpu() {
  try {
    const { create, globals } = await import("webgpu");
    for (const [name, value] of Object.entries(globals)) globalThis[name] ??= value;
    return create(TOGGLES);
  } catch { return null; }
}

function gpuLibrary() {
  try { return `webgpu ${createRequire(HERE)("webgpu/package.json").version}`; } catch { return "webgpu"; }
}

async function fetchModule(url) {
  if (url.protocol !== "file:") return fetch(url);
  const headers = { "content-type": "application/wasm" };
  return readFile(url).then(bytes => new Response(bytes, { headers }),
    () => new Response(null, { status: 404 }));
}

Object.assign(host, {
  node: true,
  shares: () => true,
  cores: availableParallelism,
  turns: fn => () => setImmediate(fn),
  worker: nodeWorker,
  parent: async () => ({
    listen: fn => parentPort.on("message", fn),
    post: (message, transfer) => parentPort.postMessage(message, transfer),
  }),
  fetchModule,
  gpu,
  gpuLibrary,
  openDrive: (want, folder) => NodeFiles.open(folder).catch(() => null),
  openPath: path => PathSource.open(path.startsWith("file:") ? fileURLToPath(path) : path),
  address: text => text,
  hub: () => process.env.HF_ENDPOINT || "https://huggingface.co",
});
