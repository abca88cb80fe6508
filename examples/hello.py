#!/usr/bin/env python3
"""Asks a model one question through libgossamer, with nothing but ctypes:
    python3 hello.py libgossamer.so model.gguf "What is the capital of France?" """
import ctypes
import json
import sys


class Error(ctypes.Structure):  # goss_error
    _fields_ = [("code", ctypes.c_int), ("position", ctypes.c_int64), ("text", ctypes.c_char * 232)]


class Params(ctypes.Structure):  # goss_params
    _fields_ = [
        ("temperature", ctypes.c_float), ("top_k", ctypes.c_int), ("top_p", ctypes.c_float), ("min_p", ctypes.c_float),
        ("repeat_penalty", ctypes.c_float), ("presence_penalty", ctypes.c_float), ("frequency_penalty", ctypes.c_float),
        ("repeat_last_n", ctypes.c_int), ("seed", ctypes.c_uint64), ("max_tokens", ctypes.c_int), ("n_probs", ctypes.c_int),
        ("ignore_stop", ctypes.c_int), ("chat", ctypes.c_int), ("no_guard", ctypes.c_int), ("draft", ctypes.c_int),
        ("predicted", ctypes.c_void_p), ("n_predicted", ctypes.c_int), ("bias", ctypes.c_void_p), ("n_bias", ctypes.c_int), ("stop", ctypes.POINTER(ctypes.c_char_p)), ("n_stop", ctypes.c_int),
        ("json_schema", ctypes.c_char_p), ("tools_json", ctypes.c_char_p)]


ON_TEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_int)


def main(library, model, question):
    goss = ctypes.CDLL(library)
    goss.goss_params_default.restype = Params
    err, engine = Error(), ctypes.c_void_p()
    if goss.goss_load(ctypes.byref(engine), model.encode(), ctypes.byref(err)) < 0:
        sys.exit(err.text.decode())
    params = goss.goss_params_default()
    params.chat, params.temperature = 1, 0
    request = json.dumps({"messages": [{"role": "user", "content": question}], "date": "2025-06-28"}).encode()

    @ON_TEXT
    def on_text(_, text, n):
        sys.stdout.buffer.write(text[:n])
        sys.stdout.buffer.flush()
        return 0

    rc = goss.goss_complete_stream(engine, request, ctypes.byref(params), on_text, None, ctypes.byref(err))
    goss.goss_engine_close(ctypes.byref(engine))
    print() if rc >= 0 else sys.exit(err.text.decode())


if __name__ == "__main__":
    args = sys.argv[1:] + ["libgossamer.so", "models/demo-gptoss.gguf", "Which month comes after June?"][len(sys.argv) - 1:]
    main(*args)
