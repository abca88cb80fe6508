// node_worker.js - core/worker.js in Node.
import "./node_host.js";
import "../core/worker.js";
