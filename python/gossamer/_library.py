"""_library.py - libgossamer over ctypes: where it is, and gossamer.h's structures and calls as Python sees them.

tests/python/layout.py compares every structure here with the header, field by field."""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Iterator


class CError(ctypes.Structure):
    _c_name_ = "goss_error"
    _fields_ = [("code", c_int), ("position", c_int64), ("text", c_char * 232)]


TelemetryFn = ctypes.CFUNCTYPE(None, c_void_p, POINTER(c_char), c_size_t)


class CConfig(ctypes.Structure):
    _c_name_ = "goss_engine_config"
    _fields_ = [
        ("model_path", c_char_p), ("sources", c_void_p), ("n_sources", c_int), ("backend", c_char_p),
        ("draft_path", c_char_p), ("n_threads", c_int), ("max_kv", c_int), ("max_sessions", c_int), ("max_rows", c_int),
        ("kv_type", c_char_p), ("n_layers", c_int), ("moe_fallback", c_int), ("attn_dense", c_int),
        ("yarn_llamacpp", c_int), ("early", c_int), ("n_cpu_moe", c_int), ("gpu_limits_default", c_int),
        ("gpu_memory", c_uint64), ("resident_cap", c_uint64), ("expert_cache", c_uint64), ("kv_cap", c_uint64),
        ("cpu_mask", c_char_p), ("gpu_mask", c_char_p), ("webgpu_path", c_char_p), ("on_telemetry", TelemetryFn),
        ("telemetry_ctx", c_void_p), ("telemetry_mask", c_uint), ("telemetry_layer", c_int), ("telemetry_head", c_int),
        ("prefix_store", c_void_p), ("prefix_store_bytes", c_uint64), ("weights_mark", c_char_p),
        ("schemas_bytes", c_uint64), ("schema_bytes", c_uint64), ("schema_ms", c_int), ("ring", c_void_p),
        ("ring_split", c_char_p), ("gpu_kernels", c_char_p), ("on_kernels", c_void_p), ("kernels_ctx", c_void_p)]


class CInfo(ctypes.Structure):
    _c_name_ = "goss_model_info"
    _fields_ = [
        ("name", c_char * 64), ("arch", c_char * 16), ("type", c_char * 32), ("backend", c_char * 16),
        ("level", c_char * 24), ("chat", c_char * 16), ("n_layer", c_int), ("n_embd", c_int), ("n_head", c_int),
        ("n_head_kv", c_int), ("head_dim", c_int), ("n_ff", c_int), ("n_expert", c_int), ("n_expert_used", c_int),
        ("n_vocab", c_int), ("n_ctx", c_int), ("window", c_int), ("max_kv", c_int), ("n_threads", c_int),
        ("kv", c_char * 8), ("n_params", c_int64), ("file_bytes", c_uint64), ("resident_bytes", c_uint64),
        ("kv_bytes", c_uint64), ("step_bytes", c_uint64), ("step_expert_bytes", c_uint64)]


class CStats(ctypes.Structure):
    _c_name_ = "goss_stats"
    _fields_ = [
        ("n_steps", c_uint64), ("n_rows", c_uint64), ("n_prompt_tokens", c_uint64), ("n_reused_tokens", c_uint64),
        ("n_generated_tokens", c_uint64), ("n_drafted", c_uint64), ("n_accepted", c_uint64),
        ("n_stored_tokens", c_uint64), ("n_joined_tokens", c_uint64), ("n_paused", c_uint64),
        ("n_guarded", c_uint64), ("n_schema", c_uint64),
        ("schema_bytes", c_uint64), ("schema_nodes", c_uint64), ("schemas_refused", c_uint64), ("schema_ms", c_double),
        ("prefill_ms", c_double), ("decode_ms", c_double), ("kv_bytes_used", c_uint64), ("gpu_bytes", c_uint64),
        ("kv_bytes_shared", c_uint64), ("expert_hits", c_uint64), ("expert_misses", c_uint64),
        ("expert_evictions", c_uint64), ("expert_stalls", c_uint64), ("expert_bytes", c_uint64),
        ("expert_stall_ms", c_double), ("n_sessions", c_int), ("n_active", c_int), ("load_progress", c_double)]


class CBias(ctypes.Structure):
    _c_name_ = "goss_logit_bias"
    _fields_ = [("token", c_int32), ("bias", c_float)]


class CParams(ctypes.Structure):
    _c_name_ = "goss_params"
    _fields_ = [
        ("temperature", c_float), ("top_k", c_int), ("top_p", c_float), ("min_p", c_float), ("repeat_penalty", c_float),
        ("presence_penalty", c_float), ("frequency_penalty", c_float), ("repeat_last_n", c_int), ("seed", c_uint64),
        ("max_tokens", c_int), ("reasoning_budget", c_int), ("n_probs", c_int), ("ignore_stop", c_int), ("chat", c_int), ("no_guard", c_int),
        ("draft", c_int), ("predicted", POINTER(c_int32)), ("n_predicted", c_int), ("bias", POINTER(CBias)),
        ("n_bias", c_int), ("stop", POINTER(c_char_p)), ("n_stop", c_int), ("json_schema", c_char_p),
        ("tools_json", c_char_p), ("schemas", c_void_p), ("must_call", c_int), ("one_call", c_int),
        ("builtin", c_int), ("echo", c_int)]


class CProb(ctypes.Structure):
    _c_name_ = "goss_prob"
    _fields_ = [("token", c_int32), ("logprob", c_float)]


class CEvent(ctypes.Structure):
    _c_name_ = "goss_event"
    _fields_ = [
        ("kind", c_int), ("token", c_int32), ("position", c_int), ("text", POINTER(c_char)), ("n_text", c_int),
        ("channel", c_char_p), ("recipient", c_char_p), ("message", c_int), ("logprob", c_float), ("entropy", c_float),
        ("n_top", c_int), ("top", POINTER(CProb)), ("n_done", c_int), ("n_total", c_int), ("n_reused", c_int),
        ("stop", c_int), ("n_prompt", c_int), ("n_generated", c_int), ("prefill_ms", c_double), ("decode_ms", c_double),
        ("error", CError)]


STRUCTURES = (CError, CConfig, CInfo, CStats, CBias, CParams, CProb, CEvent)

# Every call that the package makes: its result and its parameters.
_CALLS: dict[str, tuple[Any, list[Any]]] = {
    "error_name": (c_char_p, [c_int]),
    "engine_open": (c_int, [POINTER(c_void_p), POINTER(CConfig), POINTER(CError)]),
    "engine_close": (None, [POINTER(c_void_p)]),
    "engine_poll": (c_int, [c_void_p, c_int, POINTER(CError)]),
    "engine_state": (c_int, [c_void_p]),
    "engine_telemetry": (None, [c_void_p, c_uint]),
    "engine_info": (None, [c_void_p, POINTER(CInfo)]),
    "engine_stats": (None, [c_void_p, POINTER(CStats)]),
    "tokenize": (c_int, [c_void_p, c_char_p, c_size_t, c_uint, POINTER(c_int32), c_int]),
    "detokenize": (c_int, [c_void_p, POINTER(c_int32), c_int, POINTER(c_char), c_int]),
    "chat_render": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_int32), c_int, POINTER(CError)]),
    "params_default": (CParams, []),
    "session_open": (c_int, [c_void_p, POINTER(c_void_p), POINTER(CError)]),
    "session_close": (None, [POINTER(c_void_p)]),
    "session_fork": (c_int, [c_void_p, c_int, POINTER(c_void_p), POINTER(CError)]),
    "session_prompt": (c_int, [c_void_p, POINTER(c_int32), c_int, POINTER(CParams), POINTER(CError)]),
    "session_event": (c_int, [c_void_p, POINTER(CEvent)]),
    "session_cancel": (None, [c_void_p]),
    "session_tokens": (c_int, [c_void_p, POINTER(c_int32), c_int]),
    "session_next_message": (c_int, [c_void_p, POINTER(c_int32), c_int]),
    "embed": (c_int, [c_void_p, POINTER(c_int32), c_int, c_int, POINTER(c_float), POINTER(CError)]),
    "eval": (c_int, [c_void_p, POINTER(c_int32), c_int, c_int, c_int, POINTER(c_float), POINTER(CError)]),
}


def _places() -> Iterator[str]:
    """Where the library may be: named, in the wheel, built in a clone, installed."""
    named = os.environ.get("GOSSAMER_LIBRARY")
    if named:
        yield named
        return
    here = Path(__file__).resolve().parent
    names = ("libgossamer.so", "libgossamer.dylib")
    yield from (str(here / name) for name in names)
    for folder in (here.parents[1] / "build" / "cc", *sorted((here.parents[1] / "build").glob("*"))):
        yield from (str(folder / name) for name in names)
    yield from ("/usr/local/lib/libgossamer.so.0", "libgossamer.so.0")


def _open() -> ctypes.CDLL:
    why = []
    for place in _places():
        if "/" in place and not os.path.exists(place):
            continue
        try:
            return ctypes.CDLL(place)
        except OSError as e:
            why.append(f"{place}: {e}")
    raise ImportError("libgossamer was not found: run `make lib` in the clone, or name the file in GOSSAMER_LIBRARY"
                      + "".join(f"\n  {w}" for w in why))


class Library:
    """The calls by their names without goss_, typed."""

    def __init__(self) -> None:
        self.dll = _open()
        for name, (result, parameters) in _CALLS.items():
            call = getattr(self.dll, "goss_" + name)
            call.restype, call.argtypes = result, parameters
            setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"libgossamer has no goss_{name} here")


_library: Library | None = None


def library() -> Library:
    """Opened when something first asks for it."""
    global _library
    if _library is None:
        _library = Library()
    return _library
