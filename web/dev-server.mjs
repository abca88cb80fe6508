// dev-server.mjs - serves the page and models/ for development and tests: COOP/COEP, Range with CORS, no
// dependencies. node web/dev-server.mjs [--port N] [--models DIR] [--no-isolation]. It can also misbehave,
// for tests: start({fault}).
import { createServer } from "node:http";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/** Python for the page: what npm install has put there. */
const PYODIDE = join(HERE, "../node_modules/pyodide");
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript",
  ".mjs": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json", ".jsonl": "application/x-ndjson",
  ".gguf": "application/octet-stream" };
const CORS = { "access-control-allow-origin": "*", "access-control-allow-headers": "Range",
  "access-control-allow-methods": "GET, HEAD, OPTIONS",
  "access-control-expose-headers": "Content-Range, Content-Length, Accept-Ranges, ETag",
  "cross-origin-resource-policy": "cross-origin" };
const ISOLATION = { "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp" };

function range(header, size) {
  const m = /^bytes=(\d+)-(\d*)$/.exec(header ?? "");
  if (!m) return null;
  const from = +m[1], to = m[2] === "" ? size - 1 : Math.min(+m[2], size - 1);
  return { from, to, bad: from >= size || to < from };
}

async function sendFile(request, response, path, headers) {
  let info;
  try { info = await stat(path); } catch { info = null; }
  if (!info?.isFile()) {
    response.writeHead(404, { ...headers, "content-type": "text/plain" }).end("not found");
    return 0;
  }
  const etag = `"${info.size.toString(16)}-${Math.floor(info.mtimeMs).toString(16)}"`;
  const r = range(request.headers.range, info.size);
  const all = { ...headers, "content-type": TYPES[extname(path)] ?? "application/octet-stream", etag,
    "accept-ranges": "bytes", "cache-control": "no-cache" };
  if (r?.bad) {
    response.writeHead(416, { ...all, "content-range": `bytes */${info.size}` }).end();
    return 0;
  }
  if (!r && request.headers["if-none-match"] === etag) {
    response.writeHead(304, all).end();
    return 0;
  }
  const from = r?.from ?? 0, to = r?.to ?? info.size - 1;
  response.writeHead(r ? 206 : 200, { ...all, "content-length": to - from + 1,
    ...(r ? { "content-range": `bytes ${from}-${to}/${info.size}` } : {}) });
  if (request.method === "HEAD") {
    response.end();
    return 0;
  }
  createReadStream(path, { start: from, end: to }).on("error", () => response.destroy()).pipe(response);
  return to - from + 1;
}

/** fault(request, response) -> true when it has answered by itself. Returns {url, port, stats: {bytes,
 * requests}, close}. */
export function start({ port = 0, models = join(HERE, "../models"), isolated = true, fault, log } = {}) {
  const stats = { bytes: 0, requests: [] };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    const isModel = path.startsWith("/models/");
    const headers = { ...(isolated ? ISOLATION : {}),
      "cross-origin-resource-policy": "cross-origin", ...(isModel ? CORS : {}) };
    log?.(`${request.method} ${request.url} ${request.headers.range ?? ""}`);
    if (isModel) stats.requests.push({ method: request.method, path, range: request.headers.range });
    if (await fault?.(request, response, { path, headers })) return;
    if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
    if (request.method !== "GET" && request.method !== "HEAD") return response.writeHead(405, headers).end();
    const safe = normalize(path).replace(/^(\.\.[/\\])+/, "").replace(/^\/gptoss\//, "/");
    const page = safe === "/" || safe === "/gptoss";
    if (safe === "/service-worker.js") delete headers["cross-origin-embedder-policy"];
    if (page) headers["server-timing"] = "gossamer";
    const own = safe === "/check" ? "check.html" : page ? "index.html" : safe;
    const file = isModel ? join(models, safe.slice("/models/".length))
      : safe.startsWith("/pyodide/") ? join(PYODIDE, safe.slice("/pyodide/".length)) : join(HERE, own);
    const n = await sendFile(request, response, file, headers);
    if (isModel) stats.bytes += n;
  });
  return new Promise(resolve => server.listen(port, "127.0.0.1", () => {
    const at = server.address().port;
    resolve({ url: `http://127.0.0.1:${at}`, port: at, stats, close: () => {
      server.closeAllConnections();
      return new Promise(r => server.close(r));
    } });
  }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const value = name => {
    const i = process.argv.indexOf(name);
    return i > 0 ? process.argv[i + 1] : undefined;
  };
  const s = await start({ port: +(value("--port") ?? 8080), models: value("--models"),
    isolated: !process.argv.includes("--no-isolation") });
  console.log(`${s.url}/gptoss`);
}
