#!/bin/sh
# slow: the npm package in Node on WebGPU, by the npm package webgpu (fetched into build/ where it is not there)
set -u
at=build/peers/webgpu version=0.6.2
skip() { echo "SKIP node-gpu: $1"; echo "web: 0 passed, 0 failed, 1 skipped"; exit 0; }
if [ ! -d $at/node_modules/webgpu ]; then
    mkdir -p $at
    timeout 120 npm install --prefix $at --no-save --ignore-scripts --no-audit --no-fund --loglevel=error webgpu@$version ||
        skip "no npm package webgpu (npm install --prefix $at --no-save webgpu@$version)"
fi
make -s -j"$JOBS" wasm || exit 1
NODE_WEBGPU=$at timeout 400 node tests/web/node_gpu.mjs
