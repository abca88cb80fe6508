#!/bin/sh
# quick: dump, meta, range and download over HTTP Range, against a server that serves badly on purpose; https and its certificates
# cores 1, build all
set -u
make -s -j"$JOBS" all || exit 1
bad=0
timeout 300 node tests/http/range_test.mjs "$V"/gossamer || bad=1
timeout 100 node tests/http/https_test.mjs "$V"/gossamer || bad=1
exit $bad
