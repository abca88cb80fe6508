#!/usr/bin/env python3
"""speed_gate.py OLD NEW MODEL - runs `bench --json` of two programs in turn, five times each, and fails where the median of a
figure's five ratios is under 0.85. A figure that is gets five more turns first, since other work on the machine may have
stood in the way. Prints each figure's ratio, then "speed: N passed, N failed"."""
import json, statistics, subprocess, sys

LEAST = 0.85

def figures(program, model):
    cmd = [program, "bench", model, "--backend", "cpu", "--json", "--prefill", "256", "--depths", "0", "--sessions", "4",
           "--max-tokens", "128", "--repeat", "5"]
    out = json.loads(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout)
    return {f"{r['test']} {r['tokens']} x{r['sessions']}": r["tokens_per_s"] for r in out["results"]}

def main():
    old, new, model = sys.argv[1:4]
    ratios = {}
    for i in range(10):  # who goes first changes each time
        if i == 5 and all(statistics.median(r) >= LEAST for r in ratios.values()): break
        got = {}
        for which, program in (("old", old), ("new", new))[:: 1 if i % 2 else -1]: got[which] = figures(program, model)
        for name in got["old"].keys() & got["new"].keys():
            ratios.setdefault(name, []).append(got["new"][name] / got["old"][name])
    passed = failed = 0
    for name, r in sorted(ratios.items()):
        ok = statistics.median(r) >= LEAST
        passed += ok; failed += not ok
        print(f"{'ok  ' if ok else 'SLOW'} {name}: {statistics.median(r):.2f} of the parent's ({min(r):.2f} to {max(r):.2f})")
    if not passed and not failed: print("no figure in common"); failed = 1
    print(f"speed: {passed} passed, {failed} failed")
    return 1 if failed else 0

if __name__ == "__main__": sys.exit(main())
