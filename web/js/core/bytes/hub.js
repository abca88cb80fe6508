// hub.js - models by name: hf:OWNER/REPO[:FILE.gguf or :QUANT] (or hf:OWNER/REPO/FILE.gguf) as the address of
// a file in a repository of models. What a name means is docs/names.md's; app/net/model_name.c has the same
// rules.

const FORM = /^(?:hf:|hf\.co\/|huggingface\.co\/)(\w[\w.-]*)\/(\w[\w.-]*)(?:([:/])([^]+))?$/i;
const FILE = /^(?:[^./\\\p{Cc}][^/\\\p{Cc}]*\/)*[^./\\\p{Cc}][^/\\\p{Cc}]*\.gguf$/iu;
const QUANT = /^\w[\w.-]{0,38}$/;
const USE = "hf:OWNER/REPO, hf:OWNER/REPO:FILE.gguf or hf:OWNER/REPO:QUANT";
const MOST_NAMES = 12, MOST_BYTES = 250, MOST_WORD = 99;

export const isHub = text => /^hf:/i.test(text);

/** Its parts; an error with a sentence where it has another form. */
function parse(text) {
  const [whole, owner, repo, mark, rest] = FORM.exec(text) ?? [];
  const file = rest && FILE.test(rest) && rest.length <= MOST_BYTES ? rest : undefined;
  const quant = mark === ":" && !/\.gguf$/i.test(rest) && QUANT.test(rest) ? rest : undefined;
  if (!whole || owner.length > MOST_WORD || repo.length > MOST_WORD || (rest && !file && !quant)) {
    throw new Error(`"${text}" does not have the form ${USE}.`);
  }
  return { owner, repo, file, quant: /^latest$/i.test(quant) ? undefined : quant };
}

/** The first files of the models in a list of names: of a split model only the first part counts. */
function models(names) {
  return names.filter(n => FILE.test(n) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(n)
    && !/(?:mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-)[^/]*$/.test(n));
}

/** The one of them that is meant: of that QUANT; else Q4_K_M (MXFP4 first, of a gpt-oss), Q8_0, the first. */
function choose(names, { repo, quant }) {
  const says = word => {
    const escaped = word.replace(/[.-]/g, "\\$&");
    return names.find(n => new RegExp(`(?<![a-z0-9])${escaped}[-./]`, "i").test(n));
  };
  if (quant) return says(quant);
  const order = [...(/gpt-oss/i.test(repo) ? ["MXFP4"] : []), "Q4_K_M", "Q8_0"];
  return order.map(says).find(Boolean) ?? names[0];
}

async function listFiles(host, { owner, repo }, signal) {
  const url = `${host}/api/models/${owner}/${repo}`;
  const response = await fetch(url, { signal }).catch(e => {
    signal?.throwIfAborted();
    throw new Error(`Network: ${new URL(url).host} can't be reached (${e.message}).`);
  });
  if (response.status === 404 || response.status === 401) {
    const where = new URL(url).host;
    throw new Error(`${response.status}: there is no public repository ${owner}/${repo} at ${where}.`);
  }
  const list = response.ok ? await response.json().catch(() => null) : null;
  if (!Array.isArray(list?.siblings)) {
    throw new Error(`${url} answered ${response.status} without a list of files.`);
  }
  return models(list.siblings.map(s => String(s?.rfilename)));
}

async function chooseFile(host, at, signal) {
  const names = await listFiles(host, at, signal), file = choose(names, at);
  if (file) return file;
  if (!names.length) throw new Error(`${at.owner}/${at.repo} has no GGUF file.`);
  const some = names.slice(0, MOST_NAMES).join(", "), more = names.length > MOST_NAMES ? ", …" : "";
  throw new Error(`${at.owner}/${at.repo} has no GGUF file of the kind ${at.quant}; it has ${some}${more}.`);
}

/** The address of what `text` names at a host like https://huggingface.co. */
export async function hubAddress(text, host, signal) {
  const at = parse(text), base = host.replace(/\/+$/, "");
  const file = at.file ?? await chooseFile(base, at, signal);
  const path = file.split("/").map(encodeURIComponent).join("/");
  return `${base}/${at.owner}/${at.repo}/resolve/main/${path}`;
}
