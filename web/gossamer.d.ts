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
  /** URL of the folder with gossamer.wasm; default: beside the package. */
  wasm?: string;
}

export interface LoadOptions {
  onProgress?: (p: { loaded: number; total: number; progress: number }) => void;
  signal?: AbortSignal;
  /** Which telemetry lines are made: "all" has layers and kernels too. Default: load, stages and tokens. */
  telemetry?: "all" | "default" | "none";
  /** Only the first N layers; 0: all; -1: none. */
  layers?: number;
  max_kv?: number;
  max_sessions?: number;
  threads?: number;
  backend?: InitConfig["backend"];
  kv_type?: "f16" | "q8" | "q4" | "f32";
  attn_dense?: boolean;
  moe_fallback?: boolean;
  gpu_limits_default?: boolean;
  gpu_memory?: number;
  resident_cap?: number;
  expert_cache?: number;
  kv_cap?: number;
  /** Most bytes of computed prefixes (instructions, finished turns) that are kept beside the models, so that the next visit does not
   * compute them again; 0 or absent: none. On the CPU. Those of finished turns are written when the model is closed. */
  prefix_cache?: number;
  /** On a GPU: loaded before the experts are there, which come while tokens are made, those that are wanted first; telemetry
   * (weights_fetch, load_complete) says how far they are. Default: when more than 64 MB have to be fetched. */
  early?: boolean;
  /** How many bytes are fetched and kept at once, a power of two from 16 KB to 16 MB. Default: 4 MB, or what is kept already. */
  chunk?: number;
}

export interface ModelInfo {
  name: string; arch: string; type: string; backend: string; level: string; chat: string;
  n_layer: number; n_embd: number; n_head: number; n_head_kv: number; head_dim: number; n_ff: number; n_expert: number; n_expert_used: number;
  n_vocab: number; n_ctx: number; window: number; max_kv: number; n_threads: number; n_params: number;
  file_bytes: number; resident_bytes: number; kv_bytes: number; step_bytes: number;
  /** Bytes that came over the network; 0 when all was kept. */
  fetched: number;
}

export type Role = "system" | "developer" | "user" | "assistant" | "tool";
export interface ToolCall { id: string; type: "function"; function: { name: string; arguments: string } }
export interface Message {
  role: Role; content: string | null; reasoning_content?: string; tool_calls?: ToolCall[]; tool_call_id?: string; name?: string;
}
export interface Tool { type: "function"; function: { name: string; description?: string; parameters?: object; strict?: boolean } }
export type Effort = "low" | "medium" | "high";

export interface Params {
  temperature?: number; top_p?: number; top_k?: number; min_p?: number; repetition_penalty?: number; presence_penalty?: number;
  frequency_penalty?: number; seed?: number; max_tokens?: number; max_completion_tokens?: number; stop?: string | string[];
  logit_bias?: Record<string, number>; top_logprobs?: number; ignore_stop?: boolean; draft?: boolean;
  response_format?: { type: "text" } | { type: "json_object" } | { type: "json_schema"; json_schema: { name?: string; schema: object } };
  reasoning_effort?: Effort;
  /** The date in the system message, YYYY-MM-DD; default: today. */
  date?: string;
}
export interface Request extends Params {
  messages?: Message[];
  /** Plain text instead of messages: no chat format. */
  prompt?: string;
  tools?: Tool[];
}

export interface Token {
  /** -1: text only, held back from earlier tokens. */
  token: number; text: string; channel: "" | "analysis" | "commentary" | "final"; recipient: string; message: number; position: number;
  logprob: number; probability: number; entropy: number; topK: { token: number; text: string; probability: number }[];
}
export interface Done {
  stop: "eos" | "text" | "length" | "call" | "canceled" | "error" | "none";
  nPrompt: number; nGenerated: number; nReused: number; prefillMs: number; decodeMs: number; firstMs?: number;
}

export interface Session {
  prefill(input: string | Message[] | Request): Promise<void>;
  decodeNext(): Promise<Token & { done?: false } | ({ done: true } & Done)>;
  generate(options?: number | Request, control?: { signal?: AbortSignal }): AsyncGenerator<Token, Done, void>;
  cancel(): void;
  close(): void;
}
export interface SessionOptions { system?: string; tools?: Tool[]; effort?: Effort; params?: Params }

export interface Model {
  readonly info: ModelInfo;
  createSession(options?: SessionOptions): Session;
  tokenize(text: string, options?: { special?: boolean }): Promise<number[]>;
  detokenize(ids: Iterable<number>): Promise<string>;
  /** The tokens that a chat request becomes. */
  render(request: Request): Promise<number[]>;
  stats(): Promise<Record<string, number>>;
  close(): void;
}

export interface CompletionRequest extends Request { messages: Message[]; model?: string; stream?: boolean; stream_options?: { include_usage?: boolean } }
export interface Usage { prompt_tokens: number; completion_tokens: number; total_tokens: number; prompt_tokens_details: { cached_tokens: number } }
export type FinishReason = "stop" | "length" | "tool_calls";
export interface ChatCompletion {
  id: string; object: "chat.completion"; created: number; model: string; usage: Usage;
  choices: { index: number; message: Message & { role: "assistant" }; finish_reason: FinishReason; logprobs: null }[];
}
export interface ToolCallDelta { index: number; id?: string; type?: "function"; function: { name?: string; arguments: string } }
export interface ChatCompletionChunk {
  id: string; object: "chat.completion.chunk"; created: number; model: string; usage?: Usage;
  choices: { index: number; delta: { role?: "assistant"; content?: string; reasoning_content?: string; tool_calls?: ToolCallDelta[] };
    finish_reason: FinishReason | null }[];
}

/** A telemetry line; see docs/telemetry.md. */
export interface Telemetry {
  type: "load_stage" | "inference_stage" | "inference_event"; ts_ms: number; stage?: string; status?: "started" | "progress" | "completed" | "failed";
  detail?: string; bytes?: number; total_bytes?: number; step?: number; total_steps?: number; event?: { type: string; [key: string]: unknown };
}

export interface Llm {
  readonly model: Model | null;
  /** Whether there is a GPU adapter, whether threads are possible, and where bytes are kept. */
  readonly gpu: boolean;
  /** There is WebGPU, but only in software: the CPU is used unless backend is "gpu". */
  readonly software: boolean;
  readonly isolated: boolean;
  readonly cache: "opfs" | "indexeddb" | "files" | "none";
  loadModel(source: string | URL | Blob | File | (string | Blob | File)[], options?: LoadOptions): Promise<Model>;
  readonly chat: { readonly completions: {
    create(request: CompletionRequest & { stream: true }, control?: { signal?: AbortSignal }): Promise<AsyncGenerator<ChatCompletionChunk, Done, void>>;
    create(request: CompletionRequest & { stream?: false }, control?: { signal?: AbortSignal }): Promise<ChatCompletion>;
  } };
  on(type: "telemetry", fn: (event: Telemetry) => void): () => void;
  on(type: "notice", fn: (text: string) => void): () => void;
  on(type: "error", fn: (error: Error) => void): () => void;
  /** Canvases that the engine's GPU draws by itself, without read-back; each is handed over for good. Load with telemetry "all". */
  attachPanels(canvases: Partial<Record<"attn" | "router" | "kv" | "activity", HTMLCanvasElement>>, options?: { calm?: boolean }): Promise<void>;
  resizePanels(sizes: Record<string, { width: number; height: number }>): void;
  stats(): Promise<{ tok_s: number; cache_hit: number; gpu_mem_est: number; [key: string]: number }>;
  /** In Node wait for it before process.exit(). */
  close(): Promise<void>;
}

export function init(config?: InitConfig): Promise<Llm>;
declare const gossamer: { init: typeof init };
export default gossamer;
