#!/usr/bin/env python3
"""same_objects.py TREE BUILD - gives an older TREE the objects in BUILD (build/cc) whose sources are the same there, so that the
speed suite compiles only what changed since. An object's sources are those that its .d file names. Where the Makefile or the
tool that embeds kernels changed, it copies nothing. Prints how many objects it copied."""
import filecmp, os, re, shutil, sys

def same(tree, paths):
    return all(os.path.isfile(f"{tree}/{p}") and filecmp.cmp(p, f"{tree}/{p}", shallow=False) for p in paths)

def sources(d_file):
    text = open(d_file).read().replace("\\\n", " ")
    first = re.match(r"\S+\.o:(.*)", text)
    return [p for p in first.group(1).split() if not p.startswith("/")] if first else None

def kernels(tree):
    found = []
    for folder, _, names in os.walk(f"{tree}/src/gpu"):
        found += [os.path.relpath(f"{folder}/{n}", tree) for n in names if n.endswith(".wgsl")]
    return sorted(found)

def copy(tree, path):
    os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
    shutil.copyfile(path, f"{tree}/{path}")     # its time is now: newer than every source of the tree

def main():
    tree, build = sys.argv[1:3]
    copied = 0
    if same(tree, ["Makefile", "tools/embed.c"]):
        for folder, _, names in os.walk(build):
            for d_file in (f"{folder}/{n}" for n in names if n.endswith(".d")):
                o_file = d_file[:-1] + "o"
                needs = sources(d_file)
                if not needs or not os.path.isfile(o_file) or not same(tree, needs): continue
                copy(tree, d_file); copy(tree, o_file); copied += 1
        if kernels(tree) == kernels(".") and same(tree, kernels(".")):
            for path in ("build/embed", f"{build}/gen/wgsl.c", f"{build}/gen/wgsl.o"): copy(tree, path)
            os.chmod(f"{tree}/build/embed", 0o755)
            copied += 1
    print(f"{copied} objects are the parent's too")

main()
