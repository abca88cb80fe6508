#!/bin/sh
# quick: the stored fuzz inputs of the GGUF, JSON, chat, request, HTTP, schema and recording readers and of the tokenizers, cut and changed, under AddressSanitizer and UndefinedBehaviorSanitizer
# cores 1, build SAN=address,undefined fuzz-bin
set -u
sh tools/clang.sh san > /dev/null || { echo "SKIP fuzz: no clang with its sanitizers"; echo "fuzz: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" SAN=address,undefined fuzz-bin || exit 1
bad=0
for t in gguf json chat request http schema encode record; do
    case $t in
    chat | encode | request | record) rounds=300 ;;
    schema) rounds=1500 ;;
    *) rounds=3000 ;;
    esac
    timeout 200 build/san-address-undefined/fuzz/$t tests/fuzz/corpus/$t $rounds || bad=1
done
exit $bad
