"""engine.py - Engine, one loaded model on one backend, and Session, one conversation with it.

Every call into an engine holds its lock, so threads may share an engine and its sessions: they poll in turn, and the
engine batches what they ask for. C is never entered twice: a telemetry callback may not call the engine, and a session
that the garbage collector takes is closed by the next call."""
from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from ctypes import byref, c_char_p, c_float, c_int32, c_void_p
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Iterator, Mapping, Sequence, TypeVar, Union

from ._library import CBias, CConfig, CError, CEvent, CInfo, CParams, CStats, TelemetryFn, library
from .chat import ChatChunk, ChatCompletion, ChatRequest, complete, stream

TELEMETRY = {"load": 1, "stages": 2, "tokens": 4, "layers": 8, "kernels": 16, "steps": 256, "seen": 512}
STOPS = ("", "eos", "stop_text", "length", "tool_call", "canceled", "error")
_SPECIAL, _BOS = 1, 2
_LOADING, _FAILED = 0, 2
_TOKEN, _PREFILL = 1, 2
_POLL_MS = 20

Prompt = Union[str, Sequence[int], Mapping[str, Any]]
"""A text, tokens, or a chat request as OpenAI's API has it."""


class GossamerError(Exception):
    """What the engine refused. `name` is the header's (\"EINVAL\"), `position` a byte of a file or text, or -1."""

    def __init__(self, code: int, text: str, position: int = -1) -> None:
        self.name = library().error_name(code).decode() or str(code)
        super().__init__(text or self.name)
        self.code, self.position = code, position


def _raise(code: int, err: CError) -> None:
    raise GossamerError(code, err.text.decode("utf-8", "replace"), err.position if err.code else -1)


@dataclass(frozen=True)
class Params:
    """How to sample: gossamer.h's goss_params. max_tokens 0 is up to the context, negative: only the prompt is computed."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int = 0
    seed: int = 0
    max_tokens: int = 0
    reasoning_budget: int = -1
    n_probs: int = 0
    ignore_stop: bool = False
    no_guard: bool = False
    draft: bool = False
    predicted: Sequence[int] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: Sequence[str] = ()
    json_schema: Union[Mapping[str, Any], str, None] = None
    tools: Union[Sequence[Mapping[str, Any]], None] = None
    must_call: bool = False
    one_call: bool = False
    builtin_tools: Sequence[str] = ()

    def c(self, chat: bool) -> CParams:
        """The structure, which keeps alive what it points to."""
        p: CParams = library().params_default()
        for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
                     "repeat_last_n", "max_tokens", "reasoning_budget", "n_probs"):
            setattr(p, name, getattr(self, name))
        p.seed = self.seed & (2**64 - 1)
        p.ignore_stop, p.no_guard, p.draft, p.chat = self.ignore_stop, self.no_guard, self.draft, chat
        p.predicted, p.n_predicted = (c_int32 * len(self.predicted))(*self.predicted), len(self.predicted)
        p.bias = (CBias * len(self.logit_bias))(*(CBias(t, b) for t, b in self.logit_bias.items()))
        p.n_bias = len(self.logit_bias)
        p.stop, p.n_stop = (c_char_p * len(self.stop))(*(s.encode() for s in self.stop)), len(self.stop)
        p.json_schema = _json(self.json_schema)
        p.tools_json = _json(self.tools)
        p.must_call, p.one_call = self.must_call, self.one_call
        p.builtin = sum({"browser": 1, "python": 2}[name] for name in set(self.builtin_tools))
        return p


def _json(value: Any) -> bytes | None:
    return None if value is None else value.encode() if isinstance(value, str) else json.dumps(value).encode()


@dataclass(frozen=True)
class Event:
    """What came of a prompt. kind: "prefill", "token", and one "done" at the end, with how it stopped."""

    kind: str
    text: str = ""
    token: int = -1
    position: int = -1
    channel: str = ""
    recipient: str = ""
    message: int = 0
    logprob: float = 0.0
    entropy: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    n_done: int = 0
    n_total: int = 0
    n_reused: int = 0
    stop: str = ""
    n_prompt: int = 0
    n_generated: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


def _event(e: CEvent) -> Event:
    if e.kind == _PREFILL:
        return Event("prefill", n_done=e.n_done, n_total=e.n_total, n_reused=e.n_reused)
    text = e.text[:e.n_text].decode("utf-8", "replace") if e.n_text else ""
    said: dict[str, Any] = {"text": text, "channel": (e.channel or b"").decode(), "recipient": (e.recipient or b"").decode(),
                            "message": e.message}
    if e.kind == _TOKEN:
        return Event("token", token=e.token, position=e.position, logprob=e.logprob, entropy=e.entropy,
                     top=tuple((e.top[i].token, e.top[i].logprob) for i in range(e.n_top)), **said)
    return Event("done", n_reused=e.n_reused, stop=STOPS[e.stop], n_prompt=e.n_prompt, n_generated=e.n_generated,
                 prefill_ms=e.prefill_ms, decode_ms=e.decode_ms, **said)


@dataclass(frozen=True)
class ModelInfo:
    """gossamer.h's goss_model_info."""

    name: str
    arch: str
    type: str
    backend: str
    level: str
    chat: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_ff: int
    n_expert: int
    n_expert_used: int
    n_vocab: int
    n_ctx: int
    window: int
    max_kv: int
    n_threads: int
    kv: str
    n_params: int
    file_bytes: int
    resident_bytes: int
    kv_bytes: int
    step_bytes: int
    step_expert_bytes: int


@dataclass(frozen=True)
class Stats:
    """gossamer.h's goss_stats."""

    n_steps: int
    n_rows: int
    n_prompt_tokens: int
    n_reused_tokens: int
    n_generated_tokens: int
    n_drafted: int
    n_accepted: int
    n_stored_tokens: int
    n_joined_tokens: int
    n_paused: int
    n_guarded: int
    n_schema: int
    schema_bytes: int
    schema_nodes: int
    schemas_refused: int
    schema_ms: float
    prefill_ms: float
    decode_ms: float
    kv_bytes_used: int
    gpu_bytes: int
    kv_bytes_shared: int
    expert_hits: int
    expert_misses: int
    expert_evictions: int
    expert_stalls: int
    expert_bytes: int
    expert_stall_ms: float
    n_sessions: int
    n_active: int
    load_progress: float


_Kind = TypeVar("_Kind", ModelInfo, Stats)


def _values(kind: type[_Kind], c: ctypes.Structure) -> _Kind:
    values = {f.name: getattr(c, f.name) for f in fields(kind)}
    return kind(**{k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()})


class Engine:
    """A loaded model. `options` are fields of gossamer.h's goss_engine_config: backend="cpu", n_threads=2, max_kv=4096,
    draft_path=..., kv_type="q8", gpu_memory=4 << 30 and so on. `telemetry` gets each event of the kinds in `watch`
    (docs/telemetry.md) as a dict; what it raises is raised by the call that polled."""

    def __init__(self, model: str | os.PathLike[str], *, telemetry: Callable[[dict[str, Any]], None] | None = None,
                 watch: Sequence[str] = ("load", "stages"), **options: Any) -> None:
        self._c, self._lock = library(), threading.RLock()
        self._engine, self._sessions = c_void_p(), weakref.WeakSet[Session]()
        self._inside = False
        self._orphans: list[c_void_p] = []
        self._hear = telemetry
        self._raised: BaseException | None = None
        config = _config(os.fspath(model), options)
        if telemetry:
            config.on_telemetry = self._on_telemetry = TelemetryFn(self._line)
            config.telemetry_mask = _mask(watch)
        err, self._inside = CError(), True
        rc = self._c.engine_open(byref(self._engine), byref(config), byref(err))
        while rc >= 0 and not self._raised and self._c.engine_state(self._engine) == _LOADING:
            rc = self._c.engine_poll(self._engine, 100, byref(err))
        self._inside = False
        if rc >= 0 and self._c.engine_state(self._engine) != _FAILED and not self._raised:
            return
        self.close()
        self._reraise()
        _raise(rc, err)

    # ---- its life ----
    def close(self) -> None:
        """Closes its sessions too. Twice is no mistake."""
        with self._lock:
            if not self._engine:
                return
            self._not_inside()
            for session in list(self._sessions):
                session._handle = c_void_p()
            self._orphans.clear()
            self._c.engine_close(byref(self._engine))

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_engine"):
            self.close()

    def _not_inside(self) -> None:
        if self._inside:
            raise RuntimeError("a telemetry callback may not call the engine")

    @contextmanager
    def _held(self) -> Iterator[c_void_p]:
        """The engine, for one call or a few; what the garbage collector left is closed first."""
        with self._lock:
            self._not_inside()
            if not self._engine:
                raise ValueError("the engine is closed")
            self._inside = True
            try:
                while self._orphans:
                    self._c.session_close(byref(self._orphans.pop()))
                yield self._engine
            finally:
                self._inside = False

    def _poll(self, timeout_ms: int, err: CError) -> int:
        rc: int = self._c.engine_poll(self._engine, timeout_ms, byref(err))
        self._reraise()
        return rc

    # ---- telemetry ----
    def _line(self, _: Any, line: Any, n: int) -> None:
        if self._hear is None or self._raised:
            return
        try:
            self._hear(json.loads(line[:n]))
        except BaseException as e:  # C can't carry it: the poll that called does
            self._raised = e

    def _reraise(self) -> None:
        raised, self._raised = self._raised, None
        if raised:
            raise raised

    def watch(self, *kinds: str) -> None:
        """Which telemetry comes from now on: "load", "stages", "tokens", "layers", "kernels"; nothing: none."""
        with self._held() as engine:
            self._c.engine_telemetry(engine, _mask(kinds))

    # ---- what it is ----
    @property
    def info(self) -> ModelInfo:
        c = CInfo()
        with self._held() as engine:
            self._c.engine_info(engine, byref(c))
        return _values(ModelInfo, c)

    @property
    def stats(self) -> Stats:
        c = CStats()
        with self._held() as engine:
            self._c.engine_stats(engine, byref(c))
        return _values(Stats, c)

    # ---- text ----
    def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """special: "<|start|>" is the token, not its letters; bos: the token that begins a text comes first."""
        raw, flags = text.encode(), (_SPECIAL if special else 0) | (_BOS if bos else 0)
        with self._held() as engine:
            return self._ids(lambda ids, n: self._c.tokenize(engine, raw, len(raw), flags, ids, n), len(raw) + 1)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """Bytes: they may end inside a character."""
        ids = (c_int32 * len(tokens))(*tokens)
        with self._held() as engine:
            n = self._c.detokenize(engine, ids, len(tokens), None, 0)
            if n < 0:
                raise GossamerError(n, "a token is outside the vocabulary")
            text = ctypes.create_string_buffer(n + 1)
            self._c.detokenize(engine, ids, len(tokens), text, n)
        return text.raw[:n]

    def render(self, request: Mapping[str, Any]) -> list[int]:
        """The tokens of a chat request, which end where the assistant begins."""
        raw, err = json.dumps(request).encode(), CError()
        with self._held() as engine:
            return self._ids(lambda ids, n: self._c.chat_render(engine, raw, len(raw), ids, n, byref(err)), len(raw), err)

    def _ids(self, call: Callable[[Any, int], Any], room: int, err: CError | None = None) -> list[int]:
        while True:
            ids = (c_int32 * max(room, 1))()
            n: int = call(ids, room)
            if n < 0:
                _raise(n, err or CError())
            if n <= room:
                return ids[:n]
            room = n

    def logits(self, tokens: Sequence[int]) -> list[float]:
        """What comes after the tokens, computed from an empty cache: a number for each token of the vocabulary."""
        out, err = (c_float * self.info.n_vocab)(), CError()
        with self._held() as engine:
            rc = self._c.eval(engine, (c_int32 * len(tokens))(*tokens), len(tokens), 0, 0, out, byref(err))
        if rc < 0:
            _raise(rc, err)
        return out[:]

    def embed(self, tokens: Sequence[int], pooling: str = "mean") -> list[float]:
        """The states behind the last norm as a vector of length 1: their mean, or ("last") the last one's."""
        if pooling not in ("mean", "last"):
            raise ValueError(f"pooling is mean or last, not {pooling!r}")
        out, err = (c_float * self.info.n_embd)(), CError()
        with self._held() as engine:
            rc = self._c.embed(engine, (c_int32 * len(tokens))(*tokens), len(tokens), int(pooling == "last"), out, byref(err))
        if rc < 0:
            _raise(rc, err)
        return out[:]

    # ---- generating ----
    def session(self) -> Session:
        handle, err = c_void_p(), CError()
        with self._held() as engine:
            rc = self._c.session_open(engine, byref(handle), byref(err))
            if rc < 0:
                _raise(rc, err)
            return Session(self, handle)

    def generate(self, prompt: Prompt, params: Params = Params()) -> Iterator[Event]:
        """The events of one prompt, in a session of its own."""
        with self.session() as session:
            yield from session.generate(prompt, params)

    def chat(self, request: ChatRequest) -> ChatCompletion:
        """Answers a chat request as OpenAI's API does. Fields that it doesn't know are ignored."""
        return complete(self, request)

    def chat_stream(self, request: ChatRequest) -> Iterator[ChatChunk]:
        """The same, as the chunks of a stream."""
        return stream(self, request)


class Session:
    """One conversation: prompts are whole token prefixes, and what they share with anything computed is reused."""

    def __init__(self, engine: Engine, handle: c_void_p) -> None:
        self.engine, self._handle, self._c = engine, handle, engine._c
        engine._sessions.add(self)

    def close(self) -> None:
        if self._handle:
            with self.engine._held():
                self._c.session_close(byref(self._handle))

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._handle:
            self.engine._orphans.append(self._handle)

    def _open(self) -> c_void_p:
        if not self._handle:
            raise ValueError("the session is closed")
        return self._handle

    @property
    def tokens(self) -> list[int]:
        """What its keys and values stand for."""
        with self.engine._held():
            return self.engine._ids(lambda ids, n: self._c.session_tokens(self._open(), ids, n), 256)

    def fork(self, n: int = -1) -> Session:
        """A session that begins with this one's first n tokens (all), shared; this one may be generating."""
        handle, err = c_void_p(), CError()
        with self.engine._held():
            rc = self._c.session_fork(self._open(), n, byref(handle), byref(err))
            if rc < 0:
                _raise(rc, err)
            return Session(self.engine, handle)

    def cancel(self) -> None:
        """Ends the generation: its "done" event says so."""
        with self.engine._held():
            self._c.session_cancel(self._open())

    def generate(self, prompt: Prompt, params: Params = Params()) -> Iterator[Event]:
        """The events of a prompt. It begins at once; a generator that is closed before its end cancels."""
        chat = isinstance(prompt, Mapping)
        if isinstance(prompt, str):
            ids = self.engine.tokenize(prompt, special=True, bos=True)
        elif isinstance(prompt, Mapping):
            ids = self.engine.render(prompt)
        else:
            ids = list(prompt)
        err, c = CError(), params.c(chat)
        with self.engine._held():
            rc = self._c.session_prompt(self._open(), (c_int32 * len(ids))(*ids), len(ids), byref(c), byref(err))
        if rc < 0:
            _raise(rc, err)
        return self._events(c)

    def _events(self, borrowed: CParams) -> Iterator[Event]:
        """`borrowed` lives as long as the generation: the engine reads it."""
        done = False
        try:
            while not done:
                event = self._next()
                if event:
                    done = event.kind == "done"
                    yield event
        finally:
            if not done and self._handle and not self.engine._inside:
                self.cancel()
                while self._handle and not done:
                    event = self._next()
                    done = event is not None and event.kind == "done"
            del borrowed

    def _next(self) -> Event | None:
        """The next event, after one poll where there is none yet."""
        c, err = CEvent(), CError()
        with self.engine._held():
            if self._c.session_event(self._open(), byref(c)):
                if c.kind not in (_TOKEN, _PREFILL) and STOPS[c.stop] == "error":
                    _raise(c.error.code, c.error)
                return _event(c)
            rc = self.engine._poll(_POLL_MS, err)
            if rc < 0:
                _raise(rc, err)
        return None


def _config(model: str, options: Mapping[str, Any]) -> CConfig:
    ours = {"model_path", "sources", "n_sources", "on_telemetry", "telemetry_ctx", "telemetry_mask", "prefix_store"}
    known = {name for name, *_ in CConfig._fields_} - ours
    config = CConfig(model_path=os.fsencode(model))
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"there is no option {name!r}; there are {', '.join(sorted(known))}")
        setattr(config, name, os.fsencode(value) if isinstance(value, (str, os.PathLike)) else value)
    return config


def _mask(kinds: Sequence[str]) -> int:
    unknown = set(kinds) - TELEMETRY.keys()
    if unknown:
        raise ValueError(f"no telemetry is named {', '.join(sorted(unknown))}; there are {', '.join(TELEMETRY)}")
    return sum(TELEMETRY[k] for k in set(kinds))
