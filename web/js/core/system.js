// system.js - what the engine's module imports on every thread: its memory, clocks and what a machine has.

/** goss_error's GOSS_EIO. */
export const EIO = -4;

export function systemImports(memory, maximum, nCores) {
  return { env: { memory }, goss: {
    now_ms: () => performance.now(), unix_time: () => Math.floor(Date.now() / 1000),
    memory_max: () => maximum, cores: () => nCores,
    emit() {}, telemetry() {}, read: () => EIO, head: () => EIO, store_get: () => EIO, store_put: () => EIO,
    store_used() {},
  } };
}
