#!/bin/sh
# full: the server under AddressSanitizer and ThreadSanitizer: raw HTTP, limits, files, 64 clients for 60 s with random hang-ups; 10,000 requests in a row
set -u
if [ ! -d node_modules/openai ]; then echo "SKIP http storm: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
bad=0
# Under sanitizers gcc loses what bounds a text, and takes every snprintf that may cut for an error.
make -s -j"$JOBS" SAN=address,undefined CFLAGS=-Wno-format-truncation all || exit 1
GOSSAMER=$PWD/build/cc-address-undefined/gossamer GOSS_TEST_SLOW=3 tests/http/run.sh raw.mjs limits.mjs files.mjs "storm.mjs 60" || bad=1
make -s -j"$JOBS" SAN=thread CFLAGS=-Wno-format-truncation all || exit 1
GOSSAMER=$PWD/build/cc-thread/gossamer GOSS_TEST_SLOW=3 tests/http/run.sh raw.mjs limits.mjs "storm.mjs 60" || bad=1
make -s -j"$JOBS" all || exit 1
ONLY="memory is steady" GOSS_TEST_ROUNDS=10000 GOSS_TEST_SLOW=3 GOSSAMER=$PWD/$V/gossamer tests/http/run.sh life.mjs || bad=1
exit $bad
