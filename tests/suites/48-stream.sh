#!/bin/sh
# full: models that run while they are downloaded, from a slow link and from servers that break; hosts that mean harm
# cores 1, build all
set -u
make -s -j"$JOBS" all || exit 1
bad=0
timeout 200 node tests/http/stream_test.mjs "$V"/gossamer || bad=1
timeout 200 node tests/http/hosts_test.mjs "$V"/gossamer || bad=1
exit $bad
