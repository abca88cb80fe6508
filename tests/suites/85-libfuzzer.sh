#!/bin/sh
# full: libFuzzer for one minute on each of the GGUF, JSON and chat readers
set -u
command -v clang-19 > /dev/null || { echo "SKIP libfuzzer: clang-19 is not installed"; echo "libfuzzer: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s fuzz-libfuzzer || exit 1
bad=0
for t in gguf json chat; do
    mkdir -p build/fuzz/found-$t
    if build/fuzz/libfuzzer-$t -max_total_time=60 -max_len=4096 -print_final_stats=0 -verbosity=0 -artifact_prefix=build/fuzz/ build/fuzz/found-$t tests/fuzz/corpus/$t; then
        echo "libfuzzer $t: 1 passed, 0 failed"
    else
        echo "libfuzzer $t: 0 passed, 1 failed"; bad=1
    fi
done
exit $bad
