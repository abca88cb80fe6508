// text_files.js - files that go with a question: texts, read whole; what is none is refused in a sentence.
import { bytes } from "./dom.js";

const MOST = 1e6;

/** {files: [{name, text}], refused: [sentence]} */
export async function readFiles(list) {
  const files = [], refused = [];
  for (const file of list) {
    const { name, type, size } = file;
    if (/^(image|audio|video)\//.test(type)) {
      refused.push(`${name}: gpt-oss reads text alone, no ${type.split("/")[0]}s.`);
    } else if (size > MOST) {
      refused.push(`${name} has ${bytes(size)}; a text may have ${bytes(MOST)}.`);
    } else {
      const text = await file.text();
      if (/[\0\ufffd]/.test(text)) refused.push(`${name} is not a .gguf file, nor a text.`);
      else files.push({ name, text });
    }
  }
  return { files, refused };
}
