#!/bin/sh
# quick: the server: the openai client, raw HTTP, limits, files and access, starting and stopping, the first byte after the prefill, a storm of 64 clients for 10 s
set -u
make -s -j"$JOBS" all || exit 1
if [ ! -d node_modules/openai ]; then echo "SKIP http: node_modules/openai is missing (npm ci)"; echo "0 passed, 0 failed, 1 skipped"; exit 0; fi
GOSSAMER=$PWD/$V/gossamer tests/http/run.sh client.mjs raw.mjs limits.mjs files.mjs life.mjs first.mjs "storm.mjs 10"
