// node.js - the npm package's entry in Node; a browser's is core/gossamer.js.
import "./node_host.js";
export * from "../core/gossamer.js";
export { default } from "../core/gossamer.js";
