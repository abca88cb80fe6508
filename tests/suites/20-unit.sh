#!/bin/sh
# quick: the unit tests, each a program of its own (those of the GPU backend: gpu-unit)
# cores 1, build all unit
set -u
make -s -j"$JOBS" all unit || exit 1
bad=0
for t in "$V"/unit/test_*; do
    case "$t" in *.d|*.o|*/test_gpu_*) continue;; esac
    timeout 300 "$t" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$t: 0 passed, 1 failed (status $rc)"; }
done
exit $bad
