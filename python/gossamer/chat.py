"""chat.py - chat requests and answers as dicts in the shape of OpenAI's API, over an engine's events."""
from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Sequence, TypedDict, Union, cast

if TYPE_CHECKING:
    from .engine import Engine, Event, Params


class _RequestMust(TypedDict):
    messages: Sequence[Mapping[str, Any]]


class ChatRequest(_RequestMust, total=False):
    """What is read of a chat request. Anything else may be there and is ignored."""

    tools: Sequence[Mapping[str, Any]]
    tool_choice: Union[str, Mapping[str, Any]]
    parallel_tool_calls: bool
    builtin_tools: Sequence[str]
    response_format: Mapping[str, Any]
    reasoning_effort: str
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repeat_penalty: float
    logit_bias: Mapping[str, float]
    seed: int
    max_tokens: int
    max_completion_tokens: int
    stop: Union[str, Sequence[str]]
    logprobs: bool
    top_logprobs: int
    date: str


class Function(TypedDict):
    name: str
    arguments: str


class _CallMust(TypedDict):
    id: str
    type: str
    function: Function


class ToolCall(_CallMust, total=False):
    index: int


class Message(TypedDict, total=False):
    """Of a whole answer; of a chunk, what it adds (`delta`)."""

    role: str
    content: Union[str, None]
    reasoning_content: str
    tool_calls: List[ToolCall]


class TopLogprob(TypedDict):
    token: str
    logprob: float
    bytes: List[int]


class Logprob(TopLogprob):
    top_logprobs: List[TopLogprob]


class Logprobs(TypedDict):
    content: List[Logprob]


class Choice(TypedDict):
    index: int
    message: Message
    logprobs: Union[Logprobs, None]
    finish_reason: str


class ChunkChoice(TypedDict):
    index: int
    delta: Message
    logprobs: Union[Logprobs, None]
    finish_reason: Union[str, None]


class PromptDetails(TypedDict):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class _Common(TypedDict):
    id: str
    object: str
    created: int
    model: str


class ChatCompletion(_Common):
    choices: List[Choice]
    usage: Usage


class ChatChunk(_Common, total=False):
    """The last one has `usage`."""

    choices: List[ChunkChoice]
    usage: Usage


# Fields of a request that are the engine's by the same name.
_SAME = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty", "seed")


def _params(request: Mapping[str, Any]) -> Params:
    """What a request says about sampling. Without tools nothing may be called."""
    from .engine import Params
    given = {k: request[k] for k in _SAME if request.get(k) is not None}
    most = request.get("max_completion_tokens") or request.get("max_tokens")
    if most:
        given["max_tokens"] = most
    stop = request.get("stop") or ()
    given["stop"] = [stop] if isinstance(stop, str) else list(stop)
    given["logit_bias"] = {int(k): v for k, v in (request.get("logit_bias") or {}).items()}
    if request.get("logprobs"):
        given["n_probs"] = max(1, request.get("top_logprobs") or 0)
    tools = request.get("tools") or []
    choice = request.get("tool_choice")
    given["tools"] = [] if choice == "none" else list(tools)
    given["must_call"] = bool(given["tools"]) and (choice == "required" or isinstance(choice, Mapping))
    given["one_call"] = request.get("parallel_tool_calls") is False
    given["builtin_tools"] = request.get("builtin_tools") or ()
    form = request.get("response_format") or {}
    if form.get("type") == "json_object":
        given["json_schema"] = {}
    elif form.get("type") == "json_schema":
        given["json_schema"] = form["json_schema"].get("schema", {})
    return Params(**given)


def _rendered(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine renders: with tool_choice "none" the model does not see the tools."""
    shown = {k: v for k, v in request.items() if v is not None}
    if shown.get("tool_choice") == "none":
        shown.pop("tools", None)
    return shown


@dataclass
class _Answer:
    """Makes pieces of an answer from events. A message of the model is one kind of piece; messages of a kind are joined
    by an empty line."""

    engine: Engine
    logprobs: bool
    n_top: int
    id: str = field(default_factory=lambda: "chatcmpl-" + secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))
    n_calls: int = 0
    n_reused: int = 0
    _message: tuple[str, int] = ("", -1)
    _seen: set[str] = field(default_factory=set)

    def common(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.engine.info.name}

    def delta(self, event: Event) -> Message | None:
        kind = "call" if event.recipient else "reasoning_content" if event.channel == "analysis" else "content"
        if not event.text and kind != "call":
            return None
        begins, self._message = self._message != (kind, event.message), (kind, event.message)
        if kind == "call":
            return self._call(event, begins) if begins or event.text else None
        gap = "\n\n" if begins and kind in self._seen else ""
        self._seen.add(kind)
        return cast(Message, {kind: gap + event.text})

    def _call(self, event: Event, begins: bool) -> Message:
        call: dict[str, Any] = {"index": self.n_calls - (not begins), "function": {"arguments": event.text}}
        if begins:
            self.n_calls += 1
            name = event.recipient
            call.update(id="call_" + secrets.token_hex(12), type="function")
            call["function"]["name"] = name[len("functions."):] if name.startswith("functions.") else name
        return {"tool_calls": [cast(ToolCall, call)]}

    def probs(self, event: Event) -> Logprobs | None:
        """Of a token of the content; a control token has no text."""
        if not self.logprobs or event.token < 0 or not event.text or event.recipient or event.channel == "analysis":
            return None
        one = cast(Logprob, self._prob(event.token, event.logprob))
        one["top_logprobs"] = [self._prob(t, p) for t, p in event.top[:self.n_top]]
        return {"content": [one]}

    def _prob(self, token: int, logprob: float) -> TopLogprob:
        raw = self.engine.detokenize([token])
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    def finish(self, done: Event) -> str:
        return "length" if done.stop == "length" else "tool_calls" if self.n_calls else "stop"

    def usage(self, done: Event) -> Usage:
        return {"prompt_tokens": done.n_prompt, "completion_tokens": done.n_generated,
                "total_tokens": done.n_prompt + done.n_generated, "prompt_tokens_details": {"cached_tokens": self.n_reused}}


def stream(engine: Engine, request: Mapping[str, Any]) -> Iterator[ChatChunk]:
    """The chunks of an answer: the first has the role, the last the reason and the usage."""
    if (request.get("n") or 1) != 1:
        raise ValueError("n: one answer a call; ask several times, the prompt is computed once")
    answer = _Answer(engine, bool(request.get("logprobs")), request.get("top_logprobs") or 0)
    params = _params(request)
    session = engine.session()
    events = session.generate(_rendered(request), params)

    def chunk(delta: Message, probs: Logprobs | None, finish: str | None) -> ChatChunk:
        choice = {"index": 0, "delta": delta, "logprobs": probs, "finish_reason": finish}
        return cast(ChatChunk, {**answer.common("chat.completion.chunk"), "choices": [choice]})

    def chunks() -> Iterator[ChatChunk]:
        with session:
            yield chunk({"role": "assistant", "content": ""}, None, None)
            for event in events:
                if event.kind == "prefill":
                    answer.n_reused = event.n_reused
                    continue
                delta = answer.delta(event)
                if delta:
                    yield chunk(delta, answer.probs(event), None)
                if event.kind == "done":
                    last = chunk({}, None, answer.finish(event))
                    last["usage"] = answer.usage(event)
                    yield last

    return chunks()


def complete(engine: Engine, request: Mapping[str, Any]) -> ChatCompletion:
    """The whole answer: its chunks, put together."""
    text: dict[str, str] = {}
    calls: list[ToolCall] = []
    probs: list[Logprob] = []
    for piece in stream(engine, request):
        choice = piece["choices"][0]
        probs += choice["logprobs"]["content"] if choice["logprobs"] else []
        for kind in ("content", "reasoning_content"):
            if kind in choice["delta"]:
                text[kind] = text.get(kind, "") + cast(Any, choice["delta"])[kind]
        for call in choice["delta"].get("tool_calls", []):
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "type": "function", "function": {"name": call["function"]["name"], "arguments": ""}})
            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    message: Message = {"role": "assistant", "content": text.get("content", "") if text.get("content") or not calls else None}
    if "reasoning_content" in text:
        message["reasoning_content"] = text["reasoning_content"]
    if calls:
        message["tool_calls"] = calls
    finish = choice["finish_reason"] or "stop"
    whole: Choice = {"index": 0, "message": message, "logprobs": {"content": probs} if request.get("logprobs") else None,
                     "finish_reason": finish}
    return cast(ChatCompletion, {"id": piece["id"], "object": "chat.completion", "created": piece["created"],
                                 "model": piece["model"], "choices": [whole], "usage": piece["usage"]})
