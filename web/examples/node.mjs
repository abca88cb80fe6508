// node node.mjs MODEL.gguf "a question"   (MODEL: a path or an http(s) URL; URLs are kept in
// ~/.cache/gossamer)
import { init } from "gossamer-llm";

const [model, question = "Which month comes after June?"] = process.argv.slice(2);
const llm = await init();
await llm.loadModel(model, { onProgress: p => process.stderr.write(`\r${Math.round(100 * p.progress)}% `) });
const stream = await llm.chat.completions.create({ messages: [{ role: "user", content: question }],
  temperature: 0, stream: true });
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
process.stdout.write("\n");
await llm.close();
