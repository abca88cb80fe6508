#!/bin/sh
# slow: gossamer-check for the GPU: the variants that gpu-check leaves out, and the real 20b layers' shapes
# cores 1, long, build check-bin
set -u
make -s -j"$JOBS" check-bin || exit 1
bad=0
timeout 900 "$V"/gossamer-check --gpu --rest --level default || bad=1
timeout 900 "$V"/gossamer-check --gpu --rest --level adapter || bad=1
exit $bad
