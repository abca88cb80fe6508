// unpack.mjs - the npm package as users get it: packed, unpacked into a folder, used by name.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pack } from "../../web/pack.mjs";

/** Packs web/ and unpacks it as folder/node_modules/gossamer-llm; returns the package's size compressed. */
export function unpack(folder) {
  const to = join(folder, "node_modules", "gossamer-llm");
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const file = pack(folder), size = statSync(file).size;
  execFileSync("tar", ["xzf", file, "-C", to, "--strip-components=1"]);
  rmSync(file);
  return size;
}
