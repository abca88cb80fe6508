#!/bin/sh
# slow: programs of others that speak chat completions, headless: opencode, Qwen Code, Continue
# cores 1, build all
set -u
PROGRAMS=$(sh tests/npm_cached.sh tests/clients/programs programs) || {
    echo "SKIP agents-chat: npm could not install them: $PROGRAMS"; echo "0 passed, 0 failed, 1 skipped"; exit 0
}
export PROGRAMS GOSSAMER=$PWD/$V/gossamer
timeout 1500 node tests/clients/others.mjs
