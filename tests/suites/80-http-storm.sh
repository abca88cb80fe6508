#!/bin/sh
# full: the server under AddressSanitizer and ThreadSanitizer: raw HTTP, limits, files, 64 clients for 60 s with random hang-ups; 10,000 requests in a row
set -u
if [ ! -d node_modules/openai ]; then echo "SKIP http storm: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
make -s -j"$JOBS" SAN=address,undefined all || exit 1
make -s -j"$JOBS" SAN=thread all || exit 1
make -s -j"$JOBS" all || exit 1
# Both at once: a storm's 60 s pass on the clock, however fast the machine is. Threads that race are ThreadSanitizer's
# business: two for it, one for the other.
export GOSS_TEST_SLOW=6
GPT_OSS_GGUF_THREADS=1 GOSSAMER=$PWD/build/clang-19-address-undefined/gossamer tests/http/run.sh raw.mjs limits.mjs files.mjs "storm.mjs 60" &
address=$!
GPT_OSS_GGUF_THREADS=2 GOSSAMER=$PWD/build/clang-19-thread/gossamer tests/http/run.sh raw.mjs limits.mjs "storm.mjs 60"
bad=$?
wait $address || bad=1
ONLY="memory is steady" GOSS_TEST_ROUNDS=10000 GOSSAMER=$PWD/$V/gossamer tests/http/run.sh life.mjs || bad=1
exit $bad
