#!/usr/bin/env python3
"""lint.py - the rules of docs/style.md that a program can check. Prints FILE:LINE: what, then "lint: N passed, N failed".

Each file counts once. Rules: layers (a folder includes itself and folders to its left), a head comment, at most 800 lines but
for tables, 110 columns (documents 120, their tables aside), one brace style, functions of 60 lines, no tabs or trailing
blanks, no left-over marks, names, no libc where only base may use it, and one version everywhere."""
import os, re, subprocess, sys
sys.dont_write_bytecode = True
import words

ORDER = ["base", "format", "text", "model", "pipeline", "cpu", "gpu", "engine"]
CODE = (".c", ".h", ".wgsl", ".js", ".mjs", ".ts", ".css", ".sh", ".py", ".html")
FORBIDDEN = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|printf|fprintf|sprintf|snprintf|vsnprintf|puts|getenv|exit|abort|strtod|atof|alloca)\s*\(")
# The only files of the library that may know the system or its libc.
SYSTEM = re.compile(r"src/base/(mem|os_\w+|thread\w*)\.c|src/gpu/device/gpu_native\.c")
HOSTS = re.compile(r"registry\.npmjs|deb\.debian\.org|archive\.ubuntu|npmmirror|\.artifactory|security\.debian")
# C has 110 columns. As they are: texts, drawings in comments, macros; and what is a table of instructions or of another's names.
C = re.compile(r"(?!src/cpu/|src/gpu/device/webgpu_abi\.h|bench/peers/).*\.[ch]$")
AS_IT_IS = re.compile(r'\s*"|\s*\* {2,}|.*\\$')
# A function opens its brace on a line of its own, in column 0, and ends 60 lines later at most.
HEAD = re.compile(r"(?!typedef|struct|enum|union|static const|#)[a-z].*\) \{$")
FUNCTION_MOST = 60
# JavaScript has 110 columns, but for these files.
NARROW = re.compile(r".*\.(js|mjs|ts)$")
IMPORT = re.compile(r'^(?:import|export)\b[^"\n]*(?:\n[^"\n]*)*?"(\.[^"]+)"|\bimport\("(\.[^"]+)"\)', re.M)
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

def included(path, name):
    """The file that `#include "name"` in path means: in the same folder, or below one of the Makefile's INCLUDES."""
    for root in (os.path.dirname(path), "src", "app", "."):
        target = os.path.normpath(os.path.join(root, name))
        if os.path.isfile(target): return target
    return None

def check_layers(path, text, say):
    layer = layer_of(path)
    for n, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m: continue
        target = included(path, m.group(1))
        if not target: continue                      # not ours: a test's generated header
        to = layer_of(target)
        if layer:
            if to is None: say(n, f"library code includes {target}")
            elif to not in ORDER: say(n, f"unknown layer of {target}")
            elif ORDER.index(to) > ORDER.index(layer) or {layer, to} == {"cpu", "gpu"}: say(n, f"{layer} may not include {to}")
        elif path.startswith("app/") and to and to not in ("base", "format"): say(n, f"app may not include {to}")

def import_circles(paths):
    """Modules that import one another in a circle."""
    left = {}
    for path in paths:
        with open(path, encoding="utf-8") as f: names = [a or b for a, b in IMPORT.findall(f.read())]
        left[path] = {os.path.normpath(os.path.join(os.path.dirname(path), n)) for n in names}
    while True:                          # what imports nothing that is left, or is imported by nothing, goes
        wanted = set().union(*left.values()) if left else set()
        free = [p for p, to in left.items() if not to & left.keys() or p not in wanted]
        if not free: return [f"{p}:1: in a circle of imports: {', '.join(sorted(left))}" for p in sorted(left)]
        for p in free: del left[p]

def check_c(path, text, say):
    check_layers(path, text, say)
    code = strip(text)
    if path.startswith(("src/", "include/")) and not SYSTEM.match(path):
        for n, line in enumerate(code.split("\n"), 1):
            m = FORBIDDEN.search(line)
            if m and not line.lstrip().startswith("#"): say(n, f"{m.group(1)} belongs to base")
    # Functions: from a line that opens a body in column 0 to the closing brace in column 0.
    start = None
    for n, line in enumerate(code.split("\n"), 1):
        if HEAD.match(line): say(n, "a function's brace stands on a line of its own")
        if line.startswith("{"): start = n
        elif line.startswith("}") and start:
            if n - start - 1 > FUNCTION_MOST and path.startswith(("src/", "app/")): say(start, f"a function of {n - start - 1} lines, {FUNCTION_MOST} at most")
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
            most = 110 if C.match(path) and not AS_IT_IS.match(line) or NARROW.match(path) else 240
            if len(line) > most: say(n, f"{len(line)} columns")
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

def check_document(path):
    bad, code = [], False
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.lstrip().startswith("```"): code = not code
            table = code or line.lstrip().startswith("|")
            if len(line) > 120 and not table: bad.append(f"{path}:{n}: {len(line)} columns")
    return bad

def exported():
    """External names of the library as built last: all begin with goss_."""
    lib = "build/cc/libgossamer.a"
    if not os.path.exists(lib): return []
    out = subprocess.run(["nm", "-g", "--defined-only", lib], capture_output=True, text=True).stdout
    names = {l.split()[2] for l in out.split("\n") if len(l.split()) == 3}
    return [f"{lib}:1: external name {n} lacks goss_" for n in sorted(names) if not n.startswith("goss_")]

def versions():
    """The header's version is the packages' and the one on top of the changelog."""
    found = {}
    for path, pattern in (("include/gossamer.h", r'GOSS_VERSION "([^"]+)"'), ("web/package.json", r'"version": "([^"]+)"'),
                          ("python/gossamer/__init__.py", r'__version__ = "([^"]+)"'), ("CHANGELOG.md", r"(?m)^## (\S+)")):
        with open(path, encoding="utf-8") as f: m = re.search(pattern, f.read())
        found[path] = m.group(1) if m else "none"
    return [] if len(set(found.values())) == 1 else [f"{p}:1: version {v}, not the same everywhere" for p, v in found.items()]

def main():
    passed, bad = 0, [p for p in [exported(), versions()] if p]
    if not words.is_current(): bad.append([f"{words.OUT}:1: not what tools/words.py makes of the lists"])
    names = {}
    bad += [p for p in [import_circles([f for f in files() if re.match(r"web/js/.*\.js$", f)])] if p]
    for path in files():
        if re.match(r"models/train/|tests/golden/|tests/fuzz/corpus/|web/dist/", path): continue
        problems = []
        if path.endswith(CODE) or os.path.basename(path) in ("Makefile", "run", "test"):
            problems = check(path)
            if path.startswith(("src/", "app/")) and path.endswith((".c", ".h")):
                other = names.setdefault(os.path.basename(path), path)
                if other != path: problems.append(f"{path}:1: the same file name as {other}")
        if path.endswith(".md"): problems = check_document(path)
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
