#!/bin/sh
# quick: the GPU backend on the demo models: stages against the reference, rows in any batch, a device that is lost
set -u
make -s -j"$JOBS" unit || exit 1
bad=0
run() { timeout 200 "$@" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$*: 0 passed, 1 failed (status $rc)"; }; }
run "$V"/unit/test_gpu_robust quick
run "$V"/unit/test_gpu_rows
GOSSAMER_GPU_MASK=dot4 run "$V"/unit/test_gpu_parity models/demo-gptoss-draft.gguf
exit $bad
