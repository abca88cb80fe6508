// offline.js - the page's side of service-worker.js: has the page kept for visits without a network, and
// asks it what a page that is cross-origin isolated isn't told.
import { corsSays } from "../core/bytes/range.js";

const ANSWER_MS = 3000;

/** The page's files are kept. Where there is no service worker (plain HTTP), nothing is. */
export async function keep() {
  try {
    await navigator.serviceWorker?.register("service-worker.js");
    (await navigator.serviceWorker?.ready)?.active.postMessage({ keep: location.pathname });
  } catch { /* a private window, or a server without it: then there is only the network */ }
}

/** Is a host there, whatever it lets this page read? undefined: nobody knows. */
async function reaches(url) {
  const worker = (await navigator.serviceWorker?.getRegistration())?.active;
  if (!worker) return undefined;
  const { port1, port2 } = new MessageChannel();
  return new Promise(resolve => {
    port1.onmessage = e => resolve(e.data);
    setTimeout(resolve, ANSWER_MS);
    worker.postMessage({ reaches: url }, [port2]);
  });
}

/** An error's sentence, made clearer where the service worker knows more. */
export async function clearer({ code, message }, source) {
  if (code !== "ECONNECT_OR_CORS" || !/^https?:/.test(source)) return message;
  const there = await reaches(source), { host } = new URL(source);
  if (there === undefined) return message;
  return there ? corsSays(host) : `Network: ${host} can't be reached. Check the address and the connection; `
    + "loading resumes where it stopped.";
}
