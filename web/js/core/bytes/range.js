// range.js - one byte range of a URL, with words for everything that can go wrong, and patience for
// connections that die.

class HostError extends Error {}

const NO_RANGE = "Host does not support Range/CORS. Use `gossamer serve` or a compatible host.";
const TRIES = 6, PART = 1 << 20;
/** An attempt that brought less than this counts as one that failed. */
const LEAST = 64 << 10;
/** A host that sends nothing for so long is asked anew. */
const STALL_MS = 30000;
/** So long a body may take to end once all that was asked for is here. */
const LEAVE_MS = 1000;

const retriable = (message, more) => Object.assign(new Error(message), { retry: true }, more);

/** fetch() fails alike for CORS and for a dead network; a request without CORS tells them apart, but not in a
 * page that is cross-origin isolated: such an answer is kept from it too. */
async function whyUnreachable(url, error) {
  const blind = fetch(url, { mode: "no-cors", method: "HEAD", cache: "no-store" });
  const there = await blind.then(() => true, () => false), { host } = new URL(url);
  const other = globalThis.location && new URL(url).origin !== globalThis.origin;
  if (there && other) return new HostError(corsSays(host));
  if (other && globalThis.crossOriginIsolated && globalThis.navigator?.onLine !== false) {
    return retriable(`${host} can't be read: it can't be reached, or it does not let this page read its `
      + `files (CORS); a page that is cross-origin isolated is not told which (${error.message}).`,
    { code: "ECONNECT_OR_CORS" });
  }
  return retriable(`Network: ${host} can't be reached (${error.message}). `
    + "Check the address and the connection; loading resumes where it stopped.", { code: "ECONNECT" });
}

/** What is said of a host that is there, and that the page may not read. */
export const corsSays = host =>
  `${NO_RANGE}\nCORS: ${host} is there, but does not let this page read its files.`;

function checkStatus(response, url, from) {
  const s = response.status;
  if (s === 206) return;
  if (s === 404 || s === 410) throw new HostError(`404: there is no file at ${url}. Check the address.`);
  if (s === 401 || s === 403) {
    throw new HostError(`${s}: ${new URL(url).host} does not let this page have ${url}. `
      + "Download the file and pick it with FILE…");
  }
  if (s === 416) {
    throw new HostError(`416: the host has no bytes from ${from} on; `
      + "the file there is shorter than expected. Load it again.");
  }
  if (s === 200) {
    throw new HostError(`${NO_RANGE}\nIt answered 200 with the whole file where a part was asked for.`);
  }
  const message = `${s}: the host answered ${response.statusText || "with an error"} for ${url}`;
  throw s >= 500 || s === 429 ? retriable(message) : new HostError(message);
}

/** The file's size as a 206 tells it; it must begin where it was asked to, be plain, and make sense. */
function total(response, from) {
  const m = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  if (!m) throw new HostError(`${NO_RANGE}\nIts answer has no readable Content-Range header.`);
  const [first, last, size] = m.slice(1).map(Number);
  if (first !== from) {
    throw new HostError(`${NO_RANGE}\nIt answered with bytes from ${first} on where those from ${from} `
      + "on were asked for.");
  }
  if (last < first || size <= last || !Number.isSafeInteger(size)) {
    throw new HostError(`${NO_RANGE}\nIts Content-Range "${m[0]}" makes no sense.`);
  }
  const coding = response.headers.get("content-encoding") ?? "identity";
  if (coding !== "identity") {
    throw new HostError(`${NO_RANGE}\nIt sent a part of the file as ${coding}: only plain bytes do.`);
  }
  return size;
}

const etagOf = response => response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
const sleep = (ms, signal) => new Promise((resolve, reject) => {
  const t = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => {
    clearTimeout(t);
    reject(signal.reason);
  }, { once: true });
});

/** Calls that bring the next part of a body of n bytes each. Into a buffer of ours a browser writes one and a
 * half to twice as fast as into those that it makes itself; a cut connection takes the buffer along, so it is
 * not where the bytes end up. */
function reading(body, n) {
  let reader, part = new ArrayBuffer(Math.min(PART, n));
  try { reader = body.getReader({ mode: "byob" }); } catch {
    reader = body.getReader();
    return () => reader.read();
  }
  return async () => {
    const r = await reader.read(new Uint8Array(part));
    if (r.value) part = r.value.buffer;
    return r;
  };
}

/** A signal that follows another one, and fires when beat() was not called for so long, or by drop(). */
function watch(signal, ms) {
  const own = new AbortController(), stop = () => own.abort(signal.reason);
  let timer;
  const beat = () => {
    clearTimeout(timer);
    timer = setTimeout(() => own.abort(retriable(`the host sent nothing for ${ms / 1000} s`)), ms);
  };
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  beat();
  const end = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  };
  return { signal: own.signal, beat, end, drop: () => own.abort() };
}

async function ask(url, from, to, signal) {
  const headers = { Range: `bytes=${from}-${to}` };
  try { return await fetch(url, { headers, signal, cache: "no-store" }); } catch (e) {
    throw signal.aborted ? signal.reason : await whyUnreachable(url, e);
  }
}

/** What was asked for is here: a body that has ended leaves its connection to the next request, any other is
 * dropped. */
function leave(read, drop) {
  const late = setTimeout(drop, LEAVE_MS);
  read().then(({ done }) => {
    clearTimeout(late);
    if (!done) drop();
  }, () => clearTimeout(late));
}

/** One attempt: fills `into` from `have` on. hooks.identity says how much is wanted in all. */
async function attempt(url, offset, into, have, hooks) {
  const { signal, beat, end, drop } = watch(hooks.signal, hooks.stall ?? STALL_MS);
  try {
    const response = await ask(url, offset + have, offset + into.length - 1, signal);
    checkStatus(response, url, offset + have);
    const most = hooks.identity({ size: total(response, offset + have), etag: etagOf(response) });
    const read = reading(response.body, most - have);
    while (have < most) {
      beat();
      const { value, done } = await read();
      if (done) return;
      const n = Math.min(value.length, most - have);
      into.set(n < value.length ? value.subarray(0, n) : value, have);
      have += n;
      hooks.progress(n);
    }
    leave(read, drop);
  } catch (e) {
    const why = signal.aborted ? signal.reason : e;
    drop();
    throw why;
  } finally { end(); }
}

/** Fills `into`, or its front at the end of the file, whose size hooks.identity gets; returns what was
 * filled. A cut connection is asked again for the rest. hooks: {signal, identity({size, etag}), progress(n),
 * retry(message), tries, stall: ms} */
export async function readRange(url, offset, into, hooks = {}) {
  const { signal, stall, tries: most = TRIES } = hooks;
  let have = 0, want = into.length;
  const identity = id => {
    hooks.identity?.(id);
    want = Math.max(0, Math.min(into.length, id.size - offset));
    return want;
  };
  const progress = n => {
    have += n;
    hooks.progress?.(n);
  };
  for (let tries = 0; ;) {
    const before = have;
    try {
      await attempt(url, offset, into, have, { signal, stall, identity, progress });
      if (have >= want) return into.subarray(0, have);
      throw retriable(`the host ended its answer after ${have - before} bytes of ${want - before}`);
    } catch (e) {
      if (signal?.aborted || e instanceof HostError || e.fatal) throw e;
      tries = have - before >= LEAST ? 1 : tries + 1;
      if (tries >= most) throw e.retry ? e : await whyUnreachable(url, e);
      hooks.retry?.(`${e.message}; trying again from byte ${offset + have} (${tries}/${most - 1})`);
      await sleep(Math.min(8000, 200 * 2 ** tries), signal);
    }
  }
}
