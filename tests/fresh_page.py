#!/usr/bin/env python3
"""fresh_page.py URL QUESTION ANSWER - fetches the page of a running server as a browser would, all its modules and both of
its wasm modules, and asks the API one question. Prints what is wrong; the exit status says whether something is."""
import json, re, sys
from urllib.parse import urljoin
from urllib.request import Request, urlopen

base, question, answer = sys.argv[1:]

def get(path):
    with urlopen(urljoin(base, path), timeout=30) as r: return r.headers.get("Content-Type", ""), r.read()

def modules(start):
    """Every module that the page's modules import, by name."""
    left, seen = [start], {}
    while left:
        path = left.pop()
        if path in seen: continue
        kind, body = get(path)
        assert "javascript" in kind, f"{path} is {kind}"
        seen[path] = body
        left += [urljoin(path, name) for name in re.findall(r'(?:from|import)\s*\(?\s*"(\.[^"]+\.js)"', body.decode())]
    return seen

kind, page = get("/gptoss")
assert kind.startswith("text/html"), kind
starts = re.findall(r'<script[^>]*src="([^"]+)"', page.decode())
assert starts, "the page has no script"
found = {}
for start in starts: found.update(modules(urljoin("/gptoss", start)))
assert len(found) > 10, f"only {len(found)} modules"
for name in ("gossamer.wasm", "gossamer-relaxed.wasm"):
    kind, body = get("/dist/" + name)
    assert kind == "application/wasm" and body[:4] == b"\0asm" and len(body) > 100000, f"{name}: {kind}, {len(body)} bytes"
body = json.dumps({"model": "demo-gptoss", "temperature": 0, "messages": [{"role": "user", "content": question}]}).encode()
with urlopen(Request(urljoin(base, "/v1/chat/completions"), body, {"Content-Type": "application/json"}), timeout=60) as r:
    said = json.load(r)["choices"][0]["message"]["content"]
assert said == answer, f"the API said: {said}"
print(f"page: {len(found)} modules, two wasm modules, and the API's answer")
