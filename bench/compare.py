#!/usr/bin/env python3
"""compare.py MODEL [--threads N] [--prompt N] [--decode N] [--rounds N] - ours and llama.cpp's CPU speed on this machine, in turn.

Each round runs both; the table has medians and the ratio. Ours: `gossamer bench --json`; the peer: bench/peers/llama.sh."""
import argparse, json, os, platform, statistics, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))

def ours(args):
    cmd = [os.path.join(HERE, "../build/cc/gossamer"), "bench", args.model, "--backend", "cpu", "--json", "--threads", str(args.threads),
           "--prefill", str(args.prompt), "--depths", "0", "--max-tokens", str(args.decode), "--sessions", "0", "--repeat", "1"]
    rows = json.loads(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout)["results"]
    return tuple(next(r["tokens_per_s"] for r in rows if r["test"] == what) for what in ("prefill", "decode"))

def peer(args):
    cmd = [os.path.join(HERE, "peers/llama.sh"), args.model, "bench", str(args.threads), str(args.prompt), str(args.decode), "1"]
    row = json.loads(subprocess.run(cmd, capture_output=True, text=True, check=True).stdout)
    return row["prefill_tok_s"], row["decode_tok_s"]

def warm(path):
    """The peer repacks a big file into memory of its own, which can push the file out of the page cache: both sides find it there."""
    with open(path, "rb", buffering=0) as f:
        while f.read(16 << 20): pass

def main():
    p = argparse.ArgumentParser()
    p.add_argument("model"); p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--prompt", type=int, default=512); p.add_argument("--decode", type=int, default=128); p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args(); args.model = os.path.abspath(args.model)
    got = {"ours": [], "peer": []}
    for _ in range(args.rounds):
        for who, run in (("ours", ours), ("peer", peer)):
            warm(args.model)
            got[who].append(run(args))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads, {os.path.basename(args.model)}, {args.rounds} rounds in turn")
    for i, what in enumerate((f"prefill {args.prompt}", f"decode {args.decode}")):
        a, b = (statistics.median(x[i] for x in got[w]) for w in ("ours", "peer"))
        print(f"{what:12} ours {a:9.1f} tok/s   llama.cpp {b:9.1f} tok/s   ratio {a / b:5.2f}")

if __name__ == "__main__": sys.exit(main())
