#!/bin/sh
# sanitized.sh - runs unit tests that a sanitizer watches, by two suites. usage: sanitized.sh SANITIZER [PROGRAM ...]
# Without programs: all that `make unit-small` builds.
set -u
san=$1 bad=0; shift
dir=build/san-$(echo "$san" | tr , -)/unit
[ $# -gt 0 ] || { set -- $(make -s SAN="$san" names-small); make -s -j"$JOBS" SAN="$san" unit-small || exit 1; }
export UBSAN_OPTIONS=print_stacktrace=1 UNIT_SMALL=1
for name in "$@"; do
    make -s -j"$JOBS" SAN="$san" "$dir/$name" || exit 1
    # The GPU's libraries leak a little of their own when they are unloaded.
    leaks=1; case $name in test_gpu*) leaks=0;; esac
    ASAN_OPTIONS=detect_leaks=$leaks:allocator_may_return_null=1 timeout 600 "$dir/$name" || {
        rc=$?; bad=1; [ $rc -lt 124 ] || echo "$name: 0 passed, 1 failed (status $rc)"; }
done
exit $bad
