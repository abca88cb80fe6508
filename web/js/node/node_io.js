// node_io.js - core/bytes/io.js in Node.
import "./node_host.js";
import "../core/bytes/io.js";
