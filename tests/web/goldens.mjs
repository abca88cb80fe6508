// goldens.mjs - greedy generations of an independent implementation (tests/golden), asked of the package inside a page.
import { readFileSync } from "node:fs";

const all = JSON.parse(readFileSync(new URL("../golden/demo-gptoss.golden.json", import.meta.url)));

/** The conversations among the goldens with at most `longest` tokens: {prompt, greedy}. (The story that begins freely comes to
 * a token whose rival is closer than rounding.) */
export const goldens = longest => all.filter(g => g.prompt.startsWith("<|start|>") && g.greedy.length <= longest).map(({ prompt, greedy }) => ({ prompt, greedy }));

/** Runs in a page (as text, so it stands alone): the prompts whose tokens differ, with both sides. One prompt at a time, or all at
 * once; on the page's own model where it has one. */
export async function runGoldens({ backend, list, together, options }) {
  const { init } = await import("/js/core/gossamer.js"), own = globalThis.gossamer?.model, llm = own ? null : await init({ backend });
  const model = own ?? await llm.loadModel("/models/demo-gptoss.gguf", { max_kv: 1024, ...options });
  const one = async ({ prompt, greedy }) => {
    const session = model.createSession(), got = [];
    for await (const t of session.generate({ prompt, special: true, temperature: 0, ignore_stop: true, max_tokens: greedy.length })) if (t.token >= 0) got.push(t.token);
    session.close();
    return JSON.stringify(got) === JSON.stringify(greedy) ? null : { prompt, got, greedy };
  };
  const out = [];
  if (together) out.push(...await Promise.all(list.map(one)));
  else for (const g of list) out.push(await one(g));
  const used = model.info.backend;
  if (llm) { model.close(); llm.close(); }
  return { backend: used, bad: out.filter(Boolean) };
}
