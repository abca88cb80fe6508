// folder.mjs - a folder as a web server gives it out, with the headers that a test asks for.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript",
  ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json", ".svg": "image/svg+xml" };
export const ISOLATED = { "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp", "cross-origin-resource-policy": "cross-origin" };
export const CORS = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };

/** answer(path, response) -> true when it has answered by itself. Returns {url, requests, close}. */
export function serveFolder(folder, { headers = {}, answer } = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    requests.push(path);
    if (answer?.(path, response)) return;
    const safe = normalize(path).replace(/^(\.\.[/\\])+/, "");
    const file = join(folder, safe.replace(/\/$/, "/index.html"));
    try {
      const bytes = await readFile(file), type = TYPES[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, ...headers }).end(bytes);
    } catch { response.writeHead(404, { "content-type": "text/plain", ...headers }).end("not found"); }
  });
  return new Promise(resolve => server.listen(0, "127.0.0.1", () => resolve({
    url: `http://127.0.0.1:${server.address().port}`, requests,
    close: () => {
      server.closeAllConnections();
      return new Promise(done => server.close(done));
    },
  })));
}
