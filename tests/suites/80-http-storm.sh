#!/bin/sh
# full: the server under AddressSanitizer and ThreadSanitizer: raw HTTP, slow clients, limits, files, a storm of 64 mixed clients for two minutes with reloads and an end (bench/soak has it for an hour); 10,000 requests in a row
# cores 2, build all; SAN=address,undefined all; SAN=thread all
set -u
if [ ! -d node_modules/openai ]; then echo "SKIP http storm: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
make -s -j"$JOBS" SAN=address,undefined all || exit 1
make -s -j"$JOBS" SAN=thread all || exit 1
make -s -j"$JOBS" all || exit 1
# Both at once: a storm's two minutes pass on the clock, however fast the machine is. Threads that race are ThreadSanitizer's
# business: two for it, one for the other.
# LeakSanitizer starts a process that looks into the server: a sandbox has none.
export GOSS_TEST_SLOW=6 GOSSAMER_SANDBOX=off
GPT_OSS_GGUF_THREADS=1 GOSSAMER=$PWD/build/san-address-undefined/gossamer tests/http/run.sh raw.mjs strict.mjs limits.mjs files.mjs "storm.mjs 120 mixed" &
address=$!
GPT_OSS_GGUF_THREADS=2 GOSSAMER=$PWD/build/san-thread/gossamer tests/http/run.sh raw.mjs strict.mjs limits.mjs "storm.mjs 120 mixed"
bad=$?
wait $address || bad=1
ONLY="memory is steady" GOSS_TEST_ROUNDS=10000 GOSSAMER=$PWD/$V/gossamer tests/http/run.sh life.mjs || bad=1
exit $bad
