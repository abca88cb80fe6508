#!/bin/sh
# full: models that run while they are downloaded, from a slow link and from servers that break
set -u
make -s -j"$JOBS" all || exit 1
timeout 200 node tests/http/stream_test.mjs "$V"/gossamer
