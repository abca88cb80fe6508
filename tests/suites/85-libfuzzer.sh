#!/bin/sh
# full: libFuzzer for one minute on the GGUF, JSON, chat, request, HTTP, schema and recording readers and on the tokenizers, all at once
# cores 2
set -u
skip() { echo "SKIP libfuzzer: $1"; echo "libfuzzer: 0 passed, 0 failed, 1 skipped"; exit 0; }
CLANG=$(sh tools/clang.sh san) || skip "no clang with its sanitizers is installed"
mkdir -p build/fuzz
echo 'int LLVMFuzzerTestOneInput(const unsigned char *s, unsigned long n) { return s && n > 9; }' > build/fuzz/probe.c
$CLANG -fsanitize=fuzzer,address,undefined -o build/fuzz/probe build/fuzz/probe.c 2> build/fuzz/probe.log ||
    skip "$CLANG has no compiler-rt to link"
make -s -j"$JOBS" fuzz-libfuzzer || exit 1
bad=0
targets="gguf json chat request http schema encode record"
fuzz() { # READER
    mkdir -p build/fuzz/found-$1
    build/fuzz/libfuzzer-$1 -max_total_time=60 -max_len=4096 -print_final_stats=0 -verbosity=0 -artifact_prefix=build/fuzz/ build/fuzz/found-$1 \
        tests/fuzz/corpus/$1 > build/fuzz/$1.log 2>&1
}
for t in $targets; do
    fuzz $t &
    eval "$t=\$!"
done
for t in $targets; do
    eval "pid=\$$t"
    if wait "$pid"; then echo "libfuzzer $t: 1 passed, 0 failed"
    else cat build/fuzz/$t.log; echo "libfuzzer $t: 0 passed, 1 failed"; bad=1; fi
done
exit $bad
