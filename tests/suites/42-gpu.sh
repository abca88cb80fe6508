#!/bin/sh
# quick: the GPU backend on the demo models: stages against the reference, rows in any batch, a device that is lost
# cores 2, build all unit
set -u
make -s -j"$JOBS" unit all || exit 1
bad=0
run() { timeout 200 "$@" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$*: 0 passed, 1 failed (status $rc)"; }; }
run "$V"/unit/test_gpu_robust quick
run "$V"/unit/test_gpu_rows
run "$V"/unit/test_gpu_parity models/demo-gptoss-draft.gguf
shape=$(mktemp) || exit 1
"$V"/gossamer synth layers=3,embd=128,heads=4,kv_heads=2,experts=8,ff=64,vocab=2048,ctx=4096 "$shape" 2> /dev/null
if timeout 200 "$V"/gossamer gate "$shape" D 2> /dev/null | grep -q "PASS.*gpu: rope"; then echo "gate D: 1 passed, 0 failed"; else echo "gate D on gpu: 0 passed, 1 failed"; bad=1; fi
rm -f "$shape"
exit $bad
