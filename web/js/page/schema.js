// schema.js - SCHEMA: the JSON schema that answers are held to. While it is written, the model says whether
// it can be held to, what that costs, and what it lets through.
import { $ } from "./dom.js";

const PAUSE = 300;                   // ms after the last key

function read() {
  try { return JSON.parse($("schema").value); } catch { return null; }
}
const usable = value =>
  value === true || (typeof value === "object" && value !== null && !Array.isArray(value));

/** What a generation is asked for. */
export function schema() {
  if (!$("schema").value.trim()) return {};
  const value = read();
  if (!usable(value)) throw new RangeError("SCHEMA: a JSON schema, {\"type\": \"object\", ...}");
  return { response_format: { type: "json_schema", json_schema: { name: "answer", schema: value } } };
}

function sentence({ held, reason, compileMs, firstMaskMs, states, texts }) {
  if (!held) return reason;
  const costs = `compiled in ${compileMs.toFixed(2)} ms, the first mask in ${firstMaskMs.toFixed(2)} ms`;
  return `It can be held to: ${costs}, ${states} states so far. It lets through: ${texts.join("  or  ")}`;
}

/** model(): the one that is loaded here, or null. */
export function wireSchema(model) {
  const node = $("schema"), note = $("schema-note");
  let timer = 0, asked = 0;
  const show = (text, bad) => {
    note.hidden = !text;
    note.textContent = text;
    node.setAttribute("aria-invalid", String(!!bad));
  };
  const check = async () => {
    const value = read(), mine = ++asked, loaded = model();
    if (!node.value.trim()) return show("");
    if (!usable(value)) return show("This is no JSON schema.", true);
    if (!loaded?.checkSchema) return show("Whether it can be held to is said once a model is loaded here.");
    const report = await loaded.checkSchema(value).catch(e => ({ held: false, reason: e.message }));
    if (mine === asked) show(sentence(report), !report.held);
  };
  node.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, PAUSE);
  });
}
