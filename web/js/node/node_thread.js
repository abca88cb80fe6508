// node_thread.js - core/thread.js in Node.
import "./node_host.js";
import "../core/thread.js";
