#!/bin/sh
# run_wasm.sh - runs gossamer-check's modules of the page /check under node: simd128, and relaxed where node has it.
# Needs clang and lld from 19 on, wasi-libc, node. usage: run_wasm.sh [SEED] [--bench]
set -e
cd "$(dirname "$0")/../.."
make -s wasm
# Older nodes want to be asked for relaxed SIMD, newer ones refuse the option.
ask=--experimental-wasm-relaxed-simd
node $ask -e 0 2>/dev/null || ask=
for module in check check-relaxed; do node $ask tests/check/check.mjs web/dist/$module.wasm "$@"; done
