#!/bin/sh
# wllama.sh - our package's CPU path and @wllama/wllama, in turn in one Chromium, on the demo model; then our page's own times.
# usage: bench/peers/wllama.sh [ROUNDS [THREADS]]   Needs Chromium (CHROMIUM), node, and npm for the pinned package; prints JSON at the end.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
at=build/peers/wllama
version=$(node -p 'require("./bench/peers/package.json").dependencies["@wllama/wllama"]')
if [ ! -d "$at/node_modules/@wllama/wllama" ]; then
    mkdir -p "$at"
    npm install --prefix "$at" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error "@wllama/wllama@$version" >&2
fi
make -s wasm
exec node bench/peers/wllama.mjs "$at/node_modules/@wllama/wllama/esm" "${1:-5}" "${2:-2}"
