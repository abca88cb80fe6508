// range.js - one byte range of a URL, with words for everything that can go wrong, and patience for connections that die.

export class HostError extends Error {}

const NO_RANGE = "Host does not support Range/CORS. Use `gossamer serve` or a compatible host.";
const TRIES = 6, PART = 1 << 20;

/** fetch() fails alike for CORS and for a dead network; a request without CORS tells them apart. */
async function whyUnreachable(url, error) {
  const there = await fetch(url, { mode: "no-cors", method: "HEAD", cache: "no-store" }).then(() => true, () => false);
  const other = globalThis.location && new URL(url).origin !== globalThis.location.origin;
  if (there && other) return new HostError(`${NO_RANGE}\nCORS: ${new URL(url).host} is there, but does not let this page read its files.`);
  const e = new Error(`Network: ${new URL(url).host} can't be reached (${error.message}). Check the address and the connection; loading resumes where it stopped.`);
  e.retry = true;
  return e;
}

function check(response, url, from) {
  const s = response.status;
  if (s === 206) return;
  if (s === 404 || s === 410) throw new HostError(`404: there is no file at ${url}. Check the address.`);
  if (s === 401 || s === 403) throw new HostError(`${s}: ${new URL(url).host} does not let this page have ${url}. Download the file and pick it with FILE…`);
  if (s === 416) throw new HostError(`416: the host has no bytes from ${from} on; the file there is shorter than expected. Load it again.`);
  if (s === 200) throw new HostError(`${NO_RANGE}\nIt answered 200 with the whole file where a part was asked for.`);
  const e = new Error(`${s}: the host answered ${response.statusText || "with an error"} for ${url}`);
  e.retry = s >= 500 || s === 429;
  throw e.retry ? e : new HostError(e.message);
}

function total(response) {
  const m = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  if (!m) throw new HostError(`${NO_RANGE}\nIts answer has no readable Content-Range header.`);
  return +m[3];
}

const etagOf = response => response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
const sleep = (ms, signal) => new Promise((resolve, reject) => {
  const t = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(t); reject(signal.reason); }, { once: true });
});

/** Calls that bring the next part of a body of n bytes each. Into a buffer of ours a browser writes one and a half to twice as fast as into
 * those that it makes itself; a cut connection takes the buffer along, so it is not where the bytes end up. */
function reading(body, n) {
  let reader, part = new ArrayBuffer(Math.min(PART, n));
  try { reader = body.getReader({ mode: "byob" }); } catch { reader = body.getReader(); return () => reader.read(); }
  return async () => {
    const r = await reader.read(new Uint8Array(part));
    if (r.value) part = r.value.buffer;
    return r;
  };
}

/** One attempt: fills `into` from `have` on; returns how far it came. */
async function attempt(url, offset, into, have, hooks) {
  let response;
  const headers = { Range: `bytes=${offset + have}-${offset + into.length - 1}` };
  try { response = await fetch(url, { headers, signal: hooks.signal, cache: "no-store" }); } catch (e) {
    if (hooks.signal?.aborted) throw e;
    throw await whyUnreachable(url, e);
  }
  try { check(response, url, offset + have); } catch (e) { response.body?.cancel().catch(() => {}); throw e; }
  hooks.identity?.({ size: total(response), etag: etagOf(response) });
  const read = reading(response.body, into.length - have);
  for (;;) {
    const { value, done } = await read();
    if (done) return have;
    const n = Math.min(value.length, into.length - have);
    into.set(n < value.length ? value.subarray(0, n) : value, have);
    have += n;
    hooks.progress?.(n);
  }
}

/** Fills `into`, or its front at the end of the file, whose size hooks.identity gets; returns what was filled. A cut connection is asked again
 * for the rest. hooks: {signal, identity({size, etag}), progress(n), retry(message)} */
export async function readRange(url, offset, into, hooks = {}) {
  let have = 0, size = Infinity;
  const inner = { ...hooks, identity(id) { size = id.size; if (offset + into.length > size) into = into.subarray(0, Math.max(0, size - offset));
    hooks.identity?.(id); } };
  const progress = k => { have += k; hooks.progress?.(k); };
  for (let tries = 0; ;) {
    const before = have;
    try {
      await attempt(url, offset, into, have, { ...inner, progress });
      if (have >= into.length || offset + have >= size) return into.subarray(0, have);
      throw Object.assign(new Error("the connection was cut"), { retry: true });
    } catch (e) {
      if (hooks.signal?.aborted || e instanceof HostError || e.fatal) throw e;
      tries = have > before ? 1 : tries + 1;
      if (tries >= TRIES) throw e.retry ? e : await whyUnreachable(url, e);
      hooks.retry?.(`${e.message}; trying again from byte ${offset + have} (${tries}/${TRIES - 1})`);
      await sleep(Math.min(8000, 200 * 2 ** tries), hooks.signal);
    }
  }
}
