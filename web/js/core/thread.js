// thread.js - one CPU thread: instantiates the module on the shared memory, with a stack of its own, and
// parks inside C.
import { serveWorker } from "./port.js";
import { systemImports } from "./system.js";

serveWorker(async ({ module, stack, ...system }) => {
  const imports = systemImports(system);
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    if (kind === "function") imports[from][name] ??= () => { throw new Error(`${name} is not for threads`); };
  }
  const instance = await WebAssembly.instantiate(module, imports);
  instance.exports.__stack_pointer.value = stack;
  instance.exports.goss_wasm_thread();
});
