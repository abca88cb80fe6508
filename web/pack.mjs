// pack.mjs - makes the npm package: node web/pack.mjs FOLDER prints the path of the .tgz that it puts there.
// Its files are what package.json lists; its JavaScript loses the lines that are comments and nothing else.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const COMMENTS = /^[ ]*(?:\/\/.*|\/\*\*[^]*?\*\/)\n/gm;

function strip(folder) {
  for (const name of readdirSync(folder, { recursive: true }).filter(n => n.endsWith(".js"))) {
    const file = join(folder, name);
    writeFileSync(file, readFileSync(file, "utf8").replace(COMMENTS, ""));
  }
}

/** Packs web/ into `to`; returns the package's path. */
export function pack(to) {
  const copy = mkdtempSync(join(tmpdir(), "gossamer-pack-"));
  try {
    const { files } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
    for (const path of [...files, "package.json"]) {
      cpSync(join(HERE, path), join(copy, path), { recursive: true });
    }
    strip(join(copy, "js"));
    const args = ["pack", "--silent", "--pack-destination", resolve(to)];
    return join(to, execFileSync("npm", args, { cwd: copy, encoding: "utf8" }).trim().split("\n").at(-1));
  } finally { rmSync(copy, { recursive: true, force: true }); }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(pack(process.argv[2] ?? "."));
