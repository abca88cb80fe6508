#!/usr/bin/env python3
"""speed_gate.py OLD NEW MODEL - runs `bench --json` of two programs in turn, five times each, and fails where the median of a
figure fell under 0.85 of the old one's. Prints each figure's ratio, then "speed: N passed, N failed"."""
import json, statistics, subprocess, sys

def figures(program, model):
    cmd = [program, "bench", model, "--backend", "cpu", "--json", "--prefill", "256", "--depths", "0", "--sessions", "4",
           "--max-tokens", "128", "--repeat", "5"]
    out = json.loads(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout)
    return {f"{r['test']} {r['tokens']} x{r['sessions']}": r["tokens_per_s"] for r in out["results"]}

def main():
    old, new, model = sys.argv[1:4]
    seen = {}
    for i in range(5):   # who goes first changes each time
        for which, program in (("old", old), ("new", new))[:: 1 if i % 2 else -1]:
            for name, v in figures(program, model).items(): seen.setdefault(name, {}).setdefault(which, []).append(v)
    passed = failed = 0
    for name, v in sorted(seen.items()):
        if "old" not in v or "new" not in v: continue
        ratio = statistics.median(v["new"]) / statistics.median(v["old"])
        ok = ratio >= 0.85
        passed += ok; failed += not ok
        print(f"{'ok  ' if ok else 'SLOW'} {name}: {statistics.median(v['new']):.1f} tok/s, {ratio:.2f} of the parent's")
    if not passed and not failed: print("no figure in common"); failed = 1
    print(f"speed: {passed} passed, {failed} failed")
    return 1 if failed else 0

if __name__ == "__main__": sys.exit(main())
