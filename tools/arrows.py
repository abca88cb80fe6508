#!/usr/bin/env python3
"""arrows.py - who uses whom in src/ and app/, and that nobody goes round in a circle.

A unit is a .c file with its .h. An arrow goes from a unit to another whose header it includes, or (in what was built last)
whose function or table it uses. Rooms are folders; their order is DESIGN.md's. Prints FILE: what for every circle of units
every arrow upward, and what DESIGN.md's diagram lacks, then "arrows: N passed, N failed".
   arrows.py circles: each circle with the symbols that make it
   arrows.py diagram: the rooms and their arrows, as DESIGN.md shows them (after a build)"""
import collections, os, re, subprocess, sys

# From the bottom up. A room may use itself and those before it; cpu and gpu don't see each other.
ROOMS = ["base", "format", "text", "model", "pipeline", "cpu",
         "gpu/device", "gpu/kernels", "gpu/weights", "gpu/step", "gpu",
         "engine/telemetry", "engine/tape", "engine/schema", "engine/prefix", "engine",
         "app/net", "app/mcp", "app/common", "app/ring", "app/layer", "app/module", "app/server", "app/cli"]

def room_of(path):
    folder = os.path.dirname(path)
    return folder[4:] if folder.startswith("src/") else folder

def unit_of(path):
    return os.path.splitext(path)[0]

def sources():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "src", "app"], capture_output=True, text=True, check=True).stdout
    return [f for f in out.split("\n") if f.endswith((".c", ".h")) and os.path.isfile(f)]

def included(path, name):
    for root in (os.path.dirname(path), "src", "app", "."):
        target = os.path.normpath(os.path.join(root, name))
        if os.path.isfile(target): return target
    return None

def include_arrows(files):
    arrows = collections.defaultdict(dict)
    for f in files:
        for m in re.finditer(r'(?m)^\s*#\s*include\s+"([^"]+)"', open(f, encoding="utf-8").read()):
            to = included(f, m.group(1))
            if to and unit_of(to) != unit_of(f): arrows[unit_of(f)].setdefault(unit_of(to), set()).add(f'"{m.group(1)}"')
    return arrows

def symbol_arrows(files):
    """From the objects of build/cc, where they are there."""
    defined, wanted = {}, collections.defaultdict(set)
    for f in files:
        o = "build/cc/" + unit_of(f) + ".o"
        if not f.endswith(".c") or not os.path.isfile(o): continue
        for line in subprocess.run(["nm", "-g", o], capture_output=True, text=True).stdout.split("\n"):
            parts = line.split()
            if len(parts) == 2 and parts[0] == "U": wanted[unit_of(f)].add(parts[1])
            elif len(parts) == 3 and parts[1] in "TDBRV": defined[parts[2]] = unit_of(f)
    arrows = collections.defaultdict(dict)
    for u, names in wanted.items():
        for n in names:
            if n in defined and defined[n] != u: arrows[u].setdefault(defined[n], set()).add(n)
    return arrows

def merged(*maps):
    out = collections.defaultdict(dict)
    for m in maps:
        for a, tos in m.items():
            for b, why in tos.items(): out[a].setdefault(b, set()).update(why)
    return out

def circles(arrows):
    """Tarjan's strongly connected components of more than one unit."""
    index, low, stack, on, found = {}, {}, [], set(), []
    def visit(v):
        work = [(v, iter(sorted(arrows.get(v, ()))))]
        index[v] = low[v] = len(index); stack.append(v); on.add(v)
        while work:
            u, it = work[-1]
            w = next(it, None)
            if w is None:
                work.pop()
                if work: low[work[-1][0]] = min(low[work[-1][0]], low[u])
                if low[u] == index[u]:
                    part = []
                    while True:
                        x = stack.pop(); on.discard(x); part.append(x)
                        if x == u: break
                    if len(part) > 1: found.append(sorted(part))
            elif w not in index:
                index[w] = low[w] = len(index); stack.append(w); on.add(w)
                work.append((w, iter(sorted(arrows.get(w, ())))))
            elif w in on: low[u] = min(low[u], index[w])
    for v in sorted(arrows):
        if v not in index: visit(v)
    return found

def upward(arrows):
    bad = []
    for a, tos in arrows.items():
        for b, why in tos.items():
            ra, rb = room_of(a), room_of(b)
            if ra == rb or ra not in ROOMS or rb not in ROOMS: continue
            one_side = {ra.split("/")[0], rb.split("/")[0]} == {"cpu", "gpu"}
            if ROOMS.index(rb) > ROOMS.index(ra) or one_side: bad.append(f"{a}: may not use {b} ({', '.join(sorted(why)[:3])})")
    return bad

def of_rooms(arrows):
    rooms = collections.defaultdict(set)
    for a, tos in arrows.items():
        rooms[room_of(a)] |= {room_of(b) for b in tos if room_of(b) != room_of(a)}
    return {r: below for r, below in rooms.items() if below}

def diagram(arrows):
    rooms, place = of_rooms(arrows), lambda r: ROOMS.index(r) if r in ROOMS else len(ROOMS)
    return [f"{r:18} -> {', '.join(sorted(rooms[r], key=place))}" for r in sorted(rooms, key=place)]

def not_drawn(included, arrows, built):
    """DESIGN.md's diagram has every arrow of the includes, and after a build just those of includes and symbols."""
    with open("DESIGN.md", encoding="utf-8") as f: text = f.read()
    drawn = {r: set(below.split(", ")) for r, below in re.findall(r"(?m)^([a-z/]+) +-> (.+)$", text)}
    rooms, bad = of_rooms(included), []
    for r in sorted(set(rooms) | set(drawn)):
        lacks = rooms.get(r, set()) - drawn.get(r, set())
        if lacks or (built and of_rooms(arrows).get(r, set()) != drawn.get(r, set())):
            bad.append(f"DESIGN.md: the diagram's arrows of {r} are not those of the code (tools/arrows.py diagram)")
    return bad

def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = sources()
    included, symbols = include_arrows(files), symbol_arrows(files)
    arrows = merged(included, symbols)
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "diagram": return print("\n".join(diagram(arrows)))
    found, bad = circles(arrows), upward(arrows) + not_drawn(included, arrows, symbols)
    for part in found:
        print(f"{part[0]}: a circle of {len(part)}: {' '.join(os.path.basename(p) for p in part)}")
        if what == "circles":
            for a in part:
                for b in part:
                    if b in arrows.get(a, {}): print(f"    {os.path.basename(a)} -> {os.path.basename(b)}: {' '.join(sorted(arrows[a][b])[:6])}")
    for line in bad: print(line)
    print(f"arrows: {len({unit_of(f) for f in files})} passed, {len(found) + len(bad)} failed")
    return 1 if found or bad else 0

if __name__ == "__main__": sys.exit(main())
