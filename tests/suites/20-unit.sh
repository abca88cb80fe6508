#!/bin/sh
# quick: the unit tests, each a program of its own
set -u
make -s -j"$JOBS" all unit || exit 1
bad=0
for t in "$V"/unit/test_*; do
    case "$t" in *.d|*.o) continue;; esac
    timeout 300 "$t" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$t: 0 passed, 1 failed (status $rc)"; }
done
exit $bad
