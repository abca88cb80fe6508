#!/usr/bin/env python3
"""hello.py - asks a model one question, from a clone or where the wheel is installed:
    python3 examples/hello.py [MODEL [QUESTION]]"""
import subprocess
import sys
from pathlib import Path

clone = Path(__file__).resolve().parents[1]
if (clone / "python").is_dir():  # of a clone: builds the library where that was not done yet
    sys.path.insert(0, str(clone / "python"))
    subprocess.run(["make", "-s", "lib"], cwd=clone, check=True)

from gossamer import Engine, GossamerError


def main(model=str(clone / "models/demo-gptoss.gguf"), question="Which month comes after June?"):
    request = {"messages": [{"role": "user", "content": question}], "temperature": 0, "date": "2025-06-28"}
    try:
        with Engine(model) as engine:
            for chunk in engine.chat_stream(request):
                print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
            print()
    except GossamerError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main(*sys.argv[1:])
