#!/usr/bin/env python3
"""pipeline_speed.py - what two processes of one thread reach against one process, in turn, on two idle cores.

  pipeline_speed.py [--program build/cc/gossamer] [--model models/demo-gptoss.gguf] [--pairs 5] [--shape FILE]

Three bars (docs/pipeline.md): the demo with 8 sessions at least 1.6 times one process of one thread; one session at least 0.85
times; a model of 8 layers of gpt-oss-20b's shape, which reading bounds, at least 0.9 times one process of two threads, with 8
sessions and with 16. FILE is that model; where it is not there yet, `gossamer synth` makes it (5 GB). Of each figure a pair is one run of each
side, who goes first changes, and the median of the pairs' ratios counts. Exit status 1: a bar is not reached."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_btl": "self,vader,tcp"}
NONE = "9999999"  # a depth that no model has: nothing is measured there


def bench(args, model, ranks, threads, words):
    """The figures of one run, and what its one session alone said."""
    launch = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    command = launch + [args.program, "bench", model, "--backend", "cpu", "--threads", str(threads), "--json", "-r", "1",
                        "--prefill", "0", *words] + (["--pipeline"] if ranks else [])
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | MPI, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(command)}: {ran.stderr}")
    found = json.loads(ran.stdout)
    return {f"{r['test']} {r['sessions']}": r["tokens_per_s"] for r in found["results"]}, found["tokens_hash"]


def compare(args, name, model, threads, pairs, words):
    """A line for each figure: both sides and their ratio, the median over the pairs."""
    one, two = [], []
    for i in range(pairs):
        for ranks in (0, 2) if i % 2 else (2, 0):
            (two if ranks else one).append(bench(args, model, ranks, 1 if ranks else threads, words))
    if {said for _, said in one} != {said for _, said in two}:
        sys.exit(f"{name}: the tokens of two processes are not those of one")
    ratios = {}
    for figure in one[0][0]:
        each = [b[0][figure] / a[0][figure] for a, b in zip(one, two)]
        ratios[figure] = statistics.median(each)
        print(f"{name}, {figure}: {statistics.median(a[0][figure] for a in one):.2f} tokens/s of one process, "
              f"{statistics.median(b[0][figure] for b in two):.2f} of two: {ratios[figure]:.3f} times "
              f"({min(each):.3f} to {max(each):.3f})", flush=True)
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/cc/gossamer")
    parser.add_argument("--model", default="models/demo-gptoss.gguf")
    parser.add_argument("--shape", default="build/test/pipeline-shape.gguf")
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}", flush=True)
    began = time.monotonic()
    bars = [("8 sessions", 1.6, compare(args, "demo", args.model, 1, args.pairs,
                                        ["--depths", NONE, "--sessions", "8", "-n", "600"])["sessions 8"]),
            ("one session", 0.85, compare(args, "demo", args.model, 1, args.pairs,
                                          ["--depths", "0", "--sessions", "0", "-n", "1500"])["decode 1"])]
    if not os.path.exists(args.shape):
        os.makedirs(os.path.dirname(args.shape) or ".", exist_ok=True)
        subprocess.run([args.program, "synth", "layers=8", args.shape], check=True, stdout=subprocess.DEVNULL)
    with open(args.shape, "rb") as file:  # into memory
        while file.read(1 << 24):
            pass
    shape = compare(args, "8 layers of 20b", args.shape, 2, 2, ["--depths", NONE, "--sessions", "8,16", "-n", "8",
                                                                    "--max-kv", "512"])
    bars += [(f"8 layers of 20b, {figure}", 0.9, ratio) for figure, ratio in shape.items()]
    for name, least, ratio in bars:
        print(f"{'ok  ' if ratio >= least else 'SLOW'} {name}: {ratio:.2f} times, at least {least}")
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if any(ratio < least for _, least, ratio in bars) else 0


if __name__ == "__main__":
    sys.exit(main())
