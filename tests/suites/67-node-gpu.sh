#!/bin/sh
# full: the npm package in Node (the system's, from 20 on) on WebGPU, by the npm package webgpu
# cores 2, build wasm
set -u
skip() { echo "SKIP node-gpu: $1"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
[ -d node_modules/webgpu ] || skip "no npm package webgpu (npm ci)"
[ -n "${VK_ICD_FILENAMES:-}" ] || [ -e /dev/dri ] || [ -e /dev/nvidia0 ] || skip "no GPU, nor SwiftShader (it comes with Debian's chromium)"
make -s -j"$JOBS" wasm || exit 1
timeout 200 "${SYSTEM_NODE:-node}" tests/web/node_gpu.mjs
