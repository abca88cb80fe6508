// node_shim.d.ts - what our JavaScript uses of Node, untyped: the project has no types of Node.
declare module "node:*";
declare const process: any;
