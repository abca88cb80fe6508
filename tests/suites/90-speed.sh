#!/bin/sh
# full: this commit against its parent, both built here, five alternations; a median ratio under 0.85 fails
# alone, build all
set -eu
parent=$(git rev-parse -q --verify HEAD^ 2>/dev/null) || {
    echo "SKIP speed: this commit has no parent"; echo "speed: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" all
old=build/speed
rm -rf "$old"; mkdir -p "$old"
git archive "$parent" | tar -x -C "$old"
python3 tests/same_objects.py "$old" "$V"
if ! make -s -j"$JOBS" -C "$old" all >"$old.log" 2>&1 || ! "$old/build/cc/gossamer" bench models/demo-gptoss.gguf --backend cpu --json --sessions 0 --prefill 16 --max-tokens 4 >/dev/null 2>&1; then
    echo "SKIP speed: the parent does not build or has no bench"; echo "speed: 0 passed, 0 failed, 1 skipped"; exit 0
fi
python3 tests/speed_gate.py "$old/build/cc/gossamer" "$V/gossamer" models/demo-gptoss.gguf
