#!/bin/sh
# quick: dump, meta, range and download over HTTP Range, against a server that serves badly on purpose
set -u
make -s -j"$JOBS" all || exit 1
timeout 300 node tests/http/range_test.mjs "$V"/gossamer
