// presets.js - system prompts by name: some that everybody has, and the user's own, kept in this browser.
import { $, el } from "./dom.js";

const KEPT = "gossamer-presets", NAME_MOST = 40;
const OURS = [["none", ""],
  ["short answers", "Answer in one or two sentences. No lists, no introductions."],
  ["teacher", "Explain step by step, in plain words, with one small example. Ask what is unclear."],
  ["translator", "Translate what you are given into English. Say nothing else."],
  ["code reviewer", "Review the code you are given: errors first, then what could be simpler."]];

function read() {
  try { return Object.entries(JSON.parse(localStorage.getItem(KEPT)) ?? {}); } catch { return []; }
}
const write = list => localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(list)));

function fill(chosen) {
  const all = [...OURS, ...read()];
  $("preset").replaceChildren(...all.map(([name]) => el("option", { value: name }, name)));
  $("preset").value = chosen ?? "none";
}

/** Under its first words. */
function keep() {
  const text = $("system").value.trim(), name = text.replace(/\s+/g, " ").slice(0, NAME_MOST);
  if (!text || OURS.some(([, own]) => own === text)) return;
  write([...read().filter(([n]) => n !== name), [name, text]]);
  fill(name);
}

function drop() {
  write(read().filter(([name]) => name !== $("preset").value));
  fill();
}

export function wirePresets() {
  const act = (name, onclick, title) => el("button.quiet", { type: "button", onclick, title }, name);
  $("preset").after(act("KEEP", keep, "Keep this system prompt as a preset"),
    act("DROP", drop, "Drop this preset, if it is your own"));
  $("preset").addEventListener("change", () => {
    $("system").value = [...OURS, ...read()].find(([name]) => name === $("preset").value)?.[1] ?? "";
  });
  fill();
}
