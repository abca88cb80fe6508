// gossamer.d.ts - types of the npm package. Checked by tsc in tests/web/types.

export interface InitConfig {
  /** CPU threads; default: one per core. Only cross-origin isolated pages and Node can have more than one. */
  threads?: number;
  /** "auto" (default): WebGPU where there is one, else the CPU. "ref" is slow and exact. */
  backend?: "auto" | "gpu" | "cpu" | "ref";
  /** Where model bytes are kept: OPFS or IndexedDB, in Node files; "none" keeps nothing. */
  cache?: "auto" | "indexeddb" | "none";
  /** Node: the cache's folder; default $XDG_CACHE_HOME/gossamer. */
  cacheDir?: string;
  /** URL of the folder with gossamer.wasm and gossamer-relaxed.wasm; default: the package's dist. */
  wasm?: string | URL;
  /** URL of a copy of the package, where a bundler leaves its workers out. */
  base?: string | URL;
  /** Where hf:OWNER/REPO[:FILE or :QUANT] looks;
   *  default: https://huggingface.co, in Node $HF_ENDPOINT if it is set. */
  hub?: string | URL;
}

export interface LoadOptions {
  onProgress?: (p: { loaded: number; total: number; progress: number }) => void;
  signal?: AbortSignal;
  /** Which telemetry lines are made: "all" has layers, kernels and steps of all sessions too; "rows" as well,
   * but what belongs to a token comes packed (the listener "rows"). Default: load, stages and tokens. */
  telemetry?: "all" | "rows" | "default" | "none";
  /** Only the first N layers; 0: all; -1: none. */
  layers?: number;
  max_kv?: number;
  max_sessions?: number;
  threads?: number;
  backend?: InitConfig["backend"];
  kv_type?: "f16" | "q8" | "q4" | "f32";
  attn_dense?: boolean;
  moe_fallback?: boolean;
  yarn_llamacpp?: boolean | "openai" | "llama.cpp";
  max_rows?: number;
  /** On a GPU: the experts of the first N layers run on the CPU. */
  n_cpu_moe?: number;
  gpu_limits_default?: boolean | "adapter" | "default";
  /** Features to leave off, as in "f16,subgroups". */
  gpu_mask?: string;
  cpu_mask?: string;
  /** Which kernels a GPU takes: "none" (default) by its features; "auto" times candidates behind the first
   * answer, while nobody waits, and keeps what was fastest beside the models for the next load; else the text
   * that such a measurement gave (docs/gpu-performance.md), which must have something for this device. */
  gpu_kernels?: "none" | "auto" | (string & {});
  gpu_memory?: number;
  resident_cap?: number;
  expert_cache?: number;
  kv_cap?: number;
  /** Most bytes of computed prefixes (instructions, finished turns) that are kept beside the models, so that
   * the next visit does not compute them again; 0 or absent: none. Those of finished turns are written when
   * the model is closed. On a GPU only what was fetched and is kept whole has any, written in idle time. */
  prefix_cache?: number;
  /** On a GPU: loaded before the experts are there, which come while tokens are made, those that are wanted
   * first; telemetry (weights_fetch, load_complete) says how far they are. Default: when more than 64 MB have
   * to be fetched. */
  early?: boolean;
  /** How many bytes are fetched and kept at once, a power of two from 16 KB to 16 MB. Default: 4 MB, or what
   * is kept already. */
  chunk?: number;
}

export interface ModelInfo {
  name: string; arch: string; type: string; backend: string; level: string; chat: string; kv: string;
  n_layer: number; n_embd: number; n_head: number; n_head_kv: number; head_dim: number; n_ff: number;
  n_expert: number; n_expert_used: number;
  n_vocab: number; n_ctx: number; window: number; max_kv: number; n_threads: number; n_params: number;
  file_bytes: number; resident_bytes: number; kv_bytes: number;
  step_bytes: number; step_expert_bytes: number;
  /** Bytes that came over the network; 0 when all was kept. */
  fetched: number;
  /** Whether the module with relaxed SIMD runs. */
  relaxed: boolean;
}

export type Role = "system" | "developer" | "user" | "assistant" | "tool";
export interface ToolCall { id: string; type: "function"; function: { name: string; arguments: string } }
export interface Message {
  role: Role; content: string | null; reasoning_content?: string;
  tool_calls?: ToolCall[]; tool_call_id?: string; name?: string;
}
export interface Tool {
  type: "function";
  function: { name: string; description?: string; parameters?: object; strict?: boolean };
}
export type Effort = "low" | "medium" | "high";

export interface Params {
  temperature?: number; top_p?: number; top_k?: number; min_p?: number;
  repetition_penalty?: number; presence_penalty?: number; frequency_penalty?: number;
  /** Most tokens of reasoning; 0: none, -1: any number. */
  reasoning_budget_tokens?: number;
  seed?: number; max_tokens?: number; max_completion_tokens?: number; stop?: string | string[];
  logit_bias?: Record<string, number>; top_logprobs?: number; ignore_stop?: boolean; draft?: boolean;
  response_format?: { type: "text" } | { type: "json_object" }
    | { type: "json_schema"; json_schema: { name?: string; schema: object } };
  reasoning_effort?: Effort;
  /** The date in the system message, YYYY-MM-DD; default: today. */
  date?: string;
}
export interface Request extends Params {
  messages?: Message[];
  /** Plain text instead of messages: no chat format. */
  prompt?: string;
  /** All tokens so far, instead of messages or prompt. */
  tokens?: Iterable<number>;
  /** With tokens: they are a chat's, and may end in an answer, which goes on from there. */
  chat?: boolean;
  /** With chat: the position where that answer began. What it has said comes first, a token of number -1
   * for each of its messages. */
  echo?: number;
  tools?: Tool[];
}

export interface Token {
  /** -1: text only, held back from earlier tokens. */
  token: number; text: string; channel: "" | "analysis" | "commentary" | "final"; recipient: string;
  message: number; position: number; logprob: number; probability: number; entropy: number;
  topK: { token: number; text: string; probability: number }[];
}
export interface Done {
  stop: "eos" | "text" | "length" | "call" | "canceled" | "error" | "none";
  nPrompt: number; nGenerated: number; nReused: number; prefillMs: number; decodeMs: number; firstMs?: number;
}

export interface Session {
  prefill(input: string | Message[] | Request): Promise<void>;
  decodeNext(): Promise<Token & { done?: false } | ({ done: true } & Done)>;
  generate(options?: number | Request, control?: { signal?: AbortSignal }): AsyncGenerator<Token, Done, void>;
  /** How telemetry and rows call it; null until its first request. */
  readonly number: number | null;
  /** A branch: a session that begins with the first `at` tokens that this one holds (default: all). Nothing
   * of them is computed again; this one may go on meanwhile. */
  fork(at?: number): Promise<Session>;
  /** Where the token at position `row` looks, in each head of a layer. It puts the tokens up to `row` through
   * the model again, while nothing else is done. On a GPU it fails with a sentence. */
  attention(what: { row: number; layer: number }): Promise<Attention>;
  cancel(): void;
  close(): void;
}
/** heads: of each the weights by position, 0 to row; sinks: what each head's sink takes. */
export interface Attention { row: number; layer: number; heads: Float32Array[]; sinks: number[] }
/** What a layer would have said (-1: the embedding). kl: of the model's own distribution from it; nats. */
export interface LensRow { layer: number; kl: number; entropy: number; topK: Token["topK"] }
/** How far a stage is from the reference's: rms is of the reference's values, max and mean of the
 * differences. layer -1: the embedding, the head. */
export interface ParityRow { stage: string; layer: number; rms: number; max: number; mean: number }
export interface SessionOptions { system?: string; tools?: Tool[]; effort?: Effort; params?: Params }

export interface SchemaReport {
  held: boolean; reason: string; compileMs: number;
  /** Of the first mask over the model's vocabulary. */
  firstMaskMs: number;
  bytes: number; states: number; texts: string[];
}

export interface Model {
  readonly info: ModelInfo;
  createSession(options?: SessionOptions): Session;
  tokenize(text: string, options?: { special?: boolean }): Promise<number[]>;
  detokenize(ids: Iterable<number>): Promise<string>;
  /** The tokens that a chat request becomes. */
  render(request: Request): Promise<number[]>;
  /** The logit lens: what the embedding and each layer would have said behind the last of these tokens; the
   * last layer says what the model does. What is cached of the tokens before is not computed again. On a GPU
   * it fails with a sentence. */
  lens(ids: Iterable<number>): Promise<LensRow[]>;
  /** Each stage of each layer for these tokens (64 at most), beside the reference's in double on the same
   * weights. Slow: the worker does nothing else meanwhile. On a GPU it fails with a sentence. */
  parity(ids: Iterable<number>): Promise<ParityRow[]>;
  /** Whether an answer can be held to a JSON schema (response_format), what that costs, and texts that it
   * lets through. `reason` says why not, and where in the schema. */
  checkSchema(schema: object): Promise<SchemaReport>;
  stats(): Promise<Record<string, number>>;
  /** Which attention map telemetry and panels show. */
  watchAttention(layer: number, head: number): void;
  /** What is awaited of the model fails with an AbortError. Resolves when what it has brought is kept. */
  close(): Promise<void>;
}

/** What a model is, and what loading it would use, from its header alone. */
export interface Plan
  extends Omit<ModelInfo, "level" | "chat" | "kv" | "n_threads" | "fetched" | "relaxed"> {
  backend: "gpu" | "cpu";
  /** Whether it fits as it was asked for. */
  fits: boolean;
  /** The plan in sentences. */
  text: string;
  /** Bytes that are free here: on the CPU the model's must fit into them. */
  memory: number;
  /** Bytes of the file that are kept already. */
  kept: number;
}

export type Source = string | URL | Blob | File | (string | URL | Blob | File)[];

export interface CompletionRequest extends Request {
  messages: Message[]; model?: string; stream?: boolean; stream_options?: { include_usage?: boolean };
}
export interface Usage {
  prompt_tokens: number; completion_tokens: number; total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}
export type FinishReason = "stop" | "length" | "tool_calls";
export interface ChatCompletion {
  id: string; object: "chat.completion"; created: number; model: string; usage: Usage;
  choices: {
    index: number; message: Message & { role: "assistant" }; finish_reason: FinishReason; logprobs: null;
  }[];
}
export interface ToolCallDelta {
  index: number; id?: string; type?: "function"; function: { name?: string; arguments: string };
}
export interface ChatCompletionChunk {
  id: string; object: "chat.completion.chunk"; created: number; model: string; usage?: Usage;
  choices: {
    index: number; finish_reason: FinishReason | null;
    delta: { role?: "assistant"; content?: string; reasoning_content?: string; tool_calls?: ToolCallDelta[] };
  }[];
}

/** A telemetry line; see docs/telemetry.md. */
export interface Telemetry {
  type: "load_stage" | "inference_stage" | "inference_event"; ts_ms: number;
  stage?: string; status?: "started" | "progress" | "completed" | "failed"; detail?: string;
  bytes?: number; total_bytes?: number; step?: number; total_steps?: number;
  event?: { type: string; [key: string]: unknown };
}

/** Rows `from` to `to` (not included) of `rows`, a token each, as js/core/columns.js has them. maps: of
 * rows that have attention their place, how many weights, the first position, the weights. texts: of ids
 * that are new. */
export interface Rows {
  rows: Float32Array; count: number; from: number; to: number; maps: Float32Array; texts: [number, string][];
}

export interface Llm {
  readonly model: Model | null;
  /** Whether there is a GPU adapter, whether threads are possible, and where bytes are kept. */
  readonly gpu: boolean;
  /** There is WebGPU, but only in software: the CPU is used unless backend is "gpu". */
  readonly software: boolean;
  readonly isolated: boolean;
  readonly cores: number;
  readonly cache: "opfs" | "indexeddb" | "files" | "none";
  /** A URL, hf:OWNER/REPO:FILE, a File or Blob, a list of shards, in Node also a path. */
  loadModel(source: Source, options?: LoadOptions): Promise<Model>;
  /** Reads the header alone; a model that is loaded goes on. loadModel of the same source goes on with what
   * was read. */
  plan(source: Source, options?: LoadOptions): Promise<Plan>;
  readonly chat: { readonly completions: {
    create(request: CompletionRequest & { stream: true },
      control?: { signal?: AbortSignal }): Promise<AsyncGenerator<ChatCompletionChunk, Done, void>>;
    create(request: CompletionRequest & { stream?: false },
      control?: { signal?: AbortSignal }): Promise<ChatCompletion>;
  } };
  on(type: "telemetry", fn: (event: Telemetry) => void): () => void;
  on(type: "rows", fn: (rows: Rows) => void): () => void;
  on(type: "notice", fn: (text: string) => void): () => void;
  on(type: "error", fn: (error: Error) => void): () => void;
  /** Canvases that the engine's GPU draws by itself, without read-back; each is handed over for good. Load
   * with telemetry "all". */
  attachPanels(canvases: Partial<Record<"attn" | "router" | "kv" | "activity", HTMLCanvasElement>>,
    options?: { calm?: boolean }): Promise<void>;
  /** What happens is told at most so often, in milliseconds: for pages that draw. 0: at once. */
  pace(ms: number): void;
  /** Said as a frame begins: for so many milliseconds one of the engine's threads leaves the page its core,
   * if there are as many threads as cores. All would wait for one that is interrupted in its task. */
  lend(ms: number): void;
  resizePanels(sizes: Record<string, { width: number; height: number }>): void;
  stats(): Promise<{ tok_s: number; cache_hit: number; gpu_mem_est: number; [key: string]: number }>;
  /** What is awaited fails with an AbortError. In Node wait for it before process.exit(). */
  close(): Promise<void>;
}

export function init(config?: InitConfig): Promise<Llm>;
declare const gossamer: { init: typeof init };
export default gossamer;
