#!/bin/sh
# slow: experts paged on the GPU, computed on the CPU beside it, or not there yet: the same logits and tokens
# cores 2, build all unit
set -u
make -s -j"$JOBS" all unit || exit 1
bad=0
timeout 200 "$V"/unit/test_gpu_early || bad=1
timeout 300 "$V"/unit/test_gpu_early packed || bad=1
timeout 1500 "$V"/unit/test_gpu_pages || bad=1
exit $bad
