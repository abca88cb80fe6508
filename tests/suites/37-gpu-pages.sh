#!/bin/sh
# slow: experts paged on the GPU, or computed on the CPU beside it: the same logits and tokens whatever the cap
set -u
make -s -j"$JOBS" all unit || exit 1
timeout 1500 "$V"/unit/test_gpu_pages
