#!/bin/sh
# quick: gossamer-check for the GPU: every WGSL kernel at small sizes, with WebGPU's default limits and with all that the adapter has
# cores 1, build check-bin
set -u
make -s -j"$JOBS" check-bin || exit 1
timeout 300 "$V"/gossamer-check --gpu
