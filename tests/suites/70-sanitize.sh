#!/bin/sh
# full: the unit tests under AddressSanitizer with UndefinedBehaviorSanitizer, and the threaded ones under ThreadSanitizer
set -u
bad=0
run() { # SAN, timeout, programs...
    san=$1; limit=$2; shift 2
    make -s -j"$JOBS" SAN="$san" unit || exit 1
    dir=build/cc-$(echo "$san" | tr , -)/unit
    for t in "$dir"/test_*; do
        case "$t" in *.d|*.o) continue;; esac
        name=$(basename "$t")
        [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue;; esac
        timeout "$limit" "$t" || { rc=$?; bad=1; [ $rc -lt 124 ] || echo "$t: 0 passed, 1 failed (status $rc)"; }
    done
}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 GOSS_TEST_SHORT=1
run address,undefined 600
run thread 600 test_thread test_session test_engine test_cpu
exit $bad
