#!/bin/sh
# full: the GPU backend: every model and variant, limits, memory, kernels that fail
set -u
make -s -j"$JOBS" unit || exit 1
bad=0
run() { timeout 600 "$@" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$*: 0 passed, 1 failed (status $rc)"; }; }
run "$V"/unit/test_gpu_robust
run "$V"/unit/test_gpu_sample
run "$V"/unit/test_gpu_parity
GOSSAMER_GPU_MASK=subgroups,dot4,f16 run "$V"/unit/test_gpu_parity models/demo-gptoss.gguf models/demo-llama-Q4_K_M.gguf
exit $bad
