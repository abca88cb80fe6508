// types.ts - is compiled, never run: the declarations accept what the documentation shows and refuse what is
// wrong.
import { init, type Message, type Token } from "../../web/gossamer.js";

async function use(): Promise<void> {
  const llm = await init({ threads: 2, backend: "cpu" });
  const off = llm.on("telemetry", e => { const s: string | undefined = e.stage; void s; });
  const plan = await llm.plan(new URL("https://example.org/x.gguf"));
  if (!plan.fits) void plan.text.trim();
  const model = await llm.loadModel(new Blob([]), { onProgress: p => void p.progress.toFixed(), layers: 2 });
  const messages: Message[] = [{ role: "user", content: "x" }];
  const session = model.createSession({ system: "s", effort: "low", params: { temperature: 0 } });
  await session.prefill(messages);
  const next = await session.decodeNext();
  if (next.done) void next.nGenerated.toFixed();
  else void next.topK[0]?.probability;
  for await (const token of session.generate(8)) { const t: Token = token; void t.text; }
  const branch = await session.fork(4), called: number | null = branch.number;
  for await (const token of branch.generate({ tokens: [1, 2, 3], chat: true, echo: 2 })) void token.position;
  const looked = await branch.attention({ row: 3, layer: 0 }), first: number = looked.heads[0]![0]!;
  const parity: number = (await model.parity([1, 2]))[0]!.max;
  const lens = await model.lens([1, 2, 3]), kl: number = lens[0]!.kl + lens[0]!.topK[0]!.probability;
  void [called, first, looked.sinks, kl, parity];
  const whole = await llm.chat.completions.create({ messages });
  void whole.choices[0]!.message.content;
  for await (const chunk of await llm.chat.completions.create({ messages, stream: true })) {
    void chunk.choices[0]?.delta.reasoning_content;
  }
  // @ts-expect-error messages are needed
  await llm.chat.completions.create({ stream: true });
  // @ts-expect-error there is no such backend
  await init({ backend: "cuda" });
  // @ts-expect-error there is no such event
  llm.on("nothing", () => {});
  off();
  session.close();
  model.close();
}
void use;
