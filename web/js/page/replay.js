// replay.js - plays a recording (a JSON array or JSON lines) into the page's queue, at the pace of its ts_ms.

export async function readRecording(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`recording ${url}: ${response.status} ${response.statusText}`);
  const text = (await response.text()).trim();
  if (text.startsWith("[")) return JSON.parse(text);
  return text.split("\n").map((line, i) => {
    try { return JSON.parse(line); } catch { throw new Error(`recording ${url}: line ${i + 1} is not JSON`); }
  });
}

/** Calls push for each event when it is due; speed 0 plays all at once. Returns a function that stops it. */
export function play(events, push, speed = 1, onEnd) {
  const t0 = events[0]?.ts_ms ?? 0, start = performance.now();
  let i = 0, timer = 0;
  const step = () => {
    const now = speed > 0 ? t0 + (performance.now() - start) * speed : Infinity;
    while (i < events.length && (events[i].ts_ms ?? t0) <= now) push(events[i++]);
    if (i < events.length) timer = setTimeout(step, 16);
    else onEnd?.();
  };
  step();
  return () => clearTimeout(timer);
}
