#!/usr/bin/env python3
"""lint.py - the rules of docs/style.md that a program can check. Prints FILE:LINE: what, then "lint: N passed, N failed".

Each file counts once. Rules: layers (a folder includes itself and folders to its left), a head comment, at most 800 lines but
for tables, 120 columns in C, no tabs or trailing blanks, no left-over marks, names, and no libc where only base may use it."""
import os, re, subprocess, sys

ORDER = ["base", "format", "text", "model", "cpu", "gpu", "engine"]
CODE = (".c", ".h", ".wgsl", ".js", ".mjs", ".ts", ".css", ".sh", ".py", ".html")
FORBIDDEN = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|printf|fprintf|sprintf|snprintf|vsnprintf|puts|getenv|exit|abort|strtod|atof|alloca)\s*\(")
# The only files of the library that may know the system or its libc.
SYSTEM = re.compile(r"src/base/(mem|os_\w+|thread\w*)\.c|src/gpu/gpu_native\.c")
HOSTS = re.compile(r"registry\.npmjs|deb\.debian\.org|archive\.ubuntu|npmmirror|\.artifactory|security\.debian")
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True).stdout
    return [f for f in out.split("\n") if f and os.path.isfile(f)]

def strip(text):
    """C without comments and strings, lines kept."""
    def blank(m): return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)

def layer_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None

def check_layers(path, text, say):
    layer = layer_of(path)
    for n, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m: continue
        target = os.path.normpath(os.path.join(os.path.dirname(path), m.group(1)))
        to = layer_of(target)
        if layer:
            if to is None: say(n, f"library code includes {target}")
            elif to not in ORDER: say(n, f"unknown layer of {target}")
            elif ORDER.index(to) > ORDER.index(layer) or {layer, to} == {"cpu", "gpu"}: say(n, f"{layer} may not include {to}")
        elif path.startswith("app/") and to and to not in ("base", "format"): say(n, f"app may not include {to}")

def check_c(path, text, say):
    check_layers(path, text, say)
    if not path.startswith(("src/", "include/")): return
    code = strip(text)
    if not SYSTEM.match(path):
        for n, line in enumerate(code.split("\n"), 1):
            m = FORBIDDEN.search(line)
            if m and not line.lstrip().startswith("#"): say(n, f"{m.group(1)} belongs to base")
    # Functions: from a line that opens a body in column 0 to the closing brace in column 0.
    start = None
    for n, line in enumerate(code.split("\n"), 1):
        if line.startswith("{"): start = n
        elif line.startswith("}") and start:
            if n - start > 120: say(start, f"a function of {n - start} lines")
            start = None

def check(path):
    bad = []
    say = lambda n, what: bad.append(f"{path}:{n}: {what}")
    with open(path, encoding="utf-8", errors="replace") as f: text = f.read()
    lines = text.split("\n")
    table = re.search(r"tables?\.(c|h)$|sample_exp2\.c$|tests/check/emulate/", path)
    if not table:
        if len(lines) > 801: say(len(lines), f"{len(lines)} lines, 800 at most")
        for n, line in enumerate(lines, 1):
            if len(line) > (120 if path.endswith((".c", ".h")) else 240): say(n, f"{len(line)} columns")
    for n, line in enumerate(lines, 1):
        if line != line.rstrip(): say(n, "blanks at the end")
        if "\t" in line and not path.endswith(("Makefile", ".sh")): say(n, "a tab")
        if MARKS.search(line) and path != "tools/lint.py": say(n, "a left-over mark")
    if path.endswith((".c", ".h")):
        name = os.path.basename(path)
        if not lines[0].startswith(f"/* {name} - "): say(1, f"the head should begin '/* {name} - '")
        check_c(path, text, say)
    if path.endswith(".wgsl") and not lines[0].startswith("//"): say(1, "a kernel begins with its contract")
    return bad

def exported():
    """External names of the library as built last: all begin with goss_."""
    lib = "build/cc/libgossamer.a"
    if not os.path.exists(lib): return []
    out = subprocess.run(["nm", "-g", "--defined-only", lib], capture_output=True, text=True).stdout
    names = {l.split()[2] for l in out.split("\n") if len(l.split()) == 3}
    return [f"{lib}:1: external name {n} lacks goss_" for n in sorted(names) if not n.startswith("goss_")]

def main():
    passed, bad = 0, [p for p in [exported()] if p]
    names = {}
    for path in files():
        if re.match(r"models/train/|tests/golden/|tests/fuzz/corpus/|web/dist/", path): continue
        problems = []
        if path.endswith(CODE) or os.path.basename(path) in ("Makefile", "run", "test"):
            problems = check(path)
            if path.startswith(("src/", "app/")) and path.endswith((".c", ".h")):
                other = names.setdefault(os.path.basename(path), path)
                if other != path: problems.append(f"{path}:1: the same file name as {other}")
        if not path.endswith((".gguf", ".png", ".blocks", ".f32", ".wasm")) and path != "tools/lint.py":
            with open(path, encoding="utf-8", errors="replace") as f:
                for n, line in enumerate(f, 1):
                    if HOSTS.search(line): problems.append(f"{path}:{n}: names a registry host")
        if problems: bad.append(problems)
        else: passed += 1
    for problems in bad: print("\n".join(problems[:20]))
    print(f"lint: {passed} passed, {len(bad)} failed")
    return 1 if bad else 0

if __name__ == "__main__": sys.exit(main())
