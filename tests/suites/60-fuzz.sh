#!/bin/sh
# quick: the stored fuzz inputs of the GGUF and JSON readers, cut and changed, under AddressSanitizer and UndefinedBehaviorSanitizer
set -u
make -s fuzz-bin || exit 1
bad=0
for t in gguf json; do
    timeout 200 build/fuzz/$t tests/fuzz/corpus/$t 3000 || bad=1
done
exit $bad
