#!/bin/sh
# full: the server under AddressSanitizer and ThreadSanitizer: every HTTP test, and 64 clients for 60 s with random hang-ups
set -u
if [ ! -d node_modules/openai ]; then echo "SKIP http storm: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
bad=0
for san in address,undefined thread; do
    # Under sanitizers gcc loses what bounds a text, and takes every snprintf that may cut for an error.
    make -s -j"$JOBS" SAN="$san" CFLAGS=-Wno-format-truncation all || exit 1
    GOSSAMER=$PWD/build/cc-$(echo "$san" | tr , -)/gossamer
    export GOSSAMER
    tests/http/run.sh raw.mjs files.mjs "storm.mjs 60" || bad=1
done
GOSSAMER=$PWD/$V/gossamer GOSS_TEST_ROUNDS=10000 ONLY=idle tests/http/run.sh life.mjs || bad=1
exit $bad
