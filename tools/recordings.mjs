// recordings.mjs - makes the recordings that ship with the page (web/data/*.grec): make recordings, or
// node tools/recordings.mjs [greeting|tool|shape]. The last needs 13 GB of disk for a while.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url)), DATA = join(ROOT, "web/data");
const PROGRAM = process.env.GOSSAMER ?? join(ROOT, "build/cc/gossamer");
const DEMO = join(ROOT, "models/demo-gptoss.gguf");
const DATE = "2026-11-29", TIME = ["--temp", "0", "--date", DATE, "--backend", "cpu"];
const LAYER = ["--watch-layer", "3", "--watch-head", "5"];
const folder = mkdtempSync(join(tmpdir(), "gossamer-recordings-"));

const run = (args, options) =>
  execFileSync(PROGRAM, args, { stdio: ["pipe", "ignore", "inherit"], ...options });

function greeting() {
  run(["chat", DEMO, ...TIME, ...LAYER, "--record", join(folder, "demo-greeting.grec")],
    { input: "Hello!\nTell me a joke.\nWhat is 17 + 25?\n" });
}

// ---- a tool call, over the server -------------------------------------------------------------------------
const TOOLS = [{ type: "function", function: { name: "get_weather",
  description: "Gets the current weather in a city.", parameters: { type: "object", required: ["city"],
    properties: { city: { type: "string", description: "The name of the city" } } } } }];

/** The server's address, once it has said it. */
function serve() {
  const server = spawn(PROGRAM,
    ["serve", DEMO, "--port", "0", "--backend", "cpu", ...LAYER, "--record", folder]);
  const url = new Promise((resolve, reject) => {
    let said = "";
    const hear = text => {
      const found = /http:\/\/[\d.]+:\d+/.exec(said += text);
      if (found) resolve(found[0]);
    };
    for (const stream of [server.stdout, server.stderr]) stream.on("data", hear);
    server.on("exit", code => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  const end = () => new Promise(resolve => {
    server.on("exit", resolve);
    server.kill("SIGTERM");
  });
  return { url, end };
}

async function tool() {
  const server = serve();
  try { await callTool(`${await server.url}/v1/chat/completions`); } finally { await server.end(); }
  const made = readdirSync(folder).find(f => f.endsWith(".grec") && f.startsWith("demo-gptoss"));
  renameSync(join(folder, made), join(folder, "demo-tool.grec"));
}

async function callTool(url) {
  const headers = { "content-type": "application/json" };
  const messages = [{ role: "user", content: "What is the weather in Paris?" }];
  const ask = async () => {
    const body = JSON.stringify({ model: "demo-gptoss", messages, tools: TOOLS, temperature: 0 });
    const { choices } = await (await fetch(url, { method: "POST", headers, body })).json();
    messages.push(choices[0].message);
    return choices[0].message;
  };
  const { tool_calls: calls } = await ask();
  if (!calls?.length) throw new Error(`no call: ${JSON.stringify(messages.at(-1))}`);
  messages.push({ role: "tool", tool_call_id: calls[0].id, content: '{"temperature": 18, "sky": "sunny"}' });
  await ask();
}

function shape() {
  const file = join(folder, "gpt-oss-20b-shape.gguf");
  run(["synth", "20b", file]);
  run(["run", file, "-p", "Hello", "-n", "48", "--ignore-stop", "--max-kv", "1024", ...TIME, ...LAYER,
    "--record", join(folder, "shape-20b.grec")]);
  rmSync(file);
}

const parts = { greeting, tool, shape }, wanted = process.argv.slice(2);
try {
  for (const [name, make] of Object.entries(parts)) if (!wanted.length || wanted.includes(name)) await make();
  for (const name of readdirSync(folder)) {
    execFileSync("cp", [join(folder, name), DATA]);
    console.log(`${name}: ${statSync(join(DATA, name)).size} bytes`);
  }
} finally { rmSync(folder, { recursive: true }); }
