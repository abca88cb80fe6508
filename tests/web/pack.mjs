// pack.mjs - the npm package as users get it: packed, unpacked into a folder, used by name.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Packs web/ and unpacks it as folder/node_modules/gossamer-llm; returns the package's size compressed. */
export function unpack(folder) {
  const to = join(folder, "node_modules", "gossamer-llm");
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: fileURLToPath(new URL("../../web/", import.meta.url)), stdio: "pipe" });
  const file = join(folder, readdirSync(folder).find(f => f.endsWith(".tgz"))), size = statSync(file).size;
  execFileSync("tar", ["xzf", file, "-C", to, "--strip-components=1"]);
  rmSync(file);
  return size;
}
