// goldens.mjs - greedy generations of an independent implementation (tests/golden), asked of the package
// inside a page.
import { readFileSync } from "node:fs";

const all = JSON.parse(readFileSync(new URL("../golden/demo-gptoss.golden.json", import.meta.url)));

/** The conversations among the goldens with at most `longest` tokens: {prompt, greedy}. */
export const goldens = longest => all.filter(g => g.prompt.startsWith("<|start|>")
  && g.greedy.length <= longest).map(({ prompt, greedy }) => ({ prompt, greedy }));

/** Runs in a page (as text, so it stands alone): the prompts whose tokens differ, with both sides. One prompt
 * at a time, or all at once; on the page's own model where it has one. Tokens may part where the reference's
 * best two are closer than 0.25 (DESIGN.md). How close they are says the reference backend, which must say
 * the golden's tokens up to there. */
export async function runGoldens({ backend, list, together, options }) {
  const { init } = await import("/js/core/gossamer.js"), own = globalThis.gossamer?.model;
  const llm = own ? null : await init({ backend });
  const load = l => l.loadModel("/models/demo-gptoss.gguf", { max_kv: 1024, ...options });
  const model = own ?? await load(llm);
  const greedily = async (m, prompt, max_tokens) => {
    const session = m.createSession(), out = [];
    const request = { prompt, special: true, temperature: 0, ignore_stop: true, max_tokens, top_logprobs: 2 };
    for await (const t of session.generate(request)) if (t.token >= 0) out.push(t);
    session.close();
    return out;
  };
  const parted = (got, greedy) => greedy.findIndex((token, i) => got[i] !== token);
  const one = async ({ prompt, greedy }) => {
    const got = (await greedily(model, prompt, greedy.length)).map(t => t.token), at = parted(got, greedy);
    return at < 0 ? null : { prompt, at, got, greedy };
  };
  const gap = async ({ prompt, at, greedy }) => {
    const ref = await init({ backend: "ref" });
    const said = await greedily(await load(ref), prompt, at + 1), [best, next] = said[at].topK;
    ref.close();
    const tokens = said.map(t => t.token).slice(0, at);
    return parted(tokens, greedy.slice(0, at)) < 0 ? Math.log(best.probability / next.probability) : Infinity;
  };
  const out = [];
  if (together) out.push(...await Promise.all(list.map(one)));
  else for (const g of list) out.push(await one(g));
  const used = model.info.backend;
  if (llm) {
    model.close();
    llm.close();
  }
  const bad = [], close = [];
  for (const g of out.filter(Boolean)) {
    const apart = await gap(g);
    if (apart < 0.25) close.push(`${apart.toFixed(4)} at token ${g.at}`);
    else bad.push({ ...g, apart });
  }
  return { backend: used, bad, close };
}
