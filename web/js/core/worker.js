// worker.js - the worker that owns one engine. The page sends requests and gets their answers, and at most
// once every few milliseconds one message with everything that happened (outbox.js). Bytes
// come from a worker of their own (bytes/io.js).
import { Engine } from "./engine.js";
import { Outbox } from "./outbox.js";
import { serve } from "./port.js";

const WITHOUT_A_MODEL = ["init", "plan", "unplan", "load", "close", "end", "cancel", "shut", "watch",
  "pace", "panels", "resize"];
const WITH_A_MODEL = ["stats", "tokenize", "render", "detokenize", "schema", "open", "fork", "prompt",
  "lens", "parity", "attention"];

const outbox = new Outbox(), engine = new Engine(outbox);
const names = [...WITHOUT_A_MODEL, ...WITH_A_MODEL];
const requests = Object.fromEntries(names.map(name => [name, args => engine[name](args)]));
const before = name => {
  if (!engine.opened && WITH_A_MODEL.includes(name)) throw new Error("no model is loaded");
};

serve(requests, { before, after: () => outbox.flush() }).then(post => outbox.connect(post));
