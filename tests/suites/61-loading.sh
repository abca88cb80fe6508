#!/bin/sh
# full: LOAD MODEL in Chromium: during an answer, cancelled, superseded, bad files and hosts, offline, installed
# cores 1, build wasm
set -u
[ -n "${CHROMIUM:-}" ] || { echo "SKIP loading: no Chromium (install the package chromium, or set CHROMIUM)"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
make -s -j"$JOBS" wasm || exit 1
timeout 600 node tests/web/loading.mjs
