#!/bin/sh
# quick: the stored fuzz inputs of the GGUF, JSON and chat readers, cut and changed, under AddressSanitizer and UndefinedBehaviorSanitizer
set -u
make -s -j"$JOBS" fuzz-bin || exit 1
bad=0
for t in gguf json chat; do
    rounds=3000
    [ $t != chat ] || rounds=300
    timeout 200 build/fuzz/$t tests/fuzz/corpus/$t $rounds || bad=1
done
exit $bad
