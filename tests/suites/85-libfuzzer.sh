#!/bin/sh
# full: libFuzzer for one minute on the GGUF, JSON and chat readers, all three at once
set -u
command -v clang-19 > /dev/null || { echo "SKIP libfuzzer: clang-19 is not installed"; echo "libfuzzer: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" fuzz-libfuzzer || exit 1
bad=0
fuzz() { # READER
    mkdir -p build/fuzz/found-$1
    build/fuzz/libfuzzer-$1 -max_total_time=60 -max_len=4096 -print_final_stats=0 -verbosity=0 -artifact_prefix=build/fuzz/ build/fuzz/found-$1 \
        tests/fuzz/corpus/$1 > build/fuzz/$1.log 2>&1
}
fuzz gguf & gguf=$!
fuzz json & json=$!
fuzz chat & chat=$!
for t in gguf json chat; do
    eval "pid=\$$t"
    if wait "$pid"; then echo "libfuzzer $t: 1 passed, 0 failed"
    else cat build/fuzz/$t.log; echo "libfuzzer $t: 0 passed, 1 failed"; bad=1; fi
done
exit $bad
