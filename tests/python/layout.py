#!/usr/bin/env python3
"""layout.py [CC] - compares the Python package's structures with gossamer.h, by a C program that prints what the compiler sees:
every field's place and size, the structures' sizes, the numbers that Python repeats, and that a call of Python's exists in the header."""
import ctypes, os, re, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
from gossamer import _library as lib, engine

NUMBERS = {f"GOSS_TELEMETRY_{k.upper()}": v for k, v in engine.TELEMETRY.items()}
NUMBERS.update({f"GOSS_STOP_{n}": i for i, n in enumerate("NONE EOS TEXT LENGTH CALL CANCELED ERROR".split())})
NUMBERS.update({"GOSS_EVENT_TOKEN": engine._TOKEN, "GOSS_EVENT_PREFILL": engine._PREFILL, "GOSS_ENGINE_LOADING": engine._LOADING,
                "GOSS_ENGINE_FAILED": engine._FAILED, "GOSS_TOKENIZE_SPECIAL": engine._SPECIAL, "GOSS_TOKENIZE_BOS": engine._BOS})

def program(header):
    """C that prints what Python should have: a field that Python lacks is found in the header's text."""
    lines = ['#include <gossamer.h>', '#include <stdio.h>', 'int main(void) {']
    for s in lib.STRUCTURES:
        lines.append(f'printf("{s._c_name_} %zu\\n", sizeof({s._c_name_}));')
        for name, *_ in s._fields_:
            lines.append(f'printf("{s._c_name_}.{name} %zu %zu\\n", offsetof({s._c_name_}, {name}), sizeof((({s._c_name_} *)0)->{name}));')
    lines += [f'printf("{n} %d\\n", {n});' for n in NUMBERS]
    return "\n".join([*lines, "return 0; }"])

def expected():
    for s in lib.STRUCTURES:
        yield f"{s._c_name_} {ctypes.sizeof(s)}"
        for name, *_ in s._fields_:
            f = getattr(s, name)
            yield f"{s._c_name_}.{name} {f.offset} {f.size}"
    yield from (f"{n} {v}" for n, v in NUMBERS.items())

def parameters(header):
    """How many parameters each function of the header has."""
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    found = {}
    for name, inside in re.findall(r"GOSS_API\s[^;]*?\bgoss_(\w+)\(((?:[^()]|\([^()]*\))*)\);", code):
        flat = re.sub(r"\([^()]*\)", "", inside)
        found[name] = 0 if flat.strip() == "void" else flat.count(",") + 1
    return found

def main(cc="cc"):
    header = (ROOT / "include/gossamer.h").read_text()
    with tempfile.TemporaryDirectory() as d:
        source = Path(d, "layout.c")
        source.write_text(program(header))
        subprocess.run([*cc.split(), "-std=c11", "-I", ROOT / "include", "-o", f"{d}/layout", source], check=True)
        got = subprocess.run([f"{d}/layout"], capture_output=True, text=True, check=True).stdout.splitlines()
    bad = [f"{mine}, but the header says {theirs}" for mine, theirs in zip(expected(), got) if mine != theirs]
    calls = parameters(header)
    for name, (_, args) in lib._CALLS.items():
        if calls.get(name) != len(args): bad.append(f"goss_{name} has {calls.get(name)} parameters, here {len(args)}")
    for line in bad: print(line)
    print(f"python layout: {len(got) + len(lib._CALLS) - len(bad)} passed, {len(bad)} failed")
    return bool(bad) or len(got) < 150

if __name__ == "__main__": sys.exit(main(*sys.argv[1:]))
