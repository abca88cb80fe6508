#!/bin/sh
# full: the unit tests under AddressSanitizer with UndefinedBehaviorSanitizer, the pool and the engine under ThreadSanitizer; slow ones in their smaller case
set -u
bad=0
run() { # SAN, programs...
    san=$1; shift
    dir=build/clang-19-$(echo "$san" | tr , -)/unit
    programs=
    for name in "$@"; do programs="$programs $dir/$name"; done
    make -s -j"$JOBS" SAN="$san" $programs || exit 1
    for name in "$@"; do
        # The GPU's libraries leak a little of their own when they are unloaded.
        leaks=1; case $name in test_gpu*) leaks=0;; esac
        ASAN_OPTIONS=detect_leaks=$leaks:allocator_may_return_null=1 timeout 600 "$dir/$name" || {
            rc=$?; bad=1; [ $rc -lt 124 ] || echo "$name: 0 passed, 1 failed (status $rc)"; }
    done
}
export UBSAN_OPTIONS=print_stacktrace=1 UNIT_SMALL=1
run address,undefined test_arch test_base test_chat test_cpu test_engine test_engine_chat test_engine_memory test_engine_storm test_fmt test_forward test_gguf test_gguf_bad test_golden test_gpu test_json \
    test_fork test_kv test_prefix test_quant test_sample test_schema test_speculate test_telemetry test_thread test_variants test_vocab
run thread test_thread test_engine_storm test_golden test_engine_chat
exit $bad
