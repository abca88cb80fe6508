// service-worker.js - the page without a network. What the page loads of this origin (documents, scripts,
// styles, modules; no models, no answers) is taken from the network and kept; where the network fails, what
// was kept is given out. At a first visit the page says {keep: its path}, and everything that it may load is
// fetched once, found by the links in the files themselves. It is served without COEP, so that it can say to
// {reaches: url} whether a host is there that does not let the page read.
const CACHE = "gossamer-page";
const KEPT = new Set(["document", "script", "style", "worker", "image", "manifest", "font"]);
const LINKS = [/(?:href|src)="([^"#]+)"/g, /(?:from|import)\s+"(\.[^"]+)"/g, /import\("(\.[^"]+)"\)/g,
  /new URL\("([^"]+)", import\.meta\.url\)/g];

const bare = url => Object.assign(new URL(url), { search: "", hash: "" }).href;
const isOurs = url => url.startsWith(`${location.origin}/`);

/** The addresses in a file that are files of this origin. */
function linksOf(text, base) {
  const found = LINKS.flatMap(pattern => [...text.matchAll(pattern)].map(m => m[1]));
  return found.filter(at => URL.canParse(at, base)).map(at => bare(new URL(at, base))).filter(isOurs);
}

/** Keeps a page and all that it links to, if it isn't kept yet. */
async function keep(path) {
  const cache = await caches.open(CACHE), first = new URL(path, location.origin).href;
  if (await cache.match(first)) return;
  const all = new Set([first]);
  for (const url of all) {
    const response = await fetch(url, { cache: "no-cache" });
    if (!response.ok) continue;
    const links = /html|javascript/.test(response.headers.get("content-type"));
    if (links) for (const link of linksOf(await response.clone().text(), url)) all.add(link);
    if (url !== first) await cache.put(url, response);
  }
  await cache.add(first);            // last: it says that the others are there
}

async function fresh(request) {
  const cache = await caches.open(CACHE), url = bare(request.url);
  try {
    const response = await fetch(request);
    if (response.ok && await cache.match(url)) cache.put(url, response.clone()).catch(() => {});
    return response;
  } catch (e) {
    const kept = await cache.match(url);
    if (kept) return kept;
    throw e;
  }
}

const blind = { mode: "no-cors", method: "HEAD", cache: "no-store" };
const reaches = url => fetch(url, blind).then(() => true, () => false);

addEventListener("install", () => skipWaiting());
addEventListener("activate", e => e.waitUntil(clients.claim()));
addEventListener("message", e => {
  if (e.data.keep) e.waitUntil(keep(e.data.keep).catch(() => { /* again at the next visit */ }));
  if (e.data.reaches) e.waitUntil(reaches(e.data.reaches).then(there => e.ports[0].postMessage(there)));
});
addEventListener("fetch", e => {
  const { method, url, destination, headers } = e.request;
  const file = KEPT.has(destination) || /(\.(wasm|jsonl)|\/data\/[\w-]+\.grec)$/.test(new URL(url).pathname);
  if (method === "GET" && isOurs(url) && file && !headers.has("range")) e.respondWith(fresh(e.request));
});
