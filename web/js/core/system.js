// system.js - what the engine's module imports on every thread: its memory, clocks and what a machine has.
// lent: null, or one shared word that is 1 while the page has the last thread's core.

/** goss_error's GOSS_EIO. */
export const EIO = -4;

/** A page that never takes its core back leaves that thread a task in so many ms. */
const LENT_MS = 50;

export function systemImports({ memory, maximum, cores, lent = null }) {
  return { env: { memory }, goss: {
    now_ms: () => performance.now(), unix_time: () => Math.floor(Date.now() / 1000),
    memory_max: () => maximum, cores: () => cores,
    lend() { if (lent && Atomics.load(lent, 0)) Atomics.wait(lent, 0, 1, LENT_MS); },
    emit() {}, telemetry() {}, read: () => EIO, head: () => EIO, store_get: () => EIO, store_put: () => EIO,
    store_used() {},
  } };
}
