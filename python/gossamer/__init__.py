"""gossamer - runs gpt-oss and llama GGUF models in this process, over libgossamer.

    from gossamer import Engine
    with Engine("models/demo-gptoss.gguf") as engine:
        answer = engine.chat({"messages": [{"role": "user", "content": "Which month comes after June?"}]})
        print(answer["choices"][0]["message"]["content"])
"""
from .chat import ChatChunk, ChatCompletion, ChatRequest
from .engine import Engine, Event, GossamerError, ModelInfo, Params, Session, Stats

__version__ = "0.2.0"
__all__ = ["ChatChunk", "ChatCompletion", "ChatRequest", "Engine", "Event", "GossamerError", "ModelInfo", "Params",
           "Session", "Stats", "__version__"]
