#!/bin/sh
# full: the packed npm package in Vite, webpack, Next.js, Parcel, esbuild, Rollup and no bundler: builds, and answers in Chromium
# cores 1, build wasm
set -u
skip() { echo "SKIP bundlers: $1"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
[ -n "${CHROMIUM:-}" ] || skip "no Chromium (install the package chromium, or set CHROMIUM)"
make -s -j"$JOBS" wasm || exit 1
BUNDLERS=$(sh tests/npm_cached.sh tests/web/bundlers bundlers) || skip "npm could not install them: $BUNDLERS"
export BUNDLERS
timeout 900 node tests/web/bundlers.mjs
