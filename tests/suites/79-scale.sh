#!/bin/sh
# full: three replicas behind HAProxy with examples/scale: full, draining, killed and restarted ones, one folder of prefixes, a crowd of 60; the manifest and the units (SCALE=120: for two minutes, and tools/scale.py's prediction)
# cores 2, build all
set -u
make -s -j"$JOBS" all || exit 1
export GOSSAMER=$PWD/$V/gossamer
PACKAGES=$(sh tests/npm_cached.sh tests/scale/kubernetes kubernetes) || PACKAGES=
export PACKAGES
bad=0
rm -f build/test/crowd.json
timeout 400 node tests/scale/manifest_test.mjs || bad=1
timeout 400 node tests/scale/proxy_test.mjs || bad=1
if timeout 1500 node tests/scale/crowd.mjs "${SCALE:-25}"; then
    [ -z "${SCALE:-}" ] || [ ! -f build/test/crowd.json ] || python3 tools/scale.py --record build/test/crowd.json || bad=1
else bad=1; fi
exit $bad
